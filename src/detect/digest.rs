//! What is told of many findings of an account at once.

use crate::detect::Timestamp;
use crate::detect::finding::Finding;

/// News of an account, for every sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The account.
    pub account: String,
    /// Why it is told.
    pub kind: DigestKind,
    /// The moment that it speaks of as now.
    pub at: Timestamp,
    /// The findings that are open and not hidden, the oldest opening first.
    pub findings: Vec<Finding>,
    /// How many users could not be checked.
    pub unchecked: usize,
}

/// Why a digest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DigestKind {
    /// The first sweep of the account found what was there before anybody looked.
    Baseline,
    /// Findings have outlived their rotation window.
    Reminder,
}

impl DigestKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Reminder => "reminder",
        }
    }
}
