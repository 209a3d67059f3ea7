//! The ledger in the embedded store's file, so that newer logs can be added by a later run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::SecondsFormat;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::detect::Timestamp;
use crate::detect::key_change::KeyChange;
use crate::detect::listing::{AccessKey, KeyStatus};
use crate::detect::user::UserId;
use crate::local::ledger::{LedgerUser, LedgerUsers};

/// What a file keeps of the replays into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// The users and their keys.
    pub users: LedgerUsers,
    /// The time of the newest record that was read of each account with key changes, by account.
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

/// Reads what the file keeps; makes the tables if they are not there.
pub fn load(connection: &Connection) -> rusqlite::Result<Replayed> {
    connection.execute_batch(TABLES)?;
    let mut users = load_users(connection)?;
    load_keys(connection, &mut users)?;
    let newest = load_newest(connection, &users)?;
    Ok(Replayed { users, newest })
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
    // Earlier releases kept one time for all accounts. Where it is later than those of the accounts
    // such a release wrote it, so it bounds every account known then.
    if let Some(of_any) = of_any.filter(|of_any| Some(of_any) > newest.values().max()) {
        let accounts = known_accounts(connection, users)?;
        newest.extend(accounts.into_iter().map(|account| (account, of_any)));
    }
    Ok(newest)
}

/// The accounts of which the file holds anything.
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

/// Writes what the file keeps from now on.
pub fn save(connection: &Connection, replayed: &Replayed) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM ledger_users; DELETE FROM ledger_keys; DELETE FROM ledger_gone;
         DELETE FROM ledger_newest; DELETE FROM ledger_newest_of;",
    )?;
    for (user, known) in &replayed.users {
        save_user(connection, user, known)?;
    }
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
        // What only another source knows is not the ledger's to keep.
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

/// Which of `changes` the file's audit trails tell of already.
pub fn already_recorded(
    connection: &Connection,
    changes: &BTreeMap<String, KeyChange>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection
        .prepare("SELECT 1 FROM seen WHERE account = ?1 AND user = ?2 AND change_id = ?3")?;
    let mut known = Vec::new();
    for (id, change) in changes {
        if statement.exists(params![change.user.account(), change.user.name(), id])? {
            known.push(id.clone());
        }
    }
    Ok(known)
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
