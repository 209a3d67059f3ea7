//! Checks the protocol in every order of events, effects and failures within bounds, with
//! stateright.
//!
//! IAM follows a script; its replicas lag and go backwards. Workers run the product's `decide`,
//! commit rule and delivery rules, and may die between any two effects. The same protocol without
//! one of its rules must fail.
//!
//! `MODEL_DEEP=1` adds histories that take minutes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its documentation is not published"
)]

mod arena;
mod histories;
mod iam;
mod properties;
mod protocol;
mod state;
mod steps;
mod time;
mod world;

use std::io::Write;

use stateright::{Checker, HasDiscoveries, Model};

use crate::histories::{broken_histories, sound_histories};
use crate::properties::{ENDS_CLOSED, ENDS_HIDDEN, ENDS_OPEN};
use crate::protocol::Protocol;
use crate::world::{Bounds, World};

#[test]
fn the_protocol_holds_and_fails_without_any_of_its_rules() {
    let broken = broken_histories();
    let is_deep = std::env::var_os("MODEL_DEEP").is_some();
    let mut sound = sound_histories(is_deep);
    sound.extend(broken.iter().map(|(_, bounds)| bounds.clone()));

    let (mut states, mut violations) = (0, 0);
    let mut endings = std::collections::BTreeSet::new();
    for bounds in &sound {
        let explored = explore(Protocol::Sound, bounds);
        states += explored.states;
        violations += explored.violations.len();
        endings.extend(explored.endings);
        say(&format!(
            "{:>9} states  {}",
            explored.states,
            bounds.summary()
        ));
        explored
            .violations
            .iter()
            .for_each(|violation| say(violation));
    }

    let mut caught = 0;
    for (protocol, bounds) in &broken {
        let explored = explore(*protocol, bounds);
        caught += usize::from(!explored.violations.is_empty());
        say(&format!("\n{protocol:?}, {}:", bounds.summary()));
        explored
            .violations
            .iter()
            .for_each(|violation| say(violation));
    }
    let all = broken.len();
    say(&format!(
        "model: {states} states, {violations} violations, {caught} of {all} broken variants caught"
    ));
    assert_eq!((violations, caught), (0, all));
    assert_eq!(
        Vec::from_iter(endings),
        [ENDS_CLOSED, ENDS_HIDDEN, ENDS_OPEN]
    );
    assert!(
        states >= 1_000_000,
        "the bounds leave too little to explore"
    );
}

/// The result of an exploration.
struct Explored {
    states: usize,
    /// Each violation, with the shortest path to it.
    violations: Vec<String>,
    /// The kinds of endings that occurred.
    endings: Vec<&'static str>,
}

/// Explores everything within `bounds`, breadth first; a broken protocol only up to the first
/// violation.
fn explore(protocol: Protocol, bounds: &Bounds) -> Explored {
    let mut checker = World::new(protocol, bounds.clone()).checker().threads(2);
    if protocol != Protocol::Sound {
        checker = checker.finish_when(HasDiscoveries::AnyFailures);
    }
    let checker = checker.spawn_bfs().join();
    let mut explored = Explored {
        states: checker.unique_state_count(),
        violations: vec![],
        endings: vec![],
    };
    for (property, path) in checker.discoveries() {
        if [ENDS_CLOSED, ENDS_HIDDEN, ENDS_OPEN].contains(&property) {
            explored.endings.push(property);
            continue;
        }
        let last = path.last_state().clone();
        let what = last.broken.unwrap_or(property);
        let steps: Vec<String> = path
            .into_vec()
            .into_iter()
            .filter_map(|(state, action)| Some(format!("  {:>4}  {:?}", state.clock, action?)))
            .collect();
        explored.violations.push(format!(
            "  violated: {what}\n{}\n  trail: {}",
            steps.join("\n"),
            last.store.trail.join(", ")
        ));
    }
    explored
}

/// Prints despite the test harness's capture, so that a script can read it.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is writable");
}
