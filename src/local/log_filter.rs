//! What can be told of a record's bytes without parsing them, for all but one in a thousand are passed over.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::detect::Timestamp;
use crate::detect::key_change::read_event_time;

/// The calls that `read_key_change` reads, as they stand in a record; of `AttachUserPolicy` few.
const CHANGES: [&[u8]; 6] = [
    b"\"CreateAccessKey\"",
    b"\"UpdateAccessKey\"",
    b"\"DeleteAccessKey\"",
    b"\"UpdateUser\"",
    b"\"DeleteUser\"",
    b"\"AttachUserPolicy\"",
];

static EVENT_NAME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"eventName\""));
static EVENT_TIME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"eventTime\""));
static RECIPIENT_ACCOUNT: LazyLock<Finder<'_>> =
    LazyLock::new(|| Finder::new(b"\"recipientAccountId\""));
static ENVELOPE_ACCOUNT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"account\""));
static CALLERS_ACCOUNT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"accountId\""));
static ESCAPED_ASCII: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(br"\u00"));

/// Whether a record has to be parsed: one of its `eventName`s, wherever it stands, is or may be a key change's. What else
/// names a change, a policy or a user agent, does not count. A record that names no event is parsed too, for it may be no
/// record at all.
pub(super) fn may_be_key_change(record: &[u8]) -> bool {
    let mut values = EVENT_NAME
        .find_iter(record)
        .filter_map(|at| record.get(at + EVENT_NAME.needle().len()..))
        .peekable();
    values.peek().is_none() || values.any(is_change) || spells_letters(record)
}

/// Whether what follows a name is a colon and the name of a change.
fn is_change(after_name: &[u8]) -> bool {
    let value = after_name.trim_ascii_start().strip_prefix(b":");
    value.is_some_and(|value| {
        let value = value.trim_ascii_start();
        CHANGES.iter().any(|change| value.starts_with(change))
    })
}

/// JSON allows a letter to be written `\u0041`; letters begin with these digits.
fn spells_letters(record: &[u8]) -> bool {
    ESCAPED_ASCII.find_iter(record).any(|at| {
        let digit = record.get(at + ESCAPED_ASCII.needle().len());
        matches!(digit, Some(b'4'..=b'7'))
    })
}

/// The newest `eventTime` of the records that it was shown, by account, and how many are later than
/// a clock.
#[derive(Debug)]
pub(super) struct Newest {
    clock: Timestamp,
    clock_text: String,
    latest: BTreeMap<Account, Latest>,
    after_clock: u64,
}

/// An account, as far as that can be told without parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Account {
    /// Its twelve digits.
    Id([u8; ACCOUNT_DIGITS]),
    /// The record names none in the form of an account id.
    Odd,
}

/// How many digits an account id has.
const ACCOUNT_DIGITS: usize = 12;

#[derive(Debug, Default)]
struct Latest {
    time: Option<Timestamp>,
    /// The same as a record wrote it, if that was in the usual form.
    text: [u8; USUAL.len()],
}

/// The form of almost every `eventTime`. Of two such texts the later time is the greater text.
const USUAL: &[u8; 20] = b"0000-00-00T00:00:00Z";

impl Newest {
    /// Has seen no record; `clock` is what this machine's clock shows.
    pub(super) fn by_clock(clock: Timestamp) -> Self {
        Self {
            clock,
            clock_text: clock.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            latest: BTreeMap::new(),
            after_clock: 0,
        }
    }

    /// Looks at the first `eventTime` in `record`.
    pub(super) fn see(&mut self, record: &[u8]) {
        let Some(text) = event_time_in(record) else {
            return;
        };
        let usual = <&[u8; USUAL.len()]>::try_from(text)
            .ok()
            .copied()
            .filter(is_usual);
        let latest = self.latest.entry(account_in(record)).or_default();
        // Parsing a time takes as long as all the rest of a record that is passed over.
        if let Some(text) = usual.filter(|text| *text <= latest.text) {
            self.after_clock += u64::from(text.as_slice() > self.clock_text.as_bytes());
            return;
        }
        if let Some(time) = std::str::from_utf8(text).ok().and_then(read_event_time) {
            latest.time = latest.time.max(Some(time));
            if let Some(text) = usual {
                latest.text = text;
            }
            self.after_clock += u64::from(time > self.clock);
        }
    }

    /// The newest time of each account.
    pub(super) fn times(&self) -> impl Iterator<Item = (Account, Timestamp)> {
        self.latest
            .iter()
            .filter_map(|(account, latest)| Some((*account, latest.time?)))
    }

    /// How many records are later than the clock.
    pub(super) fn after_clock(&self) -> u64 {
        self.after_clock
    }
}

/// The account that `record` names: `recipientAccountId`, else the one of the envelope around it,
/// else the caller's.
fn account_in(record: &[u8]) -> Account {
    [&RECIPIENT_ACCOUNT, &ENVELOPE_ACCOUNT, &CALLERS_ACCOUNT]
        .into_iter()
        .find_map(|name| {
            let at = name.find(record)? + name.needle().len();
            account_at(record.get(at..)?)
        })
        .map_or(Account::Odd, Account::Id)
}

/// The account id in what follows the name of its field.
fn account_at(after: &[u8]) -> Option<[u8; ACCOUNT_DIGITS]> {
    let value = after.trim_ascii_start().strip_prefix(b":")?;
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    // A relay that made a number of it lost the leading zeros.
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
    fn only_what_may_name_a_change_in_its_event_name_is_parsed() {
        for name in CHANGES {
            let name = std::str::from_utf8(name).unwrap();
            check(&format!(r#"{{"a":1,"eventName":{name}}}"#), true);
            check(&format!("{{\"eventName\" :\n\t {name} }}"), true);
            // Which of two counts, and in which object, the parser says.
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
    fn what_may_be_no_record_or_is_spelled_with_escapes_is_parsed() {
        check("{}", true);
        check(r#"{"name":"CreateAccessKey"}"#, true);
        check(r#"{"eventName":"ListUsers","a":"\u004b"}"#, true);
        check(r#"{"eventName":"ListUsers","a":"\u0026 \n"}"#, false);
    }

    #[test]
    fn the_newest_time_is_known_in_whatever_form_and_order_it_comes() {
        let newest = |times: &[&str]| {
            let mut newest = Newest::by_clock(Timestamp::MAX_UTC);
            for time in times {
                newest.see(format!(r#"{{"eventTime" : {time}}}"#).as_bytes());
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
    fn each_account_has_its_newest_time_in_whatever_form_it_is_named() {
        let mut newest = Newest::by_clock(Timestamp::MAX_UTC);
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
            newest.see(format!(r#"{{"eventTime":"{time}",{account}}}"#).as_bytes());
        }
        let seconds = newest
            .times()
            .map(|(account, time)| (account, time.timestamp() % 60));
        let expected = [
            (Account::Id(*b"012345678901"), 3),
            (Account::Id(*b"111122223333"), 5),
            (Account::Id(*b"444455556666"), 8),
            (Account::Odd, 9),
        ];
        assert_eq!(seconds.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn records_later_than_the_clock_are_counted_in_whatever_form_and_order() {
        let mut newest = Newest::by_clock(read_event_time("2024-01-01T00:00:05Z").unwrap());
        for time in [
            "00:00:09Z",
            "00:00:07Z",
            "00:00:05Z",
            "00:00:06",
            "00:00:01Z",
        ] {
            newest.see(format!(r#"{{"eventTime":"2024-01-01T{time}"}}"#).as_bytes());
        }
        assert_eq!(newest.after_clock(), 3);
    }
}
