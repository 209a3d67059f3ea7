//! How a finding begins and ends: which keys, since when, by whom.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::evidence::{Activation, KeyEvidence, Source, UserState};
use crate::detect::exemption::Exemption;
use crate::detect::finding::{
    CloseReason, Closing, Exempted, Finding, FindingId, FindingKey, FindingStatus, FoundBy, Opener,
};
use crate::detect::listing::{Answer, KeyStatus};
use crate::detect::severity::Severity;
use crate::detect::since::{Since, earliest_together};
use crate::detect::situation::{Seen, Sweep};
use crate::detect::view::View;

/// How many activations beside the opening one a finding keeps: with every text at its bound it stays small enough to be
/// stored with its record.
const MAX_JOINED: usize = 4;

/// How far back an activation belongs to a finding, where no listing showed fewer than two active keys.
const SINCE_AT_LEAST: TimeDelta = TimeDelta::days(1);

/// A new finding; its severity is yet to be judged.
pub(super) fn opened(seen: &Seen<'_>) -> Finding {
    let record = seen.situation.record;
    let former = former_finding(seen);
    let opener = former
        .and_then(|former| former.opener.clone())
        .or_else(|| opener(seen));
    let since = match (former, &opener) {
        (Some(former), Some(opener)) => Since::of(former).with(opener, former.detected_at),
        (Some(former), None) => Since::of(former),
        (None, Some(opener)) => Since::without_event(None, opener.at),
        (None, None) => Since::without_event(earliest(seen), seen.now),
    };
    let finding = Finding {
        id: FindingId {
            user: record.user.clone(),
            episode: record.episodes + 1,
        },
        display_name: display_name(seen),
        status: FindingStatus::Open,
        confirmed: seen.is_settled() && seen.has_two_active(),
        severity: Severity::Medium,
        severity_reasons: vec![],
        opened_at: since.at,
        is_since_estimated: since.is_estimated,
        detected_at: seen.now,
        opener,
        could_not_list: match seen.situation.listing.answer() {
            Answer::Refused { reason } => Some(reason.clone()),
            _ => None,
        },
        keys: keys_with_overlaps(present_keys(seen.view), seen),
        continues: former.map(|former| former.id.clone()),
        found_by: match (former, seen.situation.sweep) {
            (Some(former), _) => former.found_by,
            (None, Some(Sweep::Baseline)) => FoundBy::Baseline,
            (None, Some(Sweep::Routine)) => FoundBy::Sweep,
            (None, None) => FoundBy::Event,
        },
        joined: former.map_or_else(Vec::new, |former| former.joined.clone()),
        // Under the new name nothing tells what became of the keys in between.
        has_unknown_maker: former.is_some() || has_missed_maker(seen),
        leaks: vec![],
        told: true,
        exemption: None,
        closing: None,
    };
    Finding {
        joined: joined(&finding, seen),
        ..finding
    }
}

/// The earliest time at which two of the keys that are active can have been active together.
pub(super) fn earliest(seen: &Seen<'_>) -> Option<Timestamp> {
    let below_two_at = seen.situation.record.below_two_at;
    earliest_together(&present_keys(seen.view), below_two_at, seen.now)
}

/// What made keys of `finding` active beside what opened it: since fewer than two were known to be active, and while it
/// was open. What it has is kept, for the keys may be gone and their makers not.
pub(super) fn joined(finding: &Finding, seen: &Seen<'_>) -> Vec<Opener> {
    let opened_at = finding.opened_at;
    let below_two_at = seen.situation.record.below_two_at;
    // What happened before an estimated beginning cannot have made two keys active.
    let before = if finding.is_since_estimated {
        seen.policy.settle
    } else {
        SINCE_AT_LEAST
    };
    let since = below_two_at.map_or(opened_at - before, |below| {
        opened_at.min(below - seen.policy.settle)
    });
    let brief = seen.overlaps.iter().map(|overlap| overlap.key.as_str());
    let place = |event: &Opener| (event.at, event.key.clone(), event.event_id.clone());
    let mut all: BTreeMap<(Timestamp, String, Option<String>), Opener> = seen
        .view
        .active_keys()
        .chain(brief)
        .flat_map(|key| {
            let known = seen.evidence.keys.get(key);
            let activities = known.map_or_else(Vec::new, KeyEvidence::activities);
            activities.into_iter().map(move |activity| (key, activity))
        })
        .filter_map(|(key, activity)| Some((key, activity.began?)))
        .filter(|(key, activation)| activation.at >= since && !was_alone(key, activation, seen))
        .map(|(key, activation)| opener_of(key, activation))
        .chain(finding.joined.iter().cloned())
        .map(|event| (place(&event), event))
        .collect();
    if let Some(opener) = &finding.opener {
        all.remove(&place(opener));
    }
    while all.len() > MAX_JOINED {
        all.pop_first();
    }
    all.into_values().collect()
}

/// Whether a key is active that the last listing did not show as active, and no event told who made it so.
fn has_missed_maker(seen: &Seen<'_>) -> bool {
    let last = seen.situation.record.last_listing.as_ref();
    seen.view.active_keys().any(|key| {
        let was_active = last.is_none_or(|last| last.keys.get(key) == Some(&KeyStatus::Active));
        !was_active && activation_of(key, seen).is_none_or(|activation| !activation.is_proven())
    })
}

/// Whether a key is active that was not in `before`, and no event told who made it so.
pub(super) fn has_joined_unknown(before: &Finding, seen: &Seen<'_>) -> bool {
    seen.view.active_keys().any(|key| {
        let is_new = before.active_keys().all(|former| former != key);
        is_new && activation_of(key, seen).is_none_or(|activation| !activation.is_proven())
    })
}

/// Whether a key became active since `before` was last noted, which nothing has announced.
pub(super) fn has_news(before: &Finding, seen: &Seen<'_>) -> bool {
    let is_news = |key: &str| {
        let is_new = before.active_keys().all(|former| former != key);
        let known = seen.evidence.keys.get(key);
        let activation = known.and_then(KeyEvidence::unreported_activation);
        is_new
            || activation.is_some_and(|activation| {
                let is_certain = known.and_then(KeyEvidence::status) == Some(KeyStatus::Active);
                is_certain && activation.is_proven() && activation.at > before.detected_at
            })
    };
    !seen.overlaps.is_empty() || seen.view.active_keys().any(is_news)
}

/// The keys of `open` where the view may still be wrong: what became active is added at once, and what an event ended is
/// taken for ended; what only a listing does not show stays.
pub(super) fn keys_added(open: &Finding, seen: &Seen<'_>) -> Vec<FindingKey> {
    let ended = |key: &str| {
        let known = seen.evidence.keys.get(key);
        known.is_some_and(|known| {
            known
                .status()
                .is_some_and(|status| status != KeyStatus::Active)
        })
    };
    let mut keys: BTreeMap<String, FindingKey> = open
        .keys
        .iter()
        .map(|key| (key.id.clone(), key.clone()))
        .collect();
    for key in present_keys(seen.view) {
        let is_active = key.status == KeyStatus::Active;
        let known = keys.get(&key.id);
        if is_active || known.is_none() || ended(&key.id) {
            keys.insert(key.id.clone(), key);
        }
    }
    keys.retain(|id, _| seen.view.status(id) != KeyStatus::Gone || !ended(id));
    keys_with_overlaps(keys.into_values().collect(), seen)
}

/// `keys`, and those that were active beside another one for a while.
pub(super) fn keys_with_overlaps(mut keys: Vec<FindingKey>, seen: &Seen<'_>) -> Vec<FindingKey> {
    for overlap in &seen.overlaps {
        for id in [&overlap.key].into_iter().chain(&overlap.beside) {
            if keys.iter().all(|key| key.id != *id) {
                keys.push(FindingKey {
                    id: id.clone(),
                    status: seen.view.status(id),
                    created: seen.view.keys.get(id).and_then(|key| key.created),
                });
            }
        }
    }
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    keys
}

/// `finding`, hidden by `exemption`.
pub(super) fn hidden(finding: Finding, exemption: &Exemption) -> Finding {
    Finding {
        status: FindingStatus::Suppressed,
        exemption: Some(Exempted {
            id: exemption.id.clone(),
            owner: exemption.owner.clone(),
            reason: exemption.reason.clone(),
            created_at: exemption.created_at,
            until: exemption.until,
        }),
        ..finding
    }
}

/// The end of `open`.
pub(super) fn closed(open: &Finding, seen: &Seen<'_>) -> Finding {
    let mut keys = present_keys(seen.view);
    let gone = open
        .keys
        .iter()
        .filter(|key| seen.view.status(&key.id) == KeyStatus::Gone)
        .map(|key| FindingKey {
            status: KeyStatus::Gone,
            ..key.clone()
        });
    keys.extend(gone);
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    Finding {
        status: FindingStatus::Closed,
        keys,
        closing: Some(closing(open, seen)),
        ..open.clone()
    }
}

/// The keys of the view that are there, active or not.
pub(super) fn present_keys(view: &View) -> Vec<FindingKey> {
    view.keys
        .iter()
        .filter(|(_, key)| key.status != KeyStatus::Gone)
        .map(|(id, key)| FindingKey {
            id: id.clone(),
            status: key.status,
            created: key.created,
        })
        .collect()
}

/// The event that made the second key active: the latest activation among the active keys, unless another of them is
/// younger than it, or fewer than two were active after it. Any other event would put the blame on the wrong actor. One
/// that is known to have made its key active goes before one that may have changed nothing.
pub(super) fn opener(seen: &Seen<'_>) -> Option<Opener> {
    let created_at = |key: &str| seen.view.keys.get(key).and_then(|key| key.created);
    let active = || -> Vec<(&str, Option<Activation>)> {
        let brief = seen.overlaps.iter();
        let brief = brief.flat_map(|overlap| [&overlap.key].into_iter().chain(&overlap.beside));
        let brief = brief.map(String::as_str);
        let active: BTreeSet<&str> = if seen.has_two_active() {
            seen.view.active_keys().collect()
        } else {
            seen.view.active_keys().chain(brief).collect()
        };
        active
            .into_iter()
            .map(|key| (key, activation_of(key, seen)))
            .collect()
    };
    let active = active();
    let record = seen.situation.record;
    let is_too_old = |key: &str, activation: &Activation| {
        // What was over before anybody looked lies before the time at which fewer than two were active.
        let is_brief = seen.overlaps.iter().any(|overlap| overlap.key == key);
        let is_older = |below_two_at| activation.at < below_two_at - seen.policy.settle;
        let is_too_old = record.below_two_at.is_some_and(is_older);
        (is_too_old || was_alone(key, activation, seen)) && !is_brief
    };
    let (key, activation) = active
        .iter()
        .filter_map(|(key, activation)| Some((*key, activation.as_ref()?)))
        .filter(|(key, activation)| !is_too_old(key, activation))
        .max_by_key(|(key, known)| (known.is_proven(), known.at, created_at(key), *key))?;

    let another_is_younger = active.iter().any(|(other, known)| {
        let is_proven = known.as_ref().is_some_and(Activation::is_proven);
        *other != key && !is_proven && created_at(other) > Some(activation.at)
    });
    if another_is_younger {
        return None;
    }
    Some(opener_of(key, activation.clone()))
}

/// The opener of `open` by all that is known now, where that is better than what it has: it had none, or one that may have
/// changed nothing, or an earlier beginning of the same activity has come to light, or it was opened on one key alone.
pub(super) fn better_opener(open: &Finding, seen: &Seen<'_>) -> Option<Opener> {
    let found = opener(seen)?;
    let was_alone = open.active_keys().nth(1).is_none();
    let is_better = match &open.opener {
        None => found.at <= open.detected_at || was_alone,
        Some(known) => {
            (found.is_proven() && !known.is_proven())
                || (found.key == known.key && found.at < known.at)
                || (found.key != known.key && was_alone && found.is_proven() && found.at > known.at)
        }
    };
    let is_same = |event: &&Opener| {
        (event.at, &event.key, &event.event_id) == (found.at, &found.key, &found.event_id)
    };
    // INVARIANT (a relation is judged once): it stays what it was when the event had only joined.
    let relation = open
        .joined
        .iter()
        .find(is_same)
        .and_then(|event| event.relation);
    is_better.then_some(Opener { relation, ..found })
}

/// Whether a listing showed `key` active alone after `activation`: so that did not make two. A listing may be behind, so it
/// tells nothing of a key that was switched off shortly before.
fn was_alone(key: &str, activation: &Activation, seen: &Seen<'_>) -> bool {
    let record = seen.situation.record;
    record.below_two_key.as_deref() == Some(key)
        && record.below_two_at.is_some_and(|below_two_at| {
            let seen_from = below_two_at - seen.policy.settle;
            let was_off = activation.inactive_since.is_some_and(|off| off > seen_from);
            activation.at <= below_two_at && !was_off
        })
}

/// What made `key` active, unless that is over.
fn activation_of(key: &str, seen: &Seen<'_>) -> Option<Activation> {
    let known = seen.evidence.keys.get(key)?;
    let is_brief = seen
        .overlaps
        .iter()
        .any(|overlap| overlap.key == key || overlap.beside.as_deref() == Some(key));
    let is_active = known.status() == Some(KeyStatus::Active)
        || (known.status().is_none() && seen.view.status(key) == KeyStatus::Active);
    known.activation().filter(|_| is_active || is_brief)
}

fn opener_of(key: &str, activation: Activation) -> Opener {
    Opener {
        key: key.to_owned(),
        created: activation.created,
        at: activation.at,
        inactive_since: activation.inactive_since,
        actor: activation.by.actor,
        relation: None,
        event_id: activation.by.event_id,
    }
}

/// The finding that goes on under the user's new name: one with keys that are active here, for a renaming takes the keys
/// along and no two keys have one id. It is still open under the old name, or was closed because nothing was left there.
pub(super) fn former_finding<'a>(seen: &Seen<'a>) -> Option<&'a Finding> {
    let is_left = |former: &&Finding| match &former.closing {
        None => true,
        Some(closing) => match closing.reason {
            CloseReason::Renamed => true,
            CloseReason::UserDeleted | CloseReason::NeverConfirmed => closing.event_id.is_none(),
            CloseReason::Deactivated | CloseReason::Deleted | CloseReason::AccountLeft => false,
        },
    };
    let has_same_keys = |former: &&Finding| {
        let mut active = seen.view.active_keys();
        active.any(|key| former.keys.iter().any(|known| known.id == key))
    };
    let former = seen.situation.former.iter();
    former
        .filter_map(|former| former.finding.as_ref())
        .filter(is_left)
        .find(has_same_keys)
}

fn display_name(seen: &Seen<'_>) -> String {
    if let Answer::Keys {
        display_name: Some(name),
        ..
    } = seen.situation.listing.answer()
    {
        return name.clone();
    }
    seen.situation
        .changes
        .iter()
        .find(|change| change.user == seen.situation.record.user)
        .filter(|_| seen.situation.record.version == 0)
        .map_or_else(
            || seen.situation.record.display_name.clone(),
            |change| change.user_name.clone(),
        )
}

/// An event that may have ended the episode.
struct Ending {
    at: Timestamp,
    reason: CloseReason,
    by: Source,
}

fn closing(open: &Finding, seen: &Seen<'_>) -> Closing {
    if seen.situation.has_left {
        return Closing {
            reason: CloseReason::AccountLeft,
            at: seen.now.max(open.opened_at),
            actor: None,
            event_id: None,
        };
    }
    let listing = seen.situation.listing;
    let ended = seen.evidence.user.as_ref().filter(|user| user.is_gone());
    let has_keys = || {
        let mut keys = seen.view.keys.values();
        keys.any(|key| key.status != KeyStatus::Gone)
    };
    let user_is_gone = (ended.is_some() && !has_keys()) || *listing.answer() == Answer::NoSuchUser;
    // Also where somebody else has the name by now.
    let reason_of_user = match ended.map(|user| &user.state) {
        Some(Some(UserState::RenamedTo(_))) => CloseReason::Renamed,
        _ => CloseReason::UserDeleted,
    };

    if let Some(ending) = ending(open, seen, reason_of_user) {
        return Closing {
            reason: if user_is_gone {
                reason_of_user
            } else {
                ending.reason
            },
            at: ending.at.max(open.opened_at),
            actor: Some(ending.by.actor),
            event_id: ending.by.event_id,
        };
    }
    let is_gone = |key| seen.view.status(key) == KeyStatus::Gone;
    Closing {
        reason: if !open.confirmed {
            CloseReason::NeverConfirmed
        } else if user_is_gone {
            reason_of_user
        } else if open.active_keys().any(is_gone) {
            CloseReason::Deleted
        } else {
            CloseReason::Deactivated
        },
        at: listing.requested_at().max(open.opened_at),
        actor: None,
        event_id: None,
    }
}

/// The event that left fewer than two keys active, if it is known.
fn ending(open: &Finding, seen: &Seen<'_>, reason_of_user: CloseReason) -> Option<Ending> {
    // Where no event told of the opening, two keys were active for certain when they were seen. That
    // may be later than the end. An estimate may be long before it, and other endings between.
    let not_before = match open.opener {
        _ if open.is_since_estimated => open.detected_at - seen.policy.settle,
        Some(_) => open.opened_at,
        None => open.opened_at - seen.policy.settle,
    };
    let mut endings: Vec<Ending> = seen
        .evidence
        .keys
        .iter()
        .filter(|(id, _)| seen.view.status(id) != KeyStatus::Active)
        .filter_map(|(id, known)| Some((id, known.end()?)))
        // What ended before the finding was seen, and is none of its keys, belongs to an earlier time of the name.
        .filter(|(id, end)| end.at > open.detected_at || open.keys.iter().any(|key| key.id == **id))
        .map(|(_, end)| end)
        .map(|end| Ending {
            at: end.at,
            reason: match end.status {
                KeyStatus::Gone => CloseReason::Deleted,
                KeyStatus::Active | KeyStatus::Inactive => CloseReason::Deactivated,
            },
            by: end.by,
        })
        .filter(|ending| ending.at >= not_before)
        .collect();
    if endings.len() < 2
        && let Some(user) = seen.evidence.user.as_ref().filter(|user| user.is_gone())
        && user.at >= not_before
    {
        endings.push(Ending {
            at: user.at,
            reason: reason_of_user,
            by: user.by.clone(),
        });
    }
    endings.sort_by_key(|ending| ending.at);
    // From two active keys to the one that is left it was the last; where none is left, the last but one.
    let last = endings.pop()?;
    match (seen.view.active_keys().next(), endings.pop()) {
        (None, Some(last_but_one)) => Some(last_but_one),
        _ => Some(last),
    }
}
