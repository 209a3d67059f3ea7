//! Since when a key is inactive, and whether it may be deleted.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::audit::{AuditEntry, AuditKind};
use crate::detect::key_change::KeyChange;
use crate::detect::listing::KeyStatus;
use crate::detect::rotation::{RotationKey, used_at};

/// Why a key is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is active.
    Active,
    /// Nothing tells since when it is inactive.
    SinceUnknown,
    /// It has not been inactive for long enough.
    Soaking {
        /// Since when it is inactive.
        since: Timestamp,
        /// When it has been for long enough.
        until: Timestamp,
    },
    /// Its last use could not be had.
    UseUnknown,
    /// It was used after it is said to have become inactive, so that cannot be right.
    UsedSince {
        /// Since when it is said to be inactive.
        since: Timestamp,
        /// When it was used.
        at: Timestamp,
    },
}

/// Whether `key` may be deleted at `now`, which is inactive `since` then and has to be for as long as `soak`; gives back since
/// when it is.
pub fn may_delete(
    key: &RotationKey,
    since: Option<Timestamp>,
    soak: TimeDelta,
    now: Timestamp,
) -> Result<Timestamp, Kept> {
    if key.key.status != KeyStatus::Inactive {
        return Err(Kept::Active);
    }
    let since = since.ok_or(Kept::SinceUnknown)?;
    let used = key.last_used.as_ref().ok_or(Kept::UseUnknown)?;
    if let Some(at) = used_at(used).filter(|at| *at > since) {
        return Err(Kept::UsedSince { since, at });
    }
    let until = since + soak;
    if now < until {
        return Err(Kept::Soaking { since, until });
    }
    Ok(since)
}

/// What somebody said of a key's status, and when.
pub type Word = (Timestamp, KeyStatus);

/// Since when a key is inactive, by all that was said of it: the latest word, if it says so. Words of one second that
/// contradict each other say nothing.
#[must_use]
pub fn inactive_since(words: &[Word]) -> Option<Timestamp> {
    let latest = words.iter().map(|(at, _)| *at).max()?;
    words
        .iter()
        .filter(|(at, _)| *at == latest)
        .all(|(_, status)| *status == KeyStatus::Inactive)
        .then_some(latest)
}

/// What the entries of a trail say of `key`.
#[must_use]
pub fn words_of_trail(entries: &[AuditEntry], key: &str) -> Vec<Word> {
    let detail = |entry: &'_ AuditEntry, name| entry.draft.details.get(name).cloned();
    entries
        .iter()
        .filter(|entry| detail(entry, "key").as_deref() == Some(key))
        .filter_map(|entry| {
            let status = match entry.draft.kind {
                AuditKind::KeyCreated | AuditKind::KeyUpdated => {
                    KeyStatus::parse(&detail(entry, "status")?)?
                }
                AuditKind::KeyDeleted => KeyStatus::Gone,
                _ => return None,
            };
            Some((entry.draft.at, status))
        })
        .collect()
}

/// What `changes` say of `key`.
#[must_use]
pub fn words_of_changes(changes: &[KeyChange], key: &str) -> Vec<Word> {
    changes
        .iter()
        .filter_map(|change| Some((change.at, change.key_status()?)))
        .filter(|(_, (id, _))| *id == key)
        .map(|(at, (_, status))| (at, status))
        .collect()
}
