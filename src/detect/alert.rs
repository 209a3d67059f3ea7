//! What the right people are told.

use crate::detect::Timestamp;
use crate::detect::finding::Finding;
use crate::detect::retire::LastUses;
use crate::detect::verdict::{Verdict, verdict_on};

/// News of a finding, for every sink. Carries the finding's id and the audit sequence number, so that a receiver can
/// drop a repeat and put two alerts in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What happened to the finding.
    pub kind: AlertKind,
    /// The sequence number of the audit entry that says the same.
    pub sequence: u64,
    /// The hash of that audit entry; with it a trail can be checked from outside.
    pub audit_hash: String,
    /// The moment that the alert speaks of as now.
    pub at: Timestamp,
    /// When the rotation window ends.
    pub window_ends_at: Timestamp,
    /// Whether people read of it in a digest, so that only programs are told of it by itself.
    pub in_digest: bool,
    /// The finding as it was then.
    pub finding: Finding,
}

impl Alert {
    /// What to do about the keys, by what the alert knows and `last_uses`; none once the finding is closed.
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
    /// Something about the open finding changed.
    Updated(Vec<Update>),
    /// Fewer than two keys are active.
    Closed,
}

/// What changed about an open finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Update {
    /// Other keys are active than before.
    Keys,
    /// It is now known who made the second key active.
    Opener,
    /// It goes on from the finding of the user's former name.
    Continues,
    /// Its beginning was the time of a look, and is now the earliest possible time.
    Since,
    /// The severity was raised.
    Severity,
    /// The rotation window is over, and the severity was high before.
    OutlivedWindow,
    /// An exemption hides it from now on.
    Exempted,
    /// The exemption that hid it has ended, was removed or does not cover it any more.
    ExemptionEnded,
    /// AWS reported that one of its keys leaked.
    Leaked,
}

impl Update {
    /// What changed, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Keys => "the active keys have changed",
            Self::Opener => "it is now known who made the second key active",
            Self::Continues => "it goes on from the finding of the user's former name",
            Self::Since => "the beginning was corrected to the earliest possible time",
            Self::Severity => "the severity was raised",
            Self::OutlivedWindow => "the rotation window is over",
            Self::Exempted => "an exemption covers it from now on",
            Self::ExemptionEnded => "no exemption covers it any more",
            Self::Leaked => "AWS reported that a key has leaked",
        }
    }
}

/// An alert that is committed and not yet delivered to one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedAlert {
    /// The sink's name.
    pub sink: String,
    /// When another worker than the one that committed it may deliver it.
    pub due_at: Timestamp,
    /// What to tell.
    pub alert: Alert,
}
