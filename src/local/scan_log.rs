//! Stores the progress of an account's scan in the embedded store's file, so that an interrupted
//! scan can resume and the next scan knows what is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::detect::Timestamp;
use crate::detect::records::coverage::{AccountCoverage, FullCheck, FullCheckKind, UnfinishedScan};
use crate::detect::usage::last_use::{LastUsed, LastUses};
use crate::local::sqlite::SqliteStore;
use crate::pipeline::error::ServiceError;

/// How long an interrupted scan can be resumed. After that its data is too old.
pub(crate) const RESUMED_WITHIN: TimeDelta = TimeDelta::hours(24);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS scans (
        account TEXT PRIMARY KEY, started_at INTEGER NOT NULL, asked TEXT NOT NULL, by_report INTEGER NOT NULL,
        marker TEXT, is_listed INTEGER NOT NULL, finished_at INTEGER, former_finished_at INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS scan_users (
        account TEXT NOT NULL, name TEXT NOT NULL, is_done INTEGER NOT NULL, PRIMARY KEY (account, name)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS scan_last_uses (
        account TEXT NOT NULL, key_id TEXT NOT NULL, used_at INTEGER, service TEXT, region TEXT,
        PRIMARY KEY (account, key_id)
    ) STRICT;
";

#[derive(Debug, Clone)]
pub(crate) struct ScanLog {
    store: Arc<SqliteStore>,
    account: String,
}

/// The state of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScanProgress {
    /// When the scan began, in whole milliseconds.
    pub started_at: Timestamp,
    /// When the previous scan finished, or `None` for the account's first scan.
    pub previous_finished_at: Option<Timestamp>,
    /// Whether the users come from the credential report.
    pub by_report: bool,
    /// Where the next page of users begins.
    pub marker: Option<String>,
    /// Whether all users to check are known.
    pub is_listed: bool,
}

impl ScanLog {
    /// Opens the log of `account` in `store`.
    pub(crate) fn open(store: Arc<SqliteStore>, account: &str) -> Result<Self, ServiceError> {
        store.write(|connection| connection.execute_batch(TABLES))?;
        Ok(Self {
            store,
            account: account.to_owned(),
        })
    }

    /// The unfinished scan with the options `asked`, if it began within the last day.
    pub(crate) fn unfinished(
        &self,
        asked: &str,
        now: Timestamp,
    ) -> Result<Option<ScanProgress>, ServiceError> {
        let since = millis(now - RESUMED_WITHIN);
        self.store.read(|connection| {
            connection
                .query_row(
                    "SELECT started_at, former_finished_at, by_report, marker, is_listed FROM scans
                     WHERE account = ?1 AND asked = ?2 AND finished_at IS NULL AND started_at > ?3",
                    params![self.account, asked, since],
                    |row| {
                        Ok(ScanProgress {
                            started_at: time(row.get(0)?),
                            previous_finished_at: row.get::<_, Option<i64>>(1)?.map(time),
                            by_report: row.get(2)?,
                            marker: row.get(3)?,
                            is_listed: row.get(4)?,
                        })
                    },
                )
                .optional()
        })
    }

    /// Begins a scan with the options `asked`. It replaces an unfinished one.
    pub(crate) fn begin(&self, asked: &str, now: Timestamp) -> Result<ScanProgress, ServiceError> {
        let former = self.transaction(|connection| {
            let former: Option<i64> = connection
                .query_row(
                    "SELECT COALESCE(finished_at, former_finished_at) FROM scans WHERE account = ?1",
                    [&self.account],
                    |row| row.get(0),
                )
                .optional()?
                .flatten();
            connection.execute("DELETE FROM scan_users WHERE account = ?1", [&self.account])?;
            connection.execute("DELETE FROM scan_last_uses WHERE account = ?1", [&self.account])?;
            connection.execute(
                "INSERT OR REPLACE INTO scans VALUES (?1, ?2, ?3, 0, NULL, 0, NULL, ?4)",
                params![self.account, millis(now), asked, former],
            )?;
            Ok(former)
        })?;
        Ok(ScanProgress {
            started_at: time(millis(now)),
            previous_finished_at: former.map(time),
            by_report: false,
            marker: None,
            is_listed: false,
        })
    }

    /// Adds a page of users and stores where the `next` one begins.
    pub(crate) fn add_page(
        &self,
        names: &[String],
        next: Option<&str>,
    ) -> Result<(), ServiceError> {
        self.transaction(|connection| {
            self.insert(connection, names)?;
            connection.execute(
                "UPDATE scans SET marker = ?2, is_listed = ?2 IS NULL WHERE account = ?1",
                params![self.account, next],
            )?;
            Ok(())
        })
    }

    /// Records that the users come from the credential report from now on. The users listed so far
    /// are discarded.
    pub(crate) fn switch_to_report(&self) -> Result<(), ServiceError> {
        self.transaction(|connection| {
            connection.execute("DELETE FROM scan_users WHERE account = ?1", [&self.account])?;
            connection.execute(
                "UPDATE scans SET marker = NULL, by_report = 1, is_listed = 0 WHERE account = ?1",
                [&self.account],
            )?;
            Ok(())
        })
    }

    /// Every user to check, and whether the check is done.
    pub(crate) fn users(&self) -> Result<Vec<(String, bool)>, ServiceError> {
        self.store.read(|connection| {
            connection
                .prepare("SELECT name, is_done FROM scan_users WHERE account = ?1 ORDER BY name")?
                .query_map([&self.account], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Records that `name` was checked.
    pub(crate) fn done(&self, name: &str) -> Result<(), ServiceError> {
        self.store.write_unsynced(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO scan_users VALUES (?1, ?2, 1)")?
                .execute(params![self.account, name])
                .map(drop)
        })
    }

    /// The last uses of `keys` that this scan already retrieved.
    pub(crate) fn last_uses(&self, keys: &[String]) -> Result<LastUses, ServiceError> {
        self.store
            .read(|connection| last_uses_of(connection, &self.account, keys))
    }

    /// Stores last uses that this scan retrieved.
    pub(crate) fn keep_last_uses(&self, last_uses: &LastUses) -> Result<(), ServiceError> {
        self.transaction(|connection| {
            for (key, used) in last_uses {
                let (at, service, region) = match used {
                    LastUsed::Never => (None, None, None),
                    LastUsed::At {
                        at,
                        service,
                        region,
                    } => (Some(millis(*at)), service.as_deref(), region.as_deref()),
                };
                connection.execute(
                    "INSERT OR REPLACE INTO scan_last_uses VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![self.account, key, at, service, region],
                )?;
            }
            Ok(())
        })
    }

    /// Records that the scan finished.
    pub(crate) fn finish(&self, now: Timestamp) -> Result<(), ServiceError> {
        self.store.write(|connection| {
            connection
                .execute(
                    "UPDATE scans SET finished_at = ?2 WHERE account = ?1",
                    params![self.account, millis(now)],
                )
                .map(drop)
        })
    }

    fn insert(&self, connection: &Connection, names: &[String]) -> rusqlite::Result<()> {
        let mut statement =
            connection.prepare_cached("INSERT OR IGNORE INTO scan_users VALUES (?1, ?2, 0)")?;
        let distinct: BTreeSet<&String> = names.iter().collect();
        for name in distinct {
            statement.execute(params![self.account, name])?;
        }
        Ok(())
    }

    fn transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServiceError> {
        self.store.write_unsynced(|connection| {
            // A transaction that reads first could no longer write once another process has
            // written.
            let transaction =
                Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}

/// The last uses of `keys` that the last scan of `account` retrieved.
pub(super) fn last_uses_of(
    connection: &Connection,
    account: &str,
    keys: &[String],
) -> rusqlite::Result<LastUses> {
    let mut statement = connection.prepare_cached(
        "SELECT used_at, service, region FROM scan_last_uses WHERE account = ?1 AND key_id = ?2",
    )?;
    let mut known = LastUses::new();
    for key in keys {
        let used = statement
            .query_row(params![account, key], |row| {
                let at: Option<i64> = row.get(0)?;
                Ok(match at {
                    None => LastUsed::Never,
                    Some(at) => LastUsed::At {
                        at: time(at),
                        service: row.get(1)?,
                        region: row.get(2)?,
                    },
                })
            })
            .optional()?;
        known.extend(used.map(|used| (key.clone(), used)));
    }
    Ok(known)
}

/// When the last scan of `account` began.
pub(super) fn started_at(
    connection: &Connection,
    account: &str,
) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT started_at FROM scans WHERE account = ?1")?
        .query_row([account], |row| row.get(0).map(time))
        .optional()
}

/// What the last scan of each account covered.
pub(super) fn coverage(connection: &Connection) -> rusqlite::Result<Vec<AccountCoverage>> {
    connection
        .prepare(
            "SELECT account, started_at, is_listed, finished_at, former_finished_at,
                (SELECT count(*) FROM scan_users WHERE scan_users.account = scans.account),
                (SELECT count(*) FROM scan_users WHERE scan_users.account = scans.account AND is_done = 0)
             FROM scans ORDER BY account",
        )?
        .query_map([], |row| {
            let finished_at: Option<i64> = row.get(3)?;
            let unfinished = UnfinishedScan {
                started_at: time(row.get(1)?),
                is_listed: row.get(2)?,
                users: row.get(5)?,
                unchecked: row.get(6)?,
            };
            let by_scan = |at| FullCheck {
                kind: FullCheckKind::Scan,
                at: time(at),
            };
            Ok(AccountCoverage {
                account: row.get(0)?,
                all_users: finished_at.or(row.get(4)?).map(by_scan),
                unfinished: finished_at.is_none().then_some(unfinished),
                ..AccountCoverage::default()
            })
        })?
        .collect()
}

fn millis(at: Timestamp) -> i64 {
    at.timestamp_millis()
}

fn time(millis: i64) -> Timestamp {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
