//! What is stored about a user from one re-check to the next.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::keys::evidence::Evidence;
use crate::detect::keys::listing::{AccessKey, KeyStatus};
use crate::detect::trail::audit::ChainHead;
use crate::detect::user::UserId;

/// For how long evidence on an unlisted key is kept, and for how long a user's former name.
pub(in crate::detect) const EVIDENCE_RETENTION: TimeDelta = TimeDelta::days(1);

/// What is stored about one user. Each re-check writes it, on the condition that there was no other
/// write since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The user.
    pub user: UserId,
    /// The user's name as spelled by IAM, or by the event until IAM has been asked.
    pub display_name: String,
    /// The number of writes; 0 for a record that has not been stored.
    pub version: u64,
    /// The number of findings of this user so far.
    pub episodes: u32,
    /// The latest finding, in any state.
    pub finding: Option<Finding>,
    /// What events said about the keys and the user.
    pub evidence: Evidence,
    /// The newest listing.
    pub last_listing: Option<LastListing>,
    /// For each key of the newest listing, when listings last showed it as inactive. A key that
    /// became active less than a day ago is kept too, because the event may be late.
    pub listed_inactive: BTreeMap<String, ListedInactive>,
    /// Since when every listing has said that the user does not exist.
    pub no_such_user_since: Option<Timestamp>,
    /// A finding does not close on a listing requested less than the consistency window after this.
    pub last_unsettled_at: Option<Timestamp>,
    /// When a settled view last showed fewer than two active keys.
    pub below_two_at: Option<Timestamp>,
    /// The only key that was active in that view.
    pub below_two_key: Option<String>,
    /// The user that was renamed to this one, until this one continues its finding or does not need
    /// to.
    pub renamed_from: Option<UserId>,
    /// The previous name, kept for a day because events under it may be late.
    pub former_name: Option<FormerName>,
    /// When the user must be checked again, even without an event.
    pub recheck_at: Option<Timestamp>,
    /// When the open finding was last sent to sinks that forget findings. `None` if no finding is
    /// open or there are no such sinks.
    pub refreshed_at: Option<Timestamp>,
    /// The end of the audit trail.
    pub audit: ChainHead,
}

/// The content of a listing, kept for comparison with the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastListing {
    /// When it was requested.
    pub requested_at: Timestamp,
    /// The status of each listed key.
    pub keys: BTreeMap<String, KeyStatus>,
}

/// The time during which every listing showed a key as inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedInactive {
    /// When the first of these listings was requested.
    pub since: Timestamp,
    /// When the first listing after these was requested that showed the key as active.
    pub active_at: Option<Timestamp>,
}

/// A user's name before it was renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerName {
    /// The user under that name.
    pub user: UserId,
    /// When the user was renamed.
    pub until: Timestamp,
}

impl FormerName {
    /// Whether events under this name may still be news at `now`.
    #[must_use]
    pub fn is_recent(&self, now: Timestamp) -> bool {
        now - self.until < EVIDENCE_RETENTION
    }
}

impl ListedInactive {
    /// Whether listings showed the key as inactive at `at`.
    pub(in crate::detect) fn covers(&self, at: Timestamp) -> bool {
        self.since <= at && self.active_at.is_none_or(|active_at| at < active_at)
    }
}

impl UserRecord {
    /// The new `listed_inactive` after a listing of `keys` requested at `at`. A listing less than
    /// `consistency_window` after one that showed a key as active may be stale.
    pub(in crate::detect) fn listed_inactive_with(
        &self,
        keys: &BTreeMap<String, AccessKey>,
        at: Timestamp,
        consistency_window: TimeDelta,
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
                    Some(active_at).filter(|active_at| at - *active_at < EVIDENCE_RETENTION)?;
                ListedInactive {
                    active_at: Some(active_at),
                    ..before?
                }
            } else {
                let goes_on = |known: &ListedInactive| {
                    known
                        .active_at
                        .is_none_or(|active_at| at - active_at < consistency_window)
                };
                before.filter(goes_on).unwrap_or_else(|| inactive(at))
            };
            Some((id.clone(), after))
        });
        next.collect()
    }

    /// An empty record.
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
            last_unsettled_at: None,
            below_two_at: None,
            below_two_key: None,
            renamed_from: None,
            former_name: None,
            recheck_at: None,
            refreshed_at: None,
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
