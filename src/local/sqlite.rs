//! The embedded store: the same contract as the `DynamoDB` table, in one `SQLite` file.

mod commit;
mod opening;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql, ffi, params};
use serde::de::DeserializeOwned;
use tracing::error;

use crate::detect::Timestamp;
use crate::detect::alert::OwedAlert;
use crate::detect::audit::AuditEntry;
use crate::detect::exemption::Exemption;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::pipeline::commit::{Commit, Committed};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::stored::{
    AuditV1, ExemptionV1, FindingV1, OwedV1, RecordV1, SCHEMA, Word, check_schema, time_text,
    unreadable,
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

#[async_trait]
impl FindingReader for SqliteStore {
    async fn findings(&self, status: FindingStatus) -> Result<Vec<Finding>, ServiceError> {
        let findings: Vec<FindingV1> = self.read_all(
            "a finding",
            "SELECT schema, body FROM findings WHERE status = ?1 ORDER BY opened_at, account, user, episode",
            params![status.to_word()],
        )?;
        Ok(findings.into_iter().map(Into::into).collect())
    }

    async fn history(&self, user: &UserId) -> Result<Vec<AuditEntry>, ServiceError> {
        let entries: Vec<AuditV1> = self.read_all(
            &format!("an audit entry of `{user}`"),
            "SELECT schema, body FROM audit WHERE account = ?1 AND user = ?2 ORDER BY sequence",
            params![user.account(), user.name()],
        )?;
        Ok(entries.into_iter().map(Into::into).collect())
    }

    async fn put_exemption(&self, exemption: &Exemption) -> Result<(), ServiceError> {
        let body = serde_json::to_string(&ExemptionV1::from(exemption)).map_err(|error| {
            ServiceError::permanent(format!("an exemption cannot be written: {error}"))
        })?;
        self.write(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO exemptions VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![exemption.account, exemption.id, SCHEMA, body])
                .map(drop)
        })
    }

    async fn remove_exemption(&self, account: &str, id: &str) -> Result<bool, ServiceError> {
        self.write(|connection| {
            connection
                .prepare_cached("DELETE FROM exemptions WHERE account = ?1 AND id = ?2")?
                .execute(params![account, id])
                .map(|removed| removed > 0)
        })
    }

    async fn account_ids(&self) -> Result<BTreeSet<String>, ServiceError> {
        self.read(|connection| {
            connection
                .prepare("SELECT account FROM findings UNION SELECT account FROM exemptions")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    async fn users(&self) -> Result<Vec<UserId>, ServiceError> {
        self.read(|connection| {
            connection
                .prepare(
                    "SELECT account, user FROM records UNION SELECT account, user FROM audit ORDER BY 1, 2",
                )?
                .query_map([], |row| {
                    let (account, name): (String, String) = (row.get(0)?, row.get(1)?);
                    Ok(UserId::new(&account, &name))
                })?
                .collect()
        })
    }
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// The disk, with all that was written before.
    OnDisk,
    /// Nothing. In WAL mode a power cut may take such a commit, whole and with none before the last that was waited for;
    /// the end of the process takes none.
    Unsynced,
}

/// The connection, and what a commit on it waits for at the moment: told anew each time, that would be a third of a write.
#[derive(Debug)]
struct Writing {
    connection: Connection,
    durability: Durability,
}

impl Writing {
    fn on(connection: Connection) -> Self {
        // What SQLite begins with, in these builds.
        let durability = Durability::OnDisk;
        Self {
            connection,
            durability,
        }
    }

    /// The connection, on which commits wait for what `durability` says; within a transaction, for what they did at its
    /// beginning.
    fn to(&mut self, durability: Durability) -> rusqlite::Result<&mut Connection> {
        if self.durability != durability && self.connection.is_autocommit() {
            let synchronous = match durability {
                Durability::OnDisk => "full",
                Durability::Unsynced => "normal",
            };
            self.connection
                .pragma_update(None, "synchronous", synchronous)?;
            self.durability = durability;
        }
        Ok(&mut self.connection)
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::detect::testing::{at, user};

    fn first_commit() -> Commit {
        let mut record = UserRecord::new(user());
        record.version = 1;
        Commit {
            record,
            finding_changed: false,
            audit: vec![],
            recorded: vec![],
            owed: vec![],
            at: at(0),
        }
    }

    fn commit_with_entry() -> Commit {
        use crate::detect::audit::{AuditDraft, AuditKind};
        let mut commit = first_commit();
        let draft = AuditDraft {
            at: at(0),
            recorded_at: at(0),
            kind: AuditKind::KeyCreated,
            finding_id: None,
            event_id: None,
            actor: None,
            details: std::collections::BTreeMap::new(),
        };
        let entry = commit.record.audit.append(&user(), draft);
        commit.audit.push(entry);
        commit
    }

    #[track_caller]
    fn check_refused(opened: Result<SqliteStore, ServiceError>, expected: &str) {
        let text = opened.unwrap_err().to_string();
        assert!(text.contains(expected), "`{expected}` is not in: {text}");
    }

    #[tokio::test]
    async fn a_run_that_ends_before_commit_all_leaves_nothing() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("findings.db");
        let store = SqliteStore::open(&path).unwrap();
        store.begin().unwrap();
        assert_eq!(store.commit(&first_commit()).await, Ok(Committed::Written));
        assert_eq!(
            store.commit(&first_commit()).await,
            Ok(Committed::VersionConflict)
        );
        assert_eq!(store.record(&user()).await.unwrap().version, 1);
        drop(store);

        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.record(&user()).await.unwrap().version, 0);
        store.begin().unwrap();
        assert_eq!(store.commit(&first_commit()).await, Ok(Committed::Written));
        store.commit_all().unwrap();
        drop(store);

        let store = SqliteStore::open_existing(&path).unwrap();
        assert_eq!(store.record(&user()).await.unwrap().version, 1);
    }

    #[tokio::test]
    async fn only_a_commit_that_tells_nothing_does_not_wait_for_the_disk() {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(&directory.path().join("findings.db")).unwrap();
        let level = |connection: &Connection| {
            connection.query_row("PRAGMA synchronous", [], |row| row.get::<_, u32>(0))
        };
        assert!(first_commit().tells_nothing() && !commit_with_entry().tells_nothing());
        let full = Ok(2);
        let normal = Ok(1);
        assert_eq!(store.read(level), full, "what SQLite begins with");
        assert_eq!(store.write_unsynced(level), normal);
        assert_eq!(store.write(level), full);
        assert_eq!(store.commit(&first_commit()).await, Ok(Committed::Written));
        assert_eq!(store.read(level), normal);
        let conflict = store.commit(&commit_with_entry()).await;
        assert_eq!(conflict, Ok(Committed::VersionConflict));
        assert_eq!(store.read(level), full, "whatever came of it");
        store.write_unsynced(level).unwrap();
        store.begin().unwrap();
        assert_eq!(
            store.commit(&first_commit()).await,
            Ok(Committed::VersionConflict)
        );
        assert_eq!(store.read(level), full, "as the transaction began");
        store.commit_all().unwrap();
    }

    #[test]
    fn of_several_who_make_one_file_at_once_each_gets_it() {
        let directory = TempDir::new().unwrap();
        for file in 0..20 {
            let path = directory.path().join(format!("{file}.db"));
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| drop(SqliteStore::open(&path).unwrap()));
                }
            });
        }
    }

    #[tokio::test]
    async fn an_audit_entry_is_neither_updated_nor_deleted_nor_replaced() {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(&directory.path().join("findings.db")).unwrap();
        let commit = commit_with_entry();
        assert_eq!(store.commit(&commit).await, Ok(Committed::Written));
        for sql in [
            "UPDATE audit SET body = '{}'",
            "DELETE FROM audit",
            "INSERT OR REPLACE INTO audit SELECT account, user, sequence, schema, '{}' FROM audit",
        ] {
            let error = store
                .write(|connection| connection.execute(sql, []))
                .unwrap_err();
            assert!(error.to_string().contains("never"), "{error}");
        }
        assert_eq!(store.history(&user()).await, Ok(commit.audit));
    }

    #[test]
    fn reading_makes_no_file() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("mistyped.db");
        check_refused(
            SqliteStore::open_existing(&path),
            "mistyped.db`; `secondkey scan` makes one",
        );
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_somebody_else_is_refused_and_left_as_it_is() {
        let directory = TempDir::new().unwrap();
        let text = directory.path().join("notes.txt");
        let notes = "no database, though long enough to be one\n".repeat(100);
        std::fs::write(&text, &notes).unwrap();
        let other = directory.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE theirs (x)")
            .unwrap();
        let before = std::fs::read(&other).unwrap();
        for open in [SqliteStore::open, SqliteStore::open_existing] {
            check_refused(open(&text), "notes.txt` is not a SQLite file");
            check_refused(open(&other), "other.db` is no secondkey database");
            check_refused(open(directory.path()), "is a directory");
        }
        assert_eq!(std::fs::read_to_string(&text).unwrap(), notes);
        assert_eq!(std::fs::read(&other).unwrap(), before);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("nowhere").join("findings.db");
        check_refused(SqliteStore::open(&path), "check that its directory exists");
    }

    #[test]
    fn an_empty_file_becomes_a_database_only_for_writing() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("empty.db");
        std::fs::write(&path, "").unwrap();
        check_refused(
            SqliteStore::open_existing(&path),
            "is no secondkey database",
        );
        assert!(SqliteStore::open(&path).is_ok());
        assert!(SqliteStore::open_existing(&path).is_ok());
    }

    #[test]
    fn a_newer_database_is_refused() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("findings.db");
        SqliteStore::open(&path)
            .unwrap()
            .write(|connection| connection.execute("UPDATE meta SET value = 3", []))
            .unwrap();
        check_refused(SqliteStore::open(&path), "newer release (schema 3;");
        check_refused(
            SqliteStore::open_existing(&path),
            "newer release (schema 3;",
        );
    }

    #[tokio::test]
    async fn a_database_that_another_process_writes_is_worth_another_try() {
        use crate::pipeline::error::ErrorKind;
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("findings.db");
        let (one, other) = (
            SqliteStore::open(&path).unwrap(),
            SqliteStore::open(&path).unwrap(),
        );
        one.begin().unwrap();
        other
            .read(|connection| connection.busy_timeout(std::time::Duration::ZERO))
            .unwrap();
        let error = other.commit(&first_commit()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retryable);
        assert!(error.to_string().contains("in use by another process"));
        assert_eq!(other.record(&user()).await.unwrap().version, 0);
    }
}
