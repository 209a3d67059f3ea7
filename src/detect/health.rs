//! What AWS Health reports about exposed access keys.
//!
//! Source: AWS Health user guide, "AWS Health events Amazon EventBridge schema". AWS Health reports
//! keys of IAM users as events of the service `RISK`. They name the keys and not their users.

use chrono::{DateTime, SubsecRound};
use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::key_change::{ChangeKind, KeyChange, RecordError, id_of, read_event_time};
use crate::detect::leak::LeakSignal;
use crate::detect::text::bounded;
use crate::detect::user::UserId;

/// The source of AWS Health's events. Only AWS can put an event of a source that begins with `aws.`.
pub const SOURCE: &str = "aws.health";

/// What the codes of events about exposed credentials begin with: `AWS_RISK_CREDENTIALS_EXPOSED`,
/// `AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED`, `AWS_RISK_CREDENTIALS_COMPROMISED` and their kin.
const CREDENTIALS: &str = "AWS_RISK_CREDENTIALS_";

/// What the codes end with of events that AWS is not sure of.
const SUSPECTED: &str = "_SUSPECTED";

/// A report that keys leaked, whoever has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakReport {
    /// The account of the keys.
    pub account: String,
    /// The ids of the keys.
    pub keys: Vec<String>,
    /// When AWS sent the report; whole seconds.
    pub at: Timestamp,
    /// How sure AWS is.
    pub signal: LeakSignal,
    /// The event's ARN. It is the same in each region that AWS sends the event to (AWS Health user
    /// guide, "Monitoring account-specific and public events").
    pub event_id: Option<String>,
    /// The region that AWS sent the event to.
    pub region: Option<String>,
}

impl LeakReport {
    /// The change that it is to the user called `user_name`, who has `key`.
    #[must_use]
    pub fn change(&self, key: &str, user_name: &str) -> KeyChange {
        let user_name = bounded(user_name);
        let at = self.at.to_rfc3339();
        // Another region's copy may have another time.
        let told = self.event_id.as_ref().map_or(at.as_str(), |_| "");
        let content = [SOURCE, self.signal.word(), self.account.as_str(), key, told];
        KeyChange {
            id: id_of(self.event_id.as_deref(), &content),
            event_id: self.event_id.clone(),
            corrects: None,
            at: self.at,
            user: UserId::new(&self.account, &user_name),
            user_name,
            kind: ChangeKind::KeyLeaked {
                key: Some(key.to_owned()),
                signal: self.signal,
            },
            actor: Actor {
                kind: Some("AWSService".to_owned()),
                invoked_by: Some("health.amazonaws.com".to_owned()),
                ..Actor::default()
            },
            region: self.region.clone(),
        }
    }
}

/// Reads an event of AWS Health in its EventBridge envelope; `None` if it is about something else
/// than exposed credentials. One later than `sent_at`, when its
/// message was sent, counts as of then.
pub fn read_leak_report(
    event: &Value,
    sent_at: Option<Timestamp>,
) -> Result<Option<LeakReport>, RecordError> {
    let text = |from: &Value, name: &str| {
        let text = from.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    };
    let detail = event.get("detail").unwrap_or(&Value::Null);
    let code = text(detail, "eventTypeCode").unwrap_or_default();
    if !code.starts_with(CREDENTIALS) {
        return Ok(None);
    }
    let code = bounded(&code);
    // Where an organization's administrator receives the event, `account` is the administrator's.
    let account = text(detail, "affectedAccount").or_else(|| text(event, "account"));
    let Some(account) = account else {
        return Err(RecordError::NoAccount(code));
    };
    let mut keys: Vec<String> = detail
        .get("affectedEntities")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entity| text(entity, "entityValue"))
        .map(|key| bounded(&key))
        .collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        return Err(RecordError::NoKey(code));
    }
    let told = text(event, "time").and_then(|time| read_event_time(&time));
    let began = || {
        let time = text(detail, "startTime")?;
        let time = DateTime::parse_from_rfc2822(&time).ok()?;
        Some(time.to_utc().trunc_subsecs(0))
    };
    let sent_at = sent_at.map(|sent_at| sent_at.trunc_subsecs(0));
    let Some(at) = told.or_else(began).or(sent_at) else {
        return Err(RecordError::NoTime(code));
    };
    Ok(Some(LeakReport {
        account: bounded(&account),
        keys,
        at: sent_at.map_or(at, |sent_at| at.min(sent_at)),
        signal: if code.ends_with(SUSPECTED) {
            LeakSignal::ExposureSuspected
        } else {
            LeakSignal::Exposed
        },
        event_id: text(detail, "eventArn")
            .or_else(|| text(event, "id"))
            .map(|id| bounded(&id)),
        region: text(event, "region").map(|region| bounded(&region)),
    }))
}
