//! The outputs and their forms: the readable alert, the versioned JSON, the chat notification.
//!
//! Text from an event is hostile. All of it passes through [`escape`], with the function for the
//! output that shows it. Each output owns its wire structs; the domain types do not know them.

pub mod alert_text;
pub mod asff;
pub(crate) mod audit_entry_text;
pub mod chat;
pub mod commands;
#[cfg(feature = "cli")]
pub(crate) mod control;
#[cfg(feature = "cli")]
pub mod csv;
pub(crate) mod digest_text;
pub mod escape;
mod facts;
#[cfg(test)]
pub(crate) mod hostile;
pub mod invocation;
pub mod json_v1;
#[cfg(feature = "cli")]
pub(crate) mod key_facts;
pub(crate) mod last_use;
pub mod number;
pub mod ocsf;
pub(crate) mod overlap_start;
pub mod partition;
#[cfg(feature = "cli")]
pub(crate) mod report;
pub mod sarif;
pub(crate) mod shell;
pub mod snapshot;
mod snapshot_text;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
#[cfg(feature = "cli")]
pub(crate) mod usage;
pub(crate) mod verdict_text;
