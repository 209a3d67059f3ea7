//! The in-process cost of one event and one record: read, decided on, and replayed from memory.
//! `benches/run in_process` puts the results on the page.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark fails by panicking"
)]

use std::collections::BTreeSet;
use std::io::Write;

use chrono::{DateTime, TimeDelta};
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use flate2::Compression;
use flate2::write::GzEncoder;
use secondkey::detect::Timestamp;
use secondkey::detect::decision::decide::decide;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::situation::Situation;
use secondkey::detect::events::cloudtrail_record::CloudTrailRecord;
use secondkey::detect::events::key_change::{
    KeyChange, ReadContext, RecordReading, read_key_change,
};
use secondkey::detect::keys::listing::{
    AccessKey, KeyListing, KeyStatus, PageResult, PartialListing,
};
use secondkey::detect::records::user_record::UserRecord;
use secondkey::local::log_files::unpacked;
use secondkey::local::log_reading::LogReading;
use serde_json::Value;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const CHANGE: &str = include_str!("../events/samples/create-access-key.json");

/// The number of records in a log. As in most accounts, one of them changes a key.
const LOG_RECORDS: usize = 4_000;

fn main() {
    divan::main();
}

fn change_record() -> Value {
    let envelope: Value = serde_json::from_str(CHANGE).expect("the sample is JSON");
    envelope.get("detail").expect("it is an envelope").clone()
}

fn change() -> KeyChange {
    let record = CloudTrailRecord::from_json(&change_record());
    match read_key_change(&record, ReadContext::default()) {
        Ok(RecordReading::Change(change)) => *change,
        other => panic!("the sample is a key change: {other:?}"),
    }
}

#[divan::bench]
fn parse_a_record(bencher: Bencher<'_, '_>) {
    let text = change_record().to_string();
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| -> Option<CloudTrailRecord> {
            let value = serde_json::from_str(divan::black_box(&text)).ok()?;
            Some(CloudTrailRecord::from_json(&value))
        });
}

#[divan::bench(name = "read_key_change")]
fn read_a_key_change(bencher: Bencher<'_, '_>) {
    let record = CloudTrailRecord::from_json(&change_record());
    bencher.bench(|| read_key_change(divan::black_box(&record), ReadContext::default()));
}

/// The user's keys at `now`: both active, or one of them inactive or deleted.
fn listing(now: Timestamp, second: KeyStatus) -> KeyListing {
    let key = |id: &str, status| {
        let key = AccessKey {
            status,
            created: None,
        };
        (id.to_owned(), key)
    };
    let keys = [
        key("AKIAEXAMPLEFIRST", KeyStatus::Active),
        key("AKIAEXAMPLESECOND", second),
    ];
    match PartialListing::requested(now).page(Some("alice".to_owned()), keys, false) {
        PageResult::Complete(listing) => listing,
        PageResult::More(_) => panic!("there is one page"),
    }
}

fn situation<'a>(
    record: &'a UserRecord,
    listing: &'a KeyListing,
    changes: &'a [KeyChange],
) -> Situation<'a> {
    static NOTHING: BTreeSet<String> = BTreeSet::new();
    Situation {
        record,
        listing,
        changes,
        already_recorded: &NOTHING,
        is_retry: false,
        former_users: &[],
        exemptions: &[],
        familiar: &[],
        sweep: None,
        unwatched: None,
        is_history: false,
        foreign_entry: None,
    }
}

#[divan::bench(args = ["nothing open", "opens", "stays open", "closes"])]
fn decide_on(bencher: Bencher<'_, '_>, case: &str) {
    let change = change();
    let policy = Policy::default();
    // After the consistency window, so that the listing counts.
    let now = change.at + TimeDelta::minutes(5);
    let two = listing(now, KeyStatus::Active);
    let one = listing(now, KeyStatus::Inactive);
    let none = UserRecord::new(change.user.clone());
    let changes = std::slice::from_ref(&change);
    let open = decide(&situation(&none, &two, changes), &policy, now).record;
    let later = now + TimeDelta::minutes(5);
    let (record, listing, changes) = match case {
        "nothing open" => (&none, &one, changes),
        "opens" => (&none, &two, changes),
        "stays open" => (&open, &two, &[][..]),
        _ => (&open, &one, &[][..]),
    };
    bencher.bench(|| {
        let situation = situation(record, listing, changes);
        decide(divan::black_box(&situation), &policy, later)
    });
}

/// A log as stored in S3: a key change, and calls of others, of which one in a hundred mentions
/// `AccessKey`.
fn log() -> Vec<u8> {
    let change = change_record();
    let records: Vec<String> = (0..LOG_RECORDS)
        .map(|number| {
            let mut record = change.clone();
            if number > 0 {
                let name = if number % 100 == 0 {
                    "ListAccessKeys"
                } else {
                    "GetRole"
                };
                record["eventName"] = name.into();
            }
            record["eventID"] = format!("37b18461-1eb9-5d6b-af1d-{number:012}").into();
            record.to_string()
        })
        .collect();
    format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes()
}

fn read(log: impl std::io::Read) -> LogReading {
    let mut reading = LogReading::default();
    reading.read(
        "log",
        log,
        DateTime::from_timestamp(4_000_000_000, 0).expect("it is a time"),
    );
    assert_eq!(
        (reading.records, reading.changes.len()),
        (LOG_RECORDS as u64, 1)
    );
    reading
}

#[divan::bench(args = ["plain", "gzipped"])]
fn replay(bencher: Bencher<'_, '_>, form: &str) {
    let text = log();
    let size = BytesCount::of_slice(&text);
    let log = if form == "gzipped" {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&text).expect("memory can be written");
        packer.finish().expect("memory can be written")
    } else {
        text
    };
    bencher
        .counter(size)
        .counter(ItemsCount::new(LOG_RECORDS))
        .bench(|| read(unpacked(Box::new(log.as_slice())).expect("memory can be read")));
}
