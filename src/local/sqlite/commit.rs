//! A commit, written whole or not at all.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;

use crate::detect::user::UserId;
use crate::local::sqlite::writing::{Durability, Writing};
use crate::local::sqlite::{describe, integer, is_stale_snapshot};
use crate::pipeline::commit::{Commit, Committed};
use crate::pipeline::error::ServiceError;
use crate::stored::{
    AuditV1, FindingV1, OwedV1, RecordV1, SCHEMA, SEEN_FOR, Word, check_schema, time_text,
};

/// Why a commit is not written.
enum Failure {
    /// `SQLite` failed.
    Sqlite(rusqlite::Error),
    /// What stands in the database forbids it.
    Refused(ServiceError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Refused(error)
    }
}

/// Writes `commit` whole or not at all, within the transaction that is open, if one is.
///
/// INVARIANT (one transaction): what is dropped without a commit is rolled back.
pub(super) fn write(
    writing: &mut Writing,
    path: &Path,
    commit: &Commit,
) -> Result<Committed, ServiceError> {
    // Of a thousand users that are fine, each would wait for the disk.
    let durability = if commit.tells_nothing() {
        Durability::Unsynced
    } else {
        Durability::OnDisk
    };
    let written = writing
        .to(durability)
        .map_err(Failure::from)
        .and_then(|connection| {
            if connection.is_autocommit() {
                write_alone(connection, path, commit)
            } else {
                write_within(connection, path, commit)
            }
        });
    written.or_else(|failure| match failure {
        Failure::Refused(error) => Err(error),
        Failure::Sqlite(error) if is_stale_snapshot(&error) => Ok(Committed::VersionConflict),
        Failure::Sqlite(error) => Err(describe(path, &error)),
    })
}

fn write_alone(
    connection: &mut Connection,
    path: &Path,
    commit: &Commit,
) -> Result<Committed, Failure> {
    // Immediate: two processes that both read first would refuse each other's writing.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let committed = write_rows(&transaction, path, commit)?;
    if committed == Committed::Written {
        transaction.commit()?;
    }
    Ok(committed)
}

fn write_within(
    connection: &mut Connection,
    path: &Path,
    commit: &Commit,
) -> Result<Committed, Failure> {
    let savepoint = connection.savepoint()?;
    let committed = write_rows(&savepoint, path, commit)?;
    if committed == Committed::Written {
        savepoint.commit()?;
    }
    Ok(committed)
}

fn write_rows(connection: &Connection, path: &Path, commit: &Commit) -> Result<Committed, Failure> {
    let user = &commit.record.user;
    let verdict = commit.verdict(
        stored_version(connection, path, user)?,
        &marked(connection, commit)?,
    );
    if verdict != Committed::Written {
        return Ok(verdict);
    }
    for entry in &commit.audit {
        let written = connection
            .prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                user.account(),
                user.name(),
                integer(entry.sequence),
                SCHEMA,
                body(&AuditV1::from(entry))?
            ]);
        // INVARIANT (the audit trail only grows): an entry that stands is not written again.
        match written {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Ok(Committed::TrailTaken(entry.sequence));
            }
            written => written?,
        };
    }
    write_marks(connection, commit)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            user.account(),
            user.name(),
            integer(commit.record.version),
            SCHEMA,
            body(&RecordV1::from(&commit.record))?
        ])?;
    write_finding(connection, path, commit)?;
    write_owed(connection, path, commit)?;
    Ok(Committed::Written)
}

/// The version of the stored record; 0 if there is none.
fn stored_version(connection: &Connection, path: &Path, user: &UserId) -> Result<u64, Failure> {
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
        Failure::Refused(ServiceError::permanent(format!(
            "{what} has the version {version}, which nothing here writes"
        )))
    })
}

/// Which of the changes in `commit` are marked as recorded, by a mark that has not expired.
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

fn write_marks(connection: &Connection, commit: &Commit) -> rusqlite::Result<()> {
    let user = &commit.record.user;
    let mut mark =
        connection.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3, ?4)")?;
    for change in &commit.recorded {
        let expires_at = (commit.at + SEEN_FOR).timestamp();
        mark.execute(params![user.account(), user.name(), change, expires_at])?;
    }
    Ok(())
}

fn write_finding(connection: &Connection, path: &Path, commit: &Commit) -> Result<(), Failure> {
    let Some(finding) = commit.finding() else {
        return Ok(());
    };
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

fn write_owed(connection: &Connection, path: &Path, commit: &Commit) -> Result<(), Failure> {
    let user: &UserId = &commit.record.user;
    for owed in &commit.owed {
        let sequence = integer(owed.alert.sequence);
        let stored: Option<u32> = connection
            .prepare_cached(
                "SELECT schema FROM owed WHERE account = ?1 AND user = ?2 AND sequence = ?3 AND sink = ?4",
            )?
            .query_row(
                params![user.account(), user.name(), sequence, owed.sink],
                |row| row.get(0),
            )
            .optional()?;
        check_schema(
            &format!("an alert owed for `{user}` in `{}`", path.display()),
            stored.unwrap_or(SCHEMA),
        )?;
        connection
            .prepare_cached("INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                user.account(),
                user.name(),
                sequence,
                owed.sink,
                time_text(owed.due_at),
                SCHEMA,
                body(&OwedV1::from(owed))?
            ])?;
    }
    Ok(())
}

fn body(stored: &impl Serialize) -> Result<String, ServiceError> {
    serde_json::to_string(stored)
        .map_err(|error| ServiceError::permanent(format!("a row cannot be written: {error}")))
}
