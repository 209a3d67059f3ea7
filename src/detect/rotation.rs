//! How far the rotation of a user's key has come, and what may be done next.

use crate::detect::Timestamp;
use crate::detect::finding::FindingKey;
use crate::detect::listing::KeyStatus;
use crate::detect::retire::LastUsed;
use crate::detect::verdict::{IN_USE, Verdict};

/// One of the user's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationKey {
    /// The key.
    pub key: FindingKey,
    /// When it was last used; none if that could not be had, which is not the same as never.
    pub last_used: Option<LastUsed>,
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'a> {
    /// The user has no key.
    NoKeys,
    /// The user has keys, and none is active.
    NoActiveKey,
    /// One key, active.
    OneKey(&'a RotationKey),
    /// Two active keys.
    TwoActive {
        /// The older one.
        old: &'a RotationKey,
        /// The newer one.
        new: &'a RotationKey,
        /// Who uses what.
        progress: Progress,
        /// Whether the rotation window is over.
        is_forgotten: bool,
    },
    /// One is active, the other no more.
    Finished {
        /// The key that is left.
        active: &'a RotationKey,
        /// The one that may be deleted some day.
        inactive: &'a RotationKey,
    },
}

/// Which of two active keys is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The new key was not used yet.
    NewNotUsed,
    /// The new key is used and the old one is not any more: since then, or it never was.
    OldIdle(Option<Timestamp>),
    /// The old key is used still.
    BothInUse,
    /// Somebody did not let us know.
    Unknown,
}

/// Which key to deactivate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retirement<'a> {
    /// The key to deactivate.
    pub key: &'a RotationKey,
    /// The active key that is left.
    pub kept: &'a RotationKey,
    /// Whether nothing shows that it is less in use than the other, so that its id is to be typed.
    pub is_to_be_typed: bool,
}

/// Why no key is deactivated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRetirement {
    /// Fewer than two are active.
    NotTwoActive,
    /// The user has no key of the chosen id.
    NoSuchKey,
    /// The chosen one is inactive already.
    NotActive,
    /// The verdict is another one than to retire a key.
    Verdict(Verdict),
}

/// How far the rotation of a user with `keys` has come at `now`. The rotation window ends at `window_ends_at`, if that is known.
#[must_use]
pub fn stage(keys: &[RotationKey], window_ends_at: Option<Timestamp>, now: Timestamp) -> Stage<'_> {
    let active = by_age(keys, KeyStatus::Active);
    let inactive = by_age(keys, KeyStatus::Inactive);
    match (active.as_slice(), inactive.as_slice()) {
        ([], []) => Stage::NoKeys,
        ([], _) => Stage::NoActiveKey,
        ([one], []) => Stage::OneKey(one),
        ([active], [.., inactive]) => Stage::Finished { active, inactive },
        ([old, .., new], _) => Stage::TwoActive {
            old,
            new,
            progress: progress(old, new, now),
            is_forgotten: window_ends_at.is_some_and(|end| end <= now),
        },
    }
}

impl Stage<'_> {
    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::NoActiveKey => "no_active_key",
            Self::OneKey(_) => "one_key",
            Self::TwoActive {
                is_forgotten: true, ..
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
        (Some(old), Some(new)) if old >= new || now - old < IN_USE => Progress::BothInUse,
        (Some(old), Some(_)) => Progress::OldIdle(Some(old)),
    }
}

/// Which key of a user with `keys` to deactivate: the one with the id `chosen`, or the one that `verdict` says to retire. Never
/// the only active one.
pub fn key_to_deactivate<'a>(
    keys: &'a [RotationKey],
    chosen: Option<&str>,
    verdict: Option<&Verdict>,
) -> Result<Retirement<'a>, NoRetirement> {
    if let Some(id) = chosen {
        let key = keys.iter().find(|key| key.key.id == id);
        match key.map(|key| key.key.status) {
            Some(KeyStatus::Active) => {}
            Some(_) => return Err(NoRetirement::NotActive),
            None => return Err(NoRetirement::NoSuchKey),
        }
    }
    let active = by_age(keys, KeyStatus::Active);
    let [old, .., new] = active.as_slice() else {
        return Err(NoRetirement::NotTwoActive);
    };
    let (id, is_chosen) = match (chosen, verdict) {
        (Some(id), _) => (id, true),
        (None, Some(Verdict::Retire { key, .. })) => (key.as_str(), false),
        (None, Some(other)) => return Err(NoRetirement::Verdict(other.clone())),
        (None, None) => return Err(NoRetirement::NotTwoActive),
    };
    let (key, kept) = if old.key.id == id {
        (old, new)
    } else {
        (new, old)
    };
    let is_named = verdict.and_then(Verdict::key) == Some(id);
    Ok(Retirement {
        key,
        kept,
        is_to_be_typed: is_chosen && !is_named && !is_less_used(key, kept),
    })
}

/// Whether use shows that nobody depends on `key` more than on `other`.
fn is_less_used(key: &RotationKey, other: &RotationKey) -> bool {
    match (&key.last_used, &other.last_used) {
        (Some(LastUsed::Never), Some(_)) => true,
        (Some(LastUsed::At { at, .. }), Some(LastUsed::At { at: other, .. })) => at < other,
        _ => false,
    }
}

pub(super) fn used_at(used: &LastUsed) -> Option<Timestamp> {
    match used {
        LastUsed::Never => None,
        LastUsed::At { at, .. } => Some(*at),
    }
}

/// The keys with `status`, the oldest first.
fn by_age(keys: &[RotationKey], status: KeyStatus) -> Vec<&RotationKey> {
    let mut keys: Vec<&RotationKey> = keys.iter().filter(|key| key.key.status == status).collect();
    keys.sort_by_key(|key| (key.key.created, &key.key.id));
    keys
}
