//! The embedded store: the same contract as the `DynamoDB` table, in one `SQLite` file.

mod commit;
mod opening;
mod reader;
#[cfg(test)]
mod tests;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, ffi, params};
use serde::de::DeserializeOwned;
use tracing::error;

use crate::detect::Timestamp;
use crate::detect::alert::OwedAlert;
use crate::detect::exemption::Exemption;
use crate::detect::familiar::Familiar;
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::local::sqlite::writing::{Durability, Writing};
use crate::pipeline::commit::{Commit, Committed};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;
use crate::stored::{
    ExemptionV1, FamiliarV1, OwedV1, RecordV1, SCHEMA, check_schema, time_text, unreadable,
};

/// A database of findings in one file.
///
/// One connection behind a lock: nothing in here waits for anything but the disk, and the lock is never held across an
/// `await`.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    connection: Mutex<Writing>,
}

impl SqliteStore {
    /// Opens the database at `path` for writing; makes it if there is none.
    pub fn open(path: &Path) -> Result<Self, ServiceError> {
        Ok(Self::on(path, opening::open_or_create(path)?))
    }

    /// Opens the database at `path`, which must exist: for reading, so that a mistyped name makes no file.
    pub fn open_existing(path: &Path) -> Result<Self, ServiceError> {
        Ok(Self::on(path, opening::open_existing(path)?))
    }

    fn on(path: &Path, connection: Connection) -> Self {
        Self {
            path: path.to_owned(),
            connection: Mutex::new(Writing::on(connection)),
        }
    }

    /// Begins a transaction around all commits to come: they stand once [`SqliteStore::commit_all`] was called. Where it
    /// is not, because something failed or the process ended, none of them does.
    pub fn begin(&self) -> Result<(), ServiceError> {
        self.write(|connection| connection.execute_batch("BEGIN IMMEDIATE"))
    }

    /// Makes all commits since [`SqliteStore::begin`] stand.
    pub fn commit_all(&self) -> Result<(), ServiceError> {
        self.write(|connection| connection.execute_batch("COMMIT"))
    }

    /// The users of `account` to whose sinks alerts are owed.
    pub fn owing(&self, account: &str) -> Result<Vec<UserId>, ServiceError> {
        self.read(|connection| {
            connection
                .prepare("SELECT DISTINCT user FROM owed WHERE account = ?1 ORDER BY user")?
                .query_map([account], |row| {
                    Ok(UserId::new(account, &row.get::<_, String>(0)?))
                })?
                .collect()
        })
    }

    /// Runs `work`, which only reads, on the connection: also for tables beside the store's own.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        work(&self.lock().connection).map_err(|error| self.describe(&error))
    }

    /// Runs `work`, which writes, on the connection, within the transaction that is open, if one is.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        self.write_as(Durability::OnDisk, work)
    }

    /// As [`SqliteStore::write`], for what is only asked again where a power cut takes it.
    pub fn write_unsynced<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        self.write_as(Durability::Unsynced, work)
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

    fn lock(&self) -> MutexGuard<'_, Writing> {
        // A panic elsewhere leaves the connection whole: an open savepoint was rolled back when it was dropped.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that `sql` finds, each made of a `schema` and a `body`, and called `item` in an error.
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
                Ok(self.parse::<RecordV1>(&item, schema, &body)?.into())
            }
            None => Ok(UserRecord::new(user.clone())),
        }
    }

    async fn owed(&self, user: &UserId) -> Result<Vec<OwedAlert>, ServiceError> {
        let owed: Vec<OwedV1> = self.read_all(
            &format!("an alert owed for `{user}`"),
            "SELECT schema, body FROM owed WHERE account = ?1 AND user = ?2 ORDER BY sequence, sink",
            params![user.account(), user.name()],
        )?;
        Ok(owed.into_iter().map(Into::into).collect())
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
                read.inspect_err(|failure| error!(account, %failure, "an exemption cannot be read and counts as none"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn familiar(&self, account: &str) -> Result<Vec<Familiar>, ServiceError> {
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
                read.inspect_err(|failure| error!(account, %failure, "a familiar actor cannot be read and counts as unfamiliar"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn put_familiar(&self, familiar: &Familiar) -> Result<(), ServiceError> {
        let body = serde_json::to_string(&FamiliarV1::from(familiar)).map_err(|error| {
            ServiceError::permanent(format!("a familiar actor cannot be written: {error}"))
        })?;
        // The next look at the user finds out again what a power cut takes.
        self.write_unsynced(|connection| {
            connection
                .prepare_cached(
                    // A newer release knows the actor already.
                    "INSERT INTO familiar VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET schema = excluded.schema, body = excluded.body
                     WHERE familiar.schema <= excluded.schema",
                )?
                .execute(params![familiar.account, familiar.identity, SCHEMA, body])
                .map(drop)
        })
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, ServiceError> {
        commit::write(&mut self.lock(), &self.path, commit)
    }

    async fn postpone(&self, owed: &OwedAlert, until: Timestamp) -> Result<bool, ServiceError> {
        let user = owed.alert.finding.user();
        let moved = self.write(|connection| {
            connection
                .prepare_cached(
                    "UPDATE owed SET due_at = ?6, body = json_set(body, '$.due_at', ?6)
                     WHERE account = ?1 AND user = ?2 AND sequence = ?3 AND sink = ?4 AND due_at = ?5",
                )?
                .execute(params![
                    user.account(),
                    user.name(),
                    integer(owed.alert.sequence),
                    owed.sink,
                    time_text(owed.due_at),
                    time_text(until)
                ])
        })?;
        Ok(moved > 0)
    }

    async fn tick_off(&self, owed: &OwedAlert) -> Result<(), ServiceError> {
        let user = owed.alert.finding.user();
        self.write(|connection| {
            connection
                .prepare_cached(
                    "DELETE FROM owed WHERE account = ?1 AND user = ?2 AND sequence = ?3 AND sink = ?4",
                )?
                .execute(params![
                    user.account(),
                    user.name(),
                    integer(owed.alert.sequence),
                    owed.sink
                ])
        })?;
        Ok(())
    }
}

fn schema_and_body(row: &Row<'_>) -> rusqlite::Result<(u32, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// `number` as `SQLite` counts, which has no unsigned integers. Nothing here is counted that far.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What an error of `SQLite` means for whoever named the file.
fn describe(path: &Path, error: &rusqlite::Error) -> ServiceError {
    let path = path.display();
    let Some(code) = error.sqlite_error_code() else {
        return ServiceError::permanent(format!("database `{path}` cannot be used: {error}"));
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ServiceError::retryable(format!(
            "database `{path}` is in use by another process; try again when that is done"
        )),
        ErrorCode::NotADatabase => ServiceError::permanent(format!(
            "`{path}` is not a SQLite file, so it is no secondkey database; name another file"
        )),
        ErrorCode::DatabaseCorrupt => ServiceError::permanent(format!(
            "database `{path}` is damaged; restore it from a backup, or delete it and replay the events again"
        )),
        ErrorCode::ReadOnly => ServiceError::permanent(format!(
            "database `{path}` is read-only; make the file and its directory writable, or name another file"
        )),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => ServiceError::permanent(format!(
            "database `{path}` cannot be opened; check that its directory exists and that both may be read and written"
        )),
        ErrorCode::DiskFull => ServiceError::permanent(format!(
            "database `{path}` cannot grow: the disk is full; make room, or name a file elsewhere"
        )),
        _ => ServiceError::permanent(format!("database `{path}` cannot be used: {error}")),
    }
}

/// Whether `error` says that another process wrote between this transaction's reading and its writing.
fn is_stale_snapshot(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == ffi::SQLITE_BUSY_SNAPSHOT)
}
