//! Times and durations as typed on the command line.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use crate::detect::Timestamp;

/// Parses a duration: `2w`, `30d` or `12h`.
pub(super) fn duration(text: &str) -> Option<TimeDelta> {
    let number = |unit: char| Some(i64::from(text.strip_suffix(unit)?.parse::<u32>().ok()?));
    number('w')
        .map(TimeDelta::weeks)
        .or_else(|| number('d').map(TimeDelta::days))
        .or_else(|| number('h').map(TimeDelta::hours))
}

/// Parses a point in time: a time in RFC 3339, or a date, of which `of_day` chooses the point in UTC.
pub(super) fn point(
    text: &str,
    of_day: impl FnOnce(NaiveDate) -> Option<NaiveDateTime>,
) -> Option<Timestamp> {
    let day = || Some(of_day(text.parse().ok()?)?.and_utc());
    let time = || Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    day().or_else(time)
}

/// Parses the start of a period: a date from its beginning, a time, or an age.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    in_the_past(text, |day| day.and_hms_opt(0, 0, 0))
}

/// Parses the end of a period: a date up to its end, a time, or an age.
pub(super) fn until(text: &str) -> Result<Timestamp, String> {
    in_the_past(text, |day| day.and_hms_opt(23, 59, 59))
}

fn in_the_past(
    text: &str,
    of_day: impl FnOnce(NaiveDate) -> Option<NaiveDateTime>,
) -> Result<Timestamp, String> {
    let ago = || Utc::now().checked_sub_signed(duration(text)?);
    ago().or_else(|| point(text, of_day)).ok_or_else(|| {
        "use a date (2026-03-07), a time (2026-03-07T02:47:00Z), or an age (2w, 7d, 12h)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_the_start_of_a_day_and_until_its_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(since("2026-03-07"), Ok(at("2026-03-07T00:00:00Z")));
        assert_eq!(until("2026-03-07"), Ok(at("2026-03-07T23:59:59Z")));
        let time = "2026-03-07T02:47:00+01:00";
        assert_eq!(since(time), Ok(at("2026-03-07T01:47:00Z")));
        assert!(since("12h").unwrap() > since("1d").unwrap());
        assert!(since("6d").unwrap() > since("1w").unwrap());
        assert!(since("8d").unwrap() < since("1w").unwrap());
        for text in ["", "soon", "-1d", "2026-13-01", "d", "99999999999d"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
