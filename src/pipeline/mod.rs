//! The order of effects: load, list, decide, commit, deliver. Everything that waits is here, behind
//! the three traits of the re-check. Each trait has at least two real implementations.
//!
//! [`payload`], [`message`] (input) → [`batch`] (grouped by user) → [`recheck`] (load, list,
//! decide, commit) → [`outbox`]. [`sweep_message`] starts a sweep. [`record_change`] records what
//! secondkey did itself.

pub mod alert_sink;
#[cfg(feature = "aws")]
pub mod batch;
#[cfg(all(test, feature = "aws"))]
mod batch_tests;
pub mod commit;
pub mod error;
pub mod finding_store;
pub mod key_source;
#[cfg(feature = "aws")]
pub(crate) mod leak_reports;
#[cfg(feature = "messages")]
pub mod message;
pub mod outbox;
#[cfg(feature = "messages")]
pub mod payload;
pub mod recheck;
pub mod record_change;
#[cfg(feature = "aws")]
pub(crate) mod sweep_message;
