//! The order of effects: load, list, decide, commit, deliver. Everything that waits for something stands here, behind
//! the three traits that the re-check needs, each with two real implementations or more.
//!
//! [`payload`], [`message`] (what came in) → [`batch`] (grouped by user) → [`recheck`] (load, list, decide, commit) →
//! [`deliver`], in [`turn`]. [`sweep_message`] is what a sweep begins with. [`note`] writes down what we did ourselves.

pub mod alert_sink;
pub mod batch;
#[cfg(test)]
mod batch_tests;
pub mod commit;
pub mod deliver;
pub mod error;
pub mod finding_store;
pub mod key_source;
pub mod message;
pub mod note;
pub mod owners;
pub mod payload;
pub mod recheck;
pub mod sweep_message;
pub mod turn;
