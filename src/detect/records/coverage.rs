//! When an account was last checked, as far as a store knows.

use crate::detect::Timestamp;
use crate::detect::records::account_record::{AccountRecord, Unreachable};

/// What a store knows about the checks of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountCoverage {
    /// The account's id.
    pub account: String,
    /// The latest finished check of all its users.
    pub all_users: Option<FullCheck>,
    /// The latest scan, if it did not finish.
    pub unfinished: Option<UnfinishedScan>,
    /// The time of the newest replayed record.
    pub logs_until: Option<Timestamp>,
    /// When an event first mentioned the account, if that was before its first sweep.
    pub registered_at: Option<Timestamp>,
    /// Why the account cannot be read, if it cannot.
    pub unreachable: Option<Unreachable>,
    /// Since when the organization has not listed the account.
    pub left_at: Option<Timestamp>,
}

/// A check of all users of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullCheck {
    /// What made it.
    pub kind: FullCheckKind,
    /// When it finished.
    pub at: Timestamp,
}

/// What checks all users of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullCheckKind {
    /// The sweeper, once an hour.
    Sweep,
    /// `secondkey scan`, when someone runs it.
    Scan,
}

/// A scan that was interrupted, was refused or could not check every user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfinishedScan {
    /// When it began.
    pub started_at: Timestamp,
    /// Whether it listed all users to check.
    pub is_listed: bool,
    /// How many listed users it did not check.
    pub unchecked: u32,
    /// How many users it listed.
    pub users: u32,
}

impl From<AccountRecord> for AccountCoverage {
    fn from(record: AccountRecord) -> Self {
        let by_sweep = |at| FullCheck {
            kind: FullCheckKind::Sweep,
            at,
        };
        Self {
            account: record.account,
            all_users: record.swept_at.map(by_sweep),
            unfinished: None,
            logs_until: None,
            registered_at: record.registered_at,
            unreachable: record.unreachable,
            left_at: record.left_at,
        }
    }
}
