//! A summary of many findings of one account.

use crate::detect::Timestamp;
use crate::detect::findings::finding::Finding;

/// A summary of an account, for every sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The account.
    pub account: String,
    /// Why it is sent.
    pub kind: DigestKind,
    /// The time for which it is computed.
    pub at: Timestamp,
    /// The open findings, without suppressed ones, earliest opening first.
    pub findings: Vec<Finding>,
    /// How many users could not be checked.
    pub unchecked: usize,
}

/// Why a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestKind {
    /// The first sweep of the account found existing findings.
    Baseline,
    /// Findings have outlived their rotation window.
    Reminder,
}

impl DigestKind {
    /// The kind's name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Reminder => "reminder",
        }
    }
}
