//! The form in which records, findings, audit entries and owed alerts are kept, shared by both stores, so that the two
//! keep the same and an export of one reads like the other.
//!
//! Domain types derive no `Serialize`: what they look like may change, what is stored may not. A change that an older
//! release would misread raises [`SCHEMA`] and adds new structs beside these.

mod account;
mod actor;
mod audit;
mod evidence;
mod exemption;
mod familiar;
mod finding;
mod leak;
mod owed;
mod record;
mod word;

use std::fmt;

use chrono::TimeDelta;

pub(crate) use account::AccountV1;
pub(crate) use audit::AuditV1;
pub(crate) use exemption::ExemptionV1;
pub(crate) use familiar::FamiliarV1;
pub(crate) use finding::FindingV1;
pub(crate) use owed::OwedV1;
pub(crate) use record::RecordV1;
pub(crate) use word::{Word, time_text};

use crate::pipeline::error::ServiceError;

/// The schema that this release writes, and the newest that it reads. 2 since findings may be exempt, 3 since
/// each word of evidence is kept.
pub(crate) const SCHEMA: u32 = 3;

/// How long a change is known to be in the trail. SQS keeps a message for 14 days at most.
pub(crate) const SEEN_FOR: TimeDelta = TimeDelta::days(15);

/// An error if the item named `item` has a schema that this release does not know. Trying again helps once the newer
/// release is the one that tries.
pub(crate) fn check_schema(item: &str, schema: u32) -> Result<(), ServiceError> {
    if schema > SCHEMA {
        return Err(newer_schema(item, schema));
    }
    Ok(())
}

/// The error for an item that is neither read nor overwritten because a newer release wrote it.
pub(crate) fn newer_schema(item: &str, schema: u32) -> ServiceError {
    ServiceError::retryable(format!(
        "{item} was written by a newer release (schema {schema}; this release knows up to {SCHEMA}); update secondkey"
    ))
}

/// The error for an item that cannot be read.
pub(crate) fn unreadable(item: &str, error: &dyn fmt::Display) -> ServiceError {
    ServiceError::permanent(format!(
        "{item} cannot be read: {error}; restore it from a backup"
    ))
}

/// The error for a trail that goes on where it should end: the entry `sequence` of `user` stands there already, though
/// the record says that it is still to come.
pub(crate) fn broken_trail(user: &dyn fmt::Display, sequence: u64) -> ServiceError {
    ServiceError::permanent(format!(
        "the audit trail of `{user}` has an entry {sequence} that the user's record does not know: one of the two was tampered with or restored alone; check both with verify, on the same --db or --table"
    ))
}
