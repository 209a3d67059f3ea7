//! Everything that runs on one machine without a deployment: the embedded store, the ledger of
//! replayed records, the terminal, and the Terraform plan rule.

#[cfg(feature = "cli")]
mod caught_up;
#[cfg(feature = "cli")]
pub(crate) mod changes;
#[cfg(feature = "cli")]
mod containers;
#[cfg(feature = "cli")]
mod coverage;
#[cfg(feature = "cli")]
mod kept_changes;
#[cfg(feature = "cli")]
mod known_uses;
pub mod ledger;
#[cfg(feature = "cli")]
pub mod ledger_table;
#[cfg(feature = "cli")]
mod log_blocks;
#[cfg(feature = "cli")]
pub mod log_files;
#[cfg(feature = "cli")]
mod log_filter;
#[cfg(feature = "cli")]
pub(crate) mod log_pass;
#[cfg(feature = "cli")]
pub mod log_reading;
#[cfg(feature = "cli")]
pub mod log_records;
#[cfg(feature = "cli")]
mod log_scan;
#[cfg(feature = "cli")]
mod log_table;
#[cfg(feature = "cli")]
mod log_text;
#[cfg(feature = "cli")]
pub(crate) mod log_workers;
#[cfg(feature = "cli")]
mod ocsf_activity;
#[cfg(feature = "cli")]
mod record_names;
#[cfg(feature = "cli")]
pub mod replay;
#[cfg(feature = "cli")]
mod replay_store;
#[cfg(feature = "cli")]
mod replay_writer;
#[cfg(feature = "cli")]
pub(crate) mod scan_log;
mod second;
#[cfg(feature = "cli")]
pub mod sqlite;
#[cfg(feature = "cli")]
mod tar_members;
#[cfg(feature = "cli")]
pub mod terminal;
#[cfg(feature = "gate")]
pub mod terraform_plan;
#[cfg(feature = "cli")]
mod unwrap;
pub(crate) mod uses;
#[cfg(feature = "cli")]
pub(crate) mod wanted;
#[cfg(feature = "cli")]
mod wrappers;
