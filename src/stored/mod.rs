//! How records, findings, audit entries and pending alerts are stored. Both stores share this, so
//! that they store the same and their exports look alike.
//!
//! Domain types do not derive `Serialize`: they may change, but what is stored may not. A change
//! that an older release would misread raises [`SCHEMA`] and adds new structs beside these.

mod account_record;
mod actor;
mod audit;
#[cfg(feature = "cli")]
mod change;
mod evidence;
mod exemption;
mod familiar;
mod finding;
mod leak;
mod pending_alert;
mod user_record;
mod word;

use std::fmt;

use chrono::TimeDelta;

pub(crate) use account_record::AccountRecordV1;
pub(crate) use audit::AuditV1;
#[cfg(feature = "cli")]
pub(crate) use change::{ChangeV1, ReportV1};
pub(crate) use exemption::ExemptionV1;
pub(crate) use familiar::FamiliarV1;
pub(crate) use finding::FindingV1;
pub(crate) use pending_alert::PendingAlertV1;
pub(crate) use user_record::UserRecordV1;
pub(crate) use word::{Word, time_text};

use crate::pipeline::error::ServiceError;

/// The schema that this release writes, and the newest that it reads. Schema 2 added exemptions,
/// schema 3 the evidence of each event.
pub(crate) const SCHEMA: u32 = 3;

/// How long a change is marked as recorded. SQS keeps a message for at most 14 days.
pub(crate) const SEEN_FOR: TimeDelta = TimeDelta::days(15);

/// Returns an error if `item` has a schema that this release does not know. A retry helps once the
/// newer release handles it.
pub(crate) fn check_schema(item: &str, schema: u32) -> Result<(), ServiceError> {
    if schema > SCHEMA {
        return Err(newer_schema(item, schema));
    }
    Ok(())
}

/// The error for an item that a newer release wrote, which is neither read nor overwritten.
pub(crate) fn newer_schema(item: &str, schema: u32) -> ServiceError {
    ServiceError::retryable(format!(
        "{item} was written by a newer release (schema {schema}; this release knows up to {SCHEMA}); update secondkey"
    ))
}

/// The error for an unreadable item.
pub(crate) fn unreadable(item: &str, error: &dyn fmt::Display) -> ServiceError {
    ServiceError::permanent(format!(
        "{item} cannot be read: {error}; restore it from a backup"
    ))
}
