//! The period of a report.

use crate::detect::Timestamp;
use crate::detect::findings::finding::Finding;

/// A period, and the moment that the report treats as now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// The first moment in it.
    pub from: Timestamp,
    /// The first moment after it. Never later than now.
    pub to: Timestamp,
    /// When the store was read.
    pub now: Timestamp,
}

impl Period {
    /// Whether the window of `finding`, from its opening to its closing or to now, overlaps the
    /// period.
    #[must_use]
    pub(crate) fn has(&self, finding: &Finding) -> bool {
        let is_begun = finding.opened_at < self.to || self.reaches_now();
        let closing = finding.closing.as_ref();
        let end = closing.map_or(self.now, |closing| closing.at);
        is_begun && end >= self.from
    }

    /// Whether the finding was open in the last moment of the period.
    #[must_use]
    pub(crate) fn has_open_at_end(&self, finding: &Finding) -> bool {
        self.has(finding)
            && finding
                .closing
                .as_ref()
                .is_none_or(|closing| closing.at >= self.to)
    }

    /// Whether the period reaches until now.
    #[must_use]
    pub(crate) fn reaches_now(&self) -> bool {
        self.to >= self.now
    }

    /// The position of `at` in the period, from 0 for its start to 1 for its end. Moments outside
    /// are moved to the nearer end.
    #[must_use]
    pub(crate) fn place_of(&self, at: Timestamp) -> f64 {
        let whole = (self.to - self.from).as_seconds_f64();
        if whole <= 0.0 {
            return 0.0;
        }
        ((at - self.from).as_seconds_f64() / whole).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::at;
    use crate::output::testing;

    fn period(from: i64, to: i64) -> Period {
        Period {
            from: at(from),
            to: at(to),
            now: at(100_000),
        }
    }

    #[test]
    fn finding_is_in_a_period_that_its_window_overlaps() {
        // From second 2 to second 12,002.
        let closed = testing::closed().finding;
        for (from, to, is_in) in [
            (-10, 2, false),
            (-10, 3, true),
            (100, 200, true),
            (12_002, 13_000, true),
            (12_003, 13_000, false),
            (-10, 100_000, true),
        ] {
            assert_eq!(period(from, to).has(&closed), is_in, "{from} to {to}");
        }
        let open = testing::opened().finding;
        assert!(period(50_000, 60_000).has(&open), "it goes on until now");
        assert!(!period(-10, 2).has(&open));
    }

    #[test]
    fn finding_closed_after_the_period_is_open_at_its_end() {
        let (open, closed) = (testing::opened().finding, testing::closed().finding);
        assert!(period(0, 12_002).has_open_at_end(&closed));
        assert!(!period(0, 12_003).has_open_at_end(&closed));
        assert!(period(0, 12_003).has_open_at_end(&open));
        assert!(!period(-10, 1).has_open_at_end(&open));
    }

    #[test]
    fn place_is_within_bounds_even_for_an_empty_period() {
        let period = period(0, 1_000);
        let places = [-5, 0, 250, 1_000, 9_999].map(|second| period.place_of(at(second)));
        assert!((places[2] - 0.25).abs() < 1e-9);
        assert!(places.iter().all(|place| (0.0..=1.0).contains(place)));
        let empty = Period {
            to: period.from,
            ..period
        };
        assert!(empty.place_of(at(7)).abs() < 1e-9);
    }
}
