//! Reads key changes from logs and counts everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use crate::detect::Timestamp;
use crate::detect::events::health::LeakReport;
use crate::detect::events::key_change::KeyChange;
use crate::detect::usage::key_use::KeyUse;
use crate::detect::user::UserId;
use crate::local::changes::Changes;
use crate::local::containers::StickyErrorReader;
use crate::local::log_filter::may_be_key_change;
use crate::local::log_pass::{Pass, earlier};
use crate::local::log_text::{LogEncoding, SNIFFED};
use crate::local::uses::KeyUses;
use crate::local::wanted::KeyFilter;
use crate::pipeline::error::ServiceError;

/// How many unreadable records are kept in full. The rest are only counted.
pub(super) const MAX_MALFORMED_KEPT: usize = 1_000;

/// What was read so far. Memory grows with the users whose keys changed and the days on which they
/// used them, not with the size of the logs or the number of key changes.
#[derive(Debug, Default)]
pub struct LogReading {
    /// How many records there were, readable or not.
    pub records: u64,
    /// The key changes, without duplicates.
    pub changes: Changes,
    /// When keys signed calls: the keys that signed the changes and the keys that were searched
    /// for.
    pub uses: KeyUses,
    /// The users whom the changes affect, and the users who signed them.
    pub users: BTreeSet<UserId>,
    /// AWS Health reports of leaked keys. The changes show whose keys they are.
    pub reports: Vec<LeakReport>,
    /// How many records were intentionally ignored, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// How many records could not be read.
    pub malformed: u64,
    /// The first unreadable records, each with its position and reason.
    pub malformed_records: Vec<MalformedRecord>,
    /// The time of the newest record.
    pub newest: Option<Timestamp>,
    /// The time of the oldest record.
    pub oldest: Option<Timestamp>,
    /// The time of the newest record of each account.
    pub newest_of: BTreeMap<String, Timestamp>,
    /// How many records are later than this machine's clock.
    pub after_clock: u64,
    /// How many logs were read, by source: CloudTrail, CloudWatch Logs, and so on. Each file in a
    /// zip or tar file counts separately.
    pub sources: BTreeMap<&'static str, u64>,
    /// How many logs could not be read at all.
    pub unreadable_logs: u64,
    /// How many files are not logs at all.
    pub not_logs: u64,
    /// The names of the first such files.
    pub not_log_names: Vec<String>,
}

/// What to search for in a log's records.
#[derive(Clone, Copy)]
pub enum LogQuery<'l> {
    /// Key changes.
    Changes,
    /// Calls of wanted keys, each handed over at once. Of the key changes, only creations of wanted
    /// keys are kept.
    Uses {
        /// The keys and users whose calls are wanted.
        wanted: &'l KeyFilter,
        /// Receives each call, in no order if logs are read in parallel.
        take: &'l (dyn Fn(KeyUse) + Sync),
    },
}

impl LogQuery<'_> {
    pub(super) fn may_be_in(self, record: &[u8]) -> bool {
        match self {
            Self::Changes => may_be_key_change(record),
            Self::Uses { wanted, .. } => wanted.may_be_in(record),
        }
    }
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedRecord {
    /// The name of the log.
    pub file: String,
    /// Which record in the log, from 1. `None` if the log itself could not be read.
    pub record: Option<u64>,
    /// The reason.
    pub reason: String,
}

impl LogReading {
    /// Reads all of `log`. Records later than `clock`, this machine's time, are read normally and
    /// counted: the findings must not depend on the machine.
    pub fn read(&mut self, name: &str, log: impl Read, clock: Timestamp) {
        self.read_for(LogQuery::Changes, name, log, clock);
    }

    /// Searches all of `log` for what `looking` names.
    pub fn read_for(
        &mut self,
        looking: LogQuery<'_>,
        name: &str,
        mut log: impl Read,
        clock: Timestamp,
    ) {
        let mut beginning = Vec::with_capacity(SNIFFED);
        let sniffed = log
            .by_ref()
            .take(SNIFFED as u64)
            .read_to_end(&mut beginning);
        let form = LogEncoding::of(&beginning);
        let log = Cursor::new(beginning).chain(StickyErrorReader::new(log, sniffed.err()));
        let mut pass = Pass::new(self, name, clock, looking);
        pass.read(log, form);
        pass.end();
    }

    /// Notes that input that was not read as a log should have been one.
    pub(super) fn misses_logs(&mut self) {
        self.unreadable_logs += std::mem::take(&mut self.not_logs);
        for name in std::mem::take(&mut self.not_log_names) {
            let reason = "not a log: it contains no CloudTrail record".to_owned();
            self.malformed(&name, None, reason);
        }
    }

    /// Adds the reading of later logs.
    pub fn append(&mut self, later: Self) {
        self.records += later.records;
        self.uses.append(later.uses);
        self.users.extend(later.users);
        let known = self.changes.append(later.changes);
        if known > 0 {
            self.ignore("duplicate", known);
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
        self.oldest = earlier(self.oldest, later.oldest);
        for (account, time) in &later.newest_of {
            self.note_event_time(account, *time);
        }
        self.after_clock += later.after_clock;
        for (kind, count) in later.sources {
            *self.sources.entry(kind).or_default() += count;
        }
        self.unreadable_logs += later.unreadable_logs;
        self.not_logs += later.not_logs;
        self.not_log_names.extend(later.not_log_names);
        self.not_log_names.truncate(MAX_MALFORMED_KEPT);
    }

    /// Notes that the log called `name` cannot be opened or unpacked.
    pub(super) fn cannot_be_read(&mut self, name: &str, reason: String) {
        self.unreadable_logs += 1;
        self.malformed(name, None, reason);
    }

    /// Notes that the log called `name` cannot be read, or not beyond `record`.
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

    /// Notes the `time` of a record of `account`.
    pub(super) fn note_event_time(&mut self, account: &str, time: Timestamp) {
        self.newest = self.newest.max(Some(time));
        match self.newest_of.get_mut(account) {
            Some(newest) => *newest = time.max(*newest),
            None => {
                self.newest_of.insert(account.to_owned(), time);
            }
        }
    }

    pub(super) fn ignore(&mut self, reason: &'static str, count: u64) {
        *self.ignored.entry(reason).or_default() += count;
    }

    pub(super) fn change(&mut self, change: &KeyChange) {
        if let Some((signer, key)) = change.actor.long_term_key() {
            self.uses.note(&signer, key, change.at);
            self.users.insert(signer);
        }
        for user in change.affected_users() {
            self.users.insert(user);
        }
        if !self.changes.insert(change) {
            self.ignore("duplicate", 1);
        }
    }

    /// Counts the changes that occur twice with many others in between. Call this once all logs are
    /// read.
    pub fn count_duplicates(&mut self) -> Result<(), ServiceError> {
        let doubles = self.changes.count_duplicates()?;
        if doubles > 0 {
            self.ignore("duplicate", doubles);
        }
        Ok(())
    }

    /// Adds `report` once: AWS Health sends an event to more than one region.
    pub(super) fn report(&mut self, report: LeakReport) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_a_name_are_decoded() {
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
            let (other, read) = (read(&other), read(record));
            assert_eq!(format!("{other:?}"), format!("{read:?}"), "{spelled}");
        }
    }

    #[test]
    fn an_incomplete_record_is_malformed_with_its_position() {
        let log = r#"{"eventName":"ListUsers"}{"eventName":"CreateAccessKey","eventTime":"2024-01-01T00:00:00Z",
            "recipientAccountId":"111122223333","requestParameters":{"userName":"alice"},"responseElements":null}"#;
        let mut reading = LogReading::default();
        reading.read("log", log.as_bytes(), chrono::DateTime::UNIX_EPOCH);
        let expected = MalformedRecord {
            file: "log".to_owned(),
            record: Some(2),
            reason: "`CreateAccessKey` does not name an access key".to_owned(),
        };
        assert_eq!(reading.malformed_records, [expected]);
        assert_eq!((reading.malformed, reading.changes.len()), (1, 0));
    }

    #[test]
    fn a_skipped_record_takes_no_memory() {
        let record = r#"{"eventTime":"2024-01-01T00:00:00Z","eventName":"LookupEvents","requestParameters":
            {"lookupAttributes":[{"attributeValue":"CreateAccessKey"}]},"userAgent":"\"iam.CreateAccessKey\""}"#;
        let allocated = |records: usize| {
            let log = format!(r#"{{"Records":[{}]}}"#, vec![record; records].join(","));
            allocation_counter::measure(|| {
                LogReading::default().read("log", log.as_bytes(), chrono::DateTime::UNIX_EPOCH);
            })
        };
        // The first reading prepares the search.
        allocated(1);
        assert_eq!(allocated(10_000), allocated(100));
    }

    #[test]
    fn a_string_of_100_mib_takes_bounded_memory_and_is_reported() {
        let beginning = br#""{\"eventName\":\"CreateAccessKey\",\"m\":\""#;
        let size = 100 * 1024 * 1024;
        let log = || (&beginning[..]).chain(std::io::repeat(b'x').take(size));
        let mut reading = LogReading::default();
        let taken = allocation_counter::measure(|| {
            reading.read("log", log(), chrono::DateTime::UNIX_EPOCH);
        });
        assert!(reading.malformed > 0, "{reading:?}");
        let mib = taken.bytes_max / 1024 / 1024;
        assert!(mib < 300, "{mib} MiB");
    }

    #[test]
    fn a_call_of_another_key_takes_no_memory() {
        let record = r#"{"eventTime":"2024-01-01T00:00:00Z","eventName":"GetObject","recipientAccountId":"111122223333",
            "userIdentity":{"type":"IAMUser","accessKeyId":"AKIAOTHER","userName":"bob"}}"#;
        let mut wanted = KeyFilter::default();
        wanted.add_key("AKIAONE");
        wanted.add_name(&crate::detect::user::UserId::new("", "alice"));
        let looking = LogQuery::Uses {
            wanted: &wanted,
            take: &|one| panic!("{one:?}"),
        };
        let allocated = |records: usize| {
            let log = format!(r#"{{"Records":[{}]}}"#, vec![record; records].join(","));
            allocation_counter::measure(|| {
                let mut reading = LogReading::default();
                let clock = chrono::DateTime::UNIX_EPOCH;
                reading.read_for(looking, "log", log.as_bytes(), clock);
            })
            .count_max
        };
        // The first reading prepares the search.
        allocated(1);
        assert_eq!(allocated(10_000), allocated(100));
    }

    #[test]
    fn appended_readings_equal_one_reading() {
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
