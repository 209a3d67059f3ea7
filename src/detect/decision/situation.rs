//! The input of a decision and its possible outcomes.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::decision::policy::Policy;
use crate::detect::events::key_change::KeyChange;
use crate::detect::findings::finding::{CloseReason, Finding};
use crate::detect::keys::evidence::Evidence;
use crate::detect::keys::listing::{KeyListing, KeyStatus};
use crate::detect::keys::overlap::Overlap;
use crate::detect::keys::view::{UnsettledReason, View};
use crate::detect::records::user_record::UserRecord;
use crate::detect::user::UserId;

/// The input of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The user's record.
    pub record: &'a UserRecord,
    /// The key source's answer, requested after `record` was read.
    pub listing: &'a KeyListing,
    /// The new changes. Duplicates and late ones are harmless.
    pub changes: &'a [KeyChange],
    /// The ids of the changes that are already in the audit trail.
    pub already_recorded: &'a BTreeSet<String>,
    /// Whether an earlier attempt may have failed halfway, after its commit and before it queued
    /// the follow-ups.
    pub is_retry: bool,
    /// The records of the user under its former names, latest name first.
    pub former_users: &'a [FormerUser],
    /// The exemptions of the user's account.
    pub exemptions: &'a [Exemption],
    /// The familiar actors of the user's account.
    pub familiar: &'a [FamiliarActor],
    /// The sweep that led to this check, if it was not an event.
    pub sweep: Option<Sweep>,
    /// Why the account is not watched any more, if so. Its finding is closed without a listing.
    pub unwatched: Option<Unwatched>,
    /// Whether `changes` come from CloudTrail's history instead of being new. Overlaps that ended
    /// in the past are not announced.
    pub is_history: bool,
    /// The sequence number of an audit entry that is stored although the record does not know it.
    /// The next entries follow it, so that a forged entry does not block alerts.
    pub foreign_entry: Option<u64>,
}

/// What is stored about a user under a former name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerUser {
    /// The user under that name.
    pub user: UserId,
    /// The latest finding under that name.
    pub finding: Option<Finding>,
    /// The evidence on the keys, which the renaming kept.
    pub evidence: Evidence,
}

/// Why an account is not watched any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwatched {
    /// It left the organization or was closed.
    Left,
    /// The operator excluded it.
    Excluded,
}

impl Unwatched {
    /// The reason for which its findings are closed.
    #[must_use]
    pub fn close_reason(self) -> CloseReason {
        match self {
            Self::Left => CloseReason::AccountLeft,
            Self::Excluded => CloseReason::AccountExcluded,
        }
    }
}

/// The kind of sweep that checks a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// The first sweep of an account. It is reported as one digest.
    Baseline,
    /// Any later sweep.
    Routine,
}

/// What happened to the finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A finding was opened.
    Opened,
    /// A finding was opened, and an exemption suppresses it.
    Suppressed,
    /// The open finding was closed.
    Closed,
    /// The open finding changed, and an alert says so.
    Updated,
    /// The open finding was confirmed; nothing else changed.
    Confirmed,
    /// The finding stays open.
    StillOpen,
    /// There is no open finding.
    NothingOpen,
}

impl Outcome {
    /// The outcome's name in logs and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Suppressed => "suppressed",
            Self::Closed => "closed",
            Self::Updated => "updated",
            Self::Confirmed => "confirmed",
            Self::StillOpen => "still open",
            Self::NothingOpen => "nothing open",
        }
    }
}

/// A situation, with everything derived from it before the decision.
pub(in crate::detect) struct Assessment<'a> {
    pub(in crate::detect) situation: &'a Situation<'a>,
    pub(in crate::detect) evidence: &'a Evidence,
    pub(in crate::detect) view: &'a View,
    pub(in crate::detect) policy: &'a Policy,
    pub(in crate::detect) now: Timestamp,
    /// The brief overlaps that have not been announced; see [`Assessment::overlaps`].
    pub(in crate::detect) overlaps: Vec<Overlap>,
}

impl Assessment<'_> {
    pub(in crate::detect) fn is_settled(&self) -> bool {
        self.view.unsettled.is_empty()
    }

    pub(in crate::detect) fn has_two_active(&self) -> bool {
        self.view.has_two_active()
    }

    pub(in crate::detect) fn is_blind(&self) -> bool {
        self.view
            .unsettled
            .contains(&UnsettledReason::ListingRefused)
    }

    // INVARIANT (open early, close late): an opening waits for nothing.
    // INVARIANT (blindness is news): if the keys cannot be listed, every activation is news.
    // INVARIANT (every activation is announced): even a brief one.
    pub(in crate::detect) fn should_open(&self) -> bool {
        if self.situation.unwatched.is_some() {
            return false;
        }
        // A key that was active in the last listing is not news.
        let was_active = |key: &str| {
            let last = self.situation.record.last_listing.as_ref();
            last.is_some_and(|last| last.keys.get(key) == Some(&KeyStatus::Active))
        };
        let is_news = |key: &str| {
            let known = self.evidence.keys.get(key);
            !was_active(key) && known.is_some_and(|known| known.unannounced_activation().is_some())
        };
        self.has_two_active()
            || (self.is_blind() && self.view.active_keys().any(is_news))
            || !self.overlaps.is_empty()
    }

    // INVARIANT (open early, close late): a finding does not close on an unsettled view, or on a
    // listing requested less than the consistency window after one.
    pub(in crate::detect) fn may_close(&self) -> bool {
        let requested_at = self.situation.listing.requested_at();
        self.is_settled()
            && self
                .situation
                .record
                .last_unsettled_at
                .is_none_or(|last_unsettled_at| {
                    requested_at - last_unsettled_at >= self.policy.consistency_window
                })
    }
}
