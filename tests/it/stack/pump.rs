//! A stand-in for the Lambda event source mapping: receives messages from a queue, passes them to
//! the function like SQS, deletes the successful ones and retries the others.

use std::collections::BTreeSet;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::{Value, json};

use super::clients::REGION;
use super::emulator::Emulator;

/// How soon a failed message is retried, in seconds.
pub const COMES_AGAIN_AFTER_SECONDS: i32 = 1;

/// The messages of one turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The bodies of the successful messages.
    pub done: Vec<String>,
    /// The bodies of the failed ones.
    pub failed: Vec<String>,
}

/// Receives up to ten messages from the queue and passes them to the function.
pub async fn pump_once(client: &Client, queue_url: &str, function: &Emulator) -> Turn {
    let received = client
        .receive_message()
        .queue_url(queue_url)
        .max_number_of_messages(10)
        .wait_time_seconds(0)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await
        .expect("the queue can be read");
    let messages = received.messages.unwrap_or_default();
    if messages.is_empty() {
        return Turn::default();
    }
    let answer = function
        .invoke(&json!({"Records": messages.iter().map(record).collect::<Vec<_>>()}))
        .await;
    let failed = failed_ids(&answer, &messages);
    let mut turn = Turn::default();
    for message in messages {
        let handle = message.receipt_handle.clone().unwrap_or_default();
        let body = message.body.clone().unwrap_or_default();
        if failed.contains(message.message_id.as_deref().unwrap_or_default()) {
            client
                .change_message_visibility()
                .queue_url(queue_url)
                .receipt_handle(handle)
                .visibility_timeout(COMES_AGAIN_AFTER_SECONDS)
                .send()
                .await
                .expect("a message can be given back");
            turn.failed.push(body);
        } else {
            client
                .delete_message()
                .queue_url(queue_url)
                .receipt_handle(handle)
                .send()
                .await
                .expect("a message can be deleted");
            turn.done.push(body);
        }
    }
    turn
}

/// The IDs of the failed messages. A function error, or a response that names a message without an
/// ID, fails the whole batch.
pub fn failed_ids(answer: &Value, messages: &[Message]) -> BTreeSet<String> {
    let named: Option<Vec<&str>> = answer["batchItemFailures"].as_array().map(|failures| {
        failures
            .iter()
            .map(|failure| failure["itemIdentifier"].as_str().unwrap_or_default())
            .collect()
    });
    match named {
        Some(named) if named.iter().all(|id| !id.is_empty()) => {
            named.into_iter().map(ToOwned::to_owned).collect()
        }
        _ => messages
            .iter()
            .filter_map(|message| message.message_id.clone())
            .collect(),
    }
}

/// `message` as Lambda passes it to a function.
pub fn record(message: &Message) -> Value {
    let attributes: serde_json::Map<String, Value> = message
        .attributes
        .iter()
        .flatten()
        .map(|(name, value)| (name.as_str().to_owned(), Value::String(value.clone())))
        .collect();
    json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {},
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:123456789012:changes"),
        "awsRegion": REGION,
    })
}
