//! What Lambda passes to a function: a batch of SQS messages, or a bare event.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use chrono::DateTime;
use serde_json::Value;

use crate::detect::Timestamp;
use crate::pipeline::message::{Message, MessageError, read_event};

/// The message id of an event that is not part of a batch.
const BARE_EVENT: &str = "bare event";

/// The messages of one invocation.
#[derive(Debug)]
pub struct Payload<M> {
    /// Whether they are a batch, so that the response names the failed ones.
    pub is_batch: bool,
    /// The messages, in order.
    pub messages: Vec<PayloadMessage<M>>,
}

/// One message as received.
#[derive(Debug)]
pub struct PayloadMessage<M> {
    /// The message's id in its queue.
    pub id: String,
    /// Whether it was received before, or may have been.
    pub is_retry: bool,
    /// Its body as in the queue; `None` for a bare event, which does not come from a queue.
    pub body: Option<String>,
    /// The message.
    pub message: Result<M, MessageError>,
}

/// Reads the payload of an invocation of the detector at `now`. An error concerns the whole batch;
/// an unreadable message is one of the results.
pub fn read_payload(payload: Value, now: Timestamp) -> Result<Payload<Message>, serde_json::Error> {
    read_payload_by(payload, now, read_event)
}

/// Reads the payload of an invocation at `now`. `read` reads each message and gets its sending
/// time.
pub(crate) fn read_payload_by<M>(
    payload: Value,
    now: Timestamp,
    read: impl Fn(Value, Option<Timestamp>) -> Result<M, MessageError>,
) -> Result<Payload<M>, serde_json::Error> {
    let is_batch = payload.get("Records").is_some_and(Value::is_array);
    let messages = if is_batch {
        let batch: SqsEvent = serde_json::from_value(payload)?;
        batch
            .records
            .into_iter()
            .map(|message| read_sqs(message, &read))
            .collect()
    } else {
        vec![PayloadMessage {
            id: BARE_EVENT.to_owned(),
            // Lambda does not say whether a bare event is retried.
            is_retry: true,
            body: None,
            message: read(payload, Some(now)),
        }]
    };
    Ok(Payload { is_batch, messages })
}

fn read_sqs<M>(
    message: SqsMessage,
    read: impl Fn(Value, Option<Timestamp>) -> Result<M, MessageError>,
) -> PayloadMessage<M> {
    let attribute = |name: &str| message.attributes.get(name)?.parse::<i64>().ok();
    let sent_at = attribute("SentTimestamp").and_then(DateTime::from_timestamp_millis);
    let is_retry = attribute("ApproximateReceiveCount") > Some(1);
    let body = message.body.unwrap_or_default();
    PayloadMessage {
        id: message.message_id.unwrap_or_default(),
        is_retry,
        message: serde_json::from_str(&body)
            .map_err(MessageError::NotJson)
            // One message that cannot be read must not fail its neighbors.
            .and_then(|json| {
                catch_unwind(AssertUnwindSafe(|| read(json, sent_at)))
                    .unwrap_or(Err(MessageError::Panicked))
            }),
        body: Some(body),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_poisonous_message_is_unreadable_alone() {
        let batch = json!({"Records": [
            {"messageId": "one", "body": "1"},
            {"messageId": "two", "body": "2"},
        ]});
        let read = |json: Value, _| {
            assert_ne!(json, json!(1), "a poisonous message");
            Ok(json)
        };
        let payload = read_payload_by(batch, DateTime::UNIX_EPOCH, read).unwrap();
        let [first, second] = payload.messages.as_slice() else {
            panic!("{payload:?}")
        };
        assert!(matches!(first.message, Err(MessageError::Panicked)));
        assert_eq!(*second.message.as_ref().unwrap(), json!(2));
    }
}
