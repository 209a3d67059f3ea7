//! Queries CloudTrail's event history of a key. CloudTrail keeps 90 days for every account, even
//! without a trail.

use std::cmp::Reverse;
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::Builder;
use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::error::ProvideErrorMetadata;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::aws::sdk_errors::{is_refusal, service_error};
use crate::detect::Timestamp;
use crate::detect::events::cloudtrail_record::CloudTrailRecord;
use crate::detect::events::key_change::{KeyChange, ReadContext, RecordReading, read_key_change};
use crate::detect::events::text::bounded;
use crate::detect::usage::consumers::TimeRange;
use crate::detect::usage::key_use::{KeyUse, UseReading, read_key_use};
use crate::output::partition::Partition;
use crate::pipeline::error::ServiceError;

/// The name of the call in errors.
const WHAT: &str = "cloudtrail:LookupEvents";

/// How often a call is tried. CloudTrail allows two calls per second per account and region, shared
/// by all callers.
const TRIES: u32 = 8;

/// The longest wait between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The time between two requests to one region.
const PACE: Duration = Duration::from_millis(500);

/// How many pages are read, with 50 events each. A key is changed only a few times.
const MAX_PAGES: u32 = 20;

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventHistory {
    /// The changes of the key within the last 90 days, newest first.
    Told(Vec<KeyChange>),
    /// The history does not tell; contains the reason. Either the caller is not allowed to query, or
    /// the history has more events of the key than are read, and none of those is a change.
    Refused(String),
}

/// The changes of `key`, which belongs to a user of `account`, in the event history. An event
/// appears a few minutes after its call.
///
/// `config` must act in `account`, because a caller sees only the history of its own account.
pub async fn changes_of_key(
    config: &SdkConfig,
    account: &str,
    key: &str,
) -> Result<EventHistory, ServiceError> {
    let region = Partition::of(config.region().map_or("", AsRef::as_ref)).region_of_iam;
    let client = client(config, region);
    let attribute = LookupAttribute::builder()
        .attribute_key(LookupAttributeKey::ResourceName)
        .attribute_value(key)
        .build()
        .map_err(|error| ServiceError::permanent(format!("{WHAT} failed: {error}")))?;
    let mut changes = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let request = client
            .lookup_events()
            .lookup_attributes(attribute.clone())
            .set_next_token(next.take());
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) if is_refusal(&error) => {
                return Ok(EventHistory::Refused(
                    service_error(WHAT, &error).to_string(),
                ));
            }
            Err(error) => return Err(service_error(WHAT, &error)),
        };
        changes.extend(
            page.events
                .unwrap_or_default()
                .iter()
                .filter_map(|event| change(event, account, key)),
        );
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            break;
        }
    }
    if changes.is_empty() && next.is_some() {
        return Ok(EventHistory::Refused(format!(
            "{WHAT} returned more than {MAX_PAGES} pages, and the newest have no change of the key"
        )));
    }
    changes.sort_by_key(|change| Reverse(change.at));
    Ok(EventHistory::Told(changes))
}

/// The change of `key` in `event`, or `None` if the event is about something else.
fn change(event: &Event, account: &str, key: &str) -> Option<KeyChange> {
    let record: Value = serde_json::from_str(event.cloud_trail_event.as_deref()?).ok()?;
    let context = ReadContext {
        account_if_missing: Some(account),
        ..ReadContext::default()
    };
    match read_key_change(&CloudTrailRecord::from_json(&record), context) {
        Ok(RecordReading::Change(change)) => {
            let is_of_key = change.key_status().is_some_and(|(id, _)| id == key);
            (is_of_key && change.user.account() == account).then_some(*change)
        }
        Ok(RecordReading::Incomplete(_) | RecordReading::Ignored(_)) | Err(_) => None,
    }
}

fn client(config: &SdkConfig, region: &str) -> Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(TRIES)
        .with_max_backoff(MAX_PAUSE);
    Client::from_conf(
        Builder::from(config)
            .region(Region::new(region.to_owned()))
            .retry_config(retries)
            .build(),
    )
}

/// Searches one region's event history for uses of keys.
pub(crate) struct UseSearch {
    client: Client,
    /// When the next request may be sent.
    next: Instant,
    /// How many events were received so far.
    events: u64,
}

/// How a search for the uses of one key ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SearchEnd {
    /// Everything was read.
    Complete,
    /// The limit was reached. Contains the time of the oldest event that was read.
    Limit(Option<Timestamp>),
    /// The account has not enabled the region.
    NotEnabled,
    /// The query failed; contains the reason.
    Failed(String),
}

impl UseSearch {
    /// Starts a search in the event history of `region`.
    #[must_use]
    pub(crate) fn of(config: &SdkConfig, region: &str) -> Self {
        Self {
            client: client(config, region),
            next: Instant::now(),
            events: 0,
        }
    }

    /// How many events were received so far.
    #[must_use]
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Passes the calls that `key` signed in `period` to `take`, newest first. Reads at most
    /// `max_events`.
    pub(crate) async fn uses_of_key(
        &mut self,
        key: &str,
        period: TimeRange,
        max_events: u64,
        take: impl Fn(KeyUse),
    ) -> SearchEnd {
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::AccessKeyId)
            .attribute_value(key)
            .build();
        let attribute = match attribute {
            Ok(attribute) => attribute,
            Err(error) => return SearchEnd::Failed(format!("{WHAT} failed: {error}")),
        };
        let time = |at: Option<Timestamp>| at.map(|at| DateTime::from_secs(at.timestamp()));
        let (mut read, mut oldest, mut token) = (0, None, None);
        loop {
            // CloudTrail API reference, LookupEvents: two requests per second per account and
            // region.
            sleep_until(self.next).await;
            self.next = Instant::now() + PACE;
            let request = self
                .client
                .lookup_events()
                .lookup_attributes(attribute.clone())
                .set_start_time(time(period.since))
                .set_end_time(time(period.until))
                .set_next_token(token.take());
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) if is_not_enabled(error.code()) => return SearchEnd::NotEnabled,
                Err(error) => return SearchEnd::Failed(service_error(WHAT, &error).to_string()),
            };
            for event in page.events.unwrap_or_default() {
                if read >= max_events {
                    return SearchEnd::Limit(oldest);
                }
                read += 1;
                self.events += 1;
                if let Some(one) = key_use(&event, key) {
                    oldest = Some(oldest.map_or(one.at, |oldest: Timestamp| oldest.min(one.at)));
                    take(one);
                }
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return SearchEnd::Complete;
            }
            if read >= max_events {
                return SearchEnd::Limit(oldest);
            }
        }
    }
}

/// Whether `code` means that the account has not enabled the region. The credentials are valid in
/// other regions.
fn is_not_enabled(code: Option<&str>) -> bool {
    matches!(code, Some("UnrecognizedClientException" | "OptInRequired"))
}

/// The use of `key` in `event`, with the resources that the history names.
fn key_use(event: &Event, key: &str) -> Option<KeyUse> {
    let record: Value = serde_json::from_str(event.cloud_trail_event.as_deref()?).ok()?;
    let Ok(UseReading::Use(mut one)) = read_key_use(&record, |_, id| id == key) else {
        return None;
    };
    let names = event
        .resources()
        .iter()
        .filter_map(|resource| resource.resource_name());
    let names: Vec<String> = names.map(bounded).collect();
    if !names.is_empty() {
        one.resources = names;
    }
    Some(*one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::detect::keys::listing::KeyStatus;

    fn event(record: &Value) -> Event {
        Event::builder()
            .cloud_trail_event(record.to_string())
            .build()
    }

    fn deactivated(key: &str, account: &str) -> Value {
        json!({"eventName": "UpdateAccessKey", "eventSource": "iam.amazonaws.com", "eventTime": "2026-01-02T03:04:05Z",
            "eventID": "e1", "recipientAccountId": account, "userIdentity": {"type": "IAMUser", "userName": "bob"},
            "requestParameters": {"userName": "alice", "accessKeyId": key, "status": "Inactive"}})
    }

    #[test]
    fn only_successful_changes_of_the_key_count() {
        let read = |record: &Value| change(&event(record), "111122223333", "AKIA1");
        let told = read(&deactivated("AKIA1", "111122223333")).unwrap();
        assert_eq!(told.key_status(), Some(("AKIA1", KeyStatus::Inactive)));
        assert_eq!(read(&deactivated("AKIA2", "111122223333")), None);
        assert_eq!(read(&deactivated("AKIA1", "444455556666")), None);
        let mut denied = deactivated("AKIA1", "111122223333");
        denied["errorCode"] = "AccessDenied".into();
        assert_eq!(read(&denied), None);
        assert_eq!(change(&Event::builder().build(), "1", "AKIA1"), None);
        let garbage = Event::builder().cloud_trail_event("{").build();
        assert_eq!(change(&garbage, "1", "AKIA1"), None);
    }
}
