//! The ledger in the embedded store's file, so that a later run can add newer logs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::SecondsFormat;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::detect::Timestamp;
use crate::detect::events::key_change::KeyChange;
use crate::detect::keys::listing::{AccessKey, KeyStatus};
use crate::detect::user::UserId;
use crate::local::ledger::{LedgerUser, LedgerUsers};

/// What a file stores about the replays into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayHistory {
    /// The users and their keys.
    pub users: LedgerUsers,
    /// By account, the time of the newest record that was read of each account with key changes.
    pub newest: BTreeMap<String, Timestamp>,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS ledger_users (
        account TEXT NOT NULL, user TEXT NOT NULL, display_name TEXT NOT NULL,
        PRIMARY KEY (account, user)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS ledger_keys (
        account TEXT NOT NULL, user TEXT NOT NULL, key_id TEXT NOT NULL, status TEXT NOT NULL, created TEXT,
        PRIMARY KEY (account, user, key_id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS ledger_newest (one INTEGER PRIMARY KEY CHECK (one = 1), newest TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS ledger_gone (
        account TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (account, user)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS ledger_newest_of (account TEXT PRIMARY KEY, newest TEXT NOT NULL) STRICT;
";

/// Reads the stored ledger and creates its tables if they are missing.
pub fn load(connection: &Connection) -> rusqlite::Result<ReplayHistory> {
    connection.execute_batch(TABLES)?;
    let mut users = load_users(connection)?;
    load_keys(connection, &mut users)?;
    let newest = load_newest(connection, &users)?;
    Ok(ReplayHistory { users, newest })
}

fn load_users(connection: &Connection) -> rusqlite::Result<LedgerUsers> {
    let mut users = LedgerUsers::new();
    let mut statement = connection.prepare("SELECT account, user FROM ledger_gone")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        users.insert(user(row)?, LedgerUser::Gone);
    }
    let mut statement =
        connection.prepare("SELECT account, user, display_name FROM ledger_users")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let listed = LedgerUser::Listed {
            display_name: row.get(2)?,
            keys: BTreeMap::new(),
            as_of: None,
        };
        users.insert(user(row)?, listed);
    }
    Ok(users)
}

fn load_keys(connection: &Connection, users: &mut LedgerUsers) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT account, user, key_id, status, created FROM ledger_keys")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let status: String = row.get(3)?;
        let status = KeyStatus::parse(&status).ok_or_else(|| unreadable(3, &status))?;
        let created: Option<String> = row.get(4)?;
        let created = created.map(|text| time(4, &text)).transpose()?;
        if let Some(LedgerUser::Listed { keys, .. }) = users.get_mut(&user(row)?) {
            keys.insert(row.get(2)?, AccessKey { status, created });
        }
    }
    Ok(())
}

/// The time of the newest record of `account` that was replayed into the file.
pub fn newest_of(connection: &Connection, account: &str) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT newest FROM ledger_newest_of WHERE account = ?1")?
        .query_row([account], |row| time(0, &row.get::<_, String>(0)?))
        .optional()
}

/// The time of the newest record of each account that was replayed into the file.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Vec<(String, Timestamp)>> {
    connection
        .prepare("SELECT account, newest FROM ledger_newest_of ORDER BY account")?
        .query_map([], |row| {
            Ok((row.get(0)?, time(1, &row.get::<_, String>(1)?)?))
        })?
        .collect()
}

fn load_newest(
    connection: &Connection,
    users: &LedgerUsers,
) -> rusqlite::Result<BTreeMap<String, Timestamp>> {
    let mut newest = BTreeMap::new();
    let mut statement = connection.prepare("SELECT account, newest FROM ledger_newest_of")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        newest.insert(row.get(0)?, time(1, &row.get::<_, String>(1)?)?);
    }
    let of_any: Option<String> = connection
        .query_row("SELECT newest FROM ledger_newest", [], |row| row.get(0))
        .optional()?;
    let of_any = of_any.map(|text| time(0, &text)).transpose()?;
    // Earlier releases stored one time for all accounts. If it is later than those of the accounts,
    // such a release wrote it last, so it is the limit for every account known then.
    if let Some(of_any) = of_any.filter(|of_any| Some(of_any) > newest.values().max()) {
        let accounts = known_accounts(connection, users)?;
        newest.extend(accounts.into_iter().map(|account| (account, of_any)));
    }
    Ok(newest)
}

/// The accounts that the file holds any data of.
fn known_accounts(
    connection: &Connection,
    users: &LedgerUsers,
) -> rusqlite::Result<BTreeSet<String>> {
    let mut accounts: BTreeSet<String> = connection
        .prepare("SELECT DISTINCT account FROM records")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    accounts.extend(users.keys().map(|user| user.account().to_owned()));
    Ok(accounts)
}

fn user(row: &Row<'_>) -> rusqlite::Result<UserId> {
    Ok(UserId::new(
        &row.get::<_, String>(0)?,
        &row.get::<_, String>(1)?,
    ))
}

/// Replaces the stored users and keys.
pub fn save(connection: &Connection, replayed: &ReplayHistory) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM ledger_users; DELETE FROM ledger_keys; DELETE FROM ledger_gone;",
    )?;
    for (user, known) in &replayed.users {
        save_user(connection, user, known)?;
    }
    Ok(())
}

/// Stores the time up to which each account was replayed.
pub fn save_newest(connection: &Connection, replayed: &ReplayHistory) -> rusqlite::Result<()> {
    connection.execute_batch("DELETE FROM ledger_newest; DELETE FROM ledger_newest_of;")?;
    for (account, newest) in &replayed.newest {
        connection
            .prepare_cached("INSERT INTO ledger_newest_of VALUES (?1, ?2)")?
            .execute(params![account, text(*newest)])?;
    }
    if let Some(newest) = replayed.newest.values().max() {
        connection.execute("INSERT INTO ledger_newest VALUES (1, ?1)", [text(*newest)])?;
    }
    Ok(())
}

fn save_user(connection: &Connection, user: &UserId, known: &LedgerUser) -> rusqlite::Result<()> {
    let (display_name, keys) = match known {
        LedgerUser::Listed {
            display_name, keys, ..
        } => (display_name, keys),
        LedgerUser::Gone => {
            connection
                .prepare_cached("INSERT INTO ledger_gone VALUES (?1, ?2)")?
                .execute(params![user.account(), user.name()])?;
            return Ok(());
        }
        // The ledger does not store what only another source knows.
        LedgerUser::Unlisted => return Ok(()),
    };
    connection
        .prepare_cached("INSERT INTO ledger_users VALUES (?1, ?2, ?3)")?
        .execute(params![user.account(), user.name(), display_name])?;
    for (id, key) in keys {
        connection
            .prepare_cached("INSERT INTO ledger_keys VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                user.account(),
                user.name(),
                id,
                key.status.word(),
                key.created.map(text)
            ])?;
    }
    Ok(())
}

/// Whether the file's audit trails already contain `change`.
pub(super) fn is_recorded(connection: &Connection, change: &KeyChange) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM seen WHERE account = ?1 AND user = ?2 AND change_id = ?3")?
        .exists(params![
            change.user.account(),
            change.user.name(),
            change.id
        ])
}

fn text(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn time(column: usize, text: &str) -> rusqlite::Result<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| unreadable(column, text))
}

fn unreadable(column: usize, text: &str) -> rusqlite::Error {
    let why = format!("the ledger holds `{text}`, which this release cannot read").into();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why)
}
