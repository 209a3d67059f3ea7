//! Since when a key has been inactive, and whether it may be deleted.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::events::key_change::KeyChange;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::rotation::stage::{RotationKey, used_at};
use crate::detect::trail::audit::{AuditEntry, AuditKind};

/// Why a key is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeletionBlocked {
    /// It is active.
    Active,
    /// It is unknown since when it has been inactive.
    SinceUnknown,
    /// It has not been inactive for long enough.
    Soaking {
        /// Since when it has been inactive.
        since: Timestamp,
        /// When it will have been inactive for long enough.
        until: Timestamp,
    },
    /// Its last use is unknown.
    UseUnknown,
    /// It was used after it became inactive, so that time cannot be right.
    UsedSince {
        /// The recorded time of its deactivation.
        since: Timestamp,
        /// When it was used.
        at: Timestamp,
    },
}

/// Checks whether `key` may be deleted at `now`: it must have been inactive, as of `since`, for at
/// least `soak`. Returns since when it has been inactive.
pub(crate) fn may_delete(
    key: &RotationKey,
    since: Option<Timestamp>,
    soak: TimeDelta,
    now: Timestamp,
) -> Result<Timestamp, DeletionBlocked> {
    if key.key.status != KeyStatus::Inactive {
        return Err(DeletionBlocked::Active);
    }
    let since = since.ok_or(DeletionBlocked::SinceUnknown)?;
    let used = key.last_used.as_ref().ok_or(DeletionBlocked::UseUnknown)?;
    if let Some(at) = used_at(used).filter(|at| *at > since) {
        return Err(DeletionBlocked::UsedSince { since, at });
    }
    let until = since + soak;
    if now < until {
        return Err(DeletionBlocked::Soaking { since, until });
    }
    Ok(since)
}

/// A key's status as reported at a time.
pub(crate) type StatusAt = (Timestamp, KeyStatus);

/// Since when a key has been inactive, if the latest report says so. Contradicting reports of the
/// same second are ignored.
#[must_use]
pub(crate) fn inactive_since(words: &[StatusAt]) -> Option<Timestamp> {
    let latest = words.iter().map(|(at, _)| *at).max()?;
    words
        .iter()
        .filter(|(at, _)| *at == latest)
        .all(|(_, status)| *status == KeyStatus::Inactive)
        .then_some(latest)
}

/// The statuses of `key` in the audit trail.
#[must_use]
pub(crate) fn statuses_in_trail(entries: &[AuditEntry], key: &str) -> Vec<StatusAt> {
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

/// The statuses of `key` in `changes`.
#[must_use]
pub(crate) fn statuses_in_changes(changes: &[KeyChange], key: &str) -> Vec<StatusAt> {
    changes
        .iter()
        .filter_map(|change| Some((change.at, change.key_status()?)))
        .filter(|(_, (id, _))| *id == key)
        .map(|(at, (_, status))| (at, status))
        .collect()
}
