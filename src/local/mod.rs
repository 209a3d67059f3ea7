//! What runs on one machine with nothing deployed: the embedded store, the ledger of replayed records, the terminal, the
//! rule on Terraform plans.

#[cfg(feature = "cli")]
mod caught_up;
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
pub mod log_reading;
#[cfg(feature = "cli")]
pub mod log_records;
#[cfg(feature = "cli")]
mod log_scan;
#[cfg(feature = "cli")]
pub mod log_workers;
#[cfg(feature = "cli")]
pub mod replay;
#[cfg(feature = "cli")]
pub mod scan_log;
mod second;
#[cfg(feature = "cli")]
pub mod sqlite;
#[cfg(feature = "cli")]
pub mod terminal;
#[cfg(feature = "cli")]
pub mod terraform_plan;
