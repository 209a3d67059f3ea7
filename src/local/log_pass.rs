//! One pass over a log: takes key changes from its records, lines or rows, and notes what is wrong.

use std::io::{self, Read};

use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::events::cloudtrail_record::CloudTrailRecord;
use crate::detect::events::health::{self, read_leak_report};
use crate::detect::events::key_change::{
    ChangeKind, IgnoredReason, ReadContext, RecordError, RecordReading, read_key_change,
};
use crate::detect::usage::key_use::{KeyUse, UseReading, read_key_use};
use crate::local::log_filter::{LatestEventTimes, RecordAccount};
use crate::local::log_reading::{LogQuery, LogReading, MAX_MALFORMED_KEPT, MalformedRecord};
use crate::local::log_records::{LogError, Piece, for_each_piece, no_record};
use crate::local::log_scan::{RecordScan, ScanStep};
use crate::local::log_table::{Row, for_each_row};
use crate::local::log_text::{Line, LogEncoding, for_each_line};
use crate::local::unwrap::{Unwrapper, kind_of_record, own_names};
use crate::local::wanted::KeyFilter;

/// The source name of plain logs.
pub(crate) const PLAIN: &str = "CloudTrail";

/// The source name of records in lines of text.
const TEXT: &str = "text";

/// The source name of records in a table's columns.
const TABLE: &str = "table";

/// The source name of records in JSON of an unknown kind.
const WRAPPED: &str = "JSON";

/// How many key creations are stored while searching for uses. For a key without one, its first use
/// counts as its beginning.
const MAX_CREATIONS_KEPT: usize = 10_000;

pub(super) struct Pass<'r> {
    reading: &'r mut LogReading,
    looking: LogQuery<'r>,
    name: &'r str,
    /// How many items were seen, readable or not.
    number: u64,
    other_calls: u64,
    newest: LatestEventTimes,
    /// How many of them are records.
    found: u64,
    /// How many JSON documents contain no record.
    foreign: u64,
    /// How many of those are CloudTrail's digests.
    digests: u64,
    /// What the records are wrapped in.
    kind: Option<&'static str>,
    /// How many errors there are, until it is known whether this is a log.
    malformed: u64,
    malformed_records: Vec<MalformedRecord>,
    /// The first byte of the last line with a record.
    line_begins: Option<u8>,
    /// Whether there are errors other than a non-record in a record's place.
    is_broken: bool,
    /// Whether this is not a log unless it contains records.
    is_other: bool,
}

impl<'r> Pass<'r> {
    pub(super) fn new(
        reading: &'r mut LogReading,
        name: &'r str,
        clock: Timestamp,
        looking: LogQuery<'r>,
    ) -> Self {
        Self {
            reading,
            looking,
            name,
            number: 0,
            other_calls: 0,
            newest: LatestEventTimes::by_clock(clock),
            found: 0,
            foreign: 0,
            digests: 0,
            kind: None,
            malformed: 0,
            malformed_records: Vec::new(),
            line_begins: None,
            is_broken: false,
            is_other: false,
        }
    }

    /// Reads all of `log`, which has the encoding `form`.
    pub(super) fn read(&mut self, log: impl Read, form: LogEncoding) {
        match form {
            LogEncoding::Json => for_each_piece(log, |piece| self.piece(piece)),
            LogEncoding::Lines => {
                self.is_other = true;
                for_each_line(log, |line| self.line(line));
            }
            LogEncoding::Csv(delimiter) => {
                self.is_other = true;
                for_each_row(log, delimiter, |row| self.row(row));
            }
            LogEncoding::Encoded(encoding) => self.unreadable(&format!(
                "the text is {encoding}; convert it with `iconv -f {encoding} -t UTF-8 FILE > \
                 FILE.utf8` and read the result"
            )),
            LogEncoding::Columns(format) => self.unreadable(&format!(
                "this is a {format} file; convert it with `duckdb -c \"copy (from 'FILE') to \
                 'FILE.json' (format json)\"` and read the result"
            )),
            LogEncoding::Binary => self.is_other = true,
        }
    }

    fn piece(&mut self, piece: Result<Piece<'_>, LogError>) {
        match piece {
            Ok(Piece::Object(bytes)) => {
                if self.looking.may_be_in(bytes) {
                    self.object(bytes);
                } else {
                    self.number += 1;
                    self.found += 1;
                    self.newest.note_event_time(bytes);
                    self.other_calls += 1;
                }
            }
            Ok(Piece::Text(found)) => {
                let text = serde_json::from_slice::<String>(found).unwrap_or_default();
                if !self.unwrap(None, |unwrapper| unwrapper.text(&text, 0, None)) {
                    self.odd(found);
                }
            }
            Ok(Piece::Odd(found)) => {
                if !self.unwrap(Some(TEXT), |unwrapper| unwrapper.line(found, 0, None)) {
                    self.odd(found);
                }
            }
            Err(LogError::Io(error)) => self.stopped(&error),
            Err(error) => {
                self.number += 1;
                self.malformed(Some(self.number), error.to_string());
                self.is_broken = true;
            }
        }
    }

    /// Notes a non-record in a record's place.
    fn odd(&mut self, found: &[u8]) {
        self.number += 1;
        self.malformed(Some(self.number), no_record(found).to_string());
    }

    fn line(&mut self, line: io::Result<Line<'_>>) {
        match line {
            Ok(Line::CutObject) if self.found > 0 && !self.is_broken => self.cut(),
            Ok(Line::CutObject) => {}
            Ok(Line::Text(line)) => {
                let is_found = self.unwrap(Some(TEXT), |unwrapper| unwrapper.line(line, 0, None));
                let first = line.trim_ascii_start().first().copied();
                if is_found {
                    self.line_begins = first;
                }
                // The last line of a complete log ends like the others.
                let is_like_others = first.is_some() && first == self.line_begins;
                let is_last = !line.ends_with(b"\n");
                if is_last
                    && !is_found
                    && self.found > 0
                    && (is_like_others || ends_in_object(line))
                {
                    self.cut();
                }
            }
            Err(error) => self.stopped(&error),
        }
    }

    /// Notes that the text ends too early.
    fn cut(&mut self) {
        self.number += 1;
        self.is_broken = true;
        self.malformed(Some(self.number), LogError::CutRecord.to_string());
    }

    fn row(&mut self, row: io::Result<Row>) {
        match row {
            Ok(Row::Named(fields)) => {
                self.unwrap(Some(TABLE), |unwrapper| {
                    unwrapper.value(Value::Object(fields), 0, None);
                });
            }
            Ok(Row::Columns { columns, is_cut }) => {
                let before = self.malformed;
                let is_found = self.unwrap(Some(TABLE), |unwrapper| {
                    for column in &columns {
                        unwrapper.text(column, 0, None);
                    }
                });
                let has_record = |column: &String| ends_in_object(column.as_bytes());
                let is_cut = is_cut || !is_found && columns.last().is_some_and(has_record);
                if is_cut && self.found > 0 && self.malformed == before {
                    self.cut();
                }
            }
            Ok(Row::Cut) => self.cut(),
            Ok(Row::Odd { columns, names }) => {
                self.number += 1;
                self.is_broken = true;
                let reason = format!("the row has {columns} columns, and the table has {names}");
                self.malformed(Some(self.number), reason);
            }
            Ok(Row::Console) => self.unreadable(
                "the event history CSV of the console omits each call's request and \
                 response; download it as JSON, or use `aws cloudtrail lookup-events`",
            ),
            Err(error) => self.stopped(&error),
        }
    }

    /// Reads an object that may be a key change or may contain records.
    fn object(&mut self, bytes: &[u8]) {
        let json: Value = match serde_json::from_slice(bytes) {
            Ok(json) => json,
            Err(error) => {
                self.number += 1;
                self.newest.note_event_time(bytes);
                self.is_broken = true;
                let reason = format!("not readable as JSON: {error}");
                return self.malformed(Some(self.number), reason);
            }
        };
        if let Some(kind) = kind_of_record(&json, PLAIN) {
            self.number += 1;
            self.found += 1;
            self.newest.note_event_time(bytes);
            self.kind = self.kind.or(Some(kind).filter(|kind| *kind != PLAIN));
            return self.parse(&own_names(json));
        }
        let is_digest = json.get("digestStartTime").is_some();
        if !self.unwrap(None, |unwrapper| unwrapper.value(json, 0, None)) {
            self.foreign += 1;
            self.digests += u64::from(is_digest);
        }
    }

    /// Reads the records that `look` finds. Returns whether it found a record or an error. `kind`
    /// is what they are wrapped in, unless something more specific is known.
    fn unwrap(
        &mut self,
        kind: Option<&'static str>,
        look: impl FnOnce(&mut Unwrapper<&mut dyn FnMut(Value)>),
    ) -> bool {
        let mut take = |record| self.record(&record);
        let mut unwrapper = Unwrapper::new(&mut take as &mut dyn FnMut(Value));
        look(&mut unwrapper);
        let Unwrapper {
            found,
            error,
            kind: found_kind,
            ..
        } = unwrapper;
        if found > 0 && self.kind.is_none() {
            self.kind = found_kind.or(kind).or(Some(WRAPPED));
        }
        let is_wrong = error.is_some();
        if let Some(error) = error {
            self.number += 1;
            self.is_broken = true;
            self.malformed(Some(self.number), error.to_string());
        }
        found > 0 || is_wrong
    }

    fn record(&mut self, record: &Value) {
        self.number += 1;
        self.found += 1;
        let bytes = record.to_string();
        self.newest.note_event_time(bytes.as_bytes());
        if self.looking.may_be_in(bytes.as_bytes()) {
            self.parse(record);
        } else {
            self.other_calls += 1;
        }
    }

    fn malformed(&mut self, record: Option<u64>, reason: String) {
        self.malformed += 1;
        if self.malformed_records.len() < MAX_MALFORMED_KEPT {
            self.malformed_records.push(MalformedRecord {
                file: self.name.to_owned(),
                record,
                reason,
            });
        }
    }

    /// Notes that reading stopped.
    fn stopped(&mut self, error: &io::Error) {
        self.is_broken = true;
        self.malformed(Some(self.number + 1), unreadable(error));
    }

    /// Notes that the log's format is not supported.
    fn unreadable(&mut self, reason: &str) {
        self.is_broken = true;
        self.malformed(None, reason.to_owned());
    }

    /// Adds the results to the reading.
    pub(super) fn end(self) {
        let Self { reading, name, .. } = self;
        let has_other = self.is_other || self.foreign > 0 || self.malformed > 0;
        if self.found == 0 && !self.is_broken && self.digests > 0 {
            reading.ignore("CloudTrail digest", self.digests);
            return;
        }
        // For a text without records there is no error worth reporting.
        if self.found == 0 && !self.is_broken && has_other {
            reading.not_logs += 1;
            if reading.not_log_names.len() < MAX_MALFORMED_KEPT {
                reading.not_log_names.push(name.to_owned());
            }
            return;
        }
        reading.records += self.number;
        reading.malformed += self.malformed;
        let room = MAX_MALFORMED_KEPT.saturating_sub(reading.malformed_records.len());
        let kept = self.malformed_records.into_iter().take(room);
        reading.malformed_records.extend(kept);
        for (account, time) in self.newest.times() {
            match account {
                RecordAccount::Id(id) => {
                    reading.note_event_time(&String::from_utf8_lossy(&id), time);
                }
                RecordAccount::Odd => reading.newest = reading.newest.max(Some(time)),
            }
        }
        reading.oldest = earlier(reading.oldest, self.newest.oldest());
        reading.after_clock += self.newest.after_clock();
        if self.other_calls > 0 {
            reading.ignore(IgnoredReason::OtherCall.reason(), self.other_calls);
        }
        if self.foreign > 0 {
            reading.ignore("JSON without a record", self.foreign);
        }
        if self.found > 0 {
            *reading
                .sources
                .entry(self.kind.unwrap_or(PLAIN))
                .or_default() += 1;
        } else if self.malformed == 0 {
            reading.ignore("log without records", 1);
        } else {
            reading.unreadable_logs += 1;
        }
    }

    fn parse(&mut self, json: &Value) {
        if let LogQuery::Uses { wanted, take } = self.looking {
            return self.parse_use(json, wanted, take);
        }
        let source = json.get("source").and_then(Value::as_str);
        if source == Some(health::SOURCE) {
            match read_leak_report(json, None) {
                Ok(Some(report)) => {
                    self.reading.note_event_time(&report.account, report.at);
                    self.reading.report(report);
                }
                Ok(None) => {
                    self.reading
                        .ignore(IgnoredReason::OtherHealthEvent.reason(), 1);
                }
                Err(error) => self.malformed(Some(self.number), error.to_string()),
            }
            return;
        }
        match read(json) {
            Ok(RecordReading::Change(change)) => {
                self.reading
                    .note_event_time(change.user.account(), change.at);
                self.reading.change(&change);
            }
            Ok(RecordReading::Ignored(reason)) => self.reading.ignore(reason.reason(), 1),
            Ok(RecordReading::Incomplete(incomplete)) => {
                self.malformed(Some(self.number), incomplete.why.to_string());
            }
            Err(error) => self.malformed(Some(self.number), error.to_string()),
        }
    }
}

impl Pass<'_> {
    fn parse_use(&mut self, json: &Value, wanted: &KeyFilter, take: &dyn Fn(KeyUse)) {
        let record = json.get("detail").filter(|detail| detail.is_object());
        let is_wanted = |user: &_, key: &_| wanted.matches(user, key);
        match read_key_use(record.unwrap_or(json), is_wanted) {
            Ok(UseReading::Use(one)) => take(*one),
            Ok(UseReading::NotAuthenticated) => {
                self.reading.ignore("call that was not authenticated", 1);
            }
            Ok(UseReading::Other) => self.other_calls += 1,
            Err(error) => self.malformed(Some(self.number), error.to_string()),
        }
        let event = record.unwrap_or(json).get("eventName");
        // Few calls create a key, and parsing a record again takes as long as the first time.
        if event.and_then(Value::as_str) == Some("CreateAccessKey")
            && let Ok(RecordReading::Change(change)) = read(json)
            && let ChangeKind::KeyCreated { key, .. } = &change.kind
            && wanted.matches(&change.user, key)
            && self.reading.changes.len() < MAX_CREATIONS_KEPT
        {
            self.reading.change(&change);
        }
    }
}

/// The earlier of two times, if there is one.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// Whether `text` ends within an object.
fn ends_in_object(text: &[u8]) -> bool {
    let begin = memchr::memmem::find(text, b"{\"");
    begin
        .and_then(|begin| text.get(begin..))
        .is_some_and(|object| RecordScan::default().go_on(object, false) == ScanStep::NeedsMore)
}

/// Why reading stopped, naming what is truncated.
pub(super) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the gzip file is truncated: {error}"),
        _ => format!("reading stopped: {error}"),
    }
}

/// Reads a record, or the record in an EventBridge envelope.
fn read(json: &Value) -> Result<RecordReading, RecordError> {
    let envelope = json.get("detail").filter(|detail| detail.is_object());
    let text = |name| json.get(name).and_then(Value::as_str);
    if envelope.is_some() && text("source").is_some_and(|source| source != "aws.iam") {
        return Ok(RecordReading::Ignored(IgnoredReason::OtherService));
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
