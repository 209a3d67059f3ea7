//! Every command that calls AWS.

use crate::hostile::aws::State;

/// Each command that calls AWS: its output's name, the state of AWS, its exit code and its
/// arguments. `USER` is replaced by the text.
pub(super) const COMMANDS: &[(&str, State, i32, &str)] = &[
    ("scan", State::TwoActive, 10, "scan --db scan"),
    (
        "scan json",
        State::TwoActive,
        10,
        "scan --db scan --quiet --format json",
    ),
    (
        "scan jsonl",
        State::TwoActive,
        10,
        "scan --db scan --quiet --format jsonl",
    ),
    (
        "scan csv",
        State::TwoActive,
        10,
        "scan --db scan --quiet --format csv",
    ),
    (
        "scan asff json",
        State::TwoActive,
        10,
        "scan --db scan --quiet --format asff",
    ),
    (
        "scan ocsf json",
        State::TwoActive,
        10,
        "scan --db scan --quiet --format ocsf",
    ),
    (
        "scan sarif json",
        State::TwoActive,
        10,
        "scan --db scan --quiet --format sarif",
    ),
    (
        "scan by report",
        State::TwoActive,
        10,
        "scan --db report --mode report",
    ),
    (
        "scan, last uses denied",
        State::Untold,
        10,
        "scan --db untold",
    ),
    ("scan, denied", State::Denied, 1, "scan --db denied"),
    ("scan, user not checked", State::Odd, 1, "scan --db odd"),
    (
        "scan, unknown caller",
        State::Stranger,
        1,
        "scan --db stranger",
    ),
    ("check", State::TwoActive, 10, "check --db check -- USER"),
    (
        "check json",
        State::TwoActive,
        10,
        "check --db check --format json -- USER",
    ),
    (
        "check, last uses denied",
        State::Untold,
        10,
        "check --db check-untold -- USER",
    ),
    ("check, nobody", State::Gone, 1, "check --db gone -- USER"),
    (
        "rotate status",
        State::TwoActive,
        0,
        "rotate status --db none -- USER",
    ),
    (
        "rotate status json",
        State::TwoActive,
        0,
        "rotate status --db none --format json -- USER",
    ),
    (
        "rotate status, finished",
        State::Finished,
        0,
        "rotate status --db none -- USER",
    ),
    (
        "rotate status, last uses denied",
        State::Untold,
        0,
        "rotate status --db none -- USER",
    ),
    (
        "rotate start",
        State::OneKey,
        0,
        "rotate start --db none --to-profile new -- USER",
    ),
    (
        "rotate start, refused",
        State::TwoActive,
        1,
        "rotate start --db none --show-once -- USER",
    ),
    (
        "rotate start, failed",
        State::Unchangeable,
        1,
        "rotate start --db start --show-once --apply -- USER",
    ),
    (
        "rotate finish",
        State::TwoActive,
        0,
        "rotate finish --db none -- USER",
    ),
    (
        "rotate finish, refused",
        State::Untold,
        1,
        "rotate finish --db none -- USER",
    ),
    (
        "rotate finish, failed",
        State::Unchangeable,
        1,
        "rotate finish --db finish --apply -- USER",
    ),
    (
        "rotate finish, done",
        State::TwoActive,
        0,
        "rotate finish --db finish --apply -- USER",
    ),
    (
        "rotate undo",
        State::Finished,
        0,
        "rotate undo --db none -- USER",
    ),
    (
        "rotate cleanup",
        State::Finished,
        0,
        "rotate cleanup --db none -- USER",
    ),
    (
        "rotate cleanup, refused",
        State::FinishedUntold,
        1,
        "rotate cleanup --db none -- USER",
    ),
    (
        "usage",
        State::TwoActive,
        0,
        "usage --live --since 2024-01-01 AKIAHOSTILE000000001",
    ),
    (
        "usage json",
        State::TwoActive,
        0,
        "usage --live --since 2024-01-01 --format json AKIAHOSTILE000000001",
    ),
    (
        "usage csv",
        State::TwoActive,
        0,
        "usage --live --format csv AKIAHOSTILE000000001",
    ),
    (
        "usage, denied",
        State::Untold,
        1,
        "usage --live AKIAHOSTILE000000001",
    ),
    (
        "check, with usage",
        State::TwoActive,
        10,
        "check --db check --usage -- USER",
    ),
];
