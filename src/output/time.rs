//! Times and durations, for people and for programs.

use chrono::{SecondsFormat, TimeDelta};

use crate::detect::Timestamp;

/// `at` as `2026-11-23 04:05:06 UTC`.
#[must_use]
pub(crate) fn readable(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `at` in RFC 3339, in UTC and whole seconds: `2026-11-23T04:05:06Z`.
#[must_use]
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `duration` in words, in at most two units: `45 s`, `20 min`, `3 h 20 min`, `2 days`. A negative
/// duration, which comes from clocks that differ, counts as zero.
#[must_use]
pub fn duration(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (2.., _, _) => format!("{days} days"),
        (_, 1.., _) if minutes % 60 == 0 => format!("{hours} h"),
        (_, 1.., _) => format!("{hours} h {} min", minutes % 60),
        (_, _, 1..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        for (seconds, words) in [
            (-5, "0 s"),
            (45, "45 s"),
            (60, "1 min"),
            (1_259, "20 min"),
            (3_600, "1 h"),
            (12_000, "3 h 20 min"),
            (86_400, "24 h"),
            (172_799, "47 h 59 min"),
            (172_800, "2 days"),
            (86_400 * 400, "400 days"),
        ] {
            assert_eq!(duration(TimeDelta::seconds(seconds)), words);
        }
    }
}
