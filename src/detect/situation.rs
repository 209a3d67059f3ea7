//! What a decision is made on, and what it may come to.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::evidence::Evidence;
use crate::detect::exemption::Exemption;
use crate::detect::familiar::Familiar;
use crate::detect::finding::Finding;
use crate::detect::key_change::KeyChange;
use crate::detect::listing::{KeyListing, KeyStatus};
use crate::detect::overlap::Overlap;
use crate::detect::policy::Policy;
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::detect::view::{Unsettled, View};

/// What a decision is made on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is kept of the user.
    pub record: &'a UserRecord,
    /// What the key source says; requested after `record` was read.
    pub listing: &'a KeyListing,
    /// What events say that is new; duplicates and late ones do no harm.
    pub changes: &'a [KeyChange],
    /// The ids of those changes that stand in the audit trail already.
    pub already_recorded: &'a BTreeSet<String>,
    /// Whether somebody may have begun this before and died half-way, after the commit and before what the commit called
    /// for was queued.
    pub is_retry: bool,
    /// What is kept of the user under its former names, if it was renamed; the last name first.
    pub former: &'a [Former],
    /// The exemptions of the user's account.
    pub exemptions: &'a [Exemption],
    /// The actors whom the user's account knows from rotations.
    pub familiar: &'a [Familiar],
    /// The sweep that asks, where no event does.
    pub sweep: Option<Sweep>,
    /// Whether the account has left the organization or was closed.
    pub has_left: bool,
    /// Whether `changes` are what CloudTrail keeps of the past, and no news. What they show to be over is not announced.
    pub is_history: bool,
    /// The place of an entry in the audit trail that stands there though the record does not know it. The next entries come
    /// after it: the alert must not wait for whoever put it there.
    pub foreign_entry: Option<u64>,
}

/// What is kept of a user under a former name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The user under that name.
    pub user: UserId,
    /// The latest finding under that name.
    pub finding: Option<Finding>,
    /// What events said of the keys, which went along with the renaming.
    pub evidence: Evidence,
}

/// Who looks at a user without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// The first sweep of an account, which is told as one digest.
    Baseline,
    /// Any other.
    Routine,
}

/// What became of the finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A finding was opened.
    Opened,
    /// A finding was opened, and an exemption hides it.
    Suppressed,
    /// The open finding was closed.
    Closed,
    /// The open finding changed in a way that is told.
    Updated,
    /// The open finding was confirmed, and nothing else changed.
    Confirmed,
    /// The finding stays open.
    StillOpen,
    /// There is none.
    NothingOpen,
}

impl Outcome {
    /// The word for it, as logs and metrics show it.
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

/// A situation with all that follows from it before anything is decided.
pub(super) struct Seen<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) evidence: &'a Evidence,
    pub(super) view: &'a View,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    /// The keys that were active beside another one unnoticed; see [`Seen::overlaps`].
    pub(super) overlaps: Vec<Overlap>,
}

impl Seen<'_> {
    pub(super) fn is_settled(&self) -> bool {
        self.view.unsettled.is_empty()
    }

    pub(super) fn has_two_active(&self) -> bool {
        self.view.has_two_active()
    }

    pub(super) fn is_blind(&self) -> bool {
        self.view.unsettled.contains(&Unsettled::ListingRefused)
    }

    // INVARIANT (open early, close late): an opening waits for nothing.
    // INVARIANT (blindness is news): where the keys cannot be listed, any key made active is news.
    // INVARIANT (every activation is announced): however brief it was.
    pub(super) fn is_to_open(&self) -> bool {
        if self.situation.has_left {
            return false;
        }
        // One that the last listing showed as active already is no news.
        let was_active = |key: &str| {
            let last = self.situation.record.last_listing.as_ref();
            last.is_some_and(|last| last.keys.get(key) == Some(&KeyStatus::Active))
        };
        let is_news = |key: &str| {
            let known = self.evidence.keys.get(key);
            !was_active(key) && known.is_some_and(|known| known.unreported_activation().is_some())
        };
        self.has_two_active()
            || (self.is_blind() && self.view.active_keys().any(is_news))
            || !self.overlaps.is_empty()
    }

    // INVARIANT (open early, close late): nothing closes on an unsettled view, nor on a listing that was requested less
    // than the settling time after one.
    pub(super) fn may_close(&self) -> bool {
        let requested_at = self.situation.listing.requested_at();
        self.is_settled()
            && self
                .situation
                .record
                .settle_after
                .is_none_or(|settle_after| requested_at - settle_after >= self.policy.settle)
    }
}
