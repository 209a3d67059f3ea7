//! Writes a commit atomically.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;
use thiserror::Error;

use crate::detect::findings::alert::PendingAlert;
use crate::detect::findings::finding::Finding;
use crate::detect::records::user_record::UserRecord;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::user::UserId;
use crate::local::sqlite::writing::{Durability, WriteConnection};
use crate::local::sqlite::{describe, integer, is_stale_snapshot};
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::{ServiceError, broken_trail};
use crate::stored::{
    AuditV1, FindingV1, PendingAlertV1, SCHEMA, SEEN_FOR, UserRecordV1, Word, check_schema,
    time_text,
};

#[derive(Debug, Error)]
#[error(transparent)]
enum CommitError {
    /// `SQLite` failed.
    Sqlite(#[from] rusqlite::Error),
    /// The state of the database does not allow it.
    Refused(#[from] ServiceError),
}

/// Writes `commit` atomically, within the open transaction if there is one.
///
/// INVARIANT (one transaction): dropping the transaction without a commit rolls it back.
pub(super) fn write(
    writing: &mut WriteConnection,
    path: &Path,
    commit: &Commit,
) -> Result<CommitResult, ServiceError> {
    // A scan of a thousand clean users would otherwise wait for the disk for each of them.
    let durability = if commit.changes_nothing() {
        Durability::Unsynced
    } else {
        Durability::OnDisk
    };
    let written = writing
        .to(durability)
        .map_err(CommitError::from)
        .and_then(|connection| {
            if connection.is_autocommit() {
                write_alone(connection, path, commit)
            } else {
                write_within(connection, path, commit)
            }
        });
    written.or_else(|failure| match failure {
        CommitError::Refused(error) => Err(error),
        CommitError::Sqlite(error) if is_stale_snapshot(&error) => {
            Ok(CommitResult::VersionConflict)
        }
        CommitError::Sqlite(error) => Err(describe(path, &error)),
    })
}

fn write_alone(
    connection: &mut Connection,
    path: &Path,
    commit: &Commit,
) -> Result<CommitResult, CommitError> {
    // Immediate: if two processes both read first, each would block the other's write.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let committed = write_rows(&transaction, path, commit)?;
    if committed == CommitResult::Written {
        transaction.commit()?;
    }
    Ok(committed)
}

fn write_within(
    connection: &mut Connection,
    path: &Path,
    commit: &Commit,
) -> Result<CommitResult, CommitError> {
    let savepoint = connection.savepoint()?;
    let committed = write_rows(&savepoint, path, commit)?;
    if committed == CommitResult::Written {
        savepoint.commit()?;
    }
    Ok(committed)
}

fn write_rows(
    connection: &Connection,
    path: &Path,
    commit: &Commit,
) -> Result<CommitResult, CommitError> {
    let user = &commit.record.user;
    let verdict = commit.check(
        stored_version(connection, path, user)?,
        &marked(connection, commit)?,
    );
    if verdict != CommitResult::Written {
        return Ok(verdict);
    }
    for entry in &commit.audit {
        // INVARIANT (the audit trail only grows): an existing entry is not written again.
        if !write_entry(connection, entry)? {
            return Ok(CommitResult::TrailTaken(entry.sequence));
        }
    }
    let expires_at = (commit.at + SEEN_FOR).timestamp();
    for change in &commit.recorded {
        write_mark(connection, user, change, expires_at)?;
    }
    write_record(connection, &commit.record)?;
    if let Some(finding) = commit.finding() {
        write_finding(connection, path, finding)?;
    }
    for pending in &commit.pending_alerts {
        write_pending_alert(connection, path, pending)?;
    }
    Ok(CommitResult::Written)
}

/// The combined result of several commits: the last version of each record and finding, and every
/// entry.
#[derive(Debug, Default)]
pub(in crate::local) struct Rows<'a> {
    pub(in crate::local) audit: &'a [AuditEntry],
    pub(in crate::local) marks: &'a [Mark],
    pub(in crate::local) records: Vec<&'a UserRecord>,
    pub(in crate::local) findings: Vec<&'a Finding>,
    /// All pending alerts of these users.
    pub(in crate::local) pending: Vec<(&'a UserId, &'a [PendingAlert])>,
}

/// Marks a change as recorded in a user's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local) struct Mark {
    pub(in crate::local) user: UserId,
    pub(in crate::local) change: String,
    /// Epoch seconds.
    pub(in crate::local) expires_at: i64,
}

/// Writes `rows` within the open transaction.
pub(super) fn write_behind(
    writing: &mut WriteConnection,
    path: &Path,
    rows: &Rows<'_>,
) -> Result<(), ServiceError> {
    let connection = &writing.connection;
    let written = || -> Result<(), CommitError> {
        for entry in rows.audit {
            if !write_entry(connection, entry)? {
                return Err(broken_trail(&entry.user, entry.sequence).into());
            }
        }
        for mark in rows.marks {
            write_mark(connection, &mark.user, &mark.change, mark.expires_at)?;
        }
        for record in &rows.records {
            write_record(connection, record)?;
        }
        for finding in &rows.findings {
            write_finding(connection, path, finding)?;
        }
        for (user, pending) in &rows.pending {
            connection
                .prepare_cached("DELETE FROM owed WHERE account = ?1 AND user = ?2")?
                .execute(params![user.account(), user.name()])?;
            for pending in *pending {
                write_pending_alert(connection, path, pending)?;
            }
        }
        Ok(())
    };
    written().map_err(|failure| match failure {
        CommitError::Refused(error) => error,
        CommitError::Sqlite(error) => describe(path, &error),
    })
}

/// Writes `entry` unless its place is taken. Returns whether it was written.
fn write_entry(connection: &Connection, entry: &AuditEntry) -> Result<bool, CommitError> {
    let written = connection
        .prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            entry.user.account(),
            entry.user.name(),
            integer(entry.sequence),
            SCHEMA,
            body(&AuditV1::from(entry))?
        ]);
    match written {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(false)
        }
        written => Ok(written.map(|_| true)?),
    }
}

fn write_mark(
    connection: &Connection,
    user: &UserId,
    change: &str,
    expires_at: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![user.account(), user.name(), change, expires_at])
        .map(drop)
}

fn write_record(connection: &Connection, record: &UserRecord) -> Result<(), CommitError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            record.user.account(),
            record.user.name(),
            integer(record.version),
            SCHEMA,
            body(&UserRecordV1::from(record))?
        ])?;
    Ok(())
}

/// The version of the stored record; 0 if there is none.
fn stored_version(connection: &Connection, path: &Path, user: &UserId) -> Result<u64, CommitError> {
    let stored: Option<(i64, u32)> = connection
        .prepare_cached("SELECT version, schema FROM records WHERE account = ?1 AND user = ?2")?
        .query_row(params![user.account(), user.name()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((version, schema)) = stored else {
        return Ok(0);
    };
    let what = format!("the record of `{user}` in `{}`", path.display());
    check_schema(&what, schema)?;
    u64::try_from(version).map_err(|_| {
        CommitError::Refused(ServiceError::permanent(format!(
            "{what} has the version {version}, which no release writes"
        )))
    })
}

/// Which changes in `commit` have a mark that has not expired.
fn marked(connection: &Connection, commit: &Commit) -> rusqlite::Result<BTreeSet<String>> {
    let user = &commit.record.user;
    let mut is_marked = connection.prepare_cached(
        "SELECT 1 FROM seen WHERE account = ?1 AND user = ?2 AND change_id = ?3 AND expires_at > ?4",
    )?;
    let mut marked = BTreeSet::new();
    for change in &commit.recorded {
        let now = commit.at.timestamp();
        if is_marked.exists(params![user.account(), user.name(), change, now])? {
            marked.insert(change.clone());
        }
    }
    Ok(marked)
}

fn write_finding(
    connection: &Connection,
    path: &Path,
    finding: &Finding,
) -> Result<(), CommitError> {
    let user = finding.user();
    let stored: Option<u32> = connection
        .prepare_cached(
            "SELECT schema FROM findings WHERE account = ?1 AND user = ?2 AND episode = ?3",
        )?
        .query_row(
            params![user.account(), user.name(), finding.id.episode],
            |row| row.get(0),
        )
        .optional()?;
    check_schema(
        &format!("finding `{}` in `{}`", finding.id, path.display()),
        stored.unwrap_or(SCHEMA),
    )?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO findings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            user.account(),
            user.name(),
            finding.id.episode,
            finding.status.to_word(),
            time_text(finding.opened_at),
            SCHEMA,
            body(&FindingV1::from(finding))?
        ])?;
    Ok(())
}

fn write_pending_alert(
    connection: &Connection,
    path: &Path,
    pending: &PendingAlert,
) -> Result<(), CommitError> {
    let user = pending.alert.finding.user();
    let sequence = integer(pending.alert.sequence);
    let stored: Option<u32> = connection
        .prepare_cached(
            "SELECT schema FROM owed WHERE account = ?1 AND user = ?2 AND sequence = ?3 AND sink = ?4",
        )?
        .query_row(
            params![user.account(), user.name(), sequence, pending.sink],
            |row| row.get(0),
        )
        .optional()?;
    check_schema(
        &format!("a pending alert of `{user}` in `{}`", path.display()),
        stored.unwrap_or(SCHEMA),
    )?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            user.account(),
            user.name(),
            sequence,
            pending.sink,
            time_text(pending.due_at),
            SCHEMA,
            body(&PendingAlertV1::from(pending))?
        ])?;
    Ok(())
}

fn body(stored: &impl Serialize) -> Result<String, ServiceError> {
    serde_json::to_string(stored)
        .map_err(|error| ServiceError::permanent(format!("a row cannot be written: {error}")))
}
