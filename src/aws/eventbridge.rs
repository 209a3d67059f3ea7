//! Sends alerts as events to an EventBridge bus, for automation.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use serde::Serialize;

use crate::aws::sdk_errors::{is_throttling, service_error};
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::digest::Digest;
use crate::detect::findings::finding::Finding;
use crate::detect::usage::last_use::LastUses;
use crate::output::chat::{chat_notification, digest_notification};
use crate::output::json_v1;
use crate::pipeline::alert_sink::{AlertSink, Audience};
use crate::pipeline::error::ServiceError;

/// The source of alerts. AWS refuses sources that begin with `aws.`.
pub const SOURCE: &str = "secondkey";

/// The source of refreshes. A rule for alerts must not match them.
pub const REFRESH_SOURCE: &str = "secondkey.refresh";

/// The detail types of a finding's alerts: opened, updated, closed.
pub const ALERT_TYPES: [&str; 3] = [
    "Second Active Access Key Opened",
    "Second Active Access Key Updated",
    "Second Active Access Key Closed",
];

/// The detail type of a digest.
pub const DIGEST_TYPE: &str = "Second Active Access Key Digest";

/// The longest detail. A whole entry is limited to 262,144 bytes (EventBridge user guide,
/// `PutEvents`).
const MAX_DETAIL_BYTES: usize = 200 * 1024;

/// What a sink sends to its bus.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Alerts,
    Refreshes,
}

impl Stream {
    fn source(self) -> &'static str {
        match self {
            Self::Alerts => SOURCE,
            Self::Refreshes => REFRESH_SOURCE,
        }
    }
}

/// Sends alerts or refreshes to one bus.
#[derive(Debug, Clone)]
pub struct EventBridgeSink {
    client: Client,
    bus_name: String,
    stream: Stream,
}

impl EventBridgeSink {
    /// Sends alerts to the bus `bus_name`, which may be an ARN.
    #[must_use]
    pub fn new(client: Client, bus_name: String) -> Self {
        Self {
            client,
            bus_name,
            stream: Stream::Alerts,
        }
    }

    /// Sends refreshes to the bus `bus_name`, for the Security Hub forwarder.
    #[must_use]
    pub fn for_refreshes(client: Client, bus_name: String) -> Self {
        Self {
            client,
            bus_name,
            stream: Stream::Refreshes,
        }
    }
}

#[async_trait]
impl AlertSink for EventBridgeSink {
    fn name(&self) -> &'static str {
        match self.stream {
            Stream::Alerts => "eventbridge",
            Stream::Refreshes => "securityhub",
        }
    }

    fn audience(&self) -> Audience {
        match self.stream {
            Stream::Alerts => Audience::Programs,
            Stream::Refreshes => Audience::Forgetful,
        }
    }

    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError> {
        let source = self.stream.source();
        self.put(entry(alert, last_uses, source, &self.bus_name))
            .await
    }

    async fn send_digest(&self, digest: &Digest) -> Result<(), ServiceError> {
        self.put(digest_entry(digest, &self.bus_name)).await
    }
}

impl EventBridgeSink {
    async fn put(
        &self,
        entry: Result<PutEventsRequestEntry, serde_json::Error>,
    ) -> Result<(), ServiceError> {
        let what = format!("events:PutEvents on bus `{}`", self.bus_name);
        let entry =
            entry.map_err(|error| ServiceError::permanent(format!("{what} failed: {error}")))?;
        let answer = self
            .client
            .put_events()
            .entries(entry)
            .send()
            .await
            .map_err(|error| service_error(&what, &error))?;
        // The call succeeds even if the bus did not accept the event.
        if answer.failed_entry_count() == 0 {
            return Ok(());
        }
        Err(refused_entry_error(&what, answer.entries().first()))
    }
}

fn entry(
    alert: &Alert,
    last_uses: &LastUses,
    source: &str,
    bus_name: &str,
) -> Result<PutEventsRequestEntry, serde_json::Error> {
    let detail = Detail {
        document: json_v1::alert(alert, last_uses),
        slack_text: chat_notification(alert, last_uses).text(),
    };
    let detail = json_v1::to_line(&detail, MAX_DETAIL_BYTES)?;
    Ok(PutEventsRequestEntry::builder()
        .event_bus_name(bus_name)
        .source(source)
        .detail_type(detail_type(&alert.kind))
        .time(DateTime::from_secs(alert.at.timestamp()))
        .set_resources(resource(&alert.finding).map(|arn| vec![arn.to_owned()]))
        .detail(detail)
        .build())
}

fn digest_entry(
    digest: &Digest,
    bus_name: &str,
) -> Result<PutEventsRequestEntry, serde_json::Error> {
    let detail = json_v1::digest_to_line(digest, MAX_DETAIL_BYTES, |document| Detail {
        document,
        slack_text: digest_notification(digest).text(),
    })?;
    Ok(PutEventsRequestEntry::builder()
        .event_bus_name(bus_name)
        .source(SOURCE)
        .detail_type(DIGEST_TYPE)
        .time(DateTime::from_secs(digest.at.timestamp()))
        .detail(detail)
        .build())
}

/// The detail of an event.
#[derive(Serialize)]
struct Detail<T> {
    #[serde(flatten)]
    document: T,
    /// The readable text, escaped for Slack, because EventBridge forwards it without escaping.
    slack_text: String,
}

/// The user's ARN if an event contained it. ARNs of IAM consist of visible ASCII.
fn resource(finding: &Finding) -> Option<&str> {
    json_v1::user_arn(finding)
        .filter(|arn| arn.chars().all(|character| character.is_ascii_graphic()))
}

fn detail_type(kind: &AlertKind) -> &'static str {
    match kind {
        AlertKind::Opened => ALERT_TYPES[0],
        AlertKind::Updated(_) => ALERT_TYPES[1],
        AlertKind::Closed => ALERT_TYPES[2],
    }
}

fn refused_entry_error(what: &str, entry: Option<&PutEventsResultEntry>) -> ServiceError {
    let code = entry
        .and_then(PutEventsResultEntry::error_code)
        .unwrap_or("unknown error");
    let message = entry
        .and_then(PutEventsResultEntry::error_message)
        .unwrap_or("no further explanation");
    let text = format!("{what} failed: the bus refused the event: {code}: {message}");
    if is_throttling(code) || code.starts_with("Internal") || code == "unknown error" {
        ServiceError::retryable(text)
    } else {
        ServiceError::permanent(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::testing::{
        HOSTILE, every_alert, filled_with, last_uses, last_uses_with, opened,
    };
    use crate::pipeline::error::ErrorKind;

    #[test]
    fn every_alert_is_an_event_with_its_json() {
        for alert in every_alert() {
            let entry = entry(&alert, &last_uses(), SOURCE, "findings").unwrap();
            assert_eq!(entry.source(), Some("secondkey"));
            let kind = entry.detail_type().unwrap().rsplit(' ').next().unwrap();
            let detail: Value = serde_json::from_str(entry.detail().unwrap()).unwrap();
            assert_eq!(detail["kind"], kind.to_lowercase());
        }
    }

    #[test]
    fn an_event_names_the_user_where_the_user_is_the_actor() {
        let mut alert = opened();
        let by_another = entry(&alert, &last_uses(), SOURCE, "findings").unwrap();
        assert_eq!(by_another.resources(), [] as [String; 0]);
        let opener = alert.finding.opener.as_mut().unwrap();
        opener.actor = crate::detect::testing::actor("Alice");
        let by_the_user = entry(&alert, &last_uses(), SOURCE, "findings").unwrap();
        assert_eq!(
            by_the_user.resources(),
            ["arn:aws:iam::111122223333:user/Alice"]
        );
    }

    #[test]
    fn a_refused_entry_is_retryable_or_permanent() {
        for (code, kind) in [
            ("ThrottlingException", ErrorKind::Retryable),
            ("InternalFailure", ErrorKind::Retryable),
            ("NotAuthorizedForSourceException", ErrorKind::Permanent),
        ] {
            let entry = PutEventsResultEntry::builder().error_code(code).build();
            let error = refused_entry_error("events:PutEvents on bus `b`", Some(&entry));
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(code));
        }
    }

    #[test]
    fn hostile_and_long_text_fits_an_event() {
        for text in HOSTILE.iter() {
            let alert = filled_with(text, opened());
            let entry = entry(&alert, &last_uses_with(text), SOURCE, "findings").unwrap();
            let detail = entry.detail().unwrap();
            let resources: usize = entry.resources().iter().map(String::len).sum();
            assert!(detail.len() + resources < 250_000);
            assert!(serde_json::from_str::<Value>(detail).is_ok());
            for told in entry.resources().iter().chain([&detail.to_owned()]) {
                assert_eq!(first_unseen(told), None, "{told}");
                assert!(!told.contains('\n'), "{told}");
            }
        }
    }
}
