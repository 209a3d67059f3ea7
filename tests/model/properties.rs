//! What must hold in every state.

use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::trail::audit::AuditKind;
use stateright::Property;

use crate::iam::{Op, arn};
use crate::state::State;
use crate::time::Moment;
use crate::world::World;

/// How a history may end. Both endings must occur; otherwise the other properties would prove
/// little.
pub const ENDS_OPEN: &str = "a history ends with a finding open";
pub const ENDS_CLOSED: &str = "a history ends after a finding was closed";
pub const ENDS_HIDDEN: &str = "a history ends with a finding hidden by an exemption";

/// The properties. If a step breaks one, the state records it; the others are about states at rest.
pub fn all() -> Vec<Property<World>> {
    vec![
        Property::always("each step is right", |_, state: &State| {
            state.broken.is_none()
        }),
        Property::always(
            "at rest a finding is open exactly if two keys are active",
            |world, state: &State| {
                !world.is_at_rest(state)
                    || world.open_finding(state).is_some() == world.truth(state).has_two_active()
            },
        ),
        Property::always(
            "at rest every sink was told of every transition",
            |world, state: &State| {
                !world.is_at_rest(state)
                    || (everybody_knows(world, state) && state.store.owed.is_empty())
            },
        ),
        Property::always(
            "at rest an open finding names all who made its keys active",
            |world, state: &State| !world.is_at_rest(state) || all_makers_are_named(world, state),
        ),
        Property::always(
            "an exemption hides only what it covers",
            |world, state: &State| !world.is_at_rest(state) || hides_only_its_own(world, state),
        ),
        Property::always(
            "every key that became active beside another one is announced, however brief it was",
            every_key_is_announced,
        ),
        Property::always(
            "a key is announced with the one that signed for it",
            every_signer_is_announced,
        ),
        Property::sometimes(ENDS_OPEN, |world, state: &State| {
            world.is_at_rest(state) && world.open_finding(state).is_some()
        }),
        Property::sometimes(ENDS_CLOSED, |world, state: &State| {
            let closed = AuditKind::FindingClosed.word();
            world.is_at_rest(state) && state.store.trail.contains(&closed)
        }),
        Property::sometimes(ENDS_HIDDEN, |world, state: &State| {
            world.is_at_rest(state) && is_hidden(world, state)
        }),
    ]
}

/// The changes that activated keys of the pair: since fewer than two were active, and since a
/// worker last saw that.
fn makers<'a>(world: &'a World, state: &'a State) -> impl Iterator<Item = usize> + 'a {
    let script = &world.bounds.script;
    let truth = world.truth(state);
    let below_two = script
        .truths
        .iter()
        .rposition(|truth| !truth.has_two_active());
    // Events have whole seconds, so the order of changes within one moment is unknown.
    let since = below_two.and_then(|place| Some(script.changes.get(place)?.0));
    (0..script.changes.len()).filter(move |place| {
        let Some(key) = script.activated(*place) else {
            return false;
        };
        let moment = script.changes[*place].0;
        let later = &script.changes[place + 1..];
        let is_latest = later.iter().all(
            |(_, op)| !matches!(op, Op::Deactivate(other) | Op::Delete(other) if *other == key),
        );
        let is_since = since.is_none_or(|since| moment >= since)
            || (is_delivered(state, *place)
                && state.seen_below_two.is_none_or(|seen| moment > seen));
        // Without the event that ended the previous state, a reactivation looks like a call that
        // changes nothing.
        let before = script.changes.iter().take(*place).zip(0..);
        let is_known = before
            .filter(|((_, op), _)| op.key() == Some(key))
            .all(|(_, earlier)| is_delivered(state, earlier));
        truth.is_active(key) && is_latest && is_since && is_known
    })
}

/// The actors of the change at `place` and of equal changes in the same second, whose order is
/// unknown.
fn actors(world: &World, place: usize) -> impl Iterator<Item = (usize, Option<char>)> {
    let script = &world.bounds.script;
    let (moment, _) = script.changes[place];
    let key = script.activated(place);
    let is_alike = move |(at, op): &(Moment, Op)| {
        let says_active = matches!(op, Op::Create(_) | Op::Activate(_));
        *at == moment && says_active && op.key() == key
    };
    let changes = script.changes.iter().zip(&script.actors).enumerate();
    changes
        .filter(move |(_, (change, _))| is_alike(change))
        .map(|(place, (_, actor))| (place, *actor))
}

fn is_delivered(state: &State, place: usize) -> bool {
    state.store.marked.contains(&place.to_string())
}

fn all_makers_are_named(world: &World, state: &State) -> bool {
    let Some(open) = world.open_finding(state) else {
        return true;
    };
    let is_named = |(_, actor): (usize, Option<char>)| {
        actor.is_none_or(|name| open.activators().contains(&Some(arn(name).as_str())))
    };
    makers(world, state)
        .filter(|place| is_delivered(state, *place))
        .all(|place| actors(world, place).any(is_named))
}

/// Once every event has arrived, every key in the events is announced: at once if the keys before
/// them are known, otherwise at rest. After a listing that failed or was refused, the next one
/// shows whether a deleted key was active beside another one. If that has to wait for a sweep,
/// nothing is claimed.
fn every_key_is_announced(world: &World, state: &State) -> bool {
    let script = &world.bounds.script;
    let faults = world.bounds.faults;
    let done = script.done_by(state.clock);
    let is_all_known =
        faults.failures == 0 && (world.bounds.is_known || script.truths[0].keys.is_empty());
    let is_heard = |place: usize| script.events[place].is_none() || is_delivered(state, place);
    let is_due = faults.refusals == 0
        && (0..done).all(is_heard)
        && (is_all_known || world.is_at_rest(state));
    let is_exempt = |place: usize| {
        let exempt = world.bounds.exempt;
        exempt.is_some() && script.actors[place] == exempt
    };
    // An update may have changed nothing, if no listing from before it is stored when its event
    // arrives.
    let is_certain = |place: usize| matches!(script.changes[place].1, Op::Create(_));
    let is_announced = |place: usize| {
        let key = script.activated(place);
        key.is_some_and(|key| state.store.named.contains(&key))
    };
    !is_due
        || (0..done)
            .filter(|place| script.is_beside_another(*place))
            .filter(|place| is_certain(*place))
            .all(|place| is_exempt(place) || is_announced(place))
}

/// Once the event has arrived, for keys that both stay active to the end.
fn every_signer_is_announced(world: &World, state: &State) -> bool {
    let script = &world.bounds.script;
    let stays_active = |key: char, from: usize| {
        let mut later = script.truths.iter().skip(from);
        later.all(|truth| truth.is_active(key))
    };
    (0..script.changes.len())
        .filter(|place| is_delivered(state, *place))
        .all(
            |place| match (script.signers[place], script.activated(place)) {
                (Some(signer), Some(key))
                    if stays_active(signer, place) && stays_active(key, place + 1) =>
                {
                    [signer, key]
                        .iter()
                        .all(|key| state.store.named.contains(key))
                }
                _ => true,
            },
        )
}

fn is_hidden(world: &World, state: &State) -> bool {
    let open = world.open_finding(state);
    open.is_some_and(|open| open.status == FindingStatus::Suppressed)
}

fn hides_only_its_own(world: &World, state: &State) -> bool {
    let is_covered = |(_, actor)| actor == world.bounds.exempt;
    !is_hidden(world, state)
        || makers(world, state).all(|place| actors(world, place).any(is_covered))
}

fn everybody_knows(world: &World, state: &State) -> bool {
    let told = |sequence: u64, sink: &str| state.store.told.contains(&(sequence, sink.to_owned()));
    to_be_told(&state.store.trail)
        .into_iter()
        .all(|sequence| world.bounds.sinks.iter().all(|sink| told(sequence, sink)))
}

/// The places in the trail that every sink must receive: everything about a finding except what
/// happens while it is suppressed.
fn to_be_told(trail: &[&str]) -> Vec<u64> {
    let is = |kind: &str, expected: AuditKind| kind == expected.word();
    let (mut is_hidden, mut is_known) = (false, false);
    let mut told = vec![];
    for (place, kind) in trail.iter().enumerate() {
        let is_told = if is(kind, AuditKind::FindingOpened) {
            let next = trail.get(place + 1);
            is_hidden = next.is_some_and(|next| is(next, AuditKind::FindingSuppressed));
            is_known = !is_hidden;
            is_known
        } else if is(kind, AuditKind::FindingSuppressed) {
            !std::mem::replace(&mut is_hidden, true)
        } else if is(kind, AuditKind::ExemptionEnded) {
            (is_hidden, is_known) = (false, true);
            true
        } else if is(kind, AuditKind::FindingUpdated) {
            !is_hidden
        } else {
            is(kind, AuditKind::FindingClosed) && is_known
        };
        told.extend(is_told.then_some(place as u64 + 1));
    }
    told
}
