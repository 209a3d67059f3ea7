//! Which stage the rotation of a user's key has reached, and what may be done next.

use crate::detect::Timestamp;
use crate::detect::decision::verdict::{IN_USE_PERIOD, Verdict};
use crate::detect::findings::finding::FindingKey;
use crate::detect::keys::age::age_order;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::usage::last_use::LastUsed;

/// One of the user's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationKey {
    /// The key.
    pub key: FindingKey,
    /// When it was last used; `None` if unknown, which is not the same as never.
    pub last_used: Option<LastUsed>,
}

/// The stage of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage<'a> {
    /// The user has no key.
    NoKeys,
    /// The user has keys, but none is active.
    NoActiveKey,
    /// One key, active.
    OneKey(&'a RotationKey),
    /// Two active keys.
    TwoActive {
        /// The older one.
        old: &'a RotationKey,
        /// The newer one.
        new: &'a RotationKey,
        /// How the two keys are used.
        progress: Progress,
        /// Whether the rotation window is over.
        is_overdue: bool,
    },
    /// One key is active, the other no longer is.
    Finished {
        /// The remaining key.
        active: &'a RotationKey,
        /// The key to delete later.
        inactive: &'a RotationKey,
    },
}

/// Which of the two active keys are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The new key has not been used yet.
    NewNotUsed,
    /// The new key is in use. The old one has not been used since this time, or was never used.
    OldIdle(Option<Timestamp>),
    /// The old key is still in use.
    BothInUse,
    /// The last use of at least one key is unknown.
    Unknown,
}

/// Which key to deactivate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyToDeactivate<'a> {
    /// The key to deactivate.
    pub key: &'a RotationKey,
    /// The active key that remains.
    pub remaining: &'a RotationKey,
    /// Whether the last uses do not single out this key, so that the operator must type its id.
    pub needs_typed_id: bool,
}

/// Why no key is deactivated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeactivationRefused {
    /// Fewer than two keys are active.
    NotTwoActive,
    /// The user does not have the chosen key.
    NoSuchKey,
    /// The chosen key is already inactive.
    NotActive,
    /// The verdict is not to retire a key.
    Verdict(Verdict),
}

/// The stage at `now` of the rotation of a user with `keys`. The rotation window ends at
/// `window_ends_at`, if known.
#[must_use]
pub(crate) fn stage(
    keys: &[RotationKey],
    window_ends_at: Option<Timestamp>,
    now: Timestamp,
) -> Stage<'_> {
    let active = with_status(keys, KeyStatus::Active);
    let inactive = with_status(keys, KeyStatus::Inactive);
    match (active.as_slice(), inactive.as_slice()) {
        ([], []) => Stage::NoKeys,
        ([], _) => Stage::NoActiveKey,
        ([one], []) => Stage::OneKey(one),
        ([active], [.., inactive]) => Stage::Finished { active, inactive },
        ([old, .., new], _) => Stage::TwoActive {
            old,
            new,
            progress: progress(old, new, now),
            is_overdue: window_ends_at.is_some_and(|end| end <= now),
        },
    }
}

impl Stage<'_> {
    /// The name used in JSON.
    #[must_use]
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::NoActiveKey => "no_active_key",
            Self::OneKey(_) => "one_key",
            Self::TwoActive {
                is_overdue: true, ..
            } => "forgotten",
            Self::TwoActive { progress, .. } => match progress {
                Progress::NewNotUsed => "started",
                Progress::OldIdle(_) => "new_in_use",
                Progress::BothInUse => "both_in_use",
                Progress::Unknown => "use_unknown",
            },
            Self::Finished { .. } => "finished",
        }
    }
}

fn progress(old: &RotationKey, new: &RotationKey, now: Timestamp) -> Progress {
    let (Some(old), Some(new)) = (&old.last_used, &new.last_used) else {
        return Progress::Unknown;
    };
    match (used_at(old), used_at(new)) {
        (_, None) => Progress::NewNotUsed,
        (None, Some(_)) => Progress::OldIdle(None),
        (Some(old), Some(new)) if old >= new || now - old < IN_USE_PERIOD => Progress::BothInUse,
        (Some(old), Some(_)) => Progress::OldIdle(Some(old)),
    }
}

/// The key to deactivate among `keys`: the one with the id `chosen`, or the one that `verdict` says
/// to retire. Never the only active key.
pub fn key_to_deactivate<'a>(
    keys: &'a [RotationKey],
    chosen: Option<&str>,
    verdict: Option<&Verdict>,
) -> Result<KeyToDeactivate<'a>, DeactivationRefused> {
    if let Some(id) = chosen {
        let key = keys.iter().find(|key| key.key.id == id);
        match key.map(|key| key.key.status) {
            Some(KeyStatus::Active) => {}
            Some(_) => return Err(DeactivationRefused::NotActive),
            None => return Err(DeactivationRefused::NoSuchKey),
        }
    }
    let active = with_status(keys, KeyStatus::Active);
    let [old, .., new] = active.as_slice() else {
        return Err(DeactivationRefused::NotTwoActive);
    };
    let (id, is_chosen) = match (chosen, verdict) {
        (Some(id), _) => (id, true),
        (None, Some(Verdict::Retire { key, .. })) => (key.as_str(), false),
        (None, Some(other)) => return Err(DeactivationRefused::Verdict(other.clone())),
        (None, None) => return Err(DeactivationRefused::NotTwoActive),
    };
    let (key, remaining) = if old.key.id == id {
        (old, new)
    } else {
        (new, old)
    };
    let is_named = verdict.and_then(Verdict::key) == Some(id);
    Ok(KeyToDeactivate {
        key,
        remaining,
        needs_typed_id: is_chosen && !is_named && !is_less_used(key, remaining),
    })
}

/// Whether `key` is known to be less used than `other`.
fn is_less_used(key: &RotationKey, other: &RotationKey) -> bool {
    match (&key.last_used, &other.last_used) {
        (Some(LastUsed::Never), Some(_)) => true,
        (Some(LastUsed::At { at, .. }), Some(LastUsed::At { at: other, .. })) => at < other,
        _ => false,
    }
}

pub(in crate::detect) fn used_at(used: &LastUsed) -> Option<Timestamp> {
    match used {
        LastUsed::Never => None,
        LastUsed::At { at, .. } => Some(*at),
    }
}

/// The keys with `status`, the oldest first.
fn with_status(keys: &[RotationKey], status: KeyStatus) -> Vec<&RotationKey> {
    by_age(keys.iter().filter(|key| key.key.status == status))
}

/// `keys`, the oldest first.
pub(crate) fn by_age<'a>(keys: impl IntoIterator<Item = &'a RotationKey>) -> Vec<&'a RotationKey> {
    let mut keys: Vec<&RotationKey> = keys.into_iter().collect();
    keys.sort_by_key(|key| age_order(key.key.created, &key.key.id));
    keys
}
