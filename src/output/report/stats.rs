//! The figures of a report: how fast findings are seen and closed, and how many there are of each
//! kind.
//!
//! Median and 95th percentile are by nearest rank: of `n` values in order, the one at place `n *
//! percent / 100`, rounded up. So each is a duration that did occur.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::detect::findings::finding::{CloseReason, Finding, FoundBy};

/// How long something took, over several findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurationStats {
    /// How many findings count.
    pub n: usize,
    /// Half of them took at most this long.
    pub median: TimeDelta,
    /// 95 in 100 of them took at most this long.
    pub p95: TimeDelta,
    /// The longest.
    pub worst: TimeDelta,
}

impl DurationStats {
    /// The statistics of `durations`; `None` if there are none.
    #[must_use]
    pub(crate) fn of(mut durations: Vec<TimeDelta>) -> Option<Self> {
        durations.sort_unstable();
        Some(Self {
            n: durations.len(),
            median: nearest_rank(&durations, 50)?,
            p95: nearest_rank(&durations, 95)?,
            worst: *durations.last()?,
        })
    }
}

/// The value at the nearest rank of `percent`, of `sorted` values.
fn nearest_rank(sorted: &[TimeDelta], percent: usize) -> Option<TimeDelta> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// How long after the event each finding was seen. Only findings that an event opened count: for
/// the others, it is not known when the second key became active. A finding that continues under a
/// new name was seen before.
#[must_use]
pub(crate) fn time_to_detect(findings: &[&Finding]) -> Option<DurationStats> {
    let counted = findings.iter().filter(|finding| {
        finding.found_by == FoundBy::Event
            && !finding.is_opened_at_estimated
            && finding.opener.is_some()
            && finding.continues.is_none()
    });
    DurationStats::of(
        counted
            .map(|finding| (finding.detected_at - finding.opened_at).max(TimeDelta::zero()))
            .collect(),
    )
}

/// How long two keys were active, for closed findings. If the start is an estimate, this is an
/// upper bound.
#[must_use]
pub(crate) fn time_to_close(findings: &[&Finding]) -> Option<DurationStats> {
    let durations = findings.iter().filter_map(|finding| closed_after(finding));
    DurationStats::of(durations.collect())
}

/// How long two keys were active until `finding` was closed. Two kinds do not count: a renamed
/// user's finding continues as another finding, and a finding without any listing that showed two
/// active keys had nothing to close.
#[must_use]
pub(crate) fn closed_after(finding: &Finding) -> Option<TimeDelta> {
    let closing = finding.closing.as_ref()?;
    let is_cleanup = !matches!(
        closing.reason,
        CloseReason::Renamed
            | CloseReason::NeverConfirmed
            | CloseReason::AccountLeft
            | CloseReason::AccountExcluded
    );
    is_cleanup.then(|| (closing.at - finding.opened_at).max(TimeDelta::zero()))
}

/// How often each of `values` occurs: the most frequent first, equally frequent ones in order.
#[must_use]
pub(crate) fn counts<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<(T, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::at;
    use crate::output::testing;

    fn seconds(values: impl IntoIterator<Item = i64>) -> Vec<TimeDelta> {
        values.into_iter().map(TimeDelta::seconds).collect()
    }

    #[track_caller]
    fn check(values: Vec<TimeDelta>, n: usize, median: i64, p95: i64, worst: i64) {
        let expected = DurationStats {
            n,
            median: TimeDelta::seconds(median),
            p95: TimeDelta::seconds(p95),
            worst: TimeDelta::seconds(worst),
        };
        assert_eq!(DurationStats::of(values), Some(expected));
    }

    #[test]
    fn median_and_95th_are_by_nearest_rank() {
        assert_eq!(DurationStats::of(vec![]), None);
        check(seconds([7]), 1, 7, 7, 7);
        check(seconds([9, 1]), 2, 1, 9, 9);
        check(seconds([3, 1, 2]), 3, 2, 3, 3);
        check(seconds(1..=20), 20, 10, 19, 20);
        check(seconds(1..=21), 21, 11, 20, 21);
        check(seconds((1..=100).rev()), 100, 50, 95, 100);
    }

    #[test]
    fn only_findings_from_events_count_in_time_to_detect() {
        let by_event = testing::opened().finding;
        let found_by_sweep = Finding {
            found_by: FoundBy::Sweep,
            ..by_event.clone()
        };
        let nobody_told = Finding {
            opener: None,
            ..by_event.clone()
        };
        let renamed = Finding {
            continues: Some(by_event.id.clone()),
            ..by_event.clone()
        };
        // An event that may have changed nothing does not tell when the second key became active.
        let estimated = Finding {
            is_opened_at_estimated: true,
            ..by_event.clone()
        };
        let detected = time_to_detect(&[
            &by_event,
            &found_by_sweep,
            &nobody_told,
            &renamed,
            &estimated,
        ]);
        let expected = DurationStats::of(seconds([12]));
        assert_eq!(detected, expected);
    }

    #[test]
    fn clock_that_runs_ahead_counts_as_no_delay() {
        let finding = Finding {
            detected_at: at(0),
            ..testing::opened().finding
        };
        assert_eq!(time_to_detect(&[&finding]), DurationStats::of(seconds([0])));
    }

    #[test]
    fn only_cleanups_count_in_the_time_to_close() {
        let closed = testing::closed().finding;
        let with = |reason| {
            let mut finding = closed.clone();
            finding.closing.as_mut().unwrap().reason = reason;
            finding
        };
        let open = testing::opened().finding;
        let (renamed, never) = (
            with(CloseReason::Renamed),
            with(CloseReason::NeverConfirmed),
        );
        let spread = time_to_close(&[&closed, &open, &renamed, &never]);
        assert_eq!(spread, DurationStats::of(seconds([12_000])));
        assert_eq!(time_to_close(&[&open]), None);
    }

    #[test]
    fn counts_sort_by_frequency_then_value() {
        let counted = counts(["b", "a", "c", "c"]);
        assert_eq!(counted, [("c", 2), ("a", 1), ("b", 1)]);
    }
}
