//! What is explored: for each broken protocol a small history that is enough to catch it, and larger ones for the sound one,
//! which has to pass them all.

use crate::iam::Op::{self, Activate, Create, CreateUser, Deactivate, Delete, DeleteUser};
use crate::iam::{Script, Truth};
use crate::protocol::Protocol;
use crate::state::Faults;
use crate::time::Moment;
use crate::world::Bounds;

const NO_FAULTS: Faults = Faults {
    losses: 0,
    duplicates: 0,
    crashes: 0,
    sink_failures: 0,
    refusals: 0,
    sweeps: 0,
};

/// The histories that only the sound protocol goes through.
pub fn sound_histories(is_deep: bool) -> Vec<Bounds> {
    let lost = Faults {
        losses: 1,
        sweeps: 1,
        ..NO_FAULTS
    };
    // Three changes, two workers, a lost event and a sweep in the middle.
    let shallow = vec![vec![
        (1, Create('B')),
        (1, Deactivate('B')),
        (1, Activate('B')),
    ]];
    let deep = vec![
        vec![(1, Create('B')), (2, Deactivate('B')), (3, Activate('B'))],
        vec![(1, Create('B')), (1, Deactivate('A')), (2, Activate('A'))],
    ];
    let three = if is_deep { deep } else { shallow };
    let three = three.into_iter().map(|changes| Bounds {
        workers: 2,
        faults: lost,
        ..history("A", changes)
    });
    // Every two changes there are, in one moment and in two.
    let two = Script::all(&Truth::new("A", ""), 2, &[0, 1]);
    let two = two.into_iter().map(|script| Bounds {
        script,
        workers: 2,
        faults: lost,
        ..history("A", vec![])
    });
    let again = vec![
        (1, DeleteUser),
        (1, CreateUser),
        (2, Create('A')),
        (2, Create('B')),
    ];
    let again = Bounds {
        faults: Faults {
            sweeps: 1,
            ..NO_FAULTS
        },
        ..history("", again)
    };
    three.chain(two).chain([again]).collect()
}

/// Each broken protocol, with a history that catches it.
pub fn broken_histories() -> Vec<(Protocol, Bounds)> {
    let created = || vec![(1, Create('B'))];
    let sweeps = Faults {
        losses: 1,
        sweeps: 3,
        ..NO_FAULTS
    };
    let death = Bounds {
        is_coarse: false,
        faults: Faults {
            crashes: 1,
            ..NO_FAULTS
        },
        ..history("A", created())
    };
    let two_workers = Bounds {
        workers: 2,
        ..history("A", vec![(1, Create('B')), (2, Deactivate('B'))])
    };
    let swept = Bounds {
        faults: sweeps,
        ..history("A", created())
    };
    let deaf = Bounds {
        faults: Faults {
            refusals: 3,
            crashes: 1,
            ..NO_FAULTS
        },
        is_coarse: false,
        ..history("A", vec![(1, Create('B')), (1, Delete('B'))])
    };
    let old_event = Bounds {
        faults: Faults {
            losses: 1,
            sweeps: 1,
            ..NO_FAULTS
        },
        ..history("AB", vec![(1, Deactivate('B')), (3, Activate('B'))])
    };
    let late = history("A", vec![(1, Create('B')), (2, Deactivate('B'))]);
    let died_late = Bounds {
        script: Script::new(
            Truth::new("A", ""),
            vec![(1, Create('B')), (2, Deactivate('A'))],
        ),
        ..death.clone()
    };
    vec![
        (Protocol::NoVersionCondition, two_workers.clone()),
        (
            Protocol::ListBeforeLoad,
            Bounds {
                workers: 2,
                ..swept.clone()
            },
        ),
        (Protocol::FreshnessAtDecision, two_workers.clone()),
        (Protocol::SettleAfterNotKept, swept.clone()),
        (Protocol::OldEventExplains, old_event),
        (Protocol::LastListingIgnored, swept.clone()),
        (Protocol::EvidenceIgnored, history("A", created())),
        (Protocol::UnsettledCloses, swept),
        (Protocol::AlertBeforeCommit, two_workers),
        (Protocol::NoOutbox, death.clone()),
        (Protocol::TickedOffBeforeSent, death),
        (Protocol::RecheckNotQueued, late.clone()),
        (Protocol::RetryTrustsPromise, deaf),
        (Protocol::UnexplainedEventTrusted, died_late),
    ]
}

/// A history of a user that begins with the keys in `active`, with one worker and nothing going wrong.
fn history(active: &str, changes: Vec<(Moment, Op)>) -> Bounds {
    Bounds {
        script: Script::new(Truth::new(active, ""), changes),
        workers: 1,
        sinks: &["sns"],
        faults: NO_FAULTS,
        is_coarse: true,
    }
}
