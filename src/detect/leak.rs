//! A signal from AWS that a key has leaked.

use crate::detect::Timestamp;

/// How many leak signals are kept of one user.
pub const MAX_LEAKS: usize = 4;

/// A signal from AWS that a key of the user has leaked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The key, if the signal names it. AWS quarantines a user, so that signal names none.
    pub key: Option<String>,
    /// When AWS sent the signal.
    pub at: Timestamp,
    /// What the signal was.
    pub signal: LeakSignal,
    /// The id of the CloudTrail or Health event.
    pub event_id: Option<String>,
}

/// Which signal said that a key has leaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakSignal {
    /// AWS attached a managed policy `AWSCompromisedKeyQuarantine*` to the user.
    Quarantine,
    /// AWS Health reported that the key is exposed (`AWS_RISK_CREDENTIALS_EXPOSED`).
    Exposed,
    /// AWS Health reported that the key may be exposed (`AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED`).
    ExposureSuspected,
}
