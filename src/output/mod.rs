//! What is told, and in which form: the readable alert, the versioned JSON, the chat notification.
//!
//! Text from an event is hostile: whatever of it lands in an output goes through [`escape`], by the function for the
//! place where it lands. Each output owns its wire structs; the domain types know of none.

pub mod alert_text;
pub mod asff;
pub mod chat;
pub mod commands;
#[cfg(feature = "cli")]
pub mod csv;
pub mod digest_text;
pub mod escape;
mod facts;
#[cfg(test)]
pub(crate) mod hostile;
pub mod invocation;
pub mod json_v1;
pub mod number;
pub mod ocsf;
#[cfg(feature = "cli")]
pub mod report;
pub mod sarif;
pub mod shell;
pub mod since;
pub mod standing;
mod standing_text;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod timeline;
pub(crate) mod verdict_text;
