//! Since when two keys have been active, and whether that is known or only the earliest possible time.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingKey, Opener};
use crate::detect::listing::KeyStatus;
use crate::detect::severity::{Severity, SeverityReason};
use crate::detect::user_record::UserRecord;

/// Since when two keys have been active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// When.
    pub at: Timestamp,
    /// Whether `at` is an estimate: two keys can have been active together at the earliest since.
    pub is_estimated: bool,
}

impl Since {
    /// What `finding` says.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        Self {
            at: finding.opened_at,
            is_estimated: finding.is_since_estimated,
        }
    }

    /// When a rotation window of length `window` ends.
    #[must_use]
    pub fn window_ends_at(self, window: TimeDelta) -> Timestamp {
        self.at + window
    }

    fn known(at: Timestamp) -> Self {
        Self {
            at,
            is_estimated: false,
        }
    }

    /// Since when, where no event told: `earliest`, or else `seen_at`, the time of the look.
    pub(super) fn without_event(earliest: Option<Timestamp>, seen_at: Timestamp) -> Self {
        let estimate = earliest.map(|at| Self {
            at,
            is_estimated: true,
        });
        estimate.unwrap_or(Self::known(seen_at))
    }

    /// This, once `opener` has come to light; two active keys were seen at `seen_at`.
    ///
    /// The window runs from the earliest time that is known, so a later event does not restart it.
    /// An estimate is not known: the event that made the second key active replaces it, unless that
    /// happened after two active keys had been seen.
    pub(super) fn with(self, opener: &Opener, seen_at: Timestamp) -> Self {
        let replaces = self.is_estimated && opener.is_proven() && opener.at <= seen_at;
        if replaces || opener.at < self.at {
            return Self::known(opener.at);
        }
        self
    }

    /// Since when, for `own`, which goes on from `former`, the finding under the former name.
    pub(super) fn continued(own: &Finding, former: &Finding) -> Self {
        let (of_own, of_former) = (Self::of(own), Self::of(former));
        match (&own.opener, &former.opener) {
            (Some(opener), _) if !of_own.is_estimated => of_former.with(opener, former.detected_at),
            (_, Some(_)) if !of_former.is_estimated => of_former,
            _ if of_own.at < of_former.at => of_own,
            _ => of_former,
        }
    }

    /// The estimate that corrects `open`, whose beginning is the time of a look: no event told, and
    /// two keys can have been active since `earliest`, before that look.
    pub(super) fn correcting(open: &Finding, earliest: Option<Timestamp>) -> Option<Self> {
        let is_of_a_look = open.opener.is_none() && !open.is_since_estimated;
        let earliest = earliest.filter(|at| is_of_a_look && *at < open.opened_at)?;
        Some(Self::without_event(Some(earliest), open.opened_at))
    }

    /// Writes it into `finding`. What an estimate alone made severe is so no longer once the beginning
    /// is known.
    pub(super) fn write(self, finding: &mut Finding) {
        if finding.is_since_estimated && !self.is_estimated {
            let reasons = &mut finding.severity_reasons;
            reasons.retain(|reason| *reason != SeverityReason::OutlivedWindow);
            if reasons.is_empty() {
                finding.severity = Severity::Medium;
            }
        }
        finding.opened_at = self.at;
        finding.is_since_estimated = self.is_estimated;
    }
}

/// The earliest time at which two of `keys` can have been active together: when the newer of two
/// active keys was created, or later, when a listing showed fewer than two. Never after `now`.
///
/// None if fewer than two are active, or if it is not known when one of them was created.
#[must_use]
pub fn earliest_together<'a>(
    keys: impl IntoIterator<Item = &'a FindingKey>,
    below_two_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let active = keys
        .into_iter()
        .filter(|key| key.status == KeyStatus::Active);
    let mut created: Vec<Timestamp> = active.map(|key| key.created).collect::<Option<_>>()?;
    created.sort_unstable();
    let second = *created.get(1)?;
    Some(below_two_at.map_or(second, |at| at.max(second)).min(now))
}

/// Since when two of `keys`, as they were just listed, have been active by all that `record` says:
/// what the next look at the user would store.
#[must_use]
pub fn since(record: &UserRecord, keys: &[FindingKey], now: Timestamp) -> Option<Since> {
    let earliest = earliest_together(keys, record.below_two_at, now);
    match record.open_finding() {
        Some(open) => Some(Since::correcting(open, earliest).unwrap_or(Since::of(open))),
        None => earliest.map(|at| Since::without_event(Some(at), now)),
    }
}
