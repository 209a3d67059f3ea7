//! The integration tests, one binary: end to end on real parts, both stores, the replay, the samples.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and nobody reads its documentation from outside"
)]

mod accounts;
mod check;
mod delivery;
mod deployment;
mod doctor;
mod e2e;
mod events;
mod gate;
mod hostile;
#[path = "../../src/output/hostile.rs"]
mod hostile_texts;
mod incomplete;
mod interleaving;
mod manners;
mod mixed;
mod outputs;
mod pasted;
mod reference;
mod releases;
mod replay_familiar;
mod replay_input;
mod replay_oracle;
mod replay_others;
mod replay_seconds;
mod replay_world;
mod report;
mod roles;
mod rotate;
mod scan;
mod stack;
mod store_contract;
mod story;
mod sweeper;
mod table;
mod tamper;
mod verdicts;
