//! What to do about two active keys: one answer, shown by every output.
//!
//! The first rule that applies decides. The rules are in [`verdict`] and, as a table, in
//! ARCHITECTURE.md.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::is_rotation;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::relation::Relation;
use crate::detect::events::leak::{Leak, LeakSignal};
use crate::detect::findings::finding::{
    Finding, FindingKey, FindingStatus, KeyActivation, created_at,
};
use crate::detect::keys::age::age_order;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::usage::last_use::{LastUsed, LastUses};

/// How long after its last use a key still counts as in use.
pub(crate) const IN_USE_PERIOD: TimeDelta = TimeDelta::hours(1);

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
    /// Do not deactivate a key yet.
    InProgress {
        /// The older key, to be retired at the end.
        old: String,
        /// The newer key, which stays.
        new: String,
        /// When the rotation window or the exemption ends.
        until: Timestamp,
        /// What is left to do until then.
        reason: ProgressReason,
    },
    /// Deactivate this key: there is no sign that it is needed.
    Retire {
        /// The key to deactivate.
        key: String,
        /// Why this one.
        reason: RetireReason,
    },
    /// A person has to decide.
    Ask {
        /// Why no rule decides.
        reason: AskReason,
    },
}

/// Why a key must be deactivated at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainReason {
    /// AWS reported that the key leaked.
    Leaked(LeakSignal),
    /// An unfamiliar actor other than the user created the key.
    CreatedByUnfamiliar,
    /// An unfamiliar actor other than the user reactivated the key.
    ReactivatedByUnfamiliar,
}

/// What a rotation is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgressReason {
    /// The new key has not been used yet.
    NewNotUsed,
    /// The old key is still in use.
    OldInUse,
    /// The last use of at least one key is unknown.
    UseUnknown,
    /// No listing has confirmed yet that both keys are active.
    Unconfirmed,
    /// An exemption covers both keys.
    Exempt,
}

/// Why this key is to be retired rather than the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetireReason {
    /// This key was never used; the other one was.
    NeverUsed,
    /// The other key was used later, and this one has not been used recently.
    LeastRecentlyUsed,
    /// Neither key was ever used, and this one is older.
    OlderOfUnused,
}

/// Why a person has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AskReason {
    /// One of the keys leaked, and the report does not say which.
    OneLeaked,
    /// A familiar actor or the user reactivated a key after more than 30 days.
    Dormant,
    /// The keys are root's.
    Root,
    /// Both keys are in use.
    BothInUse,
    /// The last use of at least one key is unknown.
    UseUnknown,
    /// It is unknown which key is older.
    AgeUnknown,
    /// No listing has confirmed that both keys are active.
    Unconfirmed,
}

/// What is known about the keys of a user.
#[derive(Debug, Clone)]
pub(crate) struct VerdictInput<'a> {
    /// The user's keys.
    pub keys: &'a [FindingKey],
    /// The events that made keys active, as far as they are known.
    pub activations: Vec<&'a KeyActivation>,
    /// The reports of leaked keys.
    pub leaks: &'a [Leak],
    /// Whether the keys are root's.
    pub is_root: bool,
    /// Whether a settled listing has shown both keys active.
    pub is_confirmed: bool,
    /// Whether an exemption covers every actor who made one of the keys active.
    pub is_exempt: bool,
    /// When that exemption ends; `None` if it belongs to a rotation.
    pub exempt_until: Option<Timestamp>,
    /// When each key was last used. Keys whose last use is unknown are missing.
    pub last_uses: &'a LastUses,
    /// When the rotation window ends, if known.
    pub window_ends_at: Option<Timestamp>,
}

impl<'a> VerdictInput<'a> {
    /// What `keys` and `last_uses` alone show about an IAM user without a stored finding.
    #[must_use]
    pub(crate) fn of_keys(
        keys: &'a [FindingKey],
        last_uses: &'a LastUses,
        window_ends_at: Option<Timestamp>,
    ) -> Self {
        Self {
            keys,
            activations: vec![],
            leaks: &[],
            is_root: false,
            is_confirmed: true,
            is_exempt: false,
            exempt_until: None,
            last_uses,
            window_ends_at,
        }
    }

    /// What is known about the keys of `finding`, whose rotation window ends at `window_ends_at`.
    #[must_use]
    pub(crate) fn of(
        finding: &'a Finding,
        last_uses: &'a LastUses,
        window_ends_at: Timestamp,
    ) -> Self {
        let exemption = finding
            .exemption
            .as_ref()
            .filter(|_| finding.status == FindingStatus::Suppressed);
        // `rotate start` writes an exemption that lasts as long as the requested window.
        let window = exemption.filter(|exemption| is_rotation(&exemption.id));
        Self {
            keys: &finding.keys,
            activations: finding
                .opener
                .iter()
                .chain(&finding.other_activations)
                .collect(),
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

/// What to do at `now` about the active keys in `known`; `None` if fewer than two are active. A
/// verdict never names both keys.
#[must_use]
pub(crate) fn verdict(known: &VerdictInput<'_>, now: Timestamp) -> Option<Verdict> {
    let active = by_age(known);
    if let Some(contain) = contained(known, &active) {
        return Some(contain);
    }
    // A single active key is a finding only if the keys could not be listed.
    let [old, .., new] = active.as_slice() else {
        return (active.len() == 1 && !known.is_confirmed).then_some(ask(AskReason::Unconfirmed));
    };
    Some(of_two(known, old, new, now))
}

/// The verdict on `finding` at `now`; `None` once it is closed.
#[must_use]
pub(crate) fn verdict_on(
    finding: &Finding,
    last_uses: &LastUses,
    window_ends_at: Timestamp,
    now: Timestamp,
) -> Option<Verdict> {
    if finding.status == FindingStatus::Closed {
        return None;
    }
    verdict(&VerdictInput::of(finding, last_uses, window_ends_at), now)
}

/// The verdict if a key must be deactivated at once.
fn contained(known: &VerdictInput<'_>, active: &[&FindingKey]) -> Option<Verdict> {
    // A single leaked key is not a finding, unless it is known from events alone.
    if active.len() < 2 && known.is_confirmed {
        return None;
    }
    let by_leak = leaked(known, active);
    let key = by_leak.iter().max_by_key(|(key, _)| {
        (
            unfamiliar_activation(known, key).is_some(),
            idle_rank(known, key),
        )
    });
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
        .filter_map(|key| Some((key, unfamiliar_activation(known, key)?)))
        .max_by_key(|(_, activation)| activation.at)
        .map(|(key, activation)| Verdict::Contain {
            key: key.id.clone(),
            reason: if activation.created {
                ContainReason::CreatedByUnfamiliar
            } else {
                ContainReason::ReactivatedByUnfamiliar
            },
        })
}

/// The active keys that have leaked.
fn leaked<'a>(
    known: &VerdictInput<'_>,
    active: &[&'a FindingKey],
) -> Vec<(&'a FindingKey, LeakSignal)> {
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
fn unfamiliar_activation<'a>(
    known: &VerdictInput<'a>,
    key: &FindingKey,
) -> Option<&'a KeyActivation> {
    latest_activation(known, key)
        .filter(|activation| activation.relation == Some(Relation::Unfamiliar))
}

/// The latest event that made `key` active.
fn latest_activation<'a>(known: &VerdictInput<'a>, key: &FindingKey) -> Option<&'a KeyActivation> {
    let activations = known
        .activations
        .iter()
        .filter(|activation| activation.key == key.id);
    activations
        .copied()
        .max_by_key(|activation| (activation.is_proven(), activation.at))
}

/// Ranks by use: the key with the highest rank is deactivated first.
fn idle_rank(
    known: &VerdictInput<'_>,
    key: &FindingKey,
) -> (u8, std::cmp::Reverse<Option<Timestamp>>) {
    match known.last_uses.get(&key.id) {
        Some(LastUsed::Never) => (2, std::cmp::Reverse(None)),
        Some(LastUsed::At { at, .. }) => (1, std::cmp::Reverse(Some(*at))),
        None => (0, std::cmp::Reverse(None)),
    }
}

fn of_two(known: &VerdictInput<'_>, old: &FindingKey, new: &FindingKey, now: Timestamp) -> Verdict {
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
    let is_dormant = |key| latest_activation(known, key).is_some_and(was_dormant);
    if is_dormant(old) || is_dormant(new) {
        return ask(AskReason::Dormant);
    }
    let window = known.window_ends_at.filter(|end| now < *end);
    let use_of = use_of(known, old, new, now);
    let is_order_known = created(known, old) != created(known, new);
    if let Some(until) = window {
        return match use_of {
            KeyComparison::Both if !is_order_known => ask(AskReason::BothInUse),
            KeyComparison::Unknown if !is_order_known => ask(AskReason::UseUnknown),
            _ if !is_order_known => ask(AskReason::AgeUnknown),
            KeyComparison::OldIdle(reason) if known.is_confirmed => retire(old, reason),
            KeyComparison::OldIdle(_) => in_progress(until, ProgressReason::Unconfirmed),
            KeyComparison::NewNeverUsed | KeyComparison::NeitherUsed => {
                in_progress(until, ProgressReason::NewNotUsed)
            }
            KeyComparison::NewIdle | KeyComparison::Both => {
                in_progress(until, ProgressReason::OldInUse)
            }
            KeyComparison::Unknown => in_progress(until, ProgressReason::UseUnknown),
        };
    }
    if !known.is_confirmed {
        return ask(AskReason::Unconfirmed);
    }
    match use_of {
        KeyComparison::OldIdle(reason) => retire(old, reason),
        KeyComparison::NewNeverUsed => retire(new, RetireReason::NeverUsed),
        KeyComparison::NewIdle => retire(new, RetireReason::LeastRecentlyUsed),
        KeyComparison::NeitherUsed if is_order_known => retire(old, RetireReason::OlderOfUnused),
        KeyComparison::NeitherUsed => ask(AskReason::AgeUnknown),
        KeyComparison::Both => ask(AskReason::BothInUse),
        KeyComparison::Unknown => ask(AskReason::UseUnknown),
    }
}

/// How the last uses of the two keys compare.
enum KeyComparison {
    /// The new key is in use; the old one is not.
    OldIdle(RetireReason),
    /// The old key is in use; the new one was never used.
    NewNeverUsed,
    /// The old key is in use; the new one no longer is.
    NewIdle,
    /// Neither key was ever used.
    NeitherUsed,
    /// Both keys are in use.
    Both,
    /// INVARIANT (unknown is not never): the last use of at least one key is unknown.
    Unknown,
}

fn use_of(
    known: &VerdictInput<'_>,
    old: &FindingKey,
    new: &FindingKey,
    now: Timestamp,
) -> KeyComparison {
    let used = |key: &FindingKey| match known.last_uses.get(&key.id)? {
        LastUsed::Never => Some(None),
        LastUsed::At { at, .. } => Some(Some(*at)),
    };
    let (Some(old), Some(new)) = (used(old), used(new)) else {
        return KeyComparison::Unknown;
    };
    let is_idle = |at: Timestamp| now - at >= IN_USE_PERIOD;
    match (old, new) {
        (None, None) => KeyComparison::NeitherUsed,
        (Some(_), None) => KeyComparison::NewNeverUsed,
        (None, Some(_)) => KeyComparison::OldIdle(RetireReason::NeverUsed),
        (Some(old), Some(new)) if old < new && is_idle(old) => {
            KeyComparison::OldIdle(RetireReason::LeastRecentlyUsed)
        }
        (Some(old), Some(new)) if new < old && is_idle(new) => KeyComparison::NewIdle,
        (Some(_), Some(_)) => KeyComparison::Both,
    }
}

/// Whether a report that names no key may be about one of `keys`, that is, about a key that existed
/// at the time.
fn has_open_leak(known: &VerdictInput<'_>, keys: &[&FindingKey]) -> bool {
    let existed = |leak: &Leak, key: &FindingKey| {
        created(known, key).is_none_or(|created| created <= leak.at)
    };
    let mut open = known.leaks.iter().filter(|leak| leak.key.is_none());
    open.any(|leak| keys.iter().any(|key| existed(leak, key)))
}

fn was_dormant(activation: &KeyActivation) -> bool {
    activation
        .inactive_since
        .is_some_and(|since| activation.at - since > Policy::DORMANT)
}

/// The active keys, oldest first.
fn by_age<'a>(known: &VerdictInput<'a>) -> Vec<&'a FindingKey> {
    let mut active: Vec<&FindingKey> = known
        .keys
        .iter()
        .filter(|key| key.status == KeyStatus::Active)
        .collect();
    active.sort_by_key(|key| age_order(created(known, key), &key.id));
    active
}

fn created(known: &VerdictInput<'_>, key: &FindingKey) -> Option<Timestamp> {
    created_at(key, known.activations.iter().copied())
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
    /// The key to deactivate, if the verdict names one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Contain { key, .. } | Self::Retire { key, .. } => Some(key),
            Self::InProgress { .. } | Self::Ask { .. } => None,
        }
    }

    /// No key is to be deactivated before this time.
    #[must_use]
    pub const fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::InProgress { until, .. } => Some(*until),
            Self::Contain { .. } | Self::Retire { .. } | Self::Ask { .. } => None,
        }
    }
}
