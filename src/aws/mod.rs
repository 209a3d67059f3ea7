//! The AWS services that a re-check works with, one adapter each. What only the Lambda functions call is behind the
//! feature `lambda`, and what the commands call that ask AWS itself behind `live`. Whatever reads findings may read the table,
//! so that adapter always stands.

#[cfg(any(feature = "lambda", feature = "live"))]
pub mod account_users;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod accounts;
#[cfg(any(feature = "lambda", feature = "cli"))]
pub mod connections;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod credential_report;
#[cfg(feature = "lambda")]
pub mod dead_letter_queue;
#[cfg(feature = "lambda")]
pub mod deployment;
#[cfg(feature = "lambda")]
pub mod detector;
pub mod dynamodb;
#[cfg(feature = "lambda")]
pub mod endpoints;
pub mod errors;
#[cfg(feature = "live")]
pub mod event_history;
#[cfg(feature = "lambda")]
pub mod eventbridge;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod iam;
#[cfg(feature = "lambda")]
pub mod invocation;
#[cfg(feature = "lambda")]
pub mod log;
#[cfg(feature = "lambda")]
pub mod metrics;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod organization;
#[cfg(feature = "lambda")]
pub mod recheck_queue;
#[cfg(feature = "lambda")]
pub mod registry;
#[cfg(feature = "lambda")]
pub mod securityhub;
#[cfg(feature = "lambda")]
pub mod settings;
#[cfg(feature = "lambda")]
pub mod sns;
#[cfg(feature = "lambda")]
pub mod sweeper;
