//! A CloudTrail record, read as a change of somebody's keys.

#![no_main]

use chrono::{DateTime, TimeDelta, Utc};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use secondkey::detect::key_change::{
    Ignored, KeyChange, ReadContext, Reading, RecordError, read_key_change,
};
use secondkey::detect::record::CloudTrailRecord;
use secondkey_fuzz::{change, mutate, reversed};
use serde_json::Value;

/// The longest that an error text gets: two texts of the record, each bounded, and words around them.
const LONGEST_ERROR: usize = 2_500;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, false)
});

fuzz_target!(|data: &[u8]| {
    let Ok(mut json) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    // The samples stand in their envelopes.
    if let Some(detail) = json.get_mut("detail") {
        json = detail.take();
    }
    let sent_at = DateTime::from_timestamp(1_720_000_000, 0);
    let result = read(&json, Some("unknown"), sent_at);
    assert_eq!(result, read(&json, Some("unknown"), sent_at), "read twice");
    let other_way_round = serde_json::from_str(&reversed::reversed(&json)).unwrap();
    assert_eq!(
        result,
        read(&other_way_round, Some("unknown"), sent_at),
        "in another order"
    );

    let strict = read(&json, None, sent_at);
    let is_stood_in = result != read(&json, Some("another"), sent_at);
    match &strict {
        Err(RecordError::NoAccount(_)) => {}
        // The stand-in goes before the caller's account.
        _ if is_stood_in => {}
        _ => assert_eq!(
            strict, result,
            "the account that stands in is for records that name none"
        ),
    }
    match result {
        Ok(Reading::Change(found)) => check_change(&json, &found),
        Ok(Reading::Incomplete(incomplete)) => {
            assert!(!incomplete.users.is_empty());
            let why = incomplete.why.to_string();
            assert!(why.len() <= LONGEST_ERROR, "{why}");
        }
        Ok(Reading::Ignored(_)) => {}
        Err(error) => assert!(error.to_string().len() <= LONGEST_ERROR, "{error}"),
    }
});

fn read(
    json: &Value,
    account_if_missing: Option<&str>,
    sent_at: Option<DateTime<Utc>>,
) -> Result<Reading, RecordError> {
    let context = ReadContext {
        account: None,
        account_if_missing,
        sent_at,
    };
    read_key_change(&CloudTrailRecord::from_json(json), context)
}

fn check_change(json: &Value, found: &KeyChange) {
    change::check(found);
    let sent_at = DateTime::from_timestamp(1_720_000_000, 0).unwrap();
    assert!(found.at <= sent_at);

    // When the message was sent bounds the time, and is no part of what tells one change from another.
    let unbounded = match read(json, Some("unknown"), None) {
        Ok(Reading::Change(unbounded)) => unbounded,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (&unbounded.id, unbounded.at.min(sent_at)),
        (&found.id, found.at)
    );
    let earlier = sent_at - TimeDelta::days(10_000);
    match read(json, Some("unknown"), Some(earlier)) {
        Ok(Reading::Change(change)) => {
            assert_eq!((&change.id, change.at), (&found.id, found.at.min(earlier)))
        }
        other => panic!("{other:?}"),
    }

    let with = |name: &str, value: &str| {
        let mut changed = json.clone();
        changed[name] = Value::from(value);
        read(&changed, Some("unknown"), Some(sent_at))
    };
    assert_eq!(
        with("aFieldOfALaterVersion", "x"),
        Ok(Reading::Change(Box::new(found.clone())))
    );
    assert_eq!(
        with("errorCode", "AccessDenied"),
        Ok(Reading::Ignored(Ignored::FailedCall))
    );
    assert_eq!(
        with("eventSource", "s3.amazonaws.com"),
        Ok(Reading::Ignored(Ignored::OtherService))
    );
}
