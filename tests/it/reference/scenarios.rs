//! Short histories in which every effect fails in turn.

use super::effects::Way;
use super::journal::Down;
use super::story::Name::{Alice, Bob, Carol};
use super::story::Which::{Newer, Older};
use super::story::{By, History, SINKS, Step, Told};

/// Every scenario by its name.
pub fn scenarios() -> Vec<(&'static str, History)> {
    let soon = || told(vec![2]);
    let gets_a_key = || Step::CreateKey(Alice, soon());
    vec![
        ("opened and confirmed", current(vec![gets_a_key()])),
        (
            "opened on a stale listing, then confirmed",
            lagging(vec![gets_a_key(), Step::Wait(4)]),
        ),
        (
            "opened and closed by a deactivation",
            current(vec![
                gets_a_key(),
                Step::Wait(100),
                Step::Deactivate(Alice, Older, soon()),
            ]),
        ),
        (
            "closed on stale listings that go backwards",
            History {
                lags: vec![0, 90, 0, 50],
                ..current(vec![
                    gets_a_key(),
                    Step::Wait(100),
                    Step::DeleteKey(Alice, Newer, soon()),
                    Step::Wait(3),
                    Step::LookAt(Alice),
                ])
            },
        ),
        (
            "renamed while open",
            current(vec![
                gets_a_key(),
                Step::Wait(100),
                Step::CreateKey(Bob, soon()),
                Step::DeleteUser(Bob, soon()),
                Step::Wait(100),
                Step::Rename(Alice, Bob, soon()),
            ]),
        ),
        (
            "deleted and created again",
            current(vec![
                gets_a_key(),
                Step::Wait(20),
                Step::DeleteUser(Alice, soon()),
                Step::CreateUser(Alice),
                gets_a_key(),
                gets_a_key(),
            ]),
        ),
        (
            "told twice and in the wrong order",
            current(vec![
                Step::CreateKey(Alice, told(vec![9, 30])),
                Step::Deactivate(Alice, Newer, told(vec![1, 9])),
                Step::Wait(3),
                Step::Reactivate(Alice, Newer, told(vec![0, 0])),
            ]),
        ),
        (
            "one sink down for now",
            current(vec![
                Step::SinkDown(SINKS[0], Down::ForNow),
                gets_a_key(),
                Step::Wait(70),
                Step::Deactivate(Alice, Newer, soon()),
                Step::Wait(70),
            ]),
        ),
        (
            "both sinks refuse",
            current(vec![
                Step::SinkDown(SINKS[0], Down::ForGood),
                Step::SinkDown(SINKS[1], Down::ForGood),
                gets_a_key(),
                Step::Wait(40),
            ]),
        ),
        (
            "an opening while IAM refuses",
            current(vec![Step::IamRefuses, gets_a_key(), Step::Wait(300)]),
        ),
        (
            "a lost event, and two stale looks after a current one",
            History {
                lags: vec![0, 90, 90],
                ..current(
                    [Step::CreateKey(Alice, told(vec![]))]
                        .into_iter()
                        .chain(
                            [(); 3]
                                .map(|()| [Step::Wait(1), Step::LookAt(Alice)])
                                .concat(),
                        )
                        .collect(),
                )
            },
        ),
    ]
}

/// Histories that failed once, by name.
pub fn gone_wrong_once() -> Vec<(&'static str, History)> {
    vec![
        (
            "a closing that is due before an opening that was postponed for longer",
            current(vec![
                Step::SinkDown(SINKS[0], Down::ForNow),
                Step::CreateKey(Alice, told(vec![0])),
                Step::Wait(240),
                Step::DeleteKey(Alice, Older, told(vec![0])),
            ]),
        ),
        (
            "a worker that read what is owed, but not yet the record, before another owed more",
            current(vec![
                Step::CreateKey(Alice, told(vec![])),
                Step::LookAt(Alice),
                Step::Wait(70),
                Step::SinkDown(SINKS[1], Down::ForNow),
                Step::DeleteKey(Alice, Older, told(vec![])),
                Step::Fail(0, Way::Stall),
                Step::CreateKey(Alice, told(vec![0])),
                Step::Wait(1),
                Step::LookAt(Alice),
                Step::Wait(1),
                Step::SinkUp(SINKS[1]),
                Step::GoOn,
            ]),
        ),
        (
            "renamed to a name that was just given up, while IAM refuses",
            current(vec![
                Step::CreateKey(Alice, told(vec![0])),
                Step::DeleteUser(Bob, told(vec![0])),
                Step::Rename(Alice, Bob, told(vec![0])),
                Step::IamRefuses,
                Step::Wait(5),
            ]),
        ),
        (
            "renamed while open and IAM refuses",
            current(vec![
                Step::CreateKey(Alice, told(vec![0])),
                Step::DeleteUser(Bob, told(vec![0])),
                Step::Wait(100),
                Step::IamRefuses,
                Step::Rename(Alice, Bob, told(vec![0])),
                Step::Wait(1800),
            ]),
        ),
        (
            "made, switched off and on again in one second, while IAM refuses",
            current(vec![
                Step::IamRefuses,
                Step::CreateKey(Alice, told(vec![0])),
                Step::Deactivate(Alice, Newer, told(vec![0])),
                Step::Reactivate(Alice, Newer, told(vec![0])),
                Step::Wait(1800),
            ]),
        ),
        (
            "reactivated under a new name, beside a key made under the old one",
            current(vec![
                Step::Deactivate(Alice, Older, told(vec![0])),
                Step::Wait(4),
                Step::CreateKey(Alice, told(vec![0])),
                Step::Wait(4),
                Step::Rename(Alice, Carol, told(vec![0])),
                Step::Reactivate(Carol, Older, told(vec![0])),
            ]),
        ),
        (
            "set to active once more and switched off in one second, then reactivated",
            History {
                lags: vec![1],
                ..current(vec![
                    Step::ActivateAgain(Alice, Older, Told(By::Owner, vec![0])),
                    Step::CreateKey(Alice, Told(By::Owner, vec![0])),
                    Step::Deactivate(Alice, Older, Told(By::Owner, vec![0])),
                    Step::Wait(1),
                    Step::Reactivate(Alice, Older, told(vec![0])),
                ])
            },
        ),
        (
            "switched off with its own signature and on again, while IAM throttles",
            History {
                lags: vec![6, 0, 11, 2, 0, 16, 11],
                ..current(vec![
                    Step::CreateKey(Alice, Told(By::Ci, vec![1])),
                    Step::Wait(11),
                    Step::IamThrottles,
                    Step::Wait(164),
                    Step::Deactivate(Alice, Older, Told(By::Owner, vec![0, 3])),
                    Step::Wait(5),
                    Step::LookAt(Alice),
                    Step::Reactivate(Alice, Newer, told(vec![4, 3])),
                ])
            },
        ),
    ]
}

fn told(after: Vec<u16>) -> Told {
    Told(By::Admin, after)
}

fn current(steps: Vec<Step>) -> History {
    History {
        steps,
        lags: vec![],
    }
}

fn lagging(steps: Vec<Step>) -> History {
    History {
        steps,
        lags: vec![40, 0],
    }
}
