//! What comes out of the changes queue: an event of CloudTrail or AWS Health in its EventBridge envelope, or a re-check
//! that was queued.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::detect::Timestamp;
use crate::detect::health::{self, LeakReport, read_leak_report};
use crate::detect::key_change::{
    Ignored, Incomplete, KeyChange, ReadContext, Reading, RecordError, read_key_change,
};
use crate::detect::record::CloudTrailRecord;
use crate::detect::text::bounded;
use crate::detect::user::UserId;
use crate::output::escape::for_json;

/// The version of the queued messages that this release writes and reads.
const VERSION: u32 = 1;

/// A message that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// An event told of a change.
    Change(Box<KeyChange>),
    /// An event reported a change incompletely: its users are re-checked, and it counts as malformed.
    Incomplete(Incomplete),
    /// AWS Health reported leaked keys. Their users have to be looked up first; see
    /// [`super::owners`].
    Leaked(Box<LeakReport>),
    /// A user is to be looked at again.
    Recheck(UserId),
    /// Somebody wants to know whether messages are read.
    Probe(String),
    /// There is nothing to do.
    Ignored(Ignored),
}

/// Why a message cannot be read.
#[derive(Debug, Error)]
pub enum MessageError {
    /// It is no JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is JSON and neither an event nor a re-check.
    #[error("the message is neither an EventBridge event nor a re-check: {0}")]
    NotAnEvent(serde_json::Error),
    /// It is JSON and no sweep.
    #[error("the message is no sweep: {0}")]
    NotASweep(serde_json::Error),
    /// It has a version that this release does not know.
    #[error(
        "the message has version {0}, which this release does not know; deploy the release that queued it"
    )]
    UnknownVersion(u32),
    /// The record in it cannot be a key change.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl MessageError {
    /// Whether a newer release queued the message. That release can read it, so it is not poison.
    #[must_use]
    pub fn is_of_newer_release(&self) -> bool {
        matches!(self, Self::UnknownVersion(version) if *version > VERSION)
    }
}

/// A queued re-check, as it stands in the queue.
#[derive(Debug, Serialize, Deserialize)]
struct QueuedRecheck {
    secondkey_recheck: RecheckV1,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecheckV1 {
    version: u32,
    account: String,
    user: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct QueuedProbe {
    secondkey_probe: ProbeV1,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProbeV1 {
    version: u32,
    id: String,
}

/// Reads the body of a message that was sent at `sent_at`.
pub fn read_message(body: &str, sent_at: Option<Timestamp>) -> Result<Message, MessageError> {
    let json: Value = serde_json::from_str(body).map_err(MessageError::NotJson)?;
    read_event(json, sent_at)
}

/// Reads a message that is JSON already.
pub fn read_event(json: Value, sent_at: Option<Timestamp>) -> Result<Message, MessageError> {
    if let Some(queued) = json.get("secondkey_recheck") {
        check_version(queued)?;
        let queued: QueuedRecheck =
            serde_json::from_value(json).map_err(MessageError::NotAnEvent)?;
        let recheck = queued.secondkey_recheck;
        return Ok(Message::Recheck(UserId::new(
            &recheck.account,
            &recheck.user,
        )));
    }
    if let Some(queued) = json.get("secondkey_probe") {
        check_version(queued)?;
        let queued: QueuedProbe = serde_json::from_value(json).map_err(MessageError::NotAnEvent)?;
        let probe = queued.secondkey_probe;
        return Ok(Message::Probe(bounded(&probe.id)));
    }
    if json.get("source").and_then(Value::as_str) == Some(health::SOURCE) {
        return Ok(match read_leak_report(&json, sent_at)? {
            Some(report) => Message::Leaked(Box::new(report)),
            None => Message::Ignored(Ignored::OtherHealthEvent),
        });
    }
    let event: EventBridgeEvent<Value> =
        serde_json::from_value(json).map_err(MessageError::NotAnEvent)?;
    // Anybody may put events of another source on a bus; only AWS puts those of `aws.*`.
    if event.source != "aws.iam" {
        return Ok(Message::Ignored(Ignored::OtherService));
    }
    let context = ReadContext {
        account: event.account.as_deref(),
        account_if_missing: None,
        sent_at,
    };
    Ok(
        match read_key_change(&CloudTrailRecord::from_json(&event.detail), context)? {
            Reading::Change(change) => Message::Change(change),
            Reading::Incomplete(incomplete) => Message::Incomplete(incomplete),
            Reading::Ignored(reason) => Message::Ignored(reason),
        },
    )
}

/// Fails if `queued` has another version. It is read before the fields, which a newer version may
/// name otherwise. A version that is missing is left to the reading of the fields, which says so.
fn check_version(queued: &Value) -> Result<(), MessageError> {
    match queued.get("version").and_then(Value::as_u64) {
        None => Ok(()),
        Some(version) if version == u64::from(VERSION) => Ok(()),
        Some(other) => Err(MessageError::UnknownVersion(
            u32::try_from(other).unwrap_or(u32::MAX),
        )),
    }
}

/// The body of a message that has `user` looked at again.
#[must_use]
pub fn recheck_body(user: &UserId) -> String {
    let queued = QueuedRecheck {
        secondkey_recheck: RecheckV1 {
            version: VERSION,
            account: user.account().to_owned(),
            user: user.name().to_owned(),
        },
    };
    // SQS takes no message that holds a character that XML does not know.
    for_json(&serde_json::json!(queued).to_string())
}

/// The body of a message that only leaves a trace, by which somebody sees that messages are read.
#[must_use]
pub fn probe_body(id: &str) -> String {
    let queued = QueuedProbe {
        secondkey_probe: ProbeV1 {
            version: VERSION,
            id: id.to_owned(),
        },
    };
    for_json(&serde_json::json!(queued).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::testing::HOSTILE;

    #[test]
    fn a_recheck_of_whatever_name_is_a_message_that_sqs_takes_and_is_read_again() {
        for text in HOSTILE.iter() {
            let user = UserId::new(text, text);
            let body = recheck_body(&user);
            assert_eq!(first_unseen(&body), None, "{body}");
            assert!(body.len() < 256 * 1024, "{} bytes", body.len());
            let read = read_message(&body, None).unwrap();
            assert_eq!(read, Message::Recheck(user));
        }
    }

    #[test]
    fn a_message_of_a_newer_release_is_told_apart_from_poison() {
        for (body, is_newer) in [
            // Version 2 may name its fields otherwise.
            (r#"{"secondkey_recheck":{"version":2,"users":["a"]}}"#, true),
            (r#"{"secondkey_probe":{"version":2}}"#, true),
            (
                r#"{"secondkey_recheck":{"version":99999999999,"account":"1"}}"#,
                true,
            ),
            (
                r#"{"secondkey_recheck":{"version":0,"account":"1","user":"a"}}"#,
                false,
            ),
            (r#"{"secondkey_recheck":{"account":"1","user":"a"}}"#, false),
            (r#"{"secondkey_probe":{"version":1}}"#, false),
            ("not JSON", false),
            ("[]", false),
        ] {
            let error = read_message(body, None).unwrap_err();
            assert_eq!(error.is_of_newer_release(), is_newer, "{body}: {error}");
        }
    }

    #[test]
    fn only_what_aws_itself_says_of_iam_is_read() {
        let event = |source: &str| {
            let detail = serde_json::json!({"eventName": "DeleteAccessKey", "eventTime": "2026-03-02T09:12:44Z",
                "eventSource": "iam.amazonaws.com", "eventID": "1",
                "requestParameters": {"userName": "alice", "accessKeyId": "AKIAEXAMPLE"}});
            serde_json::json!({"detail-type": "AWS API Call via CloudTrail", "source": source, "account": "111122223333",
                "detail": detail})
        };
        let of_others = read_event(event("my.app"), None).unwrap();
        assert_eq!(of_others, Message::Ignored(Ignored::OtherService));
        let of_health = event("aws.health");
        let ignored = Message::Ignored(Ignored::OtherHealthEvent);
        assert_eq!(read_event(of_health, None).unwrap(), ignored);
        let report = |source: &str| {
            serde_json::json!({"source": source, "account": "111122223333", "time": "2026-03-02T09:12:44Z",
                "detail-type": "AWS Health Event", "detail": {"eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED",
                    "affectedEntities": [{"entityValue": "AKIAEXAMPLE"}]}})
        };
        let forged = read_event(report("my.health"), None).unwrap();
        assert_eq!(forged, Message::Ignored(Ignored::OtherService));
        let told = read_event(report("aws.health"), None).unwrap();
        assert!(matches!(told, Message::Leaked(_)), "{told:?}");
        let of_aws = read_event(event("aws.iam"), None).unwrap();
        assert!(matches!(of_aws, Message::Change(_)), "{of_aws:?}");
    }
}
