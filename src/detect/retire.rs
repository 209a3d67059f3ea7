//! When a key was last used.

use std::collections::BTreeMap;

use crate::detect::Timestamp;

/// When a key was last used. Source: IAM API reference, `GetAccessKeyLastUsed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastUsed {
    /// Never, as far as IAM tracks it.
    Never,
    /// Then and there.
    At {
        /// When.
        at: Timestamp,
        /// By which service.
        service: Option<String>,
        /// In which region.
        region: Option<String>,
    },
}

/// When each key was last used; a key that is missing is one of which it is not known.
pub type LastUses = BTreeMap<String, LastUsed>;
