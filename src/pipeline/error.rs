//! Failures outside of the core, and whether a retry can help.

use std::fmt;

use thiserror::Error;

/// A service, a file or a stored item failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct ServiceError {
    kind: ErrorKind,
    text: String,
    is_unauthenticated: bool,
}

/// Whether a retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It may succeed later: throttled, timed out, unreachable.
    Retryable,
    /// It fails until the cause is fixed.
    Permanent,
}

impl ServiceError {
    /// A failure that may succeed later. `text` says what failed and, if known, how to fix it.
    #[must_use]
    pub fn retryable(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Retryable,
            text: text.into(),
            is_unauthenticated: false,
        }
    }

    /// A failure that lasts until its cause is fixed. `text` says what failed and how to fix it.
    #[must_use]
    pub fn permanent(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Permanent,
            text: text.into(),
            is_unauthenticated: false,
        }
    }

    /// The service rejected the credentials of the call; only other credentials help.
    #[must_use]
    pub fn unauthenticated(text: impl Into<String>) -> Self {
        Self {
            is_unauthenticated: true,
            ..Self::permanent(text)
        }
    }

    /// Whether the service rejected the credentials of the call.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        self.is_unauthenticated
    }

    /// Whether a retry can help.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The audit trail of `user` already has the entry `sequence` that the next commit would write: the
/// record and the trail do not belong together.
pub(crate) fn broken_trail(user: &dyn fmt::Display, sequence: u64) -> ServiceError {
    ServiceError::permanent(format!(
        "the audit trail of `{user}` has an entry {sequence} that the user's record does not know: one of the two was tampered with or restored alone; check both with verify, on the same --db or --table"
    ))
}
