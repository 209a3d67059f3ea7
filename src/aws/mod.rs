//! The AWS services that secondkey uses, one adapter each. The feature `lambda` contains what only
//! the Lambda functions call, and `live` what only the commands that query AWS call. Commands that
//! read findings may read the table, so its adapter is always included.

#[cfg(feature = "lambda")]
pub(crate) mod account_registry;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod accounts;
#[cfg(feature = "lambda")]
pub(crate) mod batch_response;
#[cfg(any(feature = "lambda", feature = "cli"))]
pub mod connections;
#[cfg(any(feature = "lambda", feature = "live"))]
pub(crate) mod credential_report;
#[cfg(feature = "lambda")]
pub(crate) mod dead_letter_queue;
#[cfg(feature = "lambda")]
pub mod deployment;
#[cfg(feature = "lambda")]
pub mod detector;
pub mod dynamodb;
#[cfg(feature = "lambda")]
pub mod endpoints;
#[cfg(feature = "live")]
pub mod event_history;
#[cfg(feature = "lambda")]
pub mod eventbridge;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod iam;
#[cfg(feature = "lambda")]
pub mod logging;
#[cfg(feature = "lambda")]
pub mod metrics;
#[cfg(any(feature = "lambda", feature = "live"))]
pub(crate) mod organization;
#[cfg(feature = "lambda")]
pub(crate) mod pace;
#[cfg(feature = "lambda")]
pub(crate) mod recheck_queue;
pub(crate) mod sdk_errors;
#[cfg(feature = "lambda")]
pub mod securityhub;
#[cfg(feature = "lambda")]
pub mod settings;
#[cfg(feature = "lambda")]
pub mod sns;
#[cfg(any(feature = "lambda", feature = "live"))]
pub mod suspects;
#[cfg(feature = "lambda")]
pub mod sweeper;
