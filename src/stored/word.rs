//! Stored words and times.

use std::fmt;
use std::marker::PhantomData;

use chrono::{SecondsFormat, SubsecRound};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::detect::Timestamp;
use crate::detect::decision::relation::Relation;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::events::leak::LeakSignal;
use crate::detect::findings::alert::FindingUpdate;
use crate::detect::findings::digest::DigestKind;
use crate::detect::findings::finding::{CloseReason, FindingStatus, FoundBy};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::trail::audit::AuditKind;

/// A value that is stored as one of a few words. These are not the displayed words.
pub(crate) trait Word: Copy {
    /// What the word means, for an error message.
    const WHAT: &'static str;

    /// The stored word.
    fn to_word(self) -> &'static str;

    /// The value of `word`.
    fn from_word(word: &str) -> Option<Self>;
}

/// Defines a type's words, each in one place for both directions, so that no variant is forgotten.
macro_rules! words {
    ($type:ty, $what:literal, { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl Word for $type {
            const WHAT: &'static str = $what;

            fn to_word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words!(KeyStatus, "key status", {
    Active => "active",
    Inactive => "inactive",
    Gone => "gone",
});

words!(FindingStatus, "finding status", {
    Open => "open",
    Suppressed => "suppressed",
    Closed => "closed",
});

words!(Severity, "severity", {
    Medium => "medium",
    High => "high",
    Critical => "critical",
});

words!(SeverityReason, "severity reason", {
    Root => "root",
    OutlivedWindow => "outlived_window",
    UntrustedActor => "untrusted_actor",
    DormantKey => "dormant_key",
    UnfamiliarActor => "unfamiliar_actor",
    LeakedKey => "leaked_key",
});

words!(Relation, "relation", {
    Own => "own",
    Trusted => "trusted",
    Familiar => "familiar",
    Unfamiliar => "unfamiliar",
});

words!(LeakSignal, "leak signal", {
    Quarantine => "quarantine",
    Exposed => "exposed",
    ExposureSuspected => "exposure_suspected",
});

words!(CloseReason, "reason for closing", {
    Deactivated => "deactivated",
    Deleted => "deleted",
    UserDeleted => "user_deleted",
    Renamed => "renamed",
    NeverConfirmed => "never_confirmed",
    AccountLeft => "account_left",
    AccountExcluded => "account_excluded",
});

words!(FindingUpdate, "kind of update", {
    Keys => "keys",
    Opener => "opener",
    Continues => "continues",
    OpenedAt => "since",
    Severity => "severity",
    OutlivedWindow => "outlived_window",
    Exempted => "exempted",
    ExemptionEnded => "exemption_ended",
    Leaked => "leaked",
});

words!(DigestKind, "kind of digest", {
    Baseline => "baseline",
    Reminder => "reminder",
});

words!(FoundBy, "way of finding", {
    Event => "event",
    Sweep => "sweep",
    Baseline => "baseline",
});

impl Word for AuditKind {
    const WHAT: &'static str = "kind of audit entry";

    // The word that is hashed.
    fn to_word(self) -> &'static str {
        self.word()
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::parse(word)
    }
}

/// A [`Word`] in a stored struct.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<T>(pub(super) T);

impl<T: Word> Serialize for Stored<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_word())
    }
}

impl<'de, T: Word> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WordVisitor(PhantomData))
    }
}

struct WordVisitor<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for WordVisitor<T> {
    type Value = Stored<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the word for a {}", T::WHAT)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
        T::from_word(word).map(Stored).ok_or_else(|| {
            E::custom(format_args!(
                "`{}` is no {} that this release knows",
                word.escape_debug(),
                T::WHAT
            ))
        })
    }
}

/// A stored time: RFC 3339 in UTC with milliseconds, so that times sort as text, and the audit
/// chain, which hashes whole milliseconds, hashes what is stored. The rest is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Timestamp);

/// A time as it is stored.
pub(crate) fn time_text(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time_text(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an RFC 3339 time")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        // Not `parse_from_rfc3339`: an untrusted event time plus a window may be after the year
        // 9999.
        text.parse::<Timestamp>()
            .map(|time| Time(time.trunc_subsecs(3)))
            .map_err(|_| E::custom(format_args!("`{}` is no time", text.escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn an_unknown_word_is_named() {
        let error = serde_json::from_str::<Stored<Severity>>("\"apocalyptic\"").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`apocalyptic` is no severity that this release knows"),
            "{error}"
        );
    }

    #[test]
    fn times_are_truncated_to_milliseconds() {
        let fine = DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap();
        let stored = serde_json::to_string(&Time(fine)).unwrap();
        assert_eq!(stored, "\"2023-11-14T22:13:20.123Z\"");
        let read: Time = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.0, fine.trunc_subsecs(3));
    }

    #[test]
    fn a_time_past_the_year_9999_is_read_again() {
        let last = DateTime::parse_from_rfc3339("9999-12-31T23:59:59Z").unwrap();
        let late = Time(last.to_utc() + TimeDelta::hours(24));
        let stored = serde_json::to_string(&late).unwrap();
        assert_eq!(serde_json::from_str::<Time>(&stored).unwrap(), late);
    }
}
