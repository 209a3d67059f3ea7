//! The explored histories: for each broken protocol a small one that is enough to catch it, and
//! larger ones for the sound protocol, which must pass all of them.

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
    failures: 0,
    delays: 0,
    sweeps: 0,
};

/// The histories that only the sound protocol runs.
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
    // Every possible pair of changes, in one moment and in two.
    let two = Script::all(&Truth::new("A", ""), 2, &[0, 1], false);
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
    three
        .chain(two)
        .chain([again])
        .chain(histories_of_actors())
        .chain(brief_histories())
        .chain(signed_histories())
        .collect()
}

/// Changes that a key of the user signs, including a key that was just deactivated, which IAM still
/// accepts for a while.
fn signed_histories() -> impl Iterator<Item = Bounds> {
    let of = |active: &str, inactive: &str, changes: Vec<(Moment, Op)>, signers: &str| {
        Script::new(Truth::new(active, inactive), changes).signed(signers)
    };
    let scripts = [
        of("A", "", vec![(1, Create('B'))], "A"),
        of("", "A", vec![(1, Activate('A')), (1, Create('B'))], "-A"),
        of("", "A", vec![(1, Activate('A')), (2, Create('B'))], "-A"),
        of("A", "", vec![(1, Deactivate('A')), (1, Create('B'))], "-A"),
        of("A", "", vec![(1, Deactivate('A')), (2, Create('B'))], "-A"),
        of("A", "", vec![(1, Delete('A')), (2, Create('B'))], "-A"),
        of("AB", "", vec![(1, Delete('B'))], "A"),
        of("AB", "", vec![(1, Deactivate('A')), (2, Delete('A'))], "BA"),
        of(
            "A",
            "",
            vec![(1, Create('B')), (2, Deactivate('A')), (3, Delete('A'))],
            "ABB",
        ),
    ];
    let lost = Faults {
        losses: 1,
        ..NO_FAULTS
    };
    let late = Faults {
        delays: 1,
        ..NO_FAULTS
    };
    scripts.into_iter().flat_map(move |script| {
        [(0..0, lost), (0..9, late)].map(|(blind, faults)| Bounds {
            script: script.clone(),
            faults,
            blind,
            ..history("A", vec![])
        })
    })
}

/// Keys that are gone before any check, and keys created while nothing can be listed.
fn brief_histories() -> impl Iterator<Item = Bounds> {
    let late = Faults {
        delays: 1,
        ..NO_FAULTS
    };
    let starts = [("A", ""), ("", "A"), ("", ""), ("A", "B")];
    let starts = starts.map(|(active, inactive)| Truth::new(active, inactive));
    let pairs = starts
        .into_iter()
        .flat_map(|start| Script::all(&start, 2, &[0, 1], false));
    pairs.flat_map(move |script| {
        [0..0, 0..9].map(|blind| Bounds {
            script: script.clone(),
            faults: late,
            is_known: true,
            blind,
            ..history("A", vec![])
        })
    })
}

/// Mallory and Farm in turn, with an exemption for Farm, and calls that change nothing.
fn histories_of_actors() -> impl Iterator<Item = Bounds> {
    let starts = [("A", ""), ("A", "B")].map(|(active, inactive)| Truth::new(active, inactive));
    let pairs = starts
        .into_iter()
        .flat_map(|start| Script::all(&start, 2, &[0, 1], true));
    let pairs = pairs.flat_map(|script| ["mf", "fm"].map(|actors| script.clone().by(actors)));
    let three = ["mmf", "mfm"].into_iter().map(|actors| {
        let changes = vec![(1, Deactivate('A')), (2, Create('B')), (3, Activate('A'))];
        Script::new(Truth::new("A", ""), changes).by(actors)
    });
    let exempting = |script| Bounds {
        script,
        exempt: Some('f'),
        ..history("A", vec![])
    };
    let unheard = Script::new(
        Truth::new("A", ""),
        vec![(1, Create('B')), (1, Activate('A')), (2, Activate('B'))],
    );
    let lossy = pairs.chain([unheard.by("mmf")]).map(move |script| Bounds {
        faults: Faults {
            losses: 1,
            ..NO_FAULTS
        },
        ..exempting(script)
    });
    lossy.chain(three.map(exempting))
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
    let first = vec![
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
    ];
    first
        .into_iter()
        .chain(broken_by_actors_and_gaps())
        .collect()
}

/// The rules about key ownership, short-lived keys and failing listings.
fn broken_by_actors_and_gaps() -> Vec<(Protocol, Bounds)> {
    let no_op = Bounds {
        script: Script::new(
            Truth::new("A", ""),
            vec![(1, Create('B')), (2, Activate('A'))],
        )
        .by("mf"),
        exempt: Some('f'),
        faults: Faults {
            losses: 1,
            ..NO_FAULTS
        },
        ..history("A", vec![])
    };
    let both_made = Bounds {
        script: Script::new(
            Truth::new("A", ""),
            vec![(1, Deactivate('A')), (2, Create('B')), (3, Activate('A'))],
        )
        .by("mmf"),
        exempt: Some('f'),
        ..history("A", vec![])
    };
    let failing = Bounds {
        faults: Faults {
            failures: 2,
            crashes: 1,
            ..NO_FAULTS
        },
        is_known: true,
        max_receives: 3,
        ..history("A", vec![(1, Create('B')), (2, Delete('B'))])
    };
    let brief = Bounds {
        faults: Faults {
            delays: 2,
            ..NO_FAULTS
        },
        ..history("A", vec![(1, Create('B')), (2, Delete('B'))])
    };
    let blind = Bounds {
        blind: 0..9,
        ..history("", vec![(1, Create('A')), (2, Create('B'))])
    };
    let signed = Bounds {
        script: Script::new(Truth::new("A", ""), vec![(1, Create('B'))]).signed("A"),
        blind: 0..9,
        ..history("A", vec![])
    };
    let still_usable = Bounds {
        script: Script::new(
            Truth::new("A", ""),
            vec![(1, Deactivate('A')), (2, Create('B'))],
        )
        .signed("-A"),
        faults: Faults {
            losses: 1,
            ..NO_FAULTS
        },
        ..history("A", vec![])
    };
    vec![
        (Protocol::SignerIgnored, signed),
        (Protocol::UseTrusted, still_usable),
        (Protocol::BriefIgnored, brief),
        (Protocol::AddLate, blind),
        (Protocol::FailureNeverRefuses, failing),
        (Protocol::NoOpCounts, no_op),
        (Protocol::JoinedForgotten, both_made),
    ]
}

/// A history of a user who begins with the keys in `active`, with one worker and no failures.
fn history(active: &str, changes: Vec<(Moment, Op)>) -> Bounds {
    Bounds {
        script: Script::new(Truth::new(active, ""), changes),
        workers: 1,
        sinks: &["sns"],
        faults: NO_FAULTS,
        exempt: None,
        is_known: false,
        blind: 0..0,
        late_by: 4,
        max_receives: 0,
        is_coarse: true,
    }
}
