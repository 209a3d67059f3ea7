//! A signal from AWS that a key has leaked.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::evidence::{Evidence, KeyEvidence};
use crate::detect::finding::{Finding, FindingKey, FindingStatus};
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{Answer, KeyStatus};
use crate::detect::situation::{Seen, Situation};
use crate::detect::user_record::UserRecord;
use crate::detect::view::View;

/// How many leak signals are kept of one user.
pub const MAX_LEAKS: usize = 4;

/// A signal from AWS that a key of the user has leaked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The key, if the signal names it. AWS quarantines a user, so that signal names none.
    pub key: Option<String>,
    /// When AWS sent the signal.
    pub at: Timestamp,
    /// What the signal was.
    pub signal: LeakSignal,
    /// The id of the CloudTrail or Health event.
    pub event_id: Option<String>,
}

/// Which signal said that a key has leaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakSignal {
    /// AWS attached a managed policy `AWSCompromisedKeyQuarantine*` to the user.
    Quarantine,
    /// AWS Health reported that the key is exposed (`AWS_RISK_CREDENTIALS_EXPOSED`).
    Exposed,
    /// AWS Health reported that the key may be exposed (`AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED`).
    ExposureSuspected,
}

/// How long after a quarantine late events may still tell which key it was about. The evidence on
/// keys that are gone is kept for as long.
const NARROWED_FOR: TimeDelta = TimeDelta::days(1);

/// What AWS's quarantine policies are named after the partition. Their names end in a version:
/// `AWSCompromisedKeyQuarantine`, `…V2`, `…V3`. Source: AWS managed policy reference guide.
const QUARANTINE: &str = ":iam::aws:policy/AWSCompromisedKeyQuarantine";

/// Whether `policy_arn` is a policy by which AWS quarantines a user whose key leaked. A policy of
/// that name in the customer's own account is none.
pub(super) fn is_quarantine(policy_arn: &str) -> bool {
    let after_arn = policy_arn.strip_prefix("arn:");
    let partition_and_rest = after_arn.and_then(|rest| rest.split_once(QUARANTINE));
    partition_and_rest
        .is_some_and(|(partition, _)| partition.starts_with("aws") && !partition.contains(':'))
}

impl LeakSignal {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Exposed => "exposed",
            Self::ExposureSuspected => "exposure_suspected",
        }
    }
}

impl Leak {
    /// The leak that `change` reports, if it reports one.
    #[must_use]
    pub fn of(change: &KeyChange) -> Option<Self> {
        match &change.kind {
            ChangeKind::KeyLeaked { key, signal } => Some(Self {
                key: key.clone(),
                at: change.at,
                signal: *signal,
                event_id: change.event_id.clone(),
            }),
            _ => None,
        }
    }

    /// Whether `other` is of the same event; which key it is about may be known of one alone.
    fn is_same(&self, other: &Self) -> bool {
        let is_one_event = match (&self.event_id, &other.event_id) {
            (Some(one), Some(other)) => one == other,
            _ => self.at == other.at,
        };
        let is_one_key = self.key.is_none() || other.key.is_none() || self.key == other.key;
        self.signal == other.signal && is_one_event && is_one_key
    }
}

/// Adds `leak` to `leaks`, once however often its event comes.
pub(super) fn add(leaks: &mut Vec<Leak>, leak: Leak) {
    match leaks.iter_mut().find(|known| known.is_same(&leak)) {
        Some(known) => known.at = known.at.min(leak.at),
        None => leaks.push(leak),
    }
    tidy(leaks);
}

/// Puts `leaks` in order, and drops those that add nothing: a signal about a key repeats the
/// earliest one of its kind. Beyond [`MAX_LEAKS`] the latest goes that is about the same as another.
fn tidy(leaks: &mut Vec<Leak>) {
    leaks.sort_by(|one, other| {
        let order = |leak: &Leak| {
            (
                leak.at,
                leak.signal,
                leak.key.clone(),
                leak.event_id.clone(),
            )
        };
        order(one).cmp(&order(other))
    });
    let mut told = BTreeSet::new();
    leaks.retain(|leak| leak.key.is_none() || told.insert((leak.key.clone(), leak.signal)));
    while leaks.len() > MAX_LEAKS {
        let repeats = |(place, leak): &(usize, &Leak)| {
            leaks
                .iter()
                .take(*place)
                .any(|earlier| earlier.key == leak.key)
        };
        let latest = leaks.iter().enumerate().rev().find(repeats);
        leaks.remove(latest.map_or(0, |(place, _)| place));
    }
}

/// The leaks in `evidence`, each quarantine with the key that it is about, if just one key of the
/// user can have been active then. A listing may be behind and events may be late, so this is
/// decided again at each look for a day.
pub(super) fn narrowed(
    evidence: &Evidence,
    view: &View,
    situation: &Situation<'_>,
    now: Timestamp,
) -> Vec<Leak> {
    let mut leaks = evidence.leaks.clone();
    // Without a listing nothing tells which other keys the user has. A report names no keys.
    let knows_all_keys = match situation.listing.answer() {
        Answer::Keys { .. } | Answer::NoSuchUser => true,
        Answer::Refused { .. } => situation.record.last_listing.is_some(),
        Answer::Report { .. } => false,
    };
    if !knows_all_keys {
        return leaks;
    }
    let news: Vec<Leak> = situation.changes.iter().filter_map(Leak::of).collect();
    for leak in &mut leaks {
        let is_news = news.iter().any(|new| new.is_same(leak));
        if leak.signal == LeakSignal::Quarantine && (is_news || now - leak.at < NARROWED_FOR) {
            leak.key = sole_key(leak.at, evidence, view, situation.record);
        }
    }
    tidy(&mut leaks);
    leaks
}

/// The only key that can have been active right before `at`.
fn sole_key(
    at: Timestamp,
    evidence: &Evidence,
    view: &View,
    record: &UserRecord,
) -> Option<String> {
    let last_listed = record.last_listing.iter().flat_map(|last| last.keys.keys());
    let named = record
        .open_finding()
        .into_iter()
        .flat_map(Finding::active_keys);
    let keys: BTreeSet<&str> = view
        .keys
        .keys()
        .chain(evidence.keys.keys())
        .chain(last_listed)
        .map(String::as_str)
        .chain(named)
        .collect();
    let mut active = keys.into_iter().filter(|key| {
        existed_before(at, created_at(key, evidence, view))
            && may_have_been_active(key, at, evidence, view, record)
    });
    match (active.next(), active.next()) {
        (Some(key), None) => Some(key.to_owned()),
        _ => None,
    }
}

/// When `key` was created, if a listing or an event told.
fn created_at(key: &str, evidence: &Evidence, view: &View) -> Option<Timestamp> {
    let words = evidence.keys.get(key).map_or(&[][..], |known| &known.words);
    let by_event = words.iter().find(|word| word.created).map(|word| word.at);
    by_event.or_else(|| view.keys.get(key)?.created)
}

/// No key leaks and is found within the second of its creation. One whose creation is not known may
/// have been there.
fn existed_before(at: Timestamp, created: Option<Timestamp>) -> bool {
    created.is_none_or(|created| created < at)
}

/// Whether `key`, which existed, may have been active right before `at`.
fn may_have_been_active(
    key: &str,
    at: Timestamp,
    evidence: &Evidence,
    view: &View,
    record: &UserRecord,
) -> bool {
    let no_events = KeyEvidence::default();
    let known = evidence.keys.get(key).unwrap_or(&no_events);
    let latest = known
        .words
        .iter()
        .map(|word| word.at)
        .filter(|told| *told < at)
        .max();
    if let Some(latest) = latest {
        let mut of_that_second = known.words.iter().filter(|word| word.at == latest);
        return of_that_second.any(|word| word.status == KeyStatus::Active);
    }
    if let Some(before) = known.before.filter(|before| before.at < at) {
        return before.status == KeyStatus::Active;
    }
    if !known.words.is_empty() {
        // What a later event changed was active before, or nothing tells.
        return true;
    }
    let last_listed = record
        .last_listing
        .as_ref()
        .and_then(|last| last.keys.get(key));
    view.status(key) == KeyStatus::Active
        || (view.status(key) == KeyStatus::Gone && last_listed == Some(&KeyStatus::Active))
}

/// Those of the known leaks that are about a key in `keys`, the keys of a finding.
pub(super) fn of_keys(keys: &[FindingKey], seen: &Seen<'_>) -> Vec<Leak> {
    let is_about = |leak: &&Leak| match &leak.key {
        Some(leaked) => keys.iter().any(|key| key.id == *leaked),
        None => keys.iter().any(|key| {
            let created = created_at(&key.id, seen.evidence, seen.view).or(key.created);
            existed_before(leak.at, created)
        }),
    };
    seen.evidence
        .leaks
        .iter()
        .filter(is_about)
        .cloned()
        .collect()
}

/// Whether `now` holds a leak that `before` does not, or of which the key has become known.
pub(super) fn has_news(before: &[Leak], now: &[Leak]) -> bool {
    let is_told = |leak: &Leak| {
        before
            .iter()
            .any(|known| known.is_same(leak) && known.key == leak.key)
    };
    !now.iter().all(is_told)
}

/// The known leaks without those about keys that are gone; `finding` is the latest one from now on,
/// and keeps its own as long as it is open.
pub(super) fn kept(seen: &Seen<'_>, finding: Option<&Finding>) -> Vec<Leak> {
    let open = finding.filter(|finding| finding.status != FindingStatus::Closed);
    let mut kept = seen.evidence.leaks.clone();
    let is_report = matches!(seen.situation.listing.answer(), Answer::Report { .. });
    if is_report || !seen.may_close() {
        return kept;
    }
    kept.retain(|leak| {
        let may_be_present = seen
            .view
            .keys
            .iter()
            .filter(|(_, key)| key.status != KeyStatus::Gone)
            .any(|(id, _)| match &leak.key {
                Some(leaked) => id == leaked,
                None => existed_before(leak.at, created_at(id, seen.evidence, seen.view)),
            });
        may_be_present || open.is_some_and(|open| open.leaks.contains(leak))
    });
    kept
}

#[cfg(test)]
#[path = "leak_tests.rs"]
mod tests;
