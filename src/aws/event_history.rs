//! What CloudTrail's event history tells of a key: 90 days of it, kept for every account without a trail.

use std::cmp::Reverse;
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::Builder;
use aws_sdk_cloudtrail::config::retry::RetryConfig;
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use serde_json::Value;

use crate::aws::errors::{is_refusal, service_error};
use crate::detect::key_change::{KeyChange, ReadContext, Reading, read_key_change};
use crate::detect::record::CloudTrailRecord;
use crate::pipeline::error::ServiceError;

/// The call, as errors name it.
const WHAT: &str = "cloudtrail:LookupEvents";

/// How often a call is tried. CloudTrail takes two a second of an account and region, whoever else asks.
const TRIES: u32 = 8;

/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many pages are read, of 50 events each. A key is changed a few times in its life.
const MAX_PAGES: u32 = 20;

/// What the event history tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// The changes of the key within the last 90 days, the newest first.
    Told(Vec<KeyChange>),
    /// We may not ask; why.
    Refused(String),
}

/// The changes of `key`, of a user of `account`, that the event history knows. An event is there some minutes after the call.
///
/// `config` has to act in `account`: everybody sees the history of the own account only.
pub async fn changes_of_key(
    config: &SdkConfig,
    account: &str,
    key: &str,
) -> Result<History, ServiceError> {
    let region = region_of_iam(config.region().map_or("", AsRef::as_ref));
    let retries = RetryConfig::standard()
        .with_max_attempts(TRIES)
        .with_max_backoff(LONGEST_PAUSE);
    let client = Client::from_conf(
        Builder::from(config)
            .region(Region::new(region))
            .retry_config(retries)
            .build(),
    );
    let attribute = LookupAttribute::builder()
        .attribute_key(LookupAttributeKey::ResourceName)
        .attribute_value(key)
        .build()
        .map_err(|error| ServiceError::permanent(format!("{WHAT} failed: {error}")))?;
    let mut changes = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let asked = client
            .lookup_events()
            .lookup_attributes(attribute.clone())
            .set_next_token(next.take());
        let page = match asked.send().await {
            Ok(page) => page,
            Err(error) if is_refusal(&error) => {
                return Ok(History::Refused(service_error(WHAT, &error).to_string()));
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
    changes.sort_by_key(|change| Reverse(change.at));
    Ok(History::Told(changes))
}

/// The change of `key` that `event` tells of; none if it tells of something else.
fn change(event: &Event, account: &str, key: &str) -> Option<KeyChange> {
    let record: Value = serde_json::from_str(event.cloud_trail_event.as_deref()?).ok()?;
    let context = ReadContext {
        account_if_missing: Some(account),
        ..ReadContext::default()
    };
    match read_key_change(&CloudTrailRecord::from_json(&record), context) {
        Ok(Reading::Change(change)) => {
            let is_of_key = change.key_status().is_some_and(|(id, _)| id == key);
            (is_of_key && change.user.account() == account).then_some(*change)
        }
        Ok(Reading::Incomplete(_) | Reading::Ignored(_)) | Err(_) => None,
    }
}

/// The region in whose history IAM's events stand: IAM is global, and its events arrive in one region of each partition.
fn region_of_iam(region: &str) -> &'static str {
    [
        ("cn-", "cn-north-1"),
        ("us-gov-", "us-gov-west-1"),
        ("us-isob-", "us-isob-east-1"),
        ("us-iso-", "us-iso-east-1"),
        ("eusc-", "eusc-de-east-1"),
    ]
    .into_iter()
    .find(|(prefix, _)| region.starts_with(prefix))
    .map_or("us-east-1", |(_, region)| region)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::detect::listing::KeyStatus;

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
    fn of_what_the_history_tells_only_successful_changes_of_the_key_count() {
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

    #[test]
    fn the_events_of_iam_stand_in_one_region_of_each_partition() {
        for (region, expected) in [
            ("eu-central-1", "us-east-1"),
            ("", "us-east-1"),
            ("cn-northwest-1", "cn-north-1"),
            ("us-gov-east-1", "us-gov-west-1"),
            ("us-iso-west-1", "us-iso-east-1"),
            ("us-isob-east-1", "us-isob-east-1"),
        ] {
            assert_eq!(region_of_iam(region), expected);
        }
    }
}
