//! What goes wrong outside, and whether trying again can help.

use thiserror::Error;

/// A service, a file or a stored item let us down.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct ServiceError {
    kind: ErrorKind,
    text: String,
    is_unauthenticated: bool,
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
            is_unauthenticated: false,
        }
    }

    /// What will not go through until somebody mends it. `text` says what failed and what mends it.
    #[must_use]
    pub fn permanent(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Permanent,
            text: text.into(),
            is_unauthenticated: false,
        }
    }

    /// The service does not accept the credentials of the call; only other credentials help.
    #[must_use]
    pub fn unauthenticated(text: impl Into<String>) -> Self {
        Self {
            is_unauthenticated: true,
            ..Self::permanent(text)
        }
    }

    /// Whether the service did not accept the credentials of the call.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        self.is_unauthenticated
    }

    /// Whether trying again can help.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
