//! A log as `secondkey replay` reads it: split into pieces of any size, gzipped or not.

#![no_main]

use std::io::{ErrorKind, Read, Write};

use chrono::DateTime;
use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use secondkey::detect::events::key_change::IgnoredReason;
use secondkey::local::log_files::unpacked;
use secondkey::local::log_reading::LogReading;
use secondkey::local::log_records::for_each_record;
use secondkey_fuzz::pieces::Pieces;
use secondkey_fuzz::{change, choice, mutate};
use serde_json::Value;

/// What is counted in addition to records: documents and logs without any.
const NO_RECORDS: [&str; 3] = [
    "log without records",
    "JSON without a record",
    "CloudTrail digest",
];

/// The lists whose items are read one by one.
const LISTS: [&str; 5] = ["Records", "Events", "events", "logEvents", "Messages"];

/// A gzipped reading costs as much as twenty others.
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
    check_accounts(&reading);
    for bytes in records.iter().flatten() {
        check_spelling(bytes);
    }
    check_cut(data, &records, choice);
    if choice.is_multiple_of(GZIPPED_ONE_IN) {
        check_gzip(data, &reading, choice);
    }
    // Like a file that was named on the command line, whatever it contains.
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

/// The records of a log, and non-records in their places, as text.
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

/// The records of an intact log, or `None` if it is not certain that the log is intact.
fn expected(data: &[u8]) -> Option<Vec<Value>> {
    let text = std::str::from_utf8(data).ok()?;
    let documents = serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let around = documents.iter().filter(|document| list(document).is_some());
    let named = LISTS.map(|list| text.matches(&format!("\"{list}\"")).count());
    // If one object has two lists, serde_json sees the last one; and a name may be spelled with
    // escapes.
    if named.iter().sum::<usize>() != around.count() || text.contains("\\u") {
        return None;
    }
    let mut records = Vec::new();
    for mut document in documents {
        if let Some(list) = list(&document) {
            document = document[list].take();
        }
        flatten(document, &mut records);
    }
    records.iter().all(Value::is_object).then_some(records)
}

/// The name of the list in `document` whose items are read one by one.
fn list(document: &Value) -> Option<&'static str> {
    let is_list = |name: &&str| document.get(name).is_some_and(Value::is_array);
    LISTS.into_iter().find(is_list)
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

/// Every record is a change, a report of a leaked key, ignored with a reason, or reported as
/// unreadable. An intact input without records is not a log.
fn check_accounts(reading: &LogReading) {
    let ignored: u64 = reading
        .ignored
        .iter()
        .filter(|(reason, _)| !NO_RECORDS.contains(reason))
        .map(|(_, count)| count)
        .sum();
    let read = reading.changes.len() as u64 + reading.reports.len() as u64 + ignored;
    // A log that cannot be read at all is reported once, and is not a record.
    let logs = reading.malformed_records.iter();
    let logs = logs.filter(|one| one.record.is_none()).count() as u64;
    assert_eq!(
        reading.records,
        read + reading.malformed - logs,
        "{reading:?}"
    );
    let as_what =
        reading.sources.values().sum::<u64>() + reading.unreadable_logs + reading.not_logs;
    let without = ["log without records", "CloudTrail digest"];
    let is_without = without
        .iter()
        .any(|reason| reading.ignored.contains_key(reason));
    assert!(as_what == 1 || as_what == 0 && is_without, "{reading:?}");
    if reading.not_logs > 0 {
        assert_eq!((reading.records, reading.malformed), (0, 0));
    }
    assert_eq!(
        reading.malformed_records.len() as u64,
        reading.malformed.min(1_000)
    );
    for malformed in &reading.malformed_records {
        assert!(
            malformed
                .record
                .is_none_or(|record| (1..=reading.records).contains(&record))
        );
        assert!(!malformed.reason.is_empty());
    }
    for found in reading.changes.in_order().unwrap() {
        let found = found.unwrap();
        assert!(reading.newest >= Some(found.at));
        change::check(&found);
    }
}

/// However a record is spelled, it has the same meaning.
fn check_spelling(record: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(record) else {
        return;
    };
    if list(&value).is_some() {
        return;
    }
    let (one, other) = (read(record), read(value.to_string().as_bytes()));
    let words = |reading: &LogReading| {
        let LogReading { ignored, .. } = reading;
        (reading.changes.len(), ignored.clone(), reading.malformed)
    };
    // A record that cannot be a key change need not be parsed, so its other errors may go
    // unnoticed.
    let is_passed_over = |reading: &LogReading| {
        let reason = IgnoredReason::OtherCall.reason();
        reading.ignored.contains_key(reason)
    };
    let is_key_change = |reading: &LogReading| {
        let failed = IgnoredReason::FailedCall.reason();
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

/// A log that ends at some byte yields the records before it, and is reported as truncated.
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

/// A gzipped log, with one or two members, reads like the plain one. A truncated one is reported.
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
    // Input that is not text is not read to its end.
    let is_read = cut.not_logs == 0 && cut.malformed_records.iter().all(|one| one.record.is_some());
    assert!(
        cut.malformed_records
            .last()
            .is_some_and(|last| last.reason.starts_with("the gzip file is truncated"))
            || cut.malformed > 1_000
            || !is_read && plain.records == 0
    );
}
