//! The integration tests, one binary: end to end on real parts, both stores, the replay, the samples.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its documentation is not published"
)]

mod accounts;
mod aws_check;
mod check;
mod contract;
mod delivery;
mod deployment;
mod docs;
mod doctor;
mod e2e;
mod events;
mod gate;
mod hostile;
#[path = "../../src/output/hostile.rs"]
mod hostile_texts;
mod incomplete;
mod interleaving;
mod log_formats;
mod log_formats_bad;
mod log_formats_made;
mod manners;
mod mixed;
mod outputs;
mod packaging;
mod pasted;
mod reference;
mod releases;
mod replay_familiar;
mod replay_input;
mod replay_oracle;
mod replay_others;
mod replay_seconds;
mod replay_uses;
mod replay_world;
mod report;
mod roles;
mod rotate;
mod scan;
mod schema;
mod stack;
mod store_contract;
mod story;
mod sweeper;
mod table;
mod tamper;
mod usage;
mod verdicts;
mod views;
