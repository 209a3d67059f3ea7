//! The number of files of each kind, for the summary.

use crate::local::log_pass::PLAIN;
use crate::local::log_reading::LogReading;

/// The number of files by kind, or `None` without files.
pub(super) fn line(reading: &LogReading) -> Option<String> {
    let mut kinds: Vec<(&str, u64)> = reading
        .sources
        .iter()
        .map(|(kind, count)| (*kind, *count))
        .collect();
    kinds.sort_by_key(|(kind, count)| (*kind != PLAIN, std::cmp::Reverse(*count), *kind));
    let mut parts: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| match (*kind, *count) {
            (PLAIN, count) => format!("{count} {PLAIN}"),
            (kind, 1) => format!("1 {kind} export"),
            (kind, count) => format!("{count} {kind} exports"),
        })
        .collect();
    for (count, what) in [
        (reading.unreadable_logs, "not readable"),
        (reading.not_logs, "not a log"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let files = kinds.iter().map(|(_, count)| count).sum::<u64>()
        + reading.unreadable_logs
        + reading.not_logs;
    match files {
        0 => None,
        1 => Some(format!("1 file: {}.", parts.join(", "))),
        files => Some(format!("{files} files: {}.", parts.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sources: &[(&'static str, u64)], unreadable: u64, not: u64, expected: Option<&str>) {
        let reading = LogReading {
            sources: sources.iter().copied().collect(),
            unreadable_logs: unreadable,
            not_logs: not,
            ..LogReading::default()
        };
        assert_eq!(line(&reading).as_deref(), expected);
    }

    #[test]
    fn files_are_counted_by_kind() {
        check(&[], 0, 0, None);
        check(&[(PLAIN, 1)], 0, 0, Some("1 file: 1 CloudTrail."));
        check(
            &[("Athena", 1), ("CloudWatch Logs", 3), (PLAIN, 2)],
            1,
            2,
            Some(
                "9 files: 2 CloudTrail, 3 CloudWatch Logs exports, 1 Athena export, \
                 1 not readable, 2 not a log.",
            ),
        );
    }
}
