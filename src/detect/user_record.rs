//! What is kept of one user between one re-check and the next.

use std::collections::BTreeMap;

use crate::detect::Timestamp;
use crate::detect::audit::ChainHead;
use crate::detect::evidence::Evidence;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::listing::KeyStatus;
use crate::detect::user::UserId;

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

impl UserRecord {
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
            no_such_user_since: None,
            settle_after: None,
            below_two_at: None,
            below_two_key: None,
            renamed_from: None,
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
