//! What the sinks receive.

use crate::detect::Timestamp;
use crate::detect::decision::verdict::{Verdict, verdict_on};
use crate::detect::findings::finding::Finding;
use crate::detect::usage::last_use::LastUses;

/// News about a finding, for every sink. It carries the finding's id and the audit sequence number,
/// so that a receiver can drop duplicates and sort alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What happened to the finding.
    pub kind: AlertKind,
    /// The sequence number of the matching audit entry.
    pub sequence: u64,
    /// The hash of that audit entry, with which the trail can be verified from outside.
    pub audit_hash: String,
    /// The time for which the alert is computed.
    pub at: Timestamp,
    /// When the rotation window ends.
    pub window_ends_at: Timestamp,
    /// Whether people get it in a digest, so that only sinks for programs receive this alert.
    pub in_digest: bool,
    /// The finding at that time.
    pub finding: Finding,
}

impl Alert {
    /// What to do about the keys, from the alert and `last_uses`; `None` once the finding is
    /// closed.
    #[must_use]
    pub fn verdict(&self, last_uses: &LastUses) -> Option<Verdict> {
        verdict_on(&self.finding, last_uses, self.window_ends_at, self.at)
    }
}

/// What happened to a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertKind {
    /// A second key is active.
    Opened,
    /// Something about the open finding changed. Without updates, it is shown or sent as it is.
    Updated(Vec<FindingUpdate>),
    /// Fewer than two keys are active.
    Closed,
}

/// What changed about an open finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingUpdate {
    /// Different keys are active.
    Keys,
    /// It is now known who made the second key active.
    Opener,
    /// It continues the finding under the user's former name.
    Continues,
    /// Its start was corrected from the time of detection to the earliest possible time.
    OpenedAt,
    /// The severity was raised.
    Severity,
    /// The rotation window ended, and the severity was already high.
    OutlivedWindow,
    /// An exemption suppresses it now.
    Exempted,
    /// The exemption that suppressed it expired, was removed or no longer covers it.
    ExemptionEnded,
    /// AWS reported that one of its keys leaked.
    Leaked,
}

impl FindingUpdate {
    /// What changed, in words. Stored in the audit trail, so they must not change.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Keys => "the active keys have changed",
            Self::Opener => "it is now known who made the second key active",
            Self::Continues => "it goes on from the finding of the user's former name",
            Self::OpenedAt => "the beginning was corrected to the earliest possible time",
            Self::Severity => "the severity was raised",
            Self::OutlivedWindow => "the rotation window is over",
            Self::Exempted => "an exemption covers it from now on",
            Self::ExemptionEnded => "no exemption covers it any more",
            Self::Leaked => "AWS reported that a key has leaked",
        }
    }
}

/// An alert that is committed but not yet delivered to one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAlert {
    /// The sink's name.
    pub sink: String,
    /// When workers other than the one that committed it may deliver it.
    pub due_at: Timestamp,
    /// The alert.
    pub alert: Alert,
}
