//! When the user is to be looked at again.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::finding::{CloseReason, Finding};
use crate::detect::listing::Answer;
use crate::detect::policy::Policy;
use crate::detect::situation::{Outcome, Seen, Situation};
use crate::detect::user_record::UserRecord;
use crate::detect::view::{Unsettled, is_explained};

impl Seen<'_> {
    /// After how long each, once `outcome` and the changed `finding` are decided on.
    pub(super) fn rechecks(&self, outcome: Outcome, finding: Option<&Finding>) -> Vec<TimeDelta> {
        let Situation {
            record,
            listing,
            changes,
            ..
        } = *self.situation;
        if self.situation.has_left {
            return vec![];
        }
        let has_events = !changes.is_empty();
        let is_open = match outcome {
            Outcome::Opened
            | Outcome::Suppressed
            | Outcome::Updated
            | Outcome::Confirmed
            | Outcome::StillOpen => true,
            Outcome::Closed | Outcome::NothingOpen => false,
        };
        if let Some(finding) = finding
            && outcome == Outcome::Closed
            && finding
                .closing
                .as_ref()
                .is_some_and(|closing| closing.reason == CloseReason::NeverConfirmed)
        {
            return vec![Policy::NEVER_CONFIRMED_RECHECK];
        }
        // A listing that cannot be had, or that is hours old by nature, is not asked for every minute.
        if !self.is_settled()
            && (self.is_blind() || matches!(listing.answer(), Answer::Report { .. }))
        {
            let is_queued = record
                .recheck_at
                .is_some_and(|at| at > self.now + Policy::FIRST_RECHECK);
            // What events leave open in blindness, a listing decides once there is one; nobody else would ask for it.
            let is_undecided = self
                .view
                .unsettled
                .iter()
                .any(|why| matches!(why, Unsettled::EventsContradict | Unsettled::JustRenamed));
            let patient =
                ((is_open || is_undecided) && !is_queued).then_some(Policy::PATIENT_RECHECK);
            let first = has_events.then_some(Policy::FIRST_RECHECK);
            return first.into_iter().chain(patient).collect();
        }
        let is_unexplained = changes
            .iter()
            .any(|change| !is_explained(change, self.evidence, listing));
        let is_withheld = is_open && !self.has_two_active();
        if self.is_settled() && !is_unexplained && !is_withheld {
            return vec![];
        }
        let first = has_events.then_some(Policy::FIRST_RECHECK);
        first
            .into_iter()
            .chain([self.policy.late_recheck()])
            .collect()
    }
}

/// When the user has to be looked at again at the latest. One that is still to come stays.
pub(super) fn next_recheck(
    record: &UserRecord,
    rechecks: &[TimeDelta],
    now: Timestamp,
) -> Option<Timestamp> {
    let still_to_come = record.recheck_at.filter(|at| *at > now);
    rechecks
        .iter()
        .max()
        .map(|delay| now + *delay)
        .max(still_to_come)
}
