//! Since when two keys have been active: a known time, or an estimate of the earliest possible one.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::findings::finding::{Finding, FindingKey, KeyActivation};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::records::user_record::UserRecord;

/// Since when two keys have been active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverlapStart {
    /// When.
    pub at: Timestamp,
    /// Whether `at` is an estimate: the earliest time at which two keys can have been active
    /// together.
    pub is_estimated: bool,
}

impl OverlapStart {
    /// The start that `finding` has.
    #[must_use]
    pub(crate) fn of(finding: &Finding) -> Self {
        Self {
            at: finding.opened_at,
            is_estimated: finding.is_opened_at_estimated,
        }
    }

    /// When a rotation window of length `window` ends.
    #[must_use]
    pub(crate) fn window_ends_at(self, window: TimeDelta) -> Timestamp {
        self.at + window
    }

    /// A known start, from an event or a check at `at`.
    pub(in crate::detect) fn known(at: Timestamp) -> Self {
        Self {
            at,
            is_estimated: false,
        }
    }

    /// The start without an event: `earliest`, else `seen_at`, the time of the check.
    pub(in crate::detect) fn without_event(
        earliest: Option<Timestamp>,
        seen_at: Timestamp,
    ) -> Self {
        let estimate = earliest.map(|at| Self {
            at,
            is_estimated: true,
        });
        estimate.unwrap_or(Self::known(seen_at))
    }

    /// This start, corrected by `opener`; two active keys were detected at `seen_at`.
    ///
    /// The window runs from the earliest known time, so a later event does not restart it. An
    /// estimate is not known: the event that made the second key active replaces it, unless it
    /// happened after the detection.
    pub(in crate::detect) fn corrected_by(
        self,
        opener: &KeyActivation,
        seen_at: Timestamp,
    ) -> Self {
        let replaces = self.is_estimated && opener.is_proven() && opener.at <= seen_at;
        if replaces || opener.at < self.at {
            return Self::known(opener.at);
        }
        self
    }

    /// The start of `own`, which continues `former`, the finding under the former name.
    pub(in crate::detect) fn continued(own: &Finding, former: &Finding) -> Self {
        let (of_own, of_former) = (Self::of(own), Self::of(former));
        match (&own.opener, &former.opener) {
            (Some(opener), _) if !of_own.is_estimated => {
                of_former.corrected_by(opener, former.detected_at)
            }
            (_, Some(_)) if !of_former.is_estimated => of_former,
            _ if of_own.at < of_former.at => of_own,
            _ => of_former,
        }
    }

    /// The estimate that corrects `open`, if it starts at the time of a check and two keys can have
    /// been active since `earliest`, before that check.
    pub(in crate::detect) fn correcting(
        open: &Finding,
        earliest: Option<Timestamp>,
    ) -> Option<Self> {
        let is_of_a_look = open.opener.is_none() && !open.is_opened_at_estimated;
        let earliest = earliest.filter(|at| is_of_a_look && *at < open.opened_at)?;
        Some(Self::without_event(Some(earliest), open.opened_at))
    }

    /// Writes this start into `finding`. A known start removes a severity that only the estimate
    /// raised.
    pub(in crate::detect) fn apply_to(self, finding: &mut Finding) {
        if finding.is_opened_at_estimated && !self.is_estimated {
            let reasons = &mut finding.severity_reasons;
            reasons.retain(|reason| *reason != SeverityReason::OutlivedWindow);
            if reasons.is_empty() {
                finding.severity = Severity::Medium;
            }
        }
        finding.opened_at = self.at;
        finding.is_opened_at_estimated = self.is_estimated;
    }
}

/// The earliest time at which two of `keys` can have been active together: the creation of the
/// newer of two active keys, or the last time that a listing showed fewer than two, if later. Never
/// after `now`.
///
/// `None` if fewer than two are active, or if the creation time of one of them is unknown.
#[must_use]
pub(crate) fn earliest_together<'a>(
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

/// Since when two of the just listed `keys` have been active, according to `record`. The next check
/// of the user would store the same.
#[must_use]
pub(crate) fn since(
    record: &UserRecord,
    keys: &[FindingKey],
    now: Timestamp,
) -> Option<OverlapStart> {
    let earliest = earliest_together(keys, record.below_two_at, now);
    match record.open_finding() {
        Some(open) => {
            Some(OverlapStart::correcting(open, earliest).unwrap_or(OverlapStart::of(open)))
        }
        None => earliest.map(|at| OverlapStart::without_event(Some(at), now)),
    }
}
