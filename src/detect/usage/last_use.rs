//! When a key was last used.

use std::collections::BTreeMap;

use crate::detect::Timestamp;

/// When a key was last used. Source: IAM API reference, `GetAccessKeyLastUsed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastUsed {
    /// Never, as far as IAM has tracked it.
    Never,
    /// At this time.
    At {
        /// When.
        at: Timestamp,
        /// The service that was called.
        service: Option<String>,
        /// The region of the call.
        region: Option<String>,
    },
}

/// When each key was last used. Keys whose last use is unknown are missing.
pub type LastUses = BTreeMap<String, LastUsed>;

/// The last uses that a store knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownUses {
    /// When each key was last used, up to `until`. Keys whose last use is unknown are missing.
    pub last_uses: LastUses,
    /// The time up to which the store knows the account's uses; `None` if the uses are current.
    pub until: Option<Timestamp>,
}
