//! The audit entries of a decision, and the alert with the same content.

use std::collections::{BTreeMap, BTreeSet};

use chrono::SecondsFormat;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::situation::{Outcome, Situation, Sweep};
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use crate::detect::findings::finding::{Finding, FindingStatus, FoundBy};
use crate::detect::trail::audit::{AuditDraft, AuditEntry, AuditKind, ChainHead};

/// The entries for the changes that are not in the trail yet, each once, in order of time, with
/// their ids.
pub(in crate::detect) fn of_changes(
    head: &mut ChainHead,
    situation: &Situation<'_>,
    now: Timestamp,
) -> (Vec<AuditEntry>, Vec<String>) {
    let mut recorded = BTreeSet::new();
    let mut news: Vec<&KeyChange> = situation
        .changes
        .iter()
        .filter(|change| !situation.already_recorded.contains(&change.id))
        .filter(|change| recorded.insert(change.id.clone()))
        .collect();
    news.sort_by_key(|change| change.at);
    let entries = news
        .into_iter()
        .map(|change| head.append(&situation.record.user, of_change(change, now)))
        .collect();
    (entries, recorded.into_iter().collect())
}

/// The entry that reports foreign entries in the trail, if there are any.
pub(in crate::detect) fn of_foreign_entry(
    head: &mut ChainHead,
    situation: &Situation<'_>,
    now: Timestamp,
) -> Option<AuditEntry> {
    let last = situation.foreign_entry?;
    let first = head.sequence + 1;
    head.sequence = last;
    let places = if first == last {
        first.to_string()
    } else {
        format!("{first} to {last}")
    };
    let draft = AuditDraft {
        at: now,
        recorded_at: now,
        kind: AuditKind::ForeignEntry,
        finding_id: None,
        event_id: None,
        actor: None,
        details: BTreeMap::from([("places".to_owned(), places)]),
    };
    Some(head.append(&situation.record.user, draft))
}

/// What happened to a finding.
pub(in crate::detect) struct Transition<'a> {
    /// The previous version of the finding, if it was open.
    pub(in crate::detect) before: Option<&'a Finding>,
    /// The new version of the finding.
    pub(in crate::detect) finding: &'a Finding,
    pub(in crate::detect) outcome: Outcome,
    pub(in crate::detect) updates: &'a [FindingUpdate],
    pub(in crate::detect) sweep: Option<Sweep>,
}

/// Adds the entries for a finding's transition to `entries`. Returns the alert, if there is one.
pub(in crate::detect) fn of_finding(
    head: &mut ChainHead,
    entries: &mut Vec<AuditEntry>,
    transition: &Transition<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Option<Alert> {
    let Transition {
        before,
        finding,
        outcome,
        updates,
        ..
    } = *transition;
    let mut write = |kind, at, details| {
        let entry = head.append(
            finding.user(),
            of_transition(finding, kind, at, now, details),
        );
        entries.push(entry.clone());
        entry
    };
    if matches!(outcome, Outcome::Confirmed | Outcome::Updated)
        && finding.confirmed
        && before.is_some_and(|before| !before.confirmed)
    {
        let _ = write(AuditKind::FindingConfirmed, now, BTreeMap::new());
    }
    // An estimate is not the time of an event; the details contain it.
    let opened_at = if finding.is_opened_at_estimated {
        finding.detected_at
    } else {
        finding.opened_at
    };
    let mut opened = |kind| write(kind, opened_at, opening_details(finding));
    let was_announced = before.is_some_and(|before| before.announced);
    let (kind, entry, is_reported) = match outcome {
        Outcome::Opened => (AlertKind::Opened, opened(AuditKind::FindingOpened), true),
        Outcome::Suppressed => {
            let _ = opened(AuditKind::FindingOpened);
            let details = exemption_details(finding);
            let entry = write(AuditKind::FindingSuppressed, now, details);
            // A finding that was announced under the former name gets an alert that it is
            // suppressed now.
            let kind = AlertKind::Updated(vec![FindingUpdate::Exempted]);
            (kind, entry, finding.announced)
        }
        Outcome::Updated => {
            let mut details = update_details(finding, updates);
            let audit_kind = if updates.contains(&FindingUpdate::Exempted) {
                AuditKind::FindingSuppressed
            } else if updates.contains(&FindingUpdate::ExemptionEnded) {
                AuditKind::ExemptionEnded
            } else {
                AuditKind::FindingUpdated
            };
            if audit_kind != AuditKind::FindingUpdated {
                details.extend(exemption_details(finding));
            }
            let entry = write(audit_kind, now, details);
            let was_hidden =
                before.is_some_and(|before| before.status == FindingStatus::Suppressed);
            let is_hidden = finding.status == FindingStatus::Suppressed;
            // Sinks that have not heard of the finding get a full opening alert.
            let kind = if was_announced {
                AlertKind::Updated(updates.to_vec())
            } else {
                AlertKind::Opened
            };
            (kind, entry, !(was_hidden && is_hidden))
        }
        Outcome::Closed => {
            let at = finding.closing.as_ref().map_or(now, |closing| closing.at);
            let entry = write(AuditKind::FindingClosed, at, closing_details(finding));
            (AlertKind::Closed, entry, was_announced)
        }
        Outcome::Confirmed | Outcome::StillOpen | Outcome::NothingOpen => return None,
    };
    is_reported.then(|| Alert {
        in_digest: is_in_digest(transition),
        kind,
        sequence: entry.sequence,
        audit_hash: entry.hash,
        at: now,
        window_ends_at: finding.window_ends_at(policy.rotation_window),
        finding: finding.clone(),
    })
}

/// Whether people get this in a digest: what the first sweep of an account found, a corrected start
/// of such a finding, and the end of its window. Such findings may be many, and this news comes at
/// the same time for all of them.
fn is_in_digest(transition: &Transition<'_>) -> bool {
    let is_of_window = |update: &FindingUpdate| {
        matches!(
            update,
            FindingUpdate::OpenedAt | FindingUpdate::Severity | FindingUpdate::OutlivedWindow
        )
    };
    transition.sweep.is_some()
        && transition.finding.found_by == FoundBy::Baseline
        && match transition.outcome {
            Outcome::Opened => true,
            Outcome::Updated => transition.updates.iter().all(is_of_window),
            _ => false,
        }
}

pub(in crate::detect) fn of_change(change: &KeyChange, now: Timestamp) -> AuditDraft {
    let (kind, subject) = match &change.kind {
        ChangeKind::KeyCreated { key, status } => (
            AuditKind::KeyCreated,
            vec![("key", key.as_str()), ("status", status.word())],
        ),
        ChangeKind::KeyUpdated { key, status } => (
            AuditKind::KeyUpdated,
            vec![("key", key.as_str()), ("status", status.word())],
        ),
        ChangeKind::KeyDeleted { key } => (AuditKind::KeyDeleted, vec![("key", key.as_str())]),
        ChangeKind::UserDeleted => (AuditKind::UserDeleted, vec![]),
        ChangeKind::UserRenamed { to_name, .. } => {
            (AuditKind::UserRenamed, vec![("new_name", to_name.as_str())])
        }
        ChangeKind::KeyLeaked { key, signal } => (
            AuditKind::KeyLeaked,
            [("signal", signal.word())]
                .into_iter()
                .chain(key.iter().map(|key| ("key", key.as_str())))
                .collect(),
        ),
    };
    let circumstances = [
        ("user", Some(change.user_name.as_str())),
        ("corrects", change.corrects.as_deref()),
        ("region", change.region.as_deref()),
        ("source_ip", change.actor.source_ip.as_deref()),
        ("user_agent", change.actor.user_agent.as_deref()),
    ];
    AuditDraft {
        at: change.at,
        recorded_at: now,
        kind,
        finding_id: None,
        event_id: change.event_id.clone(),
        actor: Some(change.actor.label().to_owned()),
        details: subject
            .into_iter()
            .chain(
                circumstances
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn of_transition(
    finding: &Finding,
    kind: AuditKind,
    at: Timestamp,
    now: Timestamp,
    details: BTreeMap<String, String>,
) -> AuditDraft {
    let (actor, event_id) = match (kind, &finding.closing, &finding.opener) {
        (AuditKind::FindingClosed, Some(closing), _) => (
            closing.actor.as_ref().map(|actor| actor.label().to_owned()),
            closing.event_id.clone(),
        ),
        (AuditKind::FindingOpened, _, Some(opener)) => (
            Some(opener.actor.label().to_owned()),
            opener.event_id.clone(),
        ),
        _ => (None, None),
    };
    AuditDraft {
        at,
        recorded_at: now,
        kind,
        finding_id: Some(finding.id.to_string()),
        event_id,
        actor,
        details,
    }
}

fn opening_details(finding: &Finding) -> BTreeMap<String, String> {
    let mut details = state_details(finding);
    if let Some(reason) = &finding.listing_refusal {
        details.insert("could_not_list".to_owned(), reason.clone());
    }
    if let Some(former) = &finding.continues {
        details.insert("continues".to_owned(), former.to_string());
    }
    if finding.found_by != FoundBy::Event {
        details.insert("found_by".to_owned(), finding.found_by.words().to_owned());
    }
    details
}

fn update_details(finding: &Finding, updates: &[FindingUpdate]) -> BTreeMap<String, String> {
    let mut details = state_details(finding);
    let words: Vec<&str> = updates.iter().map(|update| update.words()).collect();
    details.insert("update".to_owned(), words.join("; "));
    if let Some(opener) = &finding.opener {
        details.insert("opened_by".to_owned(), opener.actor.label().to_owned());
    }
    details
}

fn exemption_details(finding: &Finding) -> BTreeMap<String, String> {
    let exempted = finding.exemption.iter().flat_map(|exemption| {
        [
            ("exemption", exemption.id.clone()),
            ("exemption_owner", exemption.owner.clone()),
            ("exemption_reason", exemption.reason.clone()),
            (
                "exempt_until",
                exemption.until.to_rfc3339_opts(SecondsFormat::Secs, true),
            ),
        ]
    });
    exempted
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn closing_details(finding: &Finding) -> BTreeMap<String, String> {
    let mut details = state_details(finding);
    if let Some(closing) = &finding.closing {
        details.insert("reason".to_owned(), closing.reason.words().to_owned());
    }
    details
}

fn state_details(finding: &Finding) -> BTreeMap<String, String> {
    let keys: Vec<String> = finding
        .keys
        .iter()
        .map(|key| format!("{} {}", key.id, key.status.word()))
        .collect();
    let mut details = BTreeMap::from([
        ("keys".to_owned(), keys.join(", ")),
        ("severity".to_owned(), finding.severity.word().to_owned()),
        ("confirmed".to_owned(), finding.confirmed.to_string()),
    ]);
    if finding.is_opened_at_estimated {
        let since = finding.opened_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        details.insert("since".to_owned(), format!("at the earliest {since}"));
    }
    details
}
