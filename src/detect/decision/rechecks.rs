//! When to check a user again.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::situation::{Assessment, Outcome, Situation};
use crate::detect::findings::finding::{CloseReason, Finding};
use crate::detect::keys::listing::ListingAnswer;
use crate::detect::keys::view::{UnsettledReason, is_explained};
use crate::detect::records::user_record::UserRecord;

impl Assessment<'_> {
    /// The delays after which to check the user again, given `outcome` and the changed `finding`.
    pub(in crate::detect) fn rechecks(
        &self,
        outcome: Outcome,
        finding: Option<&Finding>,
    ) -> Vec<TimeDelta> {
        let Situation {
            record,
            listing,
            changes,
            ..
        } = *self.situation;
        if self.situation.unwatched.is_some() {
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
        // If a listing is refused, or is a report that is hours old anyway, asking every minute
        // does not help.
        if !self.is_settled()
            && (self.is_blind() || matches!(listing.answer(), ListingAnswer::Report { .. }))
        {
            let is_queued = record
                .recheck_at
                .is_some_and(|at| at > self.now + Policy::FIRST_RECHECK);
            // A listing must decide what events leave undecided, and nothing else would request
            // one.
            let is_undecided = self.view.unsettled.iter().any(|why| {
                matches!(
                    why,
                    UnsettledReason::EventsContradict | UnsettledReason::JustRenamed
                )
            });
            let patient = ((is_open || is_undecided) && !is_queued).then_some(Policy::SLOW_RECHECK);
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
            .chain([self.policy.settled_recheck()])
            .collect()
    }
}

/// The latest time by which the user must be checked again. A time in the future is kept.
pub(in crate::detect) fn next_recheck(
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
