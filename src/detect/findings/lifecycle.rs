//! How a finding begins and ends: with which keys, when, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::severity::Severity;
use crate::detect::decision::situation::{Assessment, Sweep};
use crate::detect::findings::finding::{
    AppliedExemption, CloseReason, Closing, Finding, FindingId, FindingKey, FindingStatus, FoundBy,
    KeyActivation,
};
use crate::detect::keys::evidence::{Activation, EventOrigin, KeyEvidence, UserState};
use crate::detect::keys::listing::{KeyStatus, ListingAnswer};
use crate::detect::keys::overlap_start::{OverlapStart, earliest_together};
use crate::detect::keys::view::View;

/// How many activations a finding keeps in addition to the opener. With every text at its maximum
/// length, the finding still fits into the record.
const MAX_OTHER_ACTIVATIONS: usize = 4;

/// How far back an activation still belongs to a finding if no listing showed fewer than two active
/// keys.
const MIN_LOOKBACK: TimeDelta = TimeDelta::days(1);

/// A new finding. The caller sets its severity.
pub(in crate::detect) fn opened(assessment: &Assessment<'_>) -> Finding {
    let record = assessment.situation.record;
    let former = former_finding(assessment);
    let opener = former
        .and_then(|former| former.opener.clone())
        .or_else(|| opener(assessment));
    let since = match (former, &opener) {
        (Some(former), Some(opener)) => {
            OverlapStart::of(former).corrected_by(opener, former.detected_at)
        }
        (Some(former), None) => OverlapStart::of(former),
        (None, Some(opener)) => OverlapStart::without_event(None, opener.at),
        (None, None) => OverlapStart::without_event(earliest(assessment), assessment.now),
    };
    let finding = Finding {
        id: FindingId {
            user: record.user.clone(),
            episode: record.episodes + 1,
        },
        display_name: display_name(assessment),
        status: FindingStatus::Open,
        confirmed: assessment.is_settled() && assessment.has_two_active(),
        severity: Severity::Medium,
        severity_reasons: vec![],
        opened_at: since.at,
        is_opened_at_estimated: since.is_estimated,
        detected_at: assessment.now,
        opener,
        listing_refusal: match assessment.situation.listing.answer() {
            ListingAnswer::Refused { reason } => Some(reason.clone()),
            _ => None,
        },
        keys: keys_with_overlaps(present_keys(assessment.view), assessment),
        continues: former.map(|former| former.id.clone()),
        found_by: match (former, assessment.situation.sweep) {
            (Some(former), _) => former.found_by,
            (None, Some(Sweep::Baseline)) => FoundBy::Baseline,
            (None, Some(Sweep::Routine)) => FoundBy::Sweep,
            (None, None) => FoundBy::Event,
        },
        other_activations: former.map_or_else(Vec::new, |former| former.other_activations.clone()),
        // Under the new name, it is unknown what happened to the keys in between.
        has_unknown_activator: former.is_some() || has_missed_activator(assessment),
        leaks: vec![],
        announced: true,
        exemption: None,
        closing: None,
    };
    Finding {
        other_activations: other_activations(&finding, assessment),
        ..finding
    }
}

/// The earliest time at which two of the active keys can have been active together.
pub(in crate::detect) fn earliest(assessment: &Assessment<'_>) -> Option<Timestamp> {
    let below_two_at = assessment.situation.record.below_two_at;
    earliest_together(&present_keys(assessment.view), below_two_at, assessment.now)
}

/// The events, in addition to the opener, that made keys of `finding` active: since fewer than two
/// keys were known to be active, and while the finding was open. Known activations stay, because
/// the keys may be gone while their creators are not.
pub(in crate::detect) fn other_activations(
    finding: &Finding,
    assessment: &Assessment<'_>,
) -> Vec<KeyActivation> {
    let opened_at = finding.opened_at;
    let below_two_at = assessment.situation.record.below_two_at;
    // Events before an estimated start cannot have made two keys active.
    let before = if finding.is_opened_at_estimated {
        assessment.policy.consistency_window
    } else {
        MIN_LOOKBACK
    };
    let since = below_two_at.map_or(opened_at - before, |below| {
        opened_at.min(below - assessment.policy.consistency_window)
    });
    let brief = assessment
        .overlaps
        .iter()
        .map(|overlap| overlap.key.as_str());
    let place = |event: &KeyActivation| (event.at, event.key.clone(), event.event_id.clone());
    let mut all: BTreeMap<(Timestamp, String, Option<String>), KeyActivation> = assessment
        .view
        .active_keys()
        .chain(brief)
        .flat_map(|key| {
            let known = assessment.evidence.keys.get(key);
            let activities = known.map_or_else(Vec::new, KeyEvidence::active_periods);
            activities.into_iter().map(move |activity| (key, activity))
        })
        .filter_map(|(key, activity)| Some((key, activity.began?)))
        .filter(|(key, activation)| {
            activation.at >= since && !was_alone(key, activation, assessment)
        })
        .map(|(key, activation)| key_activation(key, activation))
        .map(|event| (place(&event), event))
        .collect();
    for event in &finding.other_activations {
        let known = all.get(&place(event));
        let is_now_proven = known.is_some_and(KeyActivation::is_proven) && !event.is_proven();
        if !is_now_proven {
            all.insert(place(event), event.clone());
        }
    }
    if let Some(opener) = &finding.opener {
        all.remove(&place(opener));
    }
    while all.len() > MAX_OTHER_ACTIVATIONS {
        all.pop_first();
    }
    all.into_values().collect()
}

/// Whether a key is active that the last listing did not show as active, and its activator is
/// unknown.
fn has_missed_activator(assessment: &Assessment<'_>) -> bool {
    let last = assessment.situation.record.last_listing.as_ref();
    assessment.view.active_keys().any(|key| {
        let was_active = last.is_none_or(|last| last.keys.get(key) == Some(&KeyStatus::Active));
        !was_active
            && activation_of(key, assessment).is_none_or(|activation| !activation.is_proven())
    })
}

/// Whether a key is active that was not active in `before`, and its activator is unknown.
pub(in crate::detect) fn has_new_unknown_activator(
    before: &Finding,
    assessment: &Assessment<'_>,
) -> bool {
    assessment.view.active_keys().any(|key| {
        let is_new = before.active_keys().all(|former| former != key);
        is_new && activation_of(key, assessment).is_none_or(|activation| !activation.is_proven())
    })
}

/// Whether a key became active since `before`, and no alert has said so.
pub(in crate::detect) fn has_news(before: &Finding, assessment: &Assessment<'_>) -> bool {
    let is_news = |key: &str| {
        let is_new = before.active_keys().all(|former| former != key);
        let known = assessment.evidence.keys.get(key);
        // An earlier event may prove that this activation changed something after all.
        let is_unannounced = |activation: &Activation| {
            let is_unreported = known.is_some_and(|known| known.is_unannounced(activation));
            let is_it = |event: &KeyActivation| event.key == key && event.at == activation.at;
            let mut doubted = before
                .other_activations
                .iter()
                .filter(|event| !event.is_proven());
            is_unreported || doubted.any(is_it)
        };
        let activation = known.and_then(KeyEvidence::activation);
        is_new
            || activation.filter(is_unannounced).is_some_and(|activation| {
                let is_certain = known.and_then(KeyEvidence::status) == Some(KeyStatus::Active);
                is_certain && activation.is_proven() && activation.at > before.detected_at
            })
    };
    !assessment.overlaps.is_empty() || assessment.view.active_keys().any(is_news)
}

/// The keys of `open` while the view may be wrong. Keys that became active are added at once, and
/// keys that an event ended are marked as ended. A key that is only missing from a listing stays.
pub(in crate::detect) fn keys_while_unsettled(
    open: &Finding,
    assessment: &Assessment<'_>,
) -> Vec<FindingKey> {
    let ended = |key: &str| {
        let known = assessment.evidence.keys.get(key);
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
    for key in present_keys(assessment.view) {
        let is_active = key.status == KeyStatus::Active;
        let known = keys.get(&key.id);
        if is_active || known.is_none() || ended(&key.id) {
            keys.insert(key.id.clone(), key);
        }
    }
    keys.retain(|id, _| assessment.view.status(id) != KeyStatus::Gone || !ended(id));
    keys_with_overlaps(keys.into_values().collect(), assessment)
}

/// `keys`, plus the keys that were briefly active together with another one.
pub(in crate::detect) fn keys_with_overlaps(
    mut keys: Vec<FindingKey>,
    assessment: &Assessment<'_>,
) -> Vec<FindingKey> {
    for overlap in &assessment.overlaps {
        for id in [&overlap.key].into_iter().chain(&overlap.other_key) {
            if keys.iter().all(|key| key.id != *id) {
                keys.push(FindingKey {
                    id: id.clone(),
                    status: assessment.view.status(id),
                    created: assessment.view.keys.get(id).and_then(|key| key.created),
                });
            }
        }
    }
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    keys
}

/// `finding`, suppressed by `exemption`.
pub(in crate::detect) fn suppressed(finding: Finding, exemption: &Exemption) -> Finding {
    Finding {
        status: FindingStatus::Suppressed,
        exemption: Some(AppliedExemption {
            id: exemption.id.clone(),
            owner: exemption.owner.clone(),
            reason: exemption.reason.clone(),
            created_at: exemption.created_at,
            until: exemption.until,
        }),
        ..finding
    }
}

/// `open`, closed.
pub(in crate::detect) fn closed(open: &Finding, assessment: &Assessment<'_>) -> Finding {
    let mut keys = present_keys(assessment.view);
    let gone = open
        .keys
        .iter()
        .filter(|key| assessment.view.status(&key.id) == KeyStatus::Gone)
        .map(|key| FindingKey {
            status: KeyStatus::Gone,
            ..key.clone()
        });
    keys.extend(gone);
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    Finding {
        status: FindingStatus::Closed,
        keys,
        closing: Some(closing(open, assessment)),
        ..open.clone()
    }
}

/// The keys of the view that exist, active or not.
pub(in crate::detect) fn present_keys(view: &View) -> Vec<FindingKey> {
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

/// The event that made the second key active. This is the latest activation among the active keys,
/// unless another of them is younger or fewer than two keys were active after it; any other event
/// would blame the wrong actor. An event that is proven to have made its key active takes
/// precedence over one that may have changed nothing.
pub(in crate::detect) fn opener(assessment: &Assessment<'_>) -> Option<KeyActivation> {
    let created_at = |key: &str| assessment.view.keys.get(key).and_then(|key| key.created);
    let active = || -> Vec<(&str, Option<Activation>)> {
        let brief = assessment.overlaps.iter();
        let brief = brief.flat_map(|overlap| [&overlap.key].into_iter().chain(&overlap.other_key));
        let brief = brief.map(String::as_str);
        let active: BTreeSet<&str> = if assessment.has_two_active() {
            assessment.view.active_keys().collect()
        } else {
            assessment.view.active_keys().chain(brief).collect()
        };
        active
            .into_iter()
            .map(|key| (key, activation_of(key, assessment)))
            .collect()
    };
    let active = active();
    let record = assessment.situation.record;
    let is_too_old = |key: &str, activation: &Activation| {
        // A brief overlap may lie before the time at which fewer than two keys were active.
        let is_brief = assessment.overlaps.iter().any(|overlap| overlap.key == key);
        let is_older =
            |below_two_at| activation.at < below_two_at - assessment.policy.consistency_window;
        let is_too_old = record.below_two_at.is_some_and(is_older);
        (is_too_old || was_alone(key, activation, assessment)) && !is_brief
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
    Some(key_activation(key, activation.clone()))
}

/// A better opener for `open`, if one is known now. It is better if `open` has none or an unproven
/// one, if the same activity turns out to have begun earlier, if `open` was opened with one active
/// key, or if a later activation from before the detection shows up: before that one, two keys were
/// not active.
pub(in crate::detect) fn corrected_opener(
    open: &Finding,
    assessment: &Assessment<'_>,
) -> Option<KeyActivation> {
    let found = opener(assessment)?;
    let was_alone = open.active_keys().nth(1).is_none();
    let is_better = match &open.opener {
        None => found.at <= open.detected_at || was_alone,
        Some(known) => {
            (found.is_proven() && !known.is_proven())
                || (found.key == known.key && found.at < known.at)
                || (was_alone && is_later(&found, known))
                || corrects(&found, open)
        }
    };
    let is_same = |event: &&KeyActivation| {
        (event.at, &event.key, &event.event_id) == (found.at, &found.key, &found.event_id)
    };
    // INVARIANT (a relation is judged once): keep the relation from when the event joined the
    // finding.
    let relation = open
        .other_activations
        .iter()
        .find(is_same)
        .and_then(|event| event.relation);
    is_better.then_some(KeyActivation { relation, ..found })
}

/// Whether `found` shows that the opener of `open` did not make two keys active: another key was
/// made active later, but before the detection.
pub(in crate::detect) fn corrects(found: &KeyActivation, open: &Finding) -> bool {
    let opener = open.opener.as_ref();
    opener.is_some_and(|known| is_later(found, known)) && found.at <= open.detected_at
}

fn is_later(found: &KeyActivation, known: &KeyActivation) -> bool {
    found.key != known.key && found.is_proven() && found.at > known.at
}

/// Whether a listing showed `key` as the only active key after `activation`, so that it did not
/// make two. Listings may be stale, so this does not hold for a key that was deactivated shortly
/// before.
fn was_alone(key: &str, activation: &Activation, assessment: &Assessment<'_>) -> bool {
    let record = assessment.situation.record;
    record.below_two_key.as_deref() == Some(key)
        && record.below_two_at.is_some_and(|below_two_at| {
            let seen_from = below_two_at - assessment.policy.consistency_window;
            let was_off = activation.inactive_since.is_some_and(|off| off > seen_from);
            activation.at <= below_two_at && !was_off
        })
}

/// The event that made `key` active, unless the key has been deactivated since.
fn activation_of(key: &str, assessment: &Assessment<'_>) -> Option<Activation> {
    let known = assessment.evidence.keys.get(key)?;
    let is_brief = assessment
        .overlaps
        .iter()
        .any(|overlap| overlap.key == key || overlap.other_key.as_deref() == Some(key));
    let is_active = known.status() == Some(KeyStatus::Active)
        || (known.status().is_none() && assessment.view.status(key) == KeyStatus::Active);
    known.activation().filter(|_| is_active || is_brief)
}

fn key_activation(key: &str, activation: Activation) -> KeyActivation {
    KeyActivation {
        key: key.to_owned(),
        created: activation.created,
        at: activation.at,
        inactive_since: activation.inactive_since,
        actor: Arc::unwrap_or_clone(activation.by.actor),
        relation: None,
        event_id: activation.by.event_id,
    }
}

/// The finding to continue under the user's new name: one with keys that are active here, because a
/// renaming keeps the keys and key ids are unique. It is still open under the old name, or was
/// closed because the old name had no keys left.
pub(in crate::detect) fn former_finding<'a>(assessment: &Assessment<'a>) -> Option<&'a Finding> {
    let is_left = |former: &&Finding| match &former.closing {
        None => true,
        Some(closing) => match closing.reason {
            CloseReason::Renamed => true,
            CloseReason::UserDeleted | CloseReason::NeverConfirmed => closing.event_id.is_none(),
            CloseReason::Deactivated
            | CloseReason::Deleted
            | CloseReason::AccountLeft
            | CloseReason::AccountExcluded => false,
        },
    };
    let has_same_keys = |former: &&Finding| {
        let mut active = assessment.view.active_keys();
        active.any(|key| former.keys.iter().any(|known| known.id == key))
    };
    let former = assessment.situation.former_users.iter();
    former
        .filter_map(|former| former.finding.as_ref())
        .filter(is_left)
        .find(has_same_keys)
}

fn display_name(assessment: &Assessment<'_>) -> String {
    if let ListingAnswer::Keys {
        display_name: Some(name),
        ..
    } = assessment.situation.listing.answer()
    {
        return name.clone();
    }
    assessment
        .situation
        .changes
        .iter()
        .find(|change| change.user == assessment.situation.record.user)
        .filter(|_| assessment.situation.record.version == 0)
        .map_or_else(
            || assessment.situation.record.display_name.clone(),
            |change| change.user_name.clone(),
        )
}

/// An event that may have ended the episode.
struct Ending {
    at: Timestamp,
    reason: CloseReason,
    by: EventOrigin,
}

fn closing(open: &Finding, assessment: &Assessment<'_>) -> Closing {
    if let Some(unwatched) = assessment.situation.unwatched {
        return Closing {
            reason: unwatched.close_reason(),
            at: assessment.now.max(open.opened_at),
            actor: None,
            event_id: None,
        };
    }
    let listing = assessment.situation.listing;
    let ended = assessment
        .evidence
        .user
        .as_ref()
        .filter(|user| user.is_gone());
    let has_keys = || {
        let mut keys = assessment.view.keys.values();
        keys.any(|key| key.status != KeyStatus::Gone)
    };
    let user_is_gone =
        (ended.is_some() && !has_keys()) || *listing.answer() == ListingAnswer::NoSuchUser;
    // This holds even if another user has the name by now.
    let reason_of_user = match ended.map(|user| &user.state) {
        Some(Some(UserState::RenamedTo(_))) => CloseReason::Renamed,
        _ => CloseReason::UserDeleted,
    };

    if let Some(ending) = ending(open, assessment, reason_of_user) {
        return Closing {
            reason: if user_is_gone {
                reason_of_user
            } else {
                ending.reason
            },
            at: ending.at.max(open.opened_at),
            actor: Some(Arc::unwrap_or_clone(ending.by.actor)),
            event_id: ending.by.event_id,
        };
    }
    let is_gone = |key| assessment.view.status(key) == KeyStatus::Gone;
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

/// The event that left fewer than two keys active, if known.
fn ending(
    open: &Finding,
    assessment: &Assessment<'_>,
    reason_of_user: CloseReason,
) -> Option<Ending> {
    // Without an opening event, two keys are only certain to have been active at the detection,
    // which may be later than the end. An estimated start may be long before, with other endings in
    // between.
    let not_before = match open.opener {
        _ if open.is_opened_at_estimated => open.detected_at - assessment.policy.consistency_window,
        Some(_) => open.opened_at,
        None => open.opened_at - assessment.policy.consistency_window,
    };
    let mut endings: Vec<Ending> = assessment
        .evidence
        .keys
        .iter()
        .filter(|(id, _)| assessment.view.status(id) != KeyStatus::Active)
        .filter_map(|(id, known)| Some((id, known.end()?)))
        // An earlier ending of a key that is not part of the finding belongs to the past.
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
        && let Some(user) = assessment
            .evidence
            .user
            .as_ref()
            .filter(|user| user.is_gone())
        && user.at >= not_before
    {
        endings.push(Ending {
            at: user.at,
            reason: reason_of_user,
            by: user.by.clone(),
        });
    }
    endings.sort_by_key(|ending| ending.at);
    // If one key is still active, the last ending left it alone. If none is, it was the last but
    // one.
    let last = endings.pop()?;
    match (assessment.view.active_keys().next(), endings.pop()) {
        (None, Some(last_but_one)) => Some(last_but_one),
        _ => Some(last),
    }
}
