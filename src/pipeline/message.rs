//! The messages of the changes queue: CloudTrail and AWS Health events in their EventBridge
//! envelope, and queued re-checks.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::detect::Timestamp;
use crate::detect::events::cloudtrail_record::CloudTrailRecord;
use crate::detect::events::health::{self, LeakReport, read_leak_report};
use crate::detect::events::key_change::{
    IgnoredReason, IncompleteChange, KeyChange, ReadContext, RecordError, RecordReading,
    read_key_change,
};
use crate::detect::events::text::bounded;
use crate::detect::user::UserId;
use crate::output::escape::for_json;

/// The version of queued messages that this release writes and reads.
const VERSION: u32 = 1;

/// A readable message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// An event with a change.
    Change(Box<KeyChange>),
    /// An event with an incomplete change: its users are re-checked, and it counts as malformed.
    Incomplete(IncompleteChange),
    /// AWS Health reported leaked keys, whose users must be looked up; see [`super::leak_reports`].
    Leaked(Box<LeakReport>),
    /// A request to check a user again.
    Recheck(UserId),
    /// A test of whether messages are read.
    Probe(String),
    /// A message that needs no action.
    Ignored(IgnoredReason),
}

impl Message {
    /// The account that the message is about, if it is about one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Change(change) => Some(change.user.account()),
            Self::Incomplete(incomplete) => incomplete.users.first().map(UserId::account),
            Self::Leaked(report) => Some(&report.account),
            Self::Recheck(user) => Some(user.account()),
            Self::Probe(_) | Self::Ignored(_) => None,
        }
    }
}

/// Why a message cannot be read.
#[derive(Debug, Error)]
pub enum MessageError {
    /// It is not JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON, but neither an event nor a re-check.
    #[error("the message is neither an EventBridge event nor a re-check: {0}")]
    NotAnEvent(#[source] serde_json::Error),
    /// It is JSON, but not a sweep message.
    #[error("the message is not a sweep message: {0}")]
    NotASweep(#[source] serde_json::Error),
    /// This release does not know its version.
    #[error(
        "the message has version {0}, which this release does not know; deploy the release that queued it"
    )]
    UnknownVersion(u32),
    /// Reading it panicked.
    #[error("reading the message panicked; the log has the place")]
    Panicked,
    /// Its record cannot be read as a key change.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl MessageError {
    /// Whether a newer release queued the message. That release can read it, so it must not be
    /// discarded.
    #[must_use]
    pub fn is_of_newer_release(&self) -> bool {
        matches!(self, Self::UnknownVersion(version) if *version > VERSION)
    }
}

/// A queued re-check, as stored in the queue.
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

/// Reads a message that has been parsed as JSON.
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
            None => Message::Ignored(IgnoredReason::OtherHealthEvent),
        });
    }
    let event: EventBridgeEvent<Value> =
        serde_json::from_value(json).map_err(MessageError::NotAnEvent)?;
    // Any account principal may send events with another source; only AWS sends those of `aws.*`.
    if event.source != "aws.iam" {
        return Ok(Message::Ignored(IgnoredReason::OtherService));
    }
    let context = ReadContext {
        account: event.account.as_deref(),
        account_if_missing: None,
        sent_at,
    };
    Ok(
        match read_key_change(&CloudTrailRecord::from_json(&event.detail), context)? {
            RecordReading::Change(change) => Message::Change(change),
            RecordReading::Incomplete(incomplete) => Message::Incomplete(incomplete),
            RecordReading::Ignored(reason) => Message::Ignored(reason),
        },
    )
}

/// Fails if `queued` has another version. This comes before reading the fields, which may have
/// other names in a newer version. A missing version is reported when the fields are read.
fn check_version(queued: &Value) -> Result<(), MessageError> {
    match queued.get("version").and_then(Value::as_u64) {
        None => Ok(()),
        Some(version) if version == u64::from(VERSION) => Ok(()),
        Some(other) => Err(MessageError::UnknownVersion(
            u32::try_from(other).unwrap_or(u32::MAX),
        )),
    }
}

/// The body of a message that requests a re-check of `user`.
#[must_use]
pub fn recheck_body(user: &UserId) -> String {
    let queued = QueuedRecheck {
        secondkey_recheck: RecheckV1 {
            version: VERSION,
            account: user.account().to_owned(),
            user: user.name().to_owned(),
        },
    };
    // SQS rejects messages with characters that XML does not allow.
    for_json(&serde_json::json!(queued).to_string())
}

/// The body of a message that only leaves a trace, to test whether messages are read.
#[must_use]
pub(crate) fn probe_body(id: &str) -> String {
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
    fn recheck_of_any_name_survives_the_queue() {
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
    fn message_of_a_newer_release_is_not_poison() {
        for (body, is_newer) in [
            // Version 2 may rename its fields.
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
    fn an_error_about_json_carries_its_source() {
        for body in ["not JSON", "[]"] {
            let error = read_message(body, None).unwrap_err();
            assert!(std::error::Error::source(&error).is_some(), "{error}");
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
        assert_eq!(of_others, Message::Ignored(IgnoredReason::OtherService));
        let of_health = event("aws.health");
        let ignored = Message::Ignored(IgnoredReason::OtherHealthEvent);
        assert_eq!(read_event(of_health, None).unwrap(), ignored);
        let report = |source: &str| {
            serde_json::json!({"source": source, "account": "111122223333", "time": "2026-03-02T09:12:44Z",
                "detail-type": "AWS Health Event", "detail": {"eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED",
                    "affectedEntities": [{"entityValue": "AKIAEXAMPLE"}]}})
        };
        let forged = read_event(report("my.health"), None).unwrap();
        assert_eq!(forged, Message::Ignored(IgnoredReason::OtherService));
        let leak = read_event(report("aws.health"), None).unwrap();
        assert!(matches!(leak, Message::Leaked(_)), "{leak:?}");
        let of_aws = read_event(event("aws.iam"), None).unwrap();
        assert!(matches!(of_aws, Message::Change(_)), "{of_aws:?}");
    }
}
