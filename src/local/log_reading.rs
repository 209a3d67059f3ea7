//! Logs read for the key changes in them; all else is counted.

use std::collections::BTreeMap;

use memchr::memmem;
use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::key_change::{
    Ignored, KeyChange, ReadContext, Reading, RecordError, read_event_time, read_key_change,
};
use crate::detect::record::CloudTrailRecord;
use crate::local::log_records::{LogError, for_each_record};

/// The account under which a record that names none is kept.
const UNKNOWN_ACCOUNT: &str = "unknown";

/// How many unreadable records are kept in full; the rest are counted.
const MAX_MALFORMED_KEPT: usize = 1_000;

/// What was read of the logs so far. Grows with the key changes in them, not with their size.
#[derive(Debug, Default)]
pub struct LogReading {
    /// How many records there were, readable or not.
    pub records: u64,
    /// The key changes by id; a change that stands in the logs twice is kept once.
    pub changes: BTreeMap<String, KeyChange>,
    /// How many records were knowingly ignored, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// How many records could not be read.
    pub malformed: u64,
    /// The first of those, each with its place and reason.
    pub malformed_records: Vec<MalformedRecord>,
    /// The time of the newest record.
    pub newest: Option<Timestamp>,
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
    /// Reads all of `log`. `read_until` is the moment of reading: no record can be newer.
    pub fn read(&mut self, name: &str, log: impl std::io::BufRead, read_until: Timestamp) {
        let mut number = 0;
        for_each_record(log, |record| {
            if let Err(LogError::Io(error)) = &record {
                self.malformed(name, Some(number + 1), unreadable(error));
                return;
            }
            number += 1;
            self.records += 1;
            match record {
                Ok(bytes) => self.record(name, number, bytes, read_until),
                Err(error) => self.malformed(name, Some(number), error.to_string()),
            }
        });
        if number == 0
            && self
                .malformed_records
                .last()
                .is_none_or(|last| last.file != name)
        {
            *self.ignored.entry("log without records").or_default() += 1;
        }
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

    fn ignore(&mut self, reason: &'static str) {
        *self.ignored.entry(reason).or_default() += 1;
    }

    fn record(&mut self, name: &str, number: u64, bytes: &[u8], read_until: Timestamp) {
        if let Some(time) = event_time_in(bytes) {
            self.newest = self.newest.max(Some(time.min(read_until)));
        }
        if !may_be_key_change(bytes) {
            self.ignore(Ignored::OtherCall.reason());
            return;
        }
        let json: Value = match serde_json::from_slice(bytes) {
            Ok(json) => json,
            Err(error) => {
                self.malformed(name, Some(number), format!("not readable as JSON: {error}"));
                return;
            }
        };
        match read(&json, read_until) {
            Ok(Reading::Change(change)) => {
                self.newest = self.newest.max(Some(change.at));
                if self.changes.insert(change.id.clone(), *change).is_some() {
                    self.ignore("duplicate");
                }
            }
            Ok(Reading::Ignored(reason)) => self.ignore(reason.reason()),
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
fn read(json: &Value, read_until: Timestamp) -> Result<Reading, RecordError> {
    let envelope = json.get("detail").filter(|detail| detail.is_object());
    let text = |name| json.get(name).and_then(Value::as_str);
    if envelope.is_some() && text("source").is_some_and(|source| source != "aws.iam") {
        return Ok(Reading::Ignored(Ignored::OtherService));
    }
    let context = ReadContext {
        account: envelope.and(text("account")),
        account_if_missing: Some(UNKNOWN_ACCOUNT),
        sent_at: Some(read_until),
    };
    read_key_change(
        &CloudTrailRecord::from_json(envelope.unwrap_or(json)),
        context,
    )
}

/// Whether a record has to be parsed. One in a thousand does, so the others must cost little; one that names no event
/// is parsed too, for it may be no record at all.
fn may_be_key_change(bytes: &[u8]) -> bool {
    let has = |word: &str| memmem::find(bytes, word.as_bytes()).is_some();
    let names_one = has("AccessKey\"") || has("\"UpdateUser\"") || has("\"DeleteUser\"");
    // JSON allows a letter to be written `\u0041`; letters begin with these.
    let spells_letters = || {
        [r"\u004", r"\u005", r"\u006", r"\u007"]
            .into_iter()
            .any(has)
    };
    !has("\"eventName\"") || names_one || spells_letters()
}

/// The record's `eventTime`, found without parsing.
fn event_time_in(bytes: &[u8]) -> Option<Timestamp> {
    const NAME: &[u8] = b"\"eventTime\"";
    let after = memmem::find(bytes, NAME)? + NAME.len();
    let rest = bytes.get(after..)?;
    let mut parts = rest.splitn(3, |byte| *byte == b'"');
    let between = parts.next()?;
    if between
        .iter()
        .any(|byte| !byte.is_ascii_whitespace() && *byte != b':')
    {
        return None;
    }
    read_event_time(std::str::from_utf8(parts.next()?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_spelled_with_escapes_is_the_same_name() {
        let record = r#"{"eventName":"CreateAccessKey","eventTime":"2024-01-01T00:00:00Z",
            "requestParameters":{"userName":"alice"},"responseElements":{"accessKey":{"accessKeyId":"AKIA1"}}}"#;
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
}
