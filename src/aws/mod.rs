//! The AWS services that a re-check works with, one adapter each. What only the Lambda functions call is behind the
//! feature `lambda`; the command line reads the table too, so that adapter always stands.

#[cfg(feature = "lambda")]
pub mod account_users;
#[cfg(feature = "lambda")]
pub mod accounts;
#[cfg(feature = "lambda")]
pub mod credential_report;
#[cfg(feature = "lambda")]
pub mod deployment;
#[cfg(feature = "lambda")]
pub mod detector;
pub mod dynamodb;
pub mod errors;
#[cfg(feature = "lambda")]
pub mod eventbridge;
#[cfg(feature = "lambda")]
pub mod iam;
#[cfg(feature = "lambda")]
pub mod invocation;
#[cfg(feature = "lambda")]
pub mod log;
#[cfg(feature = "lambda")]
pub mod metrics;
#[cfg(feature = "lambda")]
pub mod organization;
#[cfg(feature = "lambda")]
pub mod recheck_queue;
#[cfg(feature = "lambda")]
pub mod securityhub;
#[cfg(feature = "lambda")]
pub mod settings;
#[cfg(feature = "lambda")]
pub mod sns;
#[cfg(feature = "lambda")]
pub mod sweeper;
