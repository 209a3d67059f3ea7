//! What Lambda does with a function's role.

use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName;

use super::checks::Held;

/// What Lambda does to receive a message.
pub async fn taken(function: &SdkConfig, url: &str) -> Held {
    let sqs = aws_sdk_sqs::Client::new(function);
    send(function, url).await?;
    let received = sqs.receive_message().queue_url(url).send().await;
    let received = received.map_err(|error| format!("{error:?}"))?;
    let message = received.messages().first().ok_or("no message")?;
    let handle = message.receipt_handle.clone().unwrap_or_default();
    let deleted = sqs.delete_message().queue_url(url).receipt_handle(handle);
    let deleted = deleted.send().await;
    deleted.map(drop).map_err(|error| format!("{error:?}"))
}

pub async fn looked_at(function: &SdkConfig, url: &str) -> Held {
    let got = aws_sdk_sqs::Client::new(function)
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await;
    got.map(drop).map_err(|error| format!("{error:?}"))
}

pub async fn send(config: &SdkConfig, url: &str) -> Held {
    let sqs = aws_sdk_sqs::Client::new(config);
    let sent = sqs.send_message().queue_url(url).message_body("{}");
    let sent = sent.send().await;
    sent.map(drop).map_err(|error| format!("{error:?}"))
}
