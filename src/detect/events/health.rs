//! What AWS Health reports about exposed access keys.
//!
//! Source: AWS Health user guide, "AWS Health events Amazon EventBridge schema". AWS Health reports
//! keys of IAM users as events of the service `RISK`. They name the keys but not the users.

use chrono::{DateTime, SubsecRound};
use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::events::actor::Actor;
use crate::detect::events::key_change::{
    ChangeKind, KeyChange, RecordError, id_of, read_event_time,
};
use crate::detect::events::leak::LeakSignal;
use crate::detect::events::text::bounded;
use crate::detect::user::UserId;

/// The source of AWS Health's events. Only AWS can send events with a source that begins with
/// `aws.`.
pub(crate) const SOURCE: &str = "aws.health";

/// The prefix of event type codes about exposed credentials: `AWS_RISK_CREDENTIALS_EXPOSED`,
/// `AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED`, `AWS_RISK_CREDENTIALS_COMPROMISED` and others.
const CREDENTIALS: &str = "AWS_RISK_CREDENTIALS_";

/// The suffix of event type codes that are only a suspicion.
const SUSPECTED: &str = "_SUSPECTED";

/// A report that keys leaked, without their users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakReport {
    /// The account of the keys.
    pub account: String,
    /// The ids of the keys.
    pub keys: Vec<String>,
    /// When AWS sent the report, in whole seconds.
    pub at: Timestamp,
    /// How sure AWS is.
    pub signal: LeakSignal,
    /// The event's ARN. It is the same in each region to which AWS sends the event (AWS Health user
    /// guide, "Monitoring account-specific and public events").
    pub event_id: Option<String>,
    /// The region to which AWS sent the event.
    pub region: Option<String>,
}

impl LeakReport {
    /// This report as a change of the user `user_name`, who owns `key`.
    #[must_use]
    pub fn change(&self, key: &str, user_name: &str) -> KeyChange {
        let user_name = bounded(user_name);
        let at = self.at.to_rfc3339();
        // The copy in another region may have another time.
        let event_time = self.event_id.as_ref().map_or(at.as_str(), |_| "");
        let content = [
            SOURCE,
            self.signal.word(),
            self.account.as_str(),
            key,
            event_time,
        ];
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

/// Reads an AWS Health event in its EventBridge envelope; `None` if it is not about exposed
/// credentials. A time later than `sent_at`, when the message was sent, is set to it.
pub(crate) fn read_leak_report(
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
    // If an organization's administrator receives the event, `account` is the administrator's.
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
    let sent = text(event, "time").and_then(|time| read_event_time(&time));
    let began = || {
        let time = text(detail, "startTime")?;
        let time = DateTime::parse_from_rfc2822(&time).ok()?;
        Some(time.to_utc().trunc_subsecs(0))
    };
    let sent_at = sent_at.map(|sent_at| sent_at.trunc_subsecs(0));
    let Some(at) = sent.or_else(began).or(sent_at) else {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::detect::testing::at;

    /// Has the shape of the sample events in the AWS Health user guide.
    fn event(code: &str, keys: &[&str]) -> Value {
        let entities: Vec<Value> = keys.iter().map(|key| json!({"entityValue": key})).collect();
        json!({"id": "1", "source": SOURCE, "detail-type": "AWS Health Event",
            "account": "111122223333", "time": "2023-11-14T22:14:20Z", "region": "us-east-1",
            "detail": {"eventArn": "arn:aws:health:us-east-1::event/RISK/x", "service": "RISK",
                "eventTypeCode": code, "startTime": "Tue, 14 Nov 2023 22:13:20 GMT",
                "affectedAccount": "111122223333", "affectedEntities": entities}})
    }

    fn read(event: &Value) -> LeakReport {
        read_leak_report(event, None).unwrap().unwrap()
    }

    #[test]
    fn each_kind_of_report_about_credentials_is_read_and_no_other() {
        for (code, expected) in [
            ("AWS_RISK_CREDENTIALS_EXPOSED", Some(LeakSignal::Exposed)),
            (
                "AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED",
                Some(LeakSignal::ExposureSuspected),
            ),
            (
                "AWS_RISK_CREDENTIALS_COMPROMISED",
                Some(LeakSignal::Exposed),
            ),
            (
                "AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED",
                Some(LeakSignal::ExposureSuspected),
            ),
            ("AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE", None),
            ("AWS_IAM_OPERATIONAL_ISSUE", None),
            ("", None),
        ] {
            let read = read_leak_report(&event(code, &["AKIA1"]), None).unwrap();
            assert_eq!(read.map(|report| report.signal), expected, "{code}");
        }
    }

    #[test]
    fn copies_for_other_regions_are_one_change_and_other_keys_are_another() {
        let report = read(&event(
            "AWS_RISK_CREDENTIALS_EXPOSED",
            &["AKIA2", "AKIA1", "AKIA2"],
        ));
        assert_eq!(report.keys, ["AKIA1", "AKIA2"]);
        let mut copy = event("AWS_RISK_CREDENTIALS_EXPOSED", &["AKIA1"]);
        copy["id"] = "2".into();
        copy["region"] = "us-west-2".into();
        copy["time"] = "2023-11-14T22:14:25Z".into();
        let copy = read(&copy);
        let id = |report: &LeakReport, key| report.change(key, "alice").id;
        assert_eq!(id(&report, "AKIA1"), id(&copy, "AKIA1"));
        assert_ne!(id(&report, "AKIA1"), id(&report, "AKIA2"));
        let mut other = report.clone();
        other.account = "444455556666".to_owned();
        assert_ne!(id(&report, "AKIA1"), id(&other, "AKIA1"));
    }

    #[test]
    fn the_affected_account_overrides_the_administrators() {
        let mut report = event("AWS_RISK_CREDENTIALS_EXPOSED", &["AKIA1"]);
        report["detail"]["affectedAccount"] = "444455556666".into();
        assert_eq!(read(&report).account, "444455556666");
        report["detail"]["affectedAccount"] = Value::Null;
        assert_eq!(read(&report).account, "111122223333");
        report["account"] = Value::Null;
        let error = read_leak_report(&report, None).unwrap_err();
        assert!(matches!(error, RecordError::NoAccount(_)), "{error}");
    }

    #[test]
    fn the_time_is_the_envelopes_the_events_or_the_messages() {
        let mut report = event("AWS_RISK_CREDENTIALS_EXPOSED", &["AKIA1"]);
        assert_eq!(read(&report).at, at(60));
        let early = read_leak_report(&report, Some(at(7))).unwrap().unwrap();
        assert_eq!(early.at, at(7), "never later than the message");
        report["time"] = "soon".into();
        assert_eq!(read(&report).at, at(0));
        report["detail"]["startTime"] = Value::Null;
        let clamped = read_leak_report(&report, Some(at(7))).unwrap().unwrap();
        assert_eq!(clamped.at, at(7));
        let error = read_leak_report(&report, None).unwrap_err();
        assert!(matches!(error, RecordError::NoTime(_)), "{error}");
    }

    #[test]
    fn a_report_without_a_key_is_an_error_and_not_ignored() {
        let mut report = event("AWS_RISK_CREDENTIALS_EXPOSED", &[]);
        for entities in [
            json!([]),
            Value::Null,
            json!([{"entityValue": ""}]),
            json!("AKIA1"),
        ] {
            report["detail"]["affectedEntities"] = entities;
            let error = read_leak_report(&report, None).unwrap_err();
            assert!(matches!(error, RecordError::NoKey(_)), "{error}");
        }
    }
}
