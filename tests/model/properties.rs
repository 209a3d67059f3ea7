//! What must hold in every state.

use secondkey::detect::audit::AuditKind;
use stateright::Property;

use crate::state::State;
use crate::world::World;

/// How a history may end; both must be seen, or the other properties would say little.
pub const ENDS_OPEN: &str = "a history ends with a finding open";
pub const ENDS_CLOSED: &str = "a history ends after a finding was closed";

/// The properties; a step that breaks one is told by the state, the others are about states at rest.
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
        Property::sometimes(ENDS_OPEN, |world, state: &State| {
            world.is_at_rest(state) && world.open_finding(state).is_some()
        }),
        Property::sometimes(ENDS_CLOSED, |world, state: &State| {
            let closed = AuditKind::FindingClosed.word();
            world.is_at_rest(state) && state.store.trail.contains(&closed)
        }),
    ]
}

fn everybody_knows(world: &World, state: &State) -> bool {
    let told = |sequence: u64, sink: &str| state.store.told.contains(&(sequence, sink.to_owned()));
    state
        .store
        .trail
        .iter()
        .zip(1..)
        .filter(|(kind, _)| {
            [
                AuditKind::FindingOpened,
                AuditKind::FindingUpdated,
                AuditKind::FindingClosed,
            ]
            .iter()
            .any(|told| told.word() == **kind)
        })
        .all(|(_, sequence)| world.bounds.sinks.iter().all(|sink| told(sequence, sink)))
}
