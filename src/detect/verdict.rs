//! What to do about two active keys: one answer, which every output gives.
//!
//! The rules, of which the first that holds decides, stand in [`verdict`] and as a table in ARCHITECTURE.md.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::exemption::is_rotation;
use crate::detect::finding::{Finding, FindingKey, FindingStatus, Opener};
use crate::detect::leak::{Leak, LeakSignal};
use crate::detect::listing::KeyStatus;
use crate::detect::policy::Policy;
use crate::detect::relation::Relation;
use crate::detect::retire::{LastUsed, LastUses};

/// How long after its last use a key still counts as in use.
pub const IN_USE: TimeDelta = TimeDelta::hours(1);

/// What to do about two active keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Deactivate this key now, whatever uses it.
    Contain {
        /// The key to deactivate.
        key: String,
        /// Why.
        reason: ContainReason,
    },
    /// Nothing is to be deactivated yet.
    InProgress {
        /// The older key, which goes in the end.
        old: String,
        /// The newer key, which stays.
        new: String,
        /// When the rotation window or the exemption ends.
        until: Timestamp,
        /// What is left to do until then.
        reason: ProgressReason,
    },
    /// Deactivate this key: nothing shows that it is needed.
    Retire {
        /// The key to deactivate.
        key: String,
        /// Why this one.
        reason: RetireReason,
    },
    /// A person has to decide.
    Ask {
        /// Why nothing else decides.
        reason: AskReason,
    },
}

/// Why a key is to be deactivated at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainReason {
    /// AWS reported that it has leaked.
    Leaked(LeakSignal),
    /// An unfamiliar actor, who is not the user, created it.
    CreatedByUnfamiliar,
    /// An unfamiliar actor, who is not the user, reactivated it.
    ReactivatedByUnfamiliar,
}

/// What a rotation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgressReason {
    /// The new key has not been used yet.
    NewNotUsed,
    /// The old key is still in use.
    OldInUse,
    /// The last use of a key is not known.
    UseUnknown,
    /// No listing has confirmed yet that both keys are active.
    Unconfirmed,
    /// An exemption covers both keys.
    Exempt,
}

/// Why this key goes and not the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetireReason {
    /// It was never used, and the other one was.
    NeverUsed,
    /// The other one was used later, and this one not for a while.
    LeastRecentlyUsed,
    /// Neither was ever used, and it is the older one.
    OlderOfUnused,
}

/// Why a person has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AskReason {
    /// One of the keys has leaked, and the signal does not say which.
    OneLeaked,
    /// A key that had been inactive for long was reactivated by a familiar actor or by the user itself.
    Dormant,
    /// The keys are root's.
    Root,
    /// Both keys are in use.
    BothInUse,
    /// The last use of a key is not known.
    UseUnknown,
    /// Nothing says which key is older.
    AgeUnknown,
    /// No listing has confirmed that both keys are active.
    Unconfirmed,
}

/// What is known of the keys of a user.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// The user's keys.
    pub keys: &'a [FindingKey],
    /// What made keys active, as far as events showed it.
    pub makers: Vec<&'a Opener>,
    /// The leak signals of the user.
    pub leaks: &'a [Leak],
    /// Whether the keys are root's.
    pub is_root: bool,
    /// Whether a settled listing has shown both keys active.
    pub is_confirmed: bool,
    /// Whether an exemption vouches for whoever made the keys active.
    pub is_exempt: bool,
    /// When that exemption ends, unless it stands for a rotation, which is to go on.
    pub exempt_until: Option<Timestamp>,
    /// When each key was last used. A key that is missing is one whose last use is not known.
    pub last_uses: &'a LastUses,
    /// When the rotation window ends; none if that is not known.
    pub window_ends_at: Option<Timestamp>,
}

impl<'a> Known<'a> {
    /// What `keys` and `last_uses` alone show of an IAM user, where no finding is kept.
    #[must_use]
    pub fn of_keys(
        keys: &'a [FindingKey],
        last_uses: &'a LastUses,
        window_ends_at: Option<Timestamp>,
    ) -> Self {
        Self {
            keys,
            makers: vec![],
            leaks: &[],
            is_root: false,
            is_confirmed: true,
            is_exempt: false,
            exempt_until: None,
            last_uses,
            window_ends_at,
        }
    }

    /// What is known of the keys of `finding`, whose rotation window ends at `window_ends_at`.
    #[must_use]
    pub fn of(finding: &'a Finding, last_uses: &'a LastUses, window_ends_at: Timestamp) -> Self {
        let exemption = finding
            .exemption
            .as_ref()
            .filter(|_| finding.status == FindingStatus::Suppressed);
        // `rotate start` writes an exemption as long as the window that it was asked for.
        let window = exemption.filter(|exemption| is_rotation(&exemption.id));
        Self {
            keys: &finding.keys,
            makers: finding.opener.iter().chain(&finding.joined).collect(),
            leaks: &finding.leaks,
            is_root: finding.user().is_root(),
            is_confirmed: finding.confirmed,
            is_exempt: exemption.is_some(),
            exempt_until: match window {
                Some(_) => None,
                None => exemption.map(|exemption| exemption.until),
            },
            last_uses,
            window_ends_at: Some(window.map_or(window_ends_at, |exemption| exemption.until)),
        }
    }
}

/// What to do at `now` about the active keys that `known` tells of; none if fewer than two are active. Never names both keys.
#[must_use]
pub fn verdict(known: &Known<'_>, now: Timestamp) -> Option<Verdict> {
    let active = by_age(known);
    if let Some(contain) = contained(known, &active) {
        return Some(contain);
    }
    // One key alone is a finding only where the keys could not be listed.
    let [old, .., new] = active.as_slice() else {
        return (active.len() == 1 && !known.is_confirmed).then_some(ask(AskReason::Unconfirmed));
    };
    Some(of_two(known, old, new, now))
}

/// The verdict on `finding` at `now`; none once it is closed.
#[must_use]
pub fn verdict_on(
    finding: &Finding,
    last_uses: &LastUses,
    window_ends_at: Timestamp,
    now: Timestamp,
) -> Option<Verdict> {
    if finding.status == FindingStatus::Closed {
        return None;
    }
    verdict(&Known::of(finding, last_uses, window_ends_at), now)
}

/// The key that is to be deactivated at once.
fn contained(known: &Known<'_>, active: &[&FindingKey]) -> Option<Verdict> {
    // A lone key that has leaked is no finding; one that is known from events alone is.
    if active.len() < 2 && known.is_confirmed {
        return None;
    }
    let by_leak = leaked(known, active);
    let key = by_leak
        .iter()
        .max_by_key(|(key, _)| (hostile_maker(known, key).is_some(), idle_rank(known, key)));
    if let Some((key, signal)) = key {
        return Some(Verdict::Contain {
            key: key.id.clone(),
            reason: ContainReason::Leaked(*signal),
        });
    }
    if known.is_exempt {
        return None;
    }
    active
        .iter()
        .filter_map(|key| Some((key, hostile_maker(known, key)?)))
        .max_by_key(|(_, maker)| maker.at)
        .map(|(key, maker)| Verdict::Contain {
            key: key.id.clone(),
            reason: if maker.created {
                ContainReason::CreatedByUnfamiliar
            } else {
                ContainReason::ReactivatedByUnfamiliar
            },
        })
}

/// The active keys that have leaked.
fn leaked<'a>(known: &Known<'_>, active: &[&'a FindingKey]) -> Vec<(&'a FindingKey, LeakSignal)> {
    known
        .leaks
        .iter()
        .filter_map(|leak| {
            let id = leak.key.as_ref()?;
            let key = active.iter().find(|key| key.id == *id)?;
            Some((*key, leak.signal))
        })
        .collect()
}

/// The latest activation of `key`, if an unfamiliar actor made it.
fn hostile_maker<'a>(known: &Known<'a>, key: &FindingKey) -> Option<&'a Opener> {
    latest_maker(known, key).filter(|maker| maker.relation == Some(Relation::Unfamiliar))
}

/// The latest event that made `key` active.
fn latest_maker<'a>(known: &Known<'a>, key: &FindingKey) -> Option<&'a Opener> {
    let makers = known.makers.iter().filter(|maker| maker.key == key.id);
    makers
        .copied()
        .max_by_key(|maker| (maker.is_proven(), maker.at))
}

/// A key that nothing uses is the one to be deactivated first.
fn idle_rank(known: &Known<'_>, key: &FindingKey) -> (u8, std::cmp::Reverse<Option<Timestamp>>) {
    match known.last_uses.get(&key.id) {
        Some(LastUsed::Never) => (2, std::cmp::Reverse(None)),
        Some(LastUsed::At { at, .. }) => (1, std::cmp::Reverse(Some(*at))),
        None => (0, std::cmp::Reverse(None)),
    }
}

fn of_two(known: &Known<'_>, old: &FindingKey, new: &FindingKey, now: Timestamp) -> Verdict {
    if has_open_leak(known, &[old, new]) {
        return ask(AskReason::OneLeaked);
    }
    if known.is_root {
        return ask(AskReason::Root);
    }
    let in_progress = |until, reason| Verdict::InProgress {
        old: old.id.clone(),
        new: new.id.clone(),
        until,
        reason,
    };
    if let Some(until) = known.exempt_until {
        return in_progress(until, ProgressReason::Exempt);
    }
    let is_dormant = |key| latest_maker(known, key).is_some_and(was_dormant);
    if is_dormant(old) || is_dormant(new) {
        return ask(AskReason::Dormant);
    }
    let window = known.window_ends_at.filter(|end| now < *end);
    let use_of = use_of(known, old, new, now);
    let is_order_known = created(known, old) != created(known, new);
    if let Some(until) = window {
        return match use_of {
            Use::Both if !is_order_known => ask(AskReason::BothInUse),
            Use::Unknown if !is_order_known => ask(AskReason::UseUnknown),
            _ if !is_order_known => ask(AskReason::AgeUnknown),
            Use::OldIdle(reason) if known.is_confirmed => retire(old, reason),
            Use::OldIdle(_) => in_progress(until, ProgressReason::Unconfirmed),
            Use::NewNeverUsed | Use::NeitherUsed => in_progress(until, ProgressReason::NewNotUsed),
            Use::NewIdle | Use::Both => in_progress(until, ProgressReason::OldInUse),
            Use::Unknown => in_progress(until, ProgressReason::UseUnknown),
        };
    }
    if !known.is_confirmed {
        return ask(AskReason::Unconfirmed);
    }
    match use_of {
        Use::OldIdle(reason) => retire(old, reason),
        Use::NewNeverUsed => retire(new, RetireReason::NeverUsed),
        Use::NewIdle => retire(new, RetireReason::LeastRecentlyUsed),
        Use::NeitherUsed if is_order_known => retire(old, RetireReason::OlderOfUnused),
        Use::NeitherUsed => ask(AskReason::AgeUnknown),
        Use::Both => ask(AskReason::BothInUse),
        Use::Unknown => ask(AskReason::UseUnknown),
    }
}

/// Who uses what.
enum Use {
    /// The new key is in use, the old one is not.
    OldIdle(RetireReason),
    /// The old key is in use, the new one never was.
    NewNeverUsed,
    /// The old key is in use, the new one is not any more.
    NewIdle,
    /// Neither was ever used.
    NeitherUsed,
    /// Both are.
    Both,
    /// INVARIANT (unknown is not never): of a key nothing is known.
    Unknown,
}

fn use_of(known: &Known<'_>, old: &FindingKey, new: &FindingKey, now: Timestamp) -> Use {
    let used = |key: &FindingKey| match known.last_uses.get(&key.id)? {
        LastUsed::Never => Some(None),
        LastUsed::At { at, .. } => Some(Some(*at)),
    };
    let (Some(old), Some(new)) = (used(old), used(new)) else {
        return Use::Unknown;
    };
    let is_idle = |at: Timestamp| now - at >= IN_USE;
    match (old, new) {
        (None, None) => Use::NeitherUsed,
        (Some(_), None) => Use::NewNeverUsed,
        (None, Some(_)) => Use::OldIdle(RetireReason::NeverUsed),
        (Some(old), Some(new)) if old < new && is_idle(old) => {
            Use::OldIdle(RetireReason::LeastRecentlyUsed)
        }
        (Some(old), Some(new)) if new < old && is_idle(new) => Use::NewIdle,
        (Some(_), Some(_)) => Use::Both,
    }
}

/// Whether a leak signal that names no key may be about one of `keys`: about one that was not created after it.
fn has_open_leak(known: &Known<'_>, keys: &[&FindingKey]) -> bool {
    let existed = |leak: &Leak, key: &FindingKey| {
        created(known, key).is_none_or(|created| created <= leak.at)
    };
    let mut open = known.leaks.iter().filter(|leak| leak.key.is_none());
    open.any(|leak| keys.iter().any(|key| existed(leak, key)))
}

fn was_dormant(maker: &Opener) -> bool {
    maker
        .inactive_since
        .is_some_and(|since| maker.at - since > Policy::DORMANT)
}

/// The active keys, the oldest first.
fn by_age<'a>(known: &Known<'a>) -> Vec<&'a FindingKey> {
    let mut active: Vec<&FindingKey> = known
        .keys
        .iter()
        .filter(|key| key.status == KeyStatus::Active)
        .collect();
    // A key whose creation is not known was there before anything was recorded.
    active.sort_by_key(|key| (created(known, key), &key.id));
    active
}

/// When `key` was created, by the listing or by the event.
fn created(known: &Known<'_>, key: &FindingKey) -> Option<Timestamp> {
    let mut makers = known.makers.iter();
    key.created.or_else(|| {
        makers
            .find(|maker| maker.created && maker.key == key.id)
            .map(|maker| maker.at)
    })
}

fn retire(key: &FindingKey, reason: RetireReason) -> Verdict {
    Verdict::Retire {
        key: key.id.clone(),
        reason,
    }
}

const fn ask(reason: AskReason) -> Verdict {
    Verdict::Ask { reason }
}

impl Verdict {
    /// The key that is to be deactivated, if one is.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Contain { key, .. } | Self::Retire { key, .. } => Some(key),
            Self::InProgress { .. } | Self::Ask { .. } => None,
        }
    }

    /// Before when nothing is to be deactivated.
    #[must_use]
    pub const fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::InProgress { until, .. } => Some(*until),
            Self::Contain { .. } | Self::Retire { .. } | Self::Ask { .. } => None,
        }
    }
}
