//! How far the rotation of a user's key has come, and what may be done next.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::finding::FindingKey;
use crate::detect::listing::KeyStatus;
use crate::detect::retire::{LastUsed, LastUses, RetireReason, one_to_retire};

/// How long after its last use a key counts as being in use still.
pub const IN_USE: TimeDelta = TimeDelta::hours(1);

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
    /// Why this one; none if it was chosen by name.
    pub reason: Option<RetireReason>,
    /// Whether nothing shows that it is less in use than the other, so that its id is to be typed.
    pub is_to_be_typed: bool,
}

/// Why no key is deactivated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRetirement<'a> {
    /// Fewer than two are active.
    NotTwoActive,
    /// The user has no key of the chosen id.
    NoSuchKey,
    /// The chosen one is inactive already.
    NotActive,
    /// By use it would be the new one, within the window: whoever uses the old one has not switched.
    NotSwitched {
        /// The older key.
        old: &'a RotationKey,
        /// The newer key.
        new: &'a RotationKey,
    },
    /// The one that would go was used a short time ago.
    StillInUse(&'a RotationKey),
    /// The last use of a key could not be had.
    UseUnknown,
    /// Neither use nor age tells them apart.
    NothingTells,
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

/// Which key of a user with `keys` to deactivate at `now`: the one with the id `chosen`, or by use and then by age, as alerts
/// recommend it. Never one that could be in use, unless it is chosen; and as long as the window is not over
/// (`is_forgotten`), not the new one either.
pub fn key_to_deactivate<'a>(
    keys: &'a [RotationKey],
    chosen: Option<&str>,
    is_forgotten: bool,
    now: Timestamp,
) -> Result<Retirement<'a>, NoRetirement<'a>> {
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
    if let Some(id) = chosen {
        let (key, kept) = if old.key.id == id {
            (old, new)
        } else {
            (new, old)
        };
        return Ok(Retirement {
            key,
            kept,
            reason: None,
            is_to_be_typed: !is_less_used(key, kept),
        });
    }
    if active.iter().any(|key| key.last_used.is_none()) {
        return Err(NoRetirement::UseUnknown);
    }
    let keys: Vec<FindingKey> = active.iter().map(|key| key.key.clone()).collect();
    let last_uses: LastUses = active
        .iter()
        .filter_map(|key| Some((key.key.id.clone(), key.last_used.clone()?)))
        .collect();
    let retire = one_to_retire(&keys, None, &last_uses).ok_or(NoRetirement::NothingTells)?;
    let (key, kept) = if retire.key.id == old.key.id {
        (old, new)
    } else {
        (new, old)
    };
    if !is_less_used(key, kept) {
        return Err(NoRetirement::NothingTells);
    }
    if !is_forgotten && key.key.id == new.key.id {
        return Err(NoRetirement::NotSwitched { old, new });
    }
    let last = key.last_used.as_ref().and_then(used_at);
    if last.is_some_and(|last| now - last < IN_USE) {
        return Err(NoRetirement::StillInUse(key));
    }
    Ok(Retirement {
        key,
        kept,
        reason: Some(retire.reason),
        is_to_be_typed: false,
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
