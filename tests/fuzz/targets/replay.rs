//! A log, as `secondkey replay` reads it: split into records, gzipped or not, in pieces of any size.

#![no_main]

use std::io::{ErrorKind, Read, Write};

use chrono::DateTime;
use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use secondkey::detect::key_change::Ignored;
use secondkey::local::log_files::unpacked;
use secondkey::local::log_reading::LogReading;
use secondkey::local::log_records::for_each_record;
use secondkey_fuzz::pieces::Pieces;
use secondkey_fuzz::{change, choice, mutate};
use serde_json::Value;

/// What a log without records is counted as, beside the records.
const NO_RECORDS: &str = "log without records";

/// One gzipped reading costs as much as twenty others.
const GZIPPED_ONE_IN: u64 = 16;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, true)
});

fuzz_target!(|data: &[u8]| {
    let choice = choice(data);
    let records = split(data);
    let size = 1 + usize::try_from(choice % 41).unwrap();
    assert_eq!(records, split(pieces(data, size)), "in pieces of {size}");
    if let Some(expected) = expected(data) {
        check_found(&records, &expected);
    }

    let reading = read(data);
    check_accounts(&reading, &records);
    for bytes in records.iter().flatten() {
        check_spelling(bytes);
    }
    check_cut(data, &records, choice);
    if choice % GZIPPED_ONE_IN == 0 {
        check_gzip(data, &reading, choice);
    }
    // As a file that somebody named, whatever it is.
    if let Ok(log) = unpacked(Box::new(data)) {
        read(log);
    }
});

fn pieces(rest: &[u8], size: usize) -> Pieces<'_> {
    Pieces {
        rest,
        size,
        ends_in: None,
    }
}

/// The records of a log and what stands in their place, as text.
fn split(log: impl Read) -> Vec<Result<Vec<u8>, String>> {
    let mut found = Vec::new();
    for_each_record(log, |record| {
        found.push(
            record
                .map(<[u8]>::to_vec)
                .map_err(|error| error.to_string()),
        );
    });
    found
}

fn read(log: impl Read) -> LogReading {
    let mut reading = LogReading::default();
    let clock = DateTime::from_timestamp(1_720_000_000, 0).unwrap();
    reading.read("log", log, clock);
    reading
}

/// The records of a log in which nothing is broken; none for a log of which that is not certain.
fn expected(data: &[u8]) -> Option<Vec<Value>> {
    let text = std::str::from_utf8(data).ok()?;
    let documents = serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let is_around = |document: &Value| document.get("Records").is_some_and(Value::is_array);
    let around = documents
        .iter()
        .filter(|document| is_around(document))
        .count();
    // Of two lists in one object serde_json sees the last; and a name may be spelled with escapes.
    if text.matches("\"Records\"").count() != around || text.contains("\\u") {
        return None;
    }
    let mut records = Vec::new();
    for mut document in documents {
        if is_around(&document) {
            document = document["Records"].take();
        }
        flatten(document, &mut records);
    }
    records.iter().all(Value::is_object).then_some(records)
}

fn flatten(value: Value, into: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, into)),
        other => into.push(other),
    }
}

fn check_found(records: &[Result<Vec<u8>, String>], expected: &[Value]) {
    let found: Vec<Value> = records
        .iter()
        .map(|record| match record {
            Ok(bytes) => serde_json::from_slice(bytes).unwrap(),
            Err(error) => panic!("nothing is broken, yet: {error}"),
        })
        .collect();
    assert_eq!(found, expected);
}

/// Every record is a change, a report of a leaked key, ignored with a reason, or reported.
fn check_accounts(reading: &LogReading, records: &[Result<Vec<u8>, String>]) {
    let ignored: u64 = reading
        .ignored
        .iter()
        .filter(|(reason, _)| **reason != NO_RECORDS)
        .map(|(_, count)| count)
        .sum();
    assert_eq!(reading.records, records.len() as u64);
    assert_eq!(
        reading.records,
        reading.changes.len() as u64 + reading.reports.len() as u64 + ignored + reading.malformed,
        "{reading:?}"
    );
    assert_eq!(reading.ignored.contains_key(NO_RECORDS), records.is_empty());
    let broken = records.iter().filter(|record| record.is_err()).count();
    assert!(reading.malformed >= broken as u64);
    assert_eq!(
        reading.malformed_records.len() as u64,
        reading.malformed.min(1_000)
    );
    for malformed in &reading.malformed_records {
        assert!(
            malformed
                .record
                .is_some_and(|record| (1..=reading.records).contains(&record))
        );
        assert!(!malformed.reason.is_empty());
    }
    for (id, found) in &reading.changes {
        assert_eq!(*id, found.id);
        assert!(reading.newest >= Some(found.at));
        change::check(found);
    }
}

/// However a record is spelled, it is read as the same.
fn check_spelling(record: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(record) else {
        return;
    };
    if value.get("Records").is_some_and(Value::is_array) {
        return;
    }
    let (one, other) = (read(record), read(value.to_string().as_bytes()));
    let words = |reading: &LogReading| {
        let LogReading { ignored, .. } = reading;
        (reading.changes.len(), ignored.clone(), reading.malformed)
    };
    // What cannot be a key change need not be parsed, so it may go unseen what else is wrong with it.
    let is_passed_over = |reading: &LogReading| {
        let reason = Ignored::OtherCall.reason();
        reading.ignored.contains_key(reason)
    };
    let is_key_change = |reading: &LogReading| {
        let failed = Ignored::FailedCall.reason();
        !reading.changes.is_empty() || reading.ignored.contains_key(failed)
    };
    let is_shortcut = is_passed_over(&one) || is_passed_over(&other);
    assert!(
        words(&one) == words(&other)
            || is_shortcut && !is_key_change(&one) && !is_key_change(&other),
        "{one:?} and {other:?}: {}",
        String::from_utf8_lossy(record)
    );
}

/// A log that cannot be read on after some byte gives what stood before it, and says that it is cut.
fn check_cut(data: &[u8], records: &[Result<Vec<u8>, String>], choice: u64) {
    let cut = usize::try_from(choice >> 8).unwrap() % (data.len() + 1);
    let log = Pieces {
        rest: &data[..cut],
        size: 97,
        ends_in: Some(ErrorKind::UnexpectedEof),
    };
    let mut before = split(log);
    assert!(
        before
            .pop()
            .is_some_and(|last| last.is_err_and(|error| error.starts_with("reading stopped")))
    );
    assert!(records.starts_with(&before), "{before:?}");
}

/// Gzipped, in one member or two, a log reads as it does plain; cut, it says so.
fn check_gzip(data: &[u8], plain: &LogReading, choice: u64) {
    let middle = usize::try_from(choice >> 16).unwrap() % (data.len() + 1);
    let mut gzipped = Vec::new();
    for member in [&data[..middle], &data[middle..]] {
        let mut encoder = GzEncoder::new(gzipped, Compression::fast());
        encoder.write_all(member).unwrap();
        gzipped = encoder.finish().unwrap();
    }
    let size = 1 + usize::try_from(choice >> 32).unwrap() % 41;
    let reading = read(unpacked(Box::new(pieces(&gzipped, size))).unwrap());
    assert_eq!(format!("{reading:?}"), format!("{plain:?}"), "gzipped");

    gzipped.truncate(gzipped.len() - 1);
    let cut = read(unpacked(Box::new(gzipped.as_slice())).unwrap());
    assert!(
        cut.malformed_records
            .last()
            .is_some_and(|last| last.reason.starts_with("the gzip file is cut"))
            || cut.malformed > 1_000
    );
}
