//! The dead-letter queue of the changes queue, as far as the detector sends to it.
//!
//! SQS moves a message there after many receives, for it cannot tell poison from an outage. The
//! detector can: a message that cannot be read never will be, so it leaves at once and takes its
//! error along.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::MessageAttributeValue;

use crate::aws::errors::service_error;
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;

/// The attribute that says why the message was given up.
const ERROR_ATTRIBUTE: &str = "error";

/// The attribute with the id that the message had in the changes queue, by which the log is
/// searched.
const ID_ATTRIBUTE: &str = "message_id";

/// The longest error that goes along, in characters. Attributes count toward the size of a message.
const LONGEST_ERROR: usize = 1_000;

/// Where messages go that cannot be read.
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

    /// Sends `body`, which came as the message `message_id` and cannot be read because of `error`.
    /// Once this succeeds the message may be deleted from its own queue.
    pub async fn send(
        &self,
        message_id: &str,
        body: &str,
        error: &str,
    ) -> Result<(), ServiceError> {
        let what = "sqs:SendMessage on the dead-letter queue";
        let unsendable =
            |error: BuildError| ServiceError::permanent(format!("{what} failed: {error}"));
        // The error may quote the message, and SQS takes no attribute with characters that XML does
        // not know.
        let error = for_terminal(error, LONGEST_ERROR);
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
