//! Sends messages to the dead-letter queue of the changes queue.
//!
//! SQS moves a message there after many receives, because it cannot distinguish a bad message from
//! an outage. The detector can: a message that is unreadable now stays unreadable, so the detector
//! moves it at once, together with its error.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::MessageAttributeValue;

use crate::aws::sdk_errors::service_error;
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;

/// The attribute with the reason why the message was given up.
const ERROR_ATTRIBUTE: &str = "error";

/// The attribute with the message's ID in the changes queue, for searching the log.
const ID_ATTRIBUTE: &str = "message_id";

/// The longest error that is attached, in characters. Attributes count toward the size of a
/// message.
const MAX_ERROR_CHARS: usize = 1_000;

/// The destination of messages that cannot be read.
#[derive(Debug, Clone)]
pub struct DeadLetterQueue {
    client: Client,
    queue_url: String,
}

impl DeadLetterQueue {
    /// The queue at `queue_url`.
    #[must_use]
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Sends `body`, which arrived as message `message_id` and cannot be read because of `error`.
    /// After this succeeds, the message may be deleted from its own queue.
    pub async fn send(
        &self,
        message_id: &str,
        body: &str,
        error: &str,
    ) -> Result<(), ServiceError> {
        let what = "sqs:SendMessage on the dead-letter queue";
        let unsendable =
            |error: BuildError| ServiceError::permanent(format!("{what} failed: {error}"));
        // The error may quote the message, and SQS refuses attributes with characters that XML does
        // not allow.
        let error = for_terminal(error, MAX_ERROR_CHARS);
        let mut request = self
            .client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(body);
        for (name, value) in [
            (ERROR_ATTRIBUTE, error.as_str()),
            (ID_ATTRIBUTE, message_id),
        ] {
            // SQS refuses an empty value.
            if !value.is_empty() {
                request = request.message_attributes(name, text(value).map_err(unsendable)?);
            }
        }
        let sent = request.send().await;
        sent.map(drop).map_err(|error| service_error(what, &error))
    }
}

fn text(value: &str) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
}
