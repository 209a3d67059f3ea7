//! Reports from AWS that a key leaked.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::arn::Arn;
use crate::detect::decision::situation::{Assessment, Situation};
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::findings::finding::{Finding, FindingKey, FindingStatus};
use crate::detect::keys::evidence::{Evidence, KeyEvidence};
use crate::detect::keys::listing::{KeyStatus, ListingAnswer};
use crate::detect::keys::view::View;
use crate::detect::records::user_record::UserRecord;

/// How many leak reports are kept per user.
pub(crate) const MAX_LEAKS: usize = 4;

/// A report from AWS that a key of the user leaked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The key, if the report names it. AWS quarantines a user, so a quarantine does not name a
    /// key.
    pub key: Option<String>,
    /// When AWS sent the report.
    pub at: Timestamp,
    /// The kind of report.
    pub signal: LeakSignal,
    /// The id of the CloudTrail or Health event.
    pub event_id: Option<String>,
}

/// The kind of a leak report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeakSignal {
    /// AWS attached a managed policy `AWSCompromisedKeyQuarantine*` to the user.
    Quarantine,
    /// AWS Health reported that the key is exposed (`AWS_RISK_CREDENTIALS_EXPOSED`).
    Exposed,
    /// AWS Health reported that the key may be exposed (`AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED`).
    ExposureSuspected,
}

/// How long after a quarantine late events may still show which key it was about. Evidence on keys
/// that are gone is kept for as long.
const ATTRIBUTION_PERIOD: TimeDelta = TimeDelta::days(1);

/// How the names of AWS's quarantine policies begin. They end with a version:
/// `AWSCompromisedKeyQuarantine`, `…V2`, `…V3`. Source: AWS managed policy reference guide.
const QUARANTINE: &str = "policy/AWSCompromisedKeyQuarantine";

/// Whether `policy_arn` is an AWS policy that quarantines a user whose key leaked. A policy of that
/// name in the customer's own account is not.
pub(in crate::detect) fn is_quarantine(policy_arn: &str) -> bool {
    Arn::parse(policy_arn).is_some_and(|arn| {
        arn.partition.starts_with("aws")
            && (arn.service, arn.region, arn.account) == ("iam", "", "aws")
            && arn.resource.starts_with(QUARANTINE)
    })
}

impl LeakSignal {
    /// The report's name in outputs and in the audit trail.
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
    /// The leak that `change` reports, if any.
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

    /// Whether `other` is about the same event. The key may be known to only one of them.
    fn is_same(&self, other: &Self) -> bool {
        let is_one_event = match (&self.event_id, &other.event_id) {
            (Some(one), Some(other)) => one == other,
            _ => self.at == other.at,
        };
        let is_one_key = self.key.is_none() || other.key.is_none() || self.key == other.key;
        self.signal == other.signal && is_one_event && is_one_key
    }
}

/// Adds `leak` to `leaks`, once per event.
pub(in crate::detect) fn add(leaks: &mut Vec<Leak>, leak: Leak) {
    match leaks.iter_mut().find(|known| known.is_same(&leak)) {
        Some(known) => known.at = known.at.min(leak.at),
        None => leaks.push(leak),
    }
    deduplicate(leaks);
}

/// Sorts `leaks` and removes redundant ones: a report about a key repeats the earliest one of its
/// kind. Beyond [`MAX_LEAKS`], the latest report with the same subject as another is removed.
fn deduplicate(leaks: &mut Vec<Leak>) {
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
    let mut seen = BTreeSet::new();
    leaks.retain(|leak| leak.key.is_none() || seen.insert((leak.key.clone(), leak.signal)));
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

/// The leaks in `evidence`, each quarantine with its key if only one key of the user can have been
/// active at the time. Listings may be stale and events late, so this is decided again at each
/// check for a day.
pub(in crate::detect) fn attributed(
    evidence: &Evidence,
    view: &View,
    situation: &Situation<'_>,
    now: Timestamp,
) -> Vec<Leak> {
    let mut leaks = evidence.leaks.clone();
    // Without a listing, it is unknown which other keys the user has. A report does not name keys.
    let knows_all_keys = match situation.listing.answer() {
        ListingAnswer::Keys { .. } | ListingAnswer::NoSuchUser => true,
        ListingAnswer::Refused { .. } => situation.record.last_listing.is_some(),
        ListingAnswer::Report { .. } => false,
    };
    if !knows_all_keys {
        return leaks;
    }
    let news: Vec<Leak> = situation.changes.iter().filter_map(Leak::of).collect();
    for leak in &mut leaks {
        let is_news = news.iter().any(|new| new.is_same(leak));
        if leak.signal == LeakSignal::Quarantine && (is_news || now - leak.at < ATTRIBUTION_PERIOD)
        {
            leak.key = sole_key(leak.at, evidence, view, situation.record);
        }
    }
    deduplicate(&mut leaks);
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

/// When `key` was created, if known.
fn created_at(key: &str, evidence: &Evidence, view: &View) -> Option<Timestamp> {
    let events = evidence
        .keys
        .get(key)
        .map_or(&[][..], |known| &known.events);
    let by_event = events
        .iter()
        .find(|event| event.created)
        .map(|event| event.at);
    by_event.or_else(|| view.keys.get(key)?.created)
}

/// A key does not leak and get found within the second of its creation. A key of unknown creation
/// time may have existed.
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
        .events
        .iter()
        .map(|event| event.at)
        .filter(|event_at| *event_at < at)
        .max();
    if let Some(latest) = latest {
        let mut of_that_second = known.events.iter().filter(|event| event.at == latest);
        return of_that_second.any(|event| event.status == KeyStatus::Active);
    }
    if let Some(before) = known.prior.filter(|before| before.at < at) {
        return before.status == KeyStatus::Active;
    }
    if !known.events.is_empty() {
        // A later event changed the key, so it may have been active before.
        return true;
    }
    let last_listed = record
        .last_listing
        .as_ref()
        .and_then(|last| last.keys.get(key));
    view.status(key) == KeyStatus::Active
        || (view.status(key) == KeyStatus::Gone && last_listed == Some(&KeyStatus::Active))
}

/// The known leaks that are about `keys`, the keys of a finding.
pub(in crate::detect) fn of_keys(keys: &[FindingKey], assessment: &Assessment<'_>) -> Vec<Leak> {
    let is_about = |leak: &&Leak| match &leak.key {
        Some(leaked) => keys.iter().any(|key| key.id == *leaked),
        None => keys.iter().any(|key| {
            let created = created_at(&key.id, assessment.evidence, assessment.view).or(key.created);
            existed_before(leak.at, created)
        }),
    };
    assessment
        .evidence
        .leaks
        .iter()
        .filter(is_about)
        .cloned()
        .collect()
}

/// Whether `now` has a leak that `before` does not have, or whose key has become known.
pub(in crate::detect) fn has_news(before: &[Leak], now: &[Leak]) -> bool {
    let is_known = |leak: &Leak| {
        before
            .iter()
            .any(|known| known.is_same(leak) && known.key == leak.key)
    };
    !now.iter().all(is_known)
}

/// The known leaks, without those about keys that are gone. `finding` is the latest one; while it
/// is open, its leaks are kept.
pub(in crate::detect) fn retained(
    assessment: &Assessment<'_>,
    finding: Option<&Finding>,
) -> Vec<Leak> {
    let open = finding.filter(|finding| finding.status != FindingStatus::Closed);
    let mut kept = assessment.evidence.leaks.clone();
    let is_report = matches!(
        assessment.situation.listing.answer(),
        ListingAnswer::Report { .. }
    );
    if is_report || !assessment.may_close() {
        return kept;
    }
    kept.retain(|leak| {
        let may_be_present = assessment
            .view
            .keys
            .iter()
            .filter(|(_, key)| key.status != KeyStatus::Gone)
            .any(|(id, _)| match &leak.key {
                Some(leaked) => id == leaked,
                None => existed_before(
                    leak.at,
                    created_at(id, assessment.evidence, assessment.view),
                ),
            });
        may_be_present || open.is_some_and(|open| open.leaks.contains(leak))
    });
    kept
}

#[cfg(test)]
#[path = "leak_tests.rs"]
mod tests;
