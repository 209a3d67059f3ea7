//! Filters records by their bytes, without parsing them: all but one in a thousand are skipped.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::detect::Timestamp;
use crate::detect::events::key_change::read_event_time;

/// The calls that `read_key_change` reads, as a record spells them. Few `AttachUserPolicy` calls
/// are of interest.
const CHANGES: [&[u8]; 7] = [
    b"\"CreateAccessKey\"",
    b"\"UpdateAccessKey\"",
    b"\"DeleteAccessKey\"",
    b"\"UpdateUser\"",
    b"\"DeleteUser\"",
    b"\"AttachUserPolicy\"",
    // A Kinesis event for a function may contain a record.
    b"\"aws:kinesis:record\"",
];

const KINESIS: [&[u8]; 1] = [b"\"aws:kinesis:record\""];

static EVENT_NAME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"eventName\""));
static EVENT_TIME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"eventTime\""));
static RECIPIENT_ACCOUNT: LazyLock<Finder<'_>> =
    LazyLock::new(|| Finder::new(b"\"recipientAccountId\""));
static ENVELOPE_ACCOUNT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"account\""));
static CALLERS_ACCOUNT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"accountId\""));
static ESCAPED_ASCII: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(br"\u00"));

/// Whether a record has to be parsed: at least one of its `eventName`s, at any depth, is or may be
/// a key change. Mentions of a change elsewhere, such as in a policy or a user agent, do not count.
/// A document without an event name is also parsed, because it may not be a record at all.
pub(super) fn may_be_key_change(record: &[u8]) -> bool {
    let mut values = EVENT_NAME
        .find_iter(record)
        .filter_map(|at| record.get(at + EVENT_NAME.needle().len()..))
        .peekable();
    values.peek().is_none() || values.any(is_change) || spells_letters(record)
}

/// Whether `record` has no event name and so may contain records, or is a Kinesis event for a
/// function.
pub(super) fn is_or_holds_record(record: &[u8]) -> bool {
    let mut values = EVENT_NAME
        .find_iter(record)
        .filter_map(|at| record.get(at + EVENT_NAME.needle().len()..))
        .peekable();
    values.peek().is_none() || values.any(|value| is_value(value, &KINESIS))
}

/// Whether `record` contains an escape that may spell a character of a user name or key ID.
/// Characters that encoders escape by default, such as `<` and `&`, occur in neither.
pub(super) fn spells_names(record: &[u8]) -> bool {
    ESCAPED_ASCII.find_iter(record).any(|at| {
        let digits = record.get(at + ESCAPED_ASCII.needle().len()..);
        match digits {
            Some([b'2', last, ..]) => matches!(last, b'b'..=b'e' | b'B'..=b'E'),
            Some([b'3', last, ..]) => matches!(last, b'0'..=b'9' | b'd' | b'D'),
            Some([b'4'..=b'7', ..]) => true,
            _ => false,
        }
    })
}

/// Whether a field name is followed by a colon and the name of a change. Also true if it is not
/// followed by a string, because then it is not the name of one call.
fn is_change(after_name: &[u8]) -> bool {
    is_value(after_name, &CHANGES) || is_value(after_name, &[b"{"])
}

/// Whether a field name is followed by a colon and one of `expected`.
fn is_value(after_name: &[u8], expected: &[&[u8]]) -> bool {
    let value = after_name.trim_ascii_start().strip_prefix(b":");
    value.is_some_and(|value| {
        let value = value.trim_ascii_start();
        expected.iter().any(|expected| value.starts_with(expected))
    })
}

/// JSON allows a letter to be written as `\u0041`. Escapes of letters start with these digits.
fn spells_letters(record: &[u8]) -> bool {
    ESCAPED_ASCII.find_iter(record).any(|at| {
        let digit = record.get(at + ESCAPED_ASCII.needle().len());
        matches!(digit, Some(b'4'..=b'7'))
    })
}

/// Tracks the newest `eventTime` of each account, and how many records are later than the clock.
#[derive(Debug)]
pub(super) struct LatestEventTimes {
    clock: Timestamp,
    clock_text: String,
    latest: BTreeMap<RecordAccount, Latest>,
    after_clock: u64,
    oldest: Option<Timestamp>,
    /// The same as spelled by a record, if in the usual form.
    oldest_text: [u8; USUAL.len()],
}

/// An account, as far as it can be found without parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordAccount {
    /// Its twelve digits.
    Id([u8; ACCOUNT_DIGITS]),
    /// The record does not name an account ID in the usual form.
    Odd,
}

/// How many digits an account id has.
const ACCOUNT_DIGITS: usize = 12;

#[derive(Debug, Default)]
struct Latest {
    time: Option<Timestamp>,
    /// The same as spelled by a record, if in the usual form.
    text: [u8; USUAL.len()],
}

/// The form of almost every `eventTime`. Texts in this form sort by time.
const USUAL: &[u8; 20] = b"0000-00-00T00:00:00Z";

impl LatestEventTimes {
    /// Starts with no records. `clock` is this machine's current time.
    pub(super) fn by_clock(clock: Timestamp) -> Self {
        Self {
            clock,
            clock_text: clock.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            latest: BTreeMap::new(),
            after_clock: 0,
            oldest: None,
            // Sorts after any time.
            oldest_text: [b':'; USUAL.len()],
        }
    }

    /// Takes the first `eventTime` in `record`.
    pub(super) fn note_event_time(&mut self, record: &[u8]) {
        let Some(text) = event_time_in(record) else {
            return;
        };
        let usual = <&[u8; USUAL.len()]>::try_from(text)
            .ok()
            .copied()
            .filter(is_usual);
        let latest = self.latest.entry(account_in(record)).or_default();
        let may_be_oldest = usual.is_none_or(|text| text < self.oldest_text);
        // Parsing a time takes as long as all other work on a skipped record.
        if let Some(text) = usual.filter(|text| *text <= latest.text && !may_be_oldest) {
            self.after_clock += u64::from(text.as_slice() > self.clock_text.as_bytes());
            return;
        }
        if let Some(time) = std::str::from_utf8(text).ok().and_then(read_event_time) {
            latest.time = latest.time.max(Some(time));
            if let Some(text) = usual {
                latest.text = text.max(latest.text);
                self.oldest_text = text.min(self.oldest_text);
            }
            self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
            self.after_clock += u64::from(time > self.clock);
        }
    }

    /// The newest time of each account.
    pub(super) fn times(&self) -> impl Iterator<Item = (RecordAccount, Timestamp)> {
        self.latest
            .iter()
            .filter_map(|(account, latest)| Some((*account, latest.time?)))
    }

    /// The time of the oldest record.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    /// How many records are later than the clock.
    pub(super) fn after_clock(&self) -> u64 {
        self.after_clock
    }
}

/// The account of `record`: `recipientAccountId`, else the account of the envelope, else the
/// caller's.
fn account_in(record: &[u8]) -> RecordAccount {
    [&RECIPIENT_ACCOUNT, &ENVELOPE_ACCOUNT, &CALLERS_ACCOUNT]
        .into_iter()
        .find_map(|name| {
            let at = name.find(record)? + name.needle().len();
            account_at(record.get(at..)?)
        })
        .map_or(RecordAccount::Odd, RecordAccount::Id)
}

/// The account ID after the name of its field.
fn account_at(after: &[u8]) -> Option<[u8; ACCOUNT_DIGITS]> {
    let value = after.trim_ascii_start().strip_prefix(b":")?;
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    // A relay that converted the ID to a number dropped its leading zeros.
    let mut id = [b'0'; ACCOUNT_DIGITS];
    let room = ACCOUNT_DIGITS.checked_sub(digits).filter(|_| digits > 0)?;
    id.get_mut(room..)?.copy_from_slice(value.get(..digits)?);
    Some(id)
}

fn is_usual(text: &[u8; USUAL.len()]) -> bool {
    text.iter().zip(USUAL).all(|(byte, usual)| match usual {
        b'0' => byte.is_ascii_digit(),
        _ => byte == usual,
    })
}

/// The text of the record's `eventTime`.
fn event_time_in(record: &[u8]) -> Option<&[u8]> {
    let after = EVENT_TIME.find(record)? + EVENT_TIME.needle().len();
    let value = record.get(after..)?.trim_ascii_start();
    let value = value.strip_prefix(b":")?.trim_ascii_start();
    if let Some(text) = value.strip_prefix(b"\"") {
        return text.split(|byte| *byte == b'"').next();
    }
    value
        .split(|byte| !byte.is_ascii_digit() && *byte != b'.')
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, expected: bool) {
        assert_eq!(may_be_key_change(record.as_bytes()), expected, "{record}");
    }

    #[test]
    fn only_records_that_may_be_changes_are_parsed() {
        for name in CHANGES {
            let name = std::str::from_utf8(name).unwrap();
            check(&format!(r#"{{"a":1,"eventName":{name}}}"#), true);
            check(&format!("{{\"eventName\" :\n\t {name} }}"), true);
            // Which of two names counts, and in which object, is for the parser to decide.
            check(
                &format!(r#"{{"a":{{"eventName":"ListUsers"}},"eventName":{name}}}"#),
                true,
            );
            check(
                &format!(r#"{{"eventName":{name},"a":{{"eventName":"ListUsers"}}}}"#),
                true,
            );
            check(&format!(r#"{{"detail":{{"eventName":{name}}}}}"#), true);

            check(&format!(r#"{{"eventName":"ListUsers","a":{name}}}"#), false);
            check(
                &format!(r#"{{"a":"eventName","b":{name},"eventName":"ListUsers"}}"#),
                false,
            );
            let in_text = name.replace('"', r#"\""#);
            check(
                &format!(r#"{{"a":"{{\"eventName\":{in_text}}}","eventName":"ListUsers"}}"#),
                false,
            );
        }
        for name in ["ListAccessKeys", "GetAccessKeyLastUsed", "CreateUser"] {
            check(&format!(r#"{{"eventName":"{name}"}}"#), false);
        }
    }

    #[test]
    fn non_records_and_escaped_names_are_parsed() {
        check("{}", true);
        check(r#"{"name":"CreateAccessKey"}"#, true);
        check(r#"{"eventName":"ListUsers","a":"\u004b"}"#, true);
        check(r#"{"eventName":"ListUsers","a":"\u0026 \n"}"#, false);
    }

    #[test]
    fn newest_time_is_found_in_any_form_and_order() {
        let newest = |times: &[&str]| {
            let mut newest = LatestEventTimes::by_clock(Timestamp::MAX_UTC);
            for time in times {
                newest.note_event_time(format!(r#"{{"eventTime" : {time}}}"#).as_bytes());
            }
            newest.times().map(|(_, time)| time.to_rfc3339()).next()
        };
        let usual = |second: u32| format!(r#""2024-01-01T00:00:{second:02}Z""#);
        let at = |second: u32| Some(format!("2024-01-01T00:00:{second:02}+00:00"));
        assert_eq!(newest(&[&usual(1), &usual(3), &usual(2)]), at(3));
        let without_zone = r#""2024-01-01 00:00:09""#;
        assert_eq!(newest(&[without_zone, &usual(8)]), at(9));
        assert_eq!(newest(&[&usual(8), without_zone]), at(9));
        let epoch = "1704067209000";
        assert_eq!(newest(&[epoch, &usual(8)]), at(9));
        assert_eq!(newest(&[&usual(8), epoch]), at(9));
        let no_time = r#""2024-99-01T00:00:00Z""#;
        assert_eq!(newest(&[no_time, &usual(1), "7", "null", no_time]), at(1));
        assert_eq!(newest(&[no_time, "{}"]), None);
    }

    #[test]
    fn each_account_has_its_newest_time() {
        let mut newest = LatestEventTimes::by_clock(Timestamp::MAX_UTC);
        for (second, account) in [
            (1, r#""recipientAccountId":"012345678901""#),
            (3, r#""recipientAccountId" : 12345678901"#),
            (5, r#""account":"111122223333""#),
            (7, r#""a":1"#),
            (
                8,
                r#""userIdentity":{"accountId":"444455556666"},"recipientAccountId":"-""#,
            ),
            (9, r#""recipientAccountId":"somebody""#),
        ] {
            let time = format!("2024-01-01T00:00:0{second}Z");
            newest.note_event_time(format!(r#"{{"eventTime":"{time}",{account}}}"#).as_bytes());
        }
        let seconds = newest
            .times()
            .map(|(account, time)| (account, time.timestamp() % 60));
        let expected = [
            (RecordAccount::Id(*b"012345678901"), 3),
            (RecordAccount::Id(*b"111122223333"), 5),
            (RecordAccount::Id(*b"444455556666"), 8),
            (RecordAccount::Odd, 9),
        ];
        assert_eq!(seconds.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn oldest_time_is_found_in_any_form_and_order() {
        let second = |second: u32| format!(r#""2024-01-01T00:00:{second:02}Z""#);
        let epoch = "1704067203000".to_owned();
        for (times, expected) in [
            (vec![second(5), second(3), second(4)], 3),
            (vec![second(3), second(9), second(5)], 3),
            (vec![epoch.clone(), second(9), second(5)], 3),
            (vec![second(9), second(5), epoch], 3),
        ] {
            let mut newest = LatestEventTimes::by_clock(Timestamp::MAX_UTC);
            for time in &times {
                newest.note_event_time(format!(r#"{{"eventTime":{time}}}"#).as_bytes());
            }
            let oldest = newest.oldest().map(|time| time.timestamp() % 60);
            assert_eq!(oldest, Some(expected), "{times:?}");
        }
    }

    #[test]
    fn records_later_than_the_clock_are_counted() {
        let mut newest =
            LatestEventTimes::by_clock(read_event_time("2024-01-01T00:00:05Z").unwrap());
        for time in [
            "00:00:09Z",
            "00:00:07Z",
            "00:00:05Z",
            "00:00:06",
            "00:00:01Z",
        ] {
            newest.note_event_time(format!(r#"{{"eventTime":"2024-01-01T{time}"}}"#).as_bytes());
        }
        assert_eq!(newest.after_clock(), 3);
    }
}
