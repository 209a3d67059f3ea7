//! Logs read for the key changes in them; all else is counted.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::health::{self, LeakReport, read_leak_report};
use crate::detect::key_change::{
    Ignored, KeyChange, ReadContext, Reading, RecordError, read_key_change,
};
use crate::detect::record::CloudTrailRecord;
use crate::local::log_filter::{Account, Newest, may_be_key_change};
use crate::local::log_records::{LogError, for_each_record};

/// How many unreadable records are kept in full; the rest are counted.
const MAX_MALFORMED_KEPT: usize = 1_000;

/// What was read of the logs so far. Grows with the key changes in them, not with their size.
#[derive(Debug, Default)]
pub struct LogReading {
    /// How many records there were, readable or not.
    pub records: u64,
    /// The key changes by id; a change that stands in the logs twice is kept once.
    pub changes: BTreeMap<String, KeyChange>,
    /// The reports of AWS Health that keys leaked. Whose keys they are follows from the changes.
    pub reports: Vec<LeakReport>,
    /// How many records were knowingly ignored, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// How many records could not be read.
    pub malformed: u64,
    /// The first of those, each with its place and reason.
    pub malformed_records: Vec<MalformedRecord>,
    /// The time of the newest record.
    pub newest: Option<Timestamp>,
    /// The same of each account.
    pub newest_of: BTreeMap<String, Timestamp>,
    /// How many records are later than this machine's clock.
    pub after_clock: u64,
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedRecord {
    /// The log's name.
    pub file: String,
    /// Which record in it, from 1; none if the log itself could not be read.
    pub record: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl LogReading {
    /// Reads all of `log`. Records that are later than `clock`, this machine's, are read as they
    /// are and counted: what is found must not depend on the machine.
    pub fn read(&mut self, name: &str, log: impl std::io::Read, clock: Timestamp) {
        let mut number = 0;
        let mut other_calls = 0;
        let mut newest = Newest::by_clock(clock);
        for_each_record(log, |record| {
            if let Err(LogError::Io(error)) = &record {
                self.malformed(name, Some(number + 1), unreadable(error));
                return;
            }
            number += 1;
            match record {
                Ok(bytes) => {
                    newest.see(bytes);
                    if may_be_key_change(bytes) {
                        self.parse(name, number, bytes);
                    } else {
                        other_calls += 1;
                    }
                }
                Err(error) => self.malformed(name, Some(number), error.to_string()),
            }
        });
        self.records += number;
        for (account, time) in newest.times() {
            match account {
                Account::Id(id) => self.saw(&String::from_utf8_lossy(&id), time),
                Account::Odd => self.newest = self.newest.max(Some(time)),
            }
        }
        self.after_clock += newest.after_clock();
        if other_calls > 0 {
            self.ignore(Ignored::OtherCall.reason(), other_calls);
        }
        if number == 0
            && self
                .malformed_records
                .last()
                .is_none_or(|last| last.file != name)
        {
            self.ignore("log without records", 1);
        }
    }

    /// Adds what was read of the logs that come after these.
    pub fn append(&mut self, later: Self) {
        self.records += later.records;
        for (_, change) in later.changes {
            self.change(change);
        }
        for report in later.reports {
            self.report(report);
        }
        for (reason, count) in later.ignored {
            self.ignore(reason, count);
        }
        self.malformed += later.malformed;
        self.malformed_records.extend(later.malformed_records);
        self.malformed_records.truncate(MAX_MALFORMED_KEPT);
        self.newest = self.newest.max(later.newest);
        for (account, time) in &later.newest_of {
            self.saw(account, *time);
        }
        self.after_clock += later.after_clock;
    }

    /// Notes that the log called `name` cannot be read, or not on from `record`.
    pub fn malformed(&mut self, name: &str, record: Option<u64>, reason: String) {
        self.malformed += 1;
        if self.malformed_records.len() < MAX_MALFORMED_KEPT {
            self.malformed_records.push(MalformedRecord {
                file: name.to_owned(),
                record,
                reason,
            });
        }
    }

    /// Notes that a record of `account` is of `time`.
    fn saw(&mut self, account: &str, time: Timestamp) {
        self.newest = self.newest.max(Some(time));
        match self.newest_of.get_mut(account) {
            Some(newest) => *newest = time.max(*newest),
            None => {
                self.newest_of.insert(account.to_owned(), time);
            }
        }
    }

    fn ignore(&mut self, reason: &'static str, count: u64) {
        *self.ignored.entry(reason).or_default() += count;
    }

    fn change(&mut self, change: KeyChange) {
        if self.changes.insert(change.id.clone(), change).is_some() {
            self.ignore("duplicate", 1);
        }
    }

    /// Keeps `report` once: AWS Health sends an event to more than one region.
    fn report(&mut self, report: LeakReport) {
        let is_known = |known: &LeakReport| {
            report.event_id.is_some()
                && (&known.event_id, &known.account, &known.keys)
                    == (&report.event_id, &report.account, &report.keys)
        };
        if self.reports.iter().any(is_known) {
            self.ignore("duplicate", 1);
        } else {
            self.reports.push(report);
        }
    }

    fn parse(&mut self, name: &str, number: u64, bytes: &[u8]) {
        let json: Value = match serde_json::from_slice(bytes) {
            Ok(json) => json,
            Err(error) => {
                self.malformed(name, Some(number), format!("not readable as JSON: {error}"));
                return;
            }
        };
        let source = json.get("source").and_then(Value::as_str);
        if source == Some(health::SOURCE) {
            match read_leak_report(&json, None) {
                Ok(Some(report)) => {
                    self.saw(&report.account, report.at);
                    self.report(report);
                }
                Ok(None) => self.ignore(Ignored::OtherHealthEvent.reason(), 1),
                Err(error) => self.malformed(name, Some(number), error.to_string()),
            }
            return;
        }
        match read(&json) {
            Ok(Reading::Change(change)) => {
                self.saw(change.user.account(), change.at);
                self.change(*change);
            }
            Ok(Reading::Ignored(reason)) => self.ignore(reason.reason(), 1),
            Ok(Reading::Incomplete(incomplete)) => {
                self.malformed(name, Some(number), incomplete.why.to_string());
            }
            Err(error) => self.malformed(name, Some(number), error.to_string()),
        }
    }
}

/// Why reading stopped, in words that name what is cut.
fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("the gzip file is cut: {error}"),
        _ => format!("reading stopped: {error}"),
    }
}

/// Reads a record, or the record in an EventBridge envelope.
fn read(json: &Value) -> Result<Reading, RecordError> {
    let envelope = json.get("detail").filter(|detail| detail.is_object());
    let text = |name| json.get(name).and_then(Value::as_str);
    if envelope.is_some() && text("source").is_some_and(|source| source != "aws.iam") {
        return Ok(Reading::Ignored(Ignored::OtherService));
    }
    let context = ReadContext {
        account: envelope.and(text("account")),
        account_if_missing: None,
        sent_at: None,
    };
    read_key_change(
        &CloudTrailRecord::from_json(envelope.unwrap_or(json)),
        context,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_spelled_with_escapes_is_the_same_name() {
        let record = r#"{"eventName":"CreateAccessKey","eventTime":"2024-01-01T00:00:00Z",
            "recipientAccountId":"111122223333","requestParameters":{"userName":"alice"},"responseElements":{"accessKey":{"accessKeyId":"AKIA1"}}}"#;
        let read = |log: &str| {
            let mut reading = LogReading::default();
            reading.read("log", log.as_bytes(), chrono::DateTime::UNIX_EPOCH);
            reading.changes
        };
        assert_eq!(read(record).len(), 1);
        for spelled in [
            r"Create\u0041ccessKey",
            r"CreateAccess\u004bey",
            r"CreateAccessKe\u0079",
        ] {
            let other = record.replace("CreateAccessKey", spelled);
            assert_eq!(read(&other), read(record), "{spelled}");
        }
    }

    #[test]
    fn an_incomplete_record_is_malformed_and_has_its_place() {
        let log = r#"{"eventName":"ListUsers"}{"eventName":"CreateAccessKey","eventTime":"2024-01-01T00:00:00Z",
            "recipientAccountId":"111122223333","requestParameters":{"userName":"alice"},"responseElements":null}"#;
        let mut reading = LogReading::default();
        reading.read("log", log.as_bytes(), chrono::DateTime::UNIX_EPOCH);
        let expected = MalformedRecord {
            file: "log".to_owned(),
            record: Some(2),
            reason: "`CreateAccessKey` names no access key".to_owned(),
        };
        assert_eq!(reading.malformed_records, [expected]);
        assert_eq!((reading.malformed, reading.changes.len()), (1, 0));
    }

    #[test]
    fn a_record_that_is_passed_over_takes_no_memory() {
        let record = r#"{"eventTime":"2024-01-01T00:00:00Z","eventName":"LookupEvents","requestParameters":
            {"lookupAttributes":[{"attributeValue":"CreateAccessKey"}]},"userAgent":"\"iam.CreateAccessKey\""}"#;
        let allocated = |records: usize| {
            let log = format!(r#"{{"Records":[{}]}}"#, vec![record; records].join(","));
            allocation_counter::measure(|| {
                LogReading::default().read("log", log.as_bytes(), chrono::DateTime::UNIX_EPOCH);
            })
        };
        // The first reading prepares what is searched for.
        allocated(1);
        assert_eq!(allocated(10_000), allocated(100));
    }

    #[test]
    fn logs_that_are_appended_are_read_as_one() {
        let changed = |user: &str, time: &str| {
            format!(
                r#"{{"eventName":"DeleteUser","eventTime":"{time}","recipientAccountId":"111122223333",
                    "requestParameters":{{"userName":"{user}"}}}}"#
            )
        };
        let one = [
            &changed("alice", "2024-01-01T00:00:00Z"),
            r#"{"eventName":"ListUsers"}"#,
            "nonsense\n",
        ]
        .concat();
        let other = [
            &changed("alice", "2024-01-01T00:00:00Z"),
            &changed("bob", "2024-01-02T00:00:00Z"),
            "{",
        ]
        .concat();
        let until = chrono::DateTime::from_timestamp(1_720_000_000, 0).unwrap();
        let mut in_turn = LogReading::default();
        in_turn.read("one", one.as_bytes(), until);
        in_turn.read("other", other.as_bytes(), until);
        let mut appended = LogReading::default();
        for (name, log) in [("one", &one), ("other", &other)] {
            let mut reading = LogReading::default();
            reading.read(name, log.as_bytes(), until);
            appended.append(reading);
        }
        assert_eq!(appended.changes.len(), 2);
        assert_eq!(appended.ignored.get("duplicate"), Some(&1));
        assert_eq!(format!("{appended:?}"), format!("{in_turn:?}"));
    }
}
