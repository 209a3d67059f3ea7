//! How a finding begins and ends: which keys, since when, by whom.

use crate::detect::Timestamp;
use crate::detect::evidence::{Activation, Source, UserState};
use crate::detect::exemption::Exemption;
use crate::detect::finding::{
    CloseReason, Closing, Exempted, Finding, FindingId, FindingKey, FindingStatus, FoundBy, Opener,
};
use crate::detect::listing::{Answer, KeyStatus};
use crate::detect::severity::Severity;
use crate::detect::situation::{Seen, Sweep};
use crate::detect::view::View;

/// A new finding; its severity is yet to be judged.
pub(super) fn opened(seen: &Seen<'_>) -> Finding {
    let record = seen.situation.record;
    let former = former_finding(seen);
    let opener = former
        .and_then(|former| former.opener.clone())
        .or_else(|| opener(seen));
    let opened_at = former
        .map(|former| former.opened_at)
        .or(opener.as_ref().map(|opener| opener.at))
        .unwrap_or(seen.now);
    Finding {
        id: FindingId {
            user: record.user.clone(),
            episode: record.episodes + 1,
        },
        display_name: display_name(seen),
        status: FindingStatus::Open,
        confirmed: seen.is_settled(),
        severity: Severity::Medium,
        severity_reasons: vec![],
        opened_at,
        detected_at: seen.now,
        opener,
        could_not_list: match seen.situation.listing.answer() {
            Answer::Refused { reason } => Some(reason.clone()),
            _ => None,
        },
        keys: present_keys(seen.view),
        continues: former.map(|former| former.id.clone()),
        found_by: match (former, seen.situation.sweep) {
            (Some(former), _) => former.found_by,
            (None, Some(Sweep::Baseline)) => FoundBy::Baseline,
            (None, Some(Sweep::Routine)) => FoundBy::Sweep,
            (None, None) => FoundBy::Event,
        },
        // Under the new name nobody knows what became of the keys in between.
        has_unknown_maker: former.is_some(),
        told: true,
        exemption: None,
        closing: None,
    }
}

/// Who made the active keys of `finding` active, as far as it is known: the second one, and whatever key joined them since.
pub(super) fn makers<'a>(finding: &'a Finding, seen: &'a Seen<'_>) -> Vec<Option<&'a str>> {
    let opener = finding.opener.as_ref();
    let joined = seen
        .view
        .active_keys()
        // CloudTrail's times have whole seconds.
        .filter(|key| opener.is_none_or(|opener| opener.key != **key))
        .filter_map(|key| seen.evidence.keys.get(key)?.activation.as_ref())
        .filter(|activation| activation.at >= finding.opened_at)
        .map(|activation| Some(activation.by.actor.label()));
    [opener.map(|opener| opener.actor.label())]
        .into_iter()
        .chain(joined)
        .chain(finding.has_unknown_maker.then_some(None))
        .collect()
}

/// Whether a key is active that was not in `before`, and no event told who made it so.
pub(super) fn has_joined_unknown(before: &Finding, seen: &Seen<'_>) -> bool {
    seen.view.active_keys().any(|key| {
        let known = seen.evidence.keys.get(key);
        before.active_keys().all(|former| former != key)
            && known.is_none_or(|known| known.activation.is_none())
    })
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
/// younger than it, or fewer than two were active after it. Any other event would put the blame on the wrong one.
pub(super) fn opener(seen: &Seen<'_>) -> Option<Opener> {
    let activation_of = |key: &str| -> Option<&Activation> {
        let known = seen.evidence.keys.get(key)?;
        known
            .activation
            .as_ref()
            .filter(|_| known.status == Some(KeyStatus::Active))
    };
    let created_at = |key: &str| seen.view.keys.get(key).and_then(|key| key.created);
    let (key, activation) = seen
        .view
        .active_keys()
        .filter_map(|key| Some((key, activation_of(key)?)))
        .max_by_key(|(key, activation)| (activation.at, created_at(key), *key))?;

    let another_is_younger = seen
        .view
        .active_keys()
        .any(|other| activation_of(other).is_none() && created_at(other) > Some(activation.at));
    let is_too_old = seen
        .situation
        .record
        .below_two_at
        .is_some_and(|below_two_at| {
            let was_active_alone = seen.situation.record.below_two_key.as_deref() == Some(key);
            activation.at < below_two_at - seen.policy.settle
                || (was_active_alone && activation.at <= below_two_at)
        });
    if another_is_younger || is_too_old {
        return None;
    }
    Some(Opener {
        key: key.to_owned(),
        created: activation.created,
        at: activation.at,
        inactive_since: activation.inactive_since,
        actor: activation.by.actor.clone(),
        event_id: activation.by.event_id.clone(),
    })
}

/// The finding that goes on under the user's new name: still open under the old one, or closed because of the renaming.
fn former_finding<'a>(seen: &Seen<'a>) -> Option<&'a Finding> {
    seen.situation.former.filter(|former| {
        former
            .closing
            .as_ref()
            .is_none_or(|closing| closing.reason == CloseReason::Renamed)
    })
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
struct Ending<'a> {
    at: Timestamp,
    reason: CloseReason,
    by: &'a Source,
}

fn closing(open: &Finding, seen: &Seen<'_>) -> Closing {
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
            actor: Some(ending.by.actor.clone()),
            event_id: ending.by.event_id.clone(),
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
fn ending<'a>(open: &Finding, seen: &Seen<'a>, reason_of_user: CloseReason) -> Option<Ending<'a>> {
    // Where no event told of the opening its time is that of the looking, which may be later than the end.
    let not_before = match open.opener {
        Some(_) => open.opened_at,
        None => open.opened_at - seen.policy.settle,
    };
    let mut endings: Vec<Ending<'a>> = seen
        .evidence
        .keys
        .iter()
        .filter(|(id, _)| seen.view.status(id) != KeyStatus::Active)
        .filter_map(|(id, known)| Some((id, known.end.as_ref()?)))
        // What ended before the finding was seen, and is none of its keys, belongs to an earlier time of the name.
        .filter(|(id, end)| end.at > open.detected_at || open.keys.iter().any(|key| key.id == **id))
        .map(|(_, end)| end)
        .map(|end| Ending {
            at: end.at,
            reason: match end.status {
                KeyStatus::Gone => CloseReason::Deleted,
                KeyStatus::Active | KeyStatus::Inactive => CloseReason::Deactivated,
            },
            by: &end.by,
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
            by: &user.by,
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
