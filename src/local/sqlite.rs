//! The embedded store: the same contract as the `DynamoDB` table, in one `SQLite` file.

pub(super) mod commit;
mod opening;
mod reader;
#[cfg(test)]
mod tests;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, ffi, params};
use serde::de::DeserializeOwned;
use tracing::error;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::findings::alert::PendingAlert;
use crate::detect::records::user_record::UserRecord;
use crate::detect::user::UserId;
use crate::local::sqlite::commit::Rows;
use crate::local::sqlite::writing::{Durability, WriteConnection};
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;
use crate::stored::{
    ExemptionV1, FamiliarV1, PendingAlertV1, SCHEMA, UserRecordV1, check_schema, time_text,
    unreadable,
};

/// A database of findings in one file.
///
/// It has one connection behind a lock. Code that holds the lock only waits for the disk, and the
/// lock is never held across an `await`.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    connection: Mutex<WriteConnection>,
    is_scratch: bool,
}

impl SqliteStore {
    /// Opens the database at `path` for writing, and creates it if it does not exist.
    pub fn open(path: &Path) -> Result<Self, ServiceError> {
        Ok(Self::on(path, opening::open_or_create(path)?))
    }

    /// Creates a temporary database at `path` that is discarded when the process ends. Writes do
    /// not wait for the disk, and a replay stores only its findings.
    pub fn scratch(path: &Path) -> Result<Self, ServiceError> {
        let store = Self {
            is_scratch: true,
            ..Self::open(path)?
        };
        store.read(|connection| {
            connection.pragma_update(None, "journal_mode", "off")?;
            connection.pragma_update(None, "synchronous", "off")
        })?;
        Ok(store)
    }

    /// Whether only the findings of this database are read later.
    pub(super) fn is_scratch(&self) -> bool {
        self.is_scratch
    }

    /// Opens the existing database at `path` for reading, so that a mistyped name does not create a
    /// file.
    pub fn open_existing(path: &Path) -> Result<Self, ServiceError> {
        Ok(Self::on(path, opening::open_existing(path)?))
    }

    fn on(path: &Path, connection: Connection) -> Self {
        Self {
            path: path.to_owned(),
            connection: Mutex::new(WriteConnection::on(connection)),
            is_scratch: false,
        }
    }

    /// Begins a transaction around all later commits. They take effect in
    /// [`SqliteStore::commit_all`]. If it is not called because of an error or because the process
    /// ended, none of them does.
    pub fn begin(&self) -> Result<(), ServiceError> {
        self.write(|connection| connection.execute_batch("BEGIN IMMEDIATE"))
    }

    /// Commits everything since [`SqliteStore::begin`].
    pub fn commit_all(&self) -> Result<(), ServiceError> {
        self.write(|connection| connection.execute_batch("COMMIT"))
    }

    /// The users of `account` with pending alerts.
    pub fn users_with_pending_alerts(&self, account: &str) -> Result<Vec<UserId>, ServiceError> {
        self.read(|connection| {
            connection
                .prepare("SELECT DISTINCT user FROM owed WHERE account = ?1 ORDER BY user")?
                .query_map([account], |row| {
                    Ok(UserId::new(account, &row.get::<_, String>(0)?))
                })?
                .collect()
        })
    }

    pub(super) fn stored_record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        let row = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT schema, body FROM records WHERE account = ?1 AND user = ?2",
                )?
                .query_row(params![user.account(), user.name()], schema_and_body)
                .optional()
        })?;
        match row {
            Some((schema, body)) => {
                let item = format!("the record of `{user}`");
                Ok(self.parse::<UserRecordV1>(&item, schema, &body)?.into())
            }
            None => Ok(UserRecord::new(user.clone())),
        }
    }

    pub(super) fn stored_pending_alerts(
        &self,
        user: &UserId,
    ) -> Result<Vec<PendingAlert>, ServiceError> {
        let pending: Vec<PendingAlertV1> = self.read_all(
            &format!("a pending alert of `{user}`"),
            "SELECT schema, body FROM owed WHERE account = ?1 AND user = ?2 ORDER BY sequence, sink",
            params![user.account(), user.name()],
        )?;
        Ok(pending.into_iter().map(Into::into).collect())
    }

    /// Runs `work`, which only reads, on the connection. It can also read tables that do not belong
    /// to the store.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        work(&self.lock().connection).map_err(|error| self.describe(&error))
    }

    /// Runs `work`, which writes, on the connection, within the open transaction if there is one.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        self.write_as(Durability::OnDisk, work)
    }

    /// Like [`SqliteStore::write`], for data that can be retrieved again if a power failure loses
    /// it.
    pub fn write_unsynced<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        self.write_as(Durability::Unsynced, work)
    }

    /// Writes `rows` within the open transaction.
    pub(super) fn write_behind(&self, rows: &Rows<'_>) -> Result<(), ServiceError> {
        commit::write_behind(&mut self.lock(), &self.path, rows)
    }

    fn write_as<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        let mut writing = self.lock();
        let done = writing
            .to(durability)
            .and_then(|connection| work(connection));
        done.map_err(|error| self.describe(&error))
    }

    fn describe(&self, error: &rusqlite::Error) -> ServiceError {
        describe(&self.path, error)
    }

    fn lock(&self) -> MutexGuard<'_, WriteConnection> {
        // A panic elsewhere leaves the connection consistent: an open savepoint was rolled back on
        // drop.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the rows of `sql`, each with a `schema` and a `body`. Errors call a row `item`.
    fn read_all<T: DeserializeOwned>(
        &self,
        item: &str,
        sql: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<Vec<T>, ServiceError> {
        let rows = self.read(|connection| {
            connection
                .prepare_cached(sql)?
                .query_map(parameters, schema_and_body)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|(schema, body)| self.parse(item, schema, &body))
            .collect()
    }

    fn parse<T: DeserializeOwned>(
        &self,
        item: &str,
        schema: u32,
        body: &str,
    ) -> Result<T, ServiceError> {
        let item = format!("{item} in `{}`", self.path.display());
        check_schema(&item, schema)?;
        serde_json::from_str(body).map_err(|error| unreadable(&item, &error))
    }
}

#[async_trait]
impl FindingStore for SqliteStore {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        self.stored_record(user)
    }

    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError> {
        self.stored_pending_alerts(user)
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        let rows = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT schema, body FROM exemptions WHERE account = ?1 ORDER BY id",
                )?
                .query_map(params![account], schema_and_body)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(rows
            .into_iter()
            .map(|(schema, body)| self.parse::<ExemptionV1>("an exemption", schema, &body))
            .filter_map(|read| {
                read.inspect_err(|failure| error!(account, %failure, "an exemption cannot be read and is ignored"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError> {
        let rows = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT schema, body FROM familiar WHERE account = ?1 ORDER BY actor",
                )?
                .query_map(params![account], schema_and_body)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(rows
            .into_iter()
            .map(|(schema, body)| self.parse::<FamiliarV1>("a familiar actor", schema, &body))
            .filter_map(|read| {
                read.inspect_err(|failure| error!(account, %failure, "a familiar actor cannot be read and is treated as unfamiliar"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError> {
        let body = serde_json::to_string(&FamiliarV1::from(familiar)).map_err(|error| {
            ServiceError::permanent(format!("a familiar actor cannot be written: {error}"))
        })?;
        // The next check of the user restores what a power failure loses.
        self.write_unsynced(|connection| {
            connection
                .prepare_cached(
                    // A newer release already knows the actor.
                    "INSERT INTO familiar VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET schema = excluded.schema, body = excluded.body
                     WHERE familiar.schema <= excluded.schema",
                )?
                .execute(params![familiar.account, familiar.identity, SCHEMA, body])
                .map(drop)
        })
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError> {
        commit::write(&mut self.lock(), &self.path, commit)
    }

    async fn reschedule(
        &self,
        pending: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        let user = pending.alert.finding.user();
        let moved = self.write(|connection| {
            connection
                .prepare_cached(
                    "UPDATE owed SET due_at = ?6, body = json_set(body, '$.due_at', ?6)
                     WHERE account = ?1 AND user = ?2 AND sequence = ?3 AND sink = ?4 AND due_at = ?5",
                )?
                .execute(params![
                    user.account(),
                    user.name(),
                    integer(pending.alert.sequence),
                    pending.sink,
                    time_text(pending.due_at),
                    time_text(until)
                ])
        })?;
        Ok(moved > 0)
    }

    async fn mark_delivered(&self, pending: &PendingAlert) -> Result<(), ServiceError> {
        let user = pending.alert.finding.user();
        self.write(|connection| {
            connection
                .prepare_cached(
                    "DELETE FROM owed WHERE account = ?1 AND user = ?2 AND sequence = ?3 AND sink = ?4",
                )?
                .execute(params![
                    user.account(),
                    user.name(),
                    integer(pending.alert.sequence),
                    pending.sink
                ])
        })?;
        Ok(())
    }
}

fn schema_and_body(row: &Row<'_>) -> rusqlite::Result<(u32, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// Converts `number` for `SQLite`, which has no unsigned integers. No number here exceeds the
/// limit.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Explains a `SQLite` error to the person who named the file.
fn describe(path: &Path, error: &rusqlite::Error) -> ServiceError {
    let path = path.display();
    let Some(code) = error.sqlite_error_code() else {
        return ServiceError::permanent(format!("database `{path}` cannot be used: {error}"));
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ServiceError::retryable(format!(
            "database `{path}` is in use by another process; try again when that process is done"
        )),
        ErrorCode::NotADatabase => ServiceError::permanent(format!(
            "`{path}` is not a SQLite file, so it is not a secondkey database; name another file"
        )),
        ErrorCode::DatabaseCorrupt => ServiceError::permanent(format!(
            "database `{path}` is damaged; restore it from a backup, or delete it and replay the events again"
        )),
        ErrorCode::ReadOnly => ServiceError::permanent(format!(
            "database `{path}` is read-only; make the file and its directory writable, or name another file"
        )),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => ServiceError::permanent(format!(
            "database `{path}` cannot be opened; check that its directory exists and that both are readable and writable"
        )),
        ErrorCode::DiskFull => ServiceError::permanent(format!(
            "database `{path}` cannot grow: the disk is full; free space, or name a file on another disk"
        )),
        _ => ServiceError::permanent(format!("database `{path}` cannot be used: {error}")),
    }
}

/// Whether `error` means that another process wrote between this transaction's read and its write.
fn is_stale_snapshot(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == ffi::SQLITE_BUSY_SNAPSHOT)
}
