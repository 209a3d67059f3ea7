//! What Lambda hands to a function: a batch of SQS messages, or one bare event.

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use chrono::DateTime;
use serde_json::Value;

use crate::detect::Timestamp;
use crate::pipeline::message::{Message, MessageError, read_event};

/// The id that stands for the only event of an invocation that is no batch.
const BARE_EVENT: &str = "bare event";

/// The messages of one invocation.
#[derive(Debug)]
pub struct Payload<M> {
    /// Whether they came as a batch, of which the answer names those that failed.
    pub is_batch: bool,
    /// The messages, in order.
    pub messages: Vec<HandedOut<M>>,
}

/// One message as it was handed out.
#[derive(Debug)]
pub struct HandedOut<M> {
    /// The message's id in its queue.
    pub id: String,
    /// Whether it was, or may have been, handed out before.
    pub is_retry: bool,
    /// Its body, as it stands in its queue; `None` for a bare event, which came from no queue.
    pub body: Option<String>,
    /// What it says.
    pub message: Result<M, MessageError>,
}

/// Reads the payload of an invocation of the detector at `now`. An error is about the batch as a whole; a message that
/// cannot be read stands among the others.
pub fn read_payload(payload: Value, now: Timestamp) -> Result<Payload<Message>, serde_json::Error> {
    read_payload_by(payload, now, read_event)
}

/// Reads the payload of an invocation at `now`, each message by `read`, which gets the time at which it was sent.
pub fn read_payload_by<M>(
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
        vec![HandedOut {
            id: BARE_EVENT.to_owned(),
            // Lambda does not tell whether it tries a bare event again.
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
) -> HandedOut<M> {
    let attribute = |name: &str| message.attributes.get(name)?.parse::<i64>().ok();
    let sent_at = attribute("SentTimestamp").and_then(DateTime::from_timestamp_millis);
    let is_retry = attribute("ApproximateReceiveCount") > Some(1);
    let body = message.body.unwrap_or_default();
    HandedOut {
        id: message.message_id.unwrap_or_default(),
        is_retry,
        message: serde_json::from_str(&body)
            .map_err(MessageError::NotJson)
            .and_then(|json| read(json, sent_at)),
        body: Some(body),
    }
}
