//! A CloudTrail record, read as a key change.

#![no_main]

use chrono::{DateTime, TimeDelta, Utc};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use secondkey::detect::events::cloudtrail_record::CloudTrailRecord;
use secondkey::detect::events::key_change::{
    IgnoredReason, KeyChange, ReadContext, RecordError, RecordReading, read_key_change,
};
use secondkey_fuzz::{change, mutate, reversed};
use serde_json::Value;

/// The longest error text: two bounded texts of the record, and words around them.
const MAX_ERROR_CHARS: usize = 2_500;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, false)
});

fuzz_target!(|data: &[u8]| {
    let Ok(mut json) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    // The samples are wrapped in their envelopes.
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
        // The stand-in overrides the caller's account.
        _ if is_stood_in => {}
        _ => assert_eq!(
            strict, result,
            "the account that stands in is for records that name none"
        ),
    }
    match result {
        Ok(RecordReading::Change(found)) => check_change(&json, &found),
        Ok(RecordReading::Incomplete(incomplete)) => {
            assert!(!incomplete.users.is_empty());
            let why = incomplete.why.to_string();
            assert!(why.len() <= MAX_ERROR_CHARS, "{why}");
        }
        Ok(RecordReading::Ignored(_)) => {}
        Err(error) => assert!(error.to_string().len() <= MAX_ERROR_CHARS, "{error}"),
    }
});

fn read(
    json: &Value,
    account_if_missing: Option<&str>,
    sent_at: Option<DateTime<Utc>>,
) -> Result<RecordReading, RecordError> {
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

    // The send time of the message limits the record's time, and does not distinguish changes.
    let unbounded = match read(json, Some("unknown"), None) {
        Ok(RecordReading::Change(unbounded)) => unbounded,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (&unbounded.id, unbounded.at.min(sent_at)),
        (&found.id, found.at)
    );
    let earlier = sent_at - TimeDelta::days(10_000);
    match read(json, Some("unknown"), Some(earlier)) {
        Ok(RecordReading::Change(change)) => {
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
        Ok(RecordReading::Change(Box::new(found.clone())))
    );
    assert_eq!(
        with("errorCode", "AccessDenied"),
        Ok(RecordReading::Ignored(IgnoredReason::FailedCall))
    );
    assert_eq!(
        with("eventSource", "s3.amazonaws.com"),
        Ok(RecordReading::Ignored(IgnoredReason::OtherService))
    );
}
