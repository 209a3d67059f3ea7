//! What is kept of one user between one re-check and the next.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::audit::ChainHead;
use crate::detect::evidence::Evidence;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::listing::{AccessKey, KeyStatus};
use crate::detect::user::UserId;

/// For how long evidence is kept on a key that is not listed, and for how long the name of a user
/// before this one.
pub(super) const KEEP_EVIDENCE: TimeDelta = TimeDelta::days(1);

/// What is kept of one user. Written anew by every re-check, on the condition that nobody else did in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Whose record.
    pub user: UserId,
    /// The user's name in IAM's spelling, or the event's until IAM told.
    pub display_name: String,
    /// Counts the writes; 0 for a record that is not stored yet.
    pub version: u64,
    /// Counts the findings of this user so far.
    pub episodes: u32,
    /// The latest finding, open or closed.
    pub finding: Option<Finding>,
    /// What events said.
    pub evidence: Evidence,
    /// The newest listing.
    pub last_listing: Option<LastListing>,
    /// Per key of the newest listing, when listings last showed it as inactive. A key that became
    /// active less than a day ago is kept too, because the event that says so may be late.
    pub listed_inactive: BTreeMap<String, ListedInactive>,
    /// Since when every listing said that there is no such user.
    pub no_such_user_since: Option<Timestamp>,
    /// Nothing closes on a listing requested less than the settling time after this.
    pub settle_after: Option<Timestamp>,
    /// When a settled view last showed fewer than two active keys.
    pub below_two_at: Option<Timestamp>,
    /// The key that was active in that view.
    pub below_two_key: Option<String>,
    /// The user that was renamed to this one, until its finding is taken over or found not to be needed.
    pub renamed_from: Option<UserId>,
    /// The name before this one, for a day. An event that names the user by it may be late.
    pub former_name: Option<FormerName>,
    /// When the user has to be looked at again, event or no event.
    pub recheck_at: Option<Timestamp>,
    /// The end of the audit trail.
    pub audit: ChainHead,
}

/// What a listing said, kept for comparison with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastListing {
    /// When it was requested.
    pub requested_at: Timestamp,
    /// The status of each key it named.
    pub keys: BTreeMap<String, KeyStatus>,
}

/// For how long every listing showed a key as inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedInactive {
    /// When the first of these listings was requested.
    pub since: Timestamp,
    /// When the first listing after them was requested, which showed the key as active.
    pub active_at: Option<Timestamp>,
}

/// The name that a user had until it was renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerName {
    /// The user under that name.
    pub user: UserId,
    /// When it was renamed.
    pub until: Timestamp,
}

impl FormerName {
    /// Whether what events say of the user under this name may still be news at `now`.
    #[must_use]
    pub fn matters(&self, now: Timestamp) -> bool {
        now - self.until < KEEP_EVIDENCE
    }
}

impl ListedInactive {
    /// Whether the listings showed the key as inactive at `at`.
    pub(super) fn covers(&self, at: Timestamp) -> bool {
        self.since <= at && self.active_at.is_none_or(|active_at| at < active_at)
    }
}

impl UserRecord {
    /// What `listed_inactive` is after a listing requested at `at` showed `keys`. A listing less
    /// than `settle` after one that showed a key as active may be behind it.
    pub(super) fn listed_inactive_with(
        &self,
        keys: &BTreeMap<String, AccessKey>,
        at: Timestamp,
        settle: TimeDelta,
    ) -> BTreeMap<String, ListedInactive> {
        let inactive = |since| ListedInactive {
            since,
            active_at: None,
        };
        let last_listed = |id: &String| {
            let last = self.last_listing.as_ref()?;
            let was_inactive = last.keys.get(id) == Some(&KeyStatus::Inactive);
            was_inactive.then(|| inactive(last.requested_at))
        };
        let known = |id| {
            let known = self.listed_inactive.get(id).copied();
            known.or_else(|| last_listed(id))
        };
        let next = keys.iter().filter_map(|(id, key)| {
            let before = known(id);
            let after = if key.status == KeyStatus::Active {
                let active_at = before?.active_at.unwrap_or(at);
                let active_at =
                    Some(active_at).filter(|active_at| at - *active_at < KEEP_EVIDENCE)?;
                ListedInactive {
                    active_at: Some(active_at),
                    ..before?
                }
            } else {
                let goes_on = |known: &ListedInactive| {
                    known
                        .active_at
                        .is_none_or(|active_at| at - active_at < settle)
                };
                before.filter(goes_on).unwrap_or_else(|| inactive(at))
            };
            Some((id.clone(), after))
        });
        next.collect()
    }

    /// The record of a user of whom nothing is known.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            display_name: user.name().to_owned(),
            user,
            version: 0,
            episodes: 0,
            finding: None,
            evidence: Evidence::default(),
            last_listing: None,
            listed_inactive: BTreeMap::new(),
            no_such_user_since: None,
            settle_after: None,
            below_two_at: None,
            below_two_key: None,
            renamed_from: None,
            former_name: None,
            recheck_at: None,
            audit: ChainHead::default(),
        }
    }

    /// The finding, if it is not closed.
    #[must_use]
    pub fn open_finding(&self) -> Option<&Finding> {
        self.finding
            .as_ref()
            .filter(|finding| finding.status != FindingStatus::Closed)
    }
}
