//! What goes wrong outside, and whether trying again can help.

use thiserror::Error;

/// A service, a file or a stored item let us down.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct ServiceError {
    kind: ErrorKind,
    text: String,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It may go through later: throttled, timed out, out of reach.
    Retryable,
    /// It will not, until somebody mends something.
    Permanent,
}

impl ServiceError {
    /// What may go through later. `text` says what failed and, where it is known, what mends it.
    #[must_use]
    pub fn retryable(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Retryable,
            text: text.into(),
        }
    }

    /// What will not go through until somebody mends it. `text` says what failed and what mends it.
    #[must_use]
    pub fn permanent(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Permanent,
            text: text.into(),
        }
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
