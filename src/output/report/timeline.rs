//! A picture of when users had two active keys: how many at a time, and a row for each of the users
//! who had them longest.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};

use crate::detect::Timestamp;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::output::report::period::Period;
use crate::output::snapshot::FindingSnapshot;

/// How many users have a row. More rows would not be read, and the table of findings has them all.
pub(super) const MAX_ROWS: usize = 40;

/// How many slices of the period the count of users has.
pub(super) const SLICES: usize = 96;

/// The most marks on the time axis. With more, their labels would touch.
const MAX_TICKS: usize = 6;

/// The picture of a period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timeline<'a> {
    /// How many users had two active keys at some time in each slice.
    pub(super) slices: Vec<usize>,
    /// How long a slice is.
    pub(super) slice: TimeDelta,
    /// The users who had two active keys longest.
    pub(super) rows: Vec<Row<'a>>,
    /// How many users have no row.
    pub(super) more: usize,
    /// The marks on the time axis.
    pub(super) ticks: Vec<Tick>,
}

/// One user's windows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row<'a> {
    /// The latest of the findings, for the name.
    pub(super) latest: &'a Finding,
    /// How long the user had two active keys within the period.
    pub(super) total: TimeDelta,
    /// The windows, the earliest first.
    pub(super) windows: Vec<Window<'a>>,
}

/// A window of two active keys, cut to the period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window<'a> {
    /// The finding.
    pub(super) finding: &'a Finding,
    /// The time up to which it is known to have been open.
    pub(super) known_until: Timestamp,
    /// Where it starts, from 0 for the start of the period to 1 for its end.
    pub(super) start: f64,
    /// Where it ends, as far as known.
    pub(super) end: f64,
    /// Whether it is open, and nothing is known about the rest of the period.
    pub(super) is_end_unknown: bool,
}

/// A mark on the time axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Its position, from 0 to 1.
    pub(super) place: f64,
    /// Its label.
    pub(super) label: String,
}

impl Window<'_> {
    /// The color of the window: `suppressed`, or the severity.
    pub(super) fn kind(&self) -> &'static str {
        match (self.finding.status, self.finding.severity) {
            (FindingStatus::Suppressed, _) => "suppressed",
            (_, Severity::Medium) => "medium",
            (_, Severity::High) => "high",
            (_, Severity::Critical) => "critical",
        }
    }
}

/// The picture of `findings`, the findings of the period.
pub(super) fn timeline<'a>(findings: &[&'a FindingSnapshot], period: &Period) -> Timeline<'a> {
    let mut by_user: BTreeMap<&UserId, Row<'a>> = BTreeMap::new();
    let mut in_order = findings.to_vec();
    in_order.sort_by_key(|one| (one.alert.finding.opened_at, &one.alert.finding.id));
    for snapshot in in_order {
        let (finding, known_until) = (&snapshot.alert.finding, snapshot.known_until());
        let (from, to) = (
            finding.opened_at.max(period.from),
            known_until.min(period.to),
        );
        let row = by_user.entry(finding.user()).or_insert_with(|| Row {
            latest: finding,
            total: TimeDelta::zero(),
            windows: vec![],
        });
        row.latest = finding;
        row.total += (to - from).max(TimeDelta::zero());
        row.windows.push(Window {
            finding,
            known_until,
            start: period.place_of(from),
            end: period.place_of(to),
            is_end_unknown: finding.closing.is_none() && known_until < period.to,
        });
    }
    let users = by_user.len();
    let slices = slices(by_user.values());
    let mut rows: Vec<Row<'a>> = by_user.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.total));
    rows.truncate(MAX_ROWS);
    Timeline {
        more: users - rows.len(),
        rows,
        slices,
        slice: (period.to - period.from) / i32::try_from(SLICES).unwrap_or(1),
        ticks: ticks(period),
    }
}

fn slices<'a>(rows: impl Iterator<Item = &'a Row<'a>>) -> Vec<usize> {
    let mut slices = vec![0; SLICES];
    for row in rows {
        let touched: BTreeSet<usize> = row
            .windows
            .iter()
            .flat_map(|window| slice_of(window.start)..=slice_of(window.end))
            .collect();
        for slice in touched {
            if let Some(count) = slices.get_mut(slice) {
                *count += 1;
            }
        }
    }
    slices
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place is from 0 to 1, and there are few slices"
)]
fn slice_of(place: f64) -> usize {
    ((place * SLICES as f64) as usize).min(SLICES - 1)
}

/// Round moments in the period, few enough to read.
fn ticks(period: &Period) -> Vec<Tick> {
    let hours = |hours| TickInterval::Even(TimeDelta::hours(hours));
    let days = |days| TickInterval::Even(TimeDelta::days(days));
    let steps = [
        hours(1),
        hours(3),
        hours(6),
        hours(12),
        days(1),
        days(2),
        days(7),
        TickInterval::Months(1),
        TickInterval::Months(3),
        TickInterval::Months(6),
        TickInterval::Months(12),
        TickInterval::Months(60),
        TickInterval::Months(240),
    ];
    let moments = steps
        .iter()
        .map(|step| (step, step.moments(period)))
        .find(|(_, moments)| moments.len() <= MAX_TICKS);
    let Some((step, moments)) = moments else {
        return vec![];
    };
    let format = match step {
        TickInterval::Even(length) if *length < TimeDelta::days(1) => "%m-%d %H:%M",
        TickInterval::Even(_) => "%Y-%m-%d",
        TickInterval::Months(_) => "%Y-%m",
    };
    moments
        .into_iter()
        .map(|at| Tick {
            place: period.place_of(at),
            label: at.format(format).to_string(),
        })
        .collect()
}

/// The distance between marks.
enum TickInterval {
    Even(TimeDelta),
    Months(u32),
}

impl TickInterval {
    /// The moments of a period that are whole multiples of the step; at most one more than
    /// [`MAX_TICKS`].
    fn moments(&self, period: &Period) -> Vec<Timestamp> {
        let first = match self {
            Self::Even(length) => {
                let seconds = length.num_seconds().max(1);
                let steps = period.from.timestamp().div_euclid(seconds);
                DateTime::from_timestamp(steps * seconds, 0)
            }
            Self::Months(months) => {
                let (year, month) = (period.from.year(), period.from.month0());
                // Years have 12 months each, so whole multiples of a step of years start at round
                // years.
                let count = i64::from(year) * 12 + i64::from(month);
                let step = i64::from(*months);
                let count = count.div_euclid(step) * step;
                i32::try_from(count.div_euclid(12))
                    .ok()
                    .zip(u32::try_from(count.rem_euclid(12)).ok())
                    .and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month + 1, 1))
                    .map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc())
            }
        };
        let next = |at: &DateTime<Utc>| match self {
            Self::Even(length) => at.checked_add_signed(*length),
            Self::Months(months) => at.checked_add_months(Months::new(*months)),
        };
        std::iter::successors(first, next)
            .skip_while(|at| *at < period.from)
            .take_while(|at| *at < period.to)
            .take(MAX_TICKS + 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::findings::finding::FindingId;
    use crate::detect::testing::at;
    use crate::output::testing;

    fn period(from: i64, to: i64) -> Period {
        Period {
            from: at(from),
            to: at(to),
            now: at(1_000_000),
        }
    }

    fn of(name: &str, episode: u32, finding: Finding) -> FindingSnapshot {
        let user = UserId::new("1", name);
        let finding = Finding {
            id: FindingId { user, episode },
            ..finding
        };
        testing::stored(finding, at(1_000_000))
    }

    fn labels(from: &str, to: &str) -> Vec<String> {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let period = Period {
            from: at(from),
            to: at(to),
            now: at(to),
        };
        ticks(&period).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn user_has_one_row_with_windows_cut_to_the_period() {
        // Open from second 2 to second 12,002, and then from second 50,002 on.
        let closed = of("alice", 1, testing::closed().finding);
        let again = Finding {
            opened_at: at(50_002),
            ..testing::opened().finding
        };
        let again = of("alice", 2, again);
        let findings = [&again, &closed];
        let timeline = timeline(&findings, &period(2_002, 102_002));
        assert_eq!(timeline.more, 0);
        let [row] = &timeline.rows[..] else {
            panic!("{timeline:?}")
        };
        assert_eq!(row.latest, &again.alert.finding);
        assert_eq!(row.total, TimeDelta::seconds(10_000 + 52_000));
        let places: Vec<(f64, f64)> = row.windows.iter().map(|one| (one.start, one.end)).collect();
        assert_eq!(places, [(0.0, 0.1), (0.48, 1.0)]);
        assert_eq!(timeline.slices[0], 1);
        assert_eq!(timeline.slices[20], 0);
        assert_eq!(timeline.slices[SLICES - 1], 1);
    }

    #[test]
    fn an_open_window_ends_where_the_knowledge_of_the_store_ends() {
        let mut open = of("alice", 1, testing::opened().finding);
        open.alert.at = at(5_002);
        let closed = of("bob", 1, testing::closed().finding);
        let findings = [&open, &closed];
        let timeline = timeline(&findings, &period(2, 20_002));
        let window = |user: usize| &timeline.rows[user].windows[0];
        // Bob's is the longer one: his is known to have been open for 12,000 seconds.
        assert!(!window(0).is_end_unknown);
        assert!(window(1).is_end_unknown);
        assert!((window(1).end - 0.25).abs() < 1e-9);
        assert_eq!(timeline.rows[1].total, TimeDelta::seconds(5_000));
        assert_eq!(timeline.slices[SLICES - 1], 0);
    }

    #[test]
    fn slice_counts_each_user_once() {
        let closed = testing::closed().finding;
        let findings = [
            of("a", 1, closed.clone()),
            of("a", 2, closed.clone()),
            of("b", 1, closed),
        ];
        let findings: Vec<&FindingSnapshot> = findings.iter().collect();
        let timeline = timeline(&findings, &period(0, 20_000));
        assert_eq!(timeline.slices.iter().max(), Some(&2));
    }

    #[test]
    fn only_users_with_longest_windows_have_rows_rest_are_counted() {
        let findings: Vec<FindingSnapshot> = (0..100)
            .map(|number| {
                let finding = Finding {
                    opened_at: at(number),
                    ..testing::opened().finding
                };
                of(&format!("user-{number}"), 1, finding)
            })
            .collect();
        let findings: Vec<&FindingSnapshot> = findings.iter().rev().collect();
        let timeline = timeline(&findings, &period(0, 20_000));
        assert_eq!((timeline.rows.len(), timeline.more), (MAX_ROWS, 60));
        assert_eq!(timeline.rows[0].latest.user().name(), "user-0");
        assert_eq!(timeline.rows[39].latest.user().name(), "user-39");
    }

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(
            labels("2026-01-15T10:00:00Z", "2026-04-20T00:00:00Z"),
            ["2026-02", "2026-03", "2026-04"]
        );
        assert_eq!(
            labels("2026-03-01T00:00:00Z", "2026-03-04T00:00:00Z"),
            [
                "03-01 00:00",
                "03-01 12:00",
                "03-02 00:00",
                "03-02 12:00",
                "03-03 00:00",
                "03-03 12:00"
            ]
        );
        assert_eq!(
            labels("2026-03-30T12:00:00Z", "2026-04-03T12:00:00Z"),
            ["2026-03-31", "2026-04-01", "2026-04-02", "2026-04-03"]
        );
        assert_eq!(
            labels("2011-05-01T00:00:00Z", "2026-05-01T00:00:00Z"),
            ["2015-01", "2020-01", "2025-01"]
        );
        assert_eq!(
            labels("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z"),
            [""; 0]
        );
    }
}
