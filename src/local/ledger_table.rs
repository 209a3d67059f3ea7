//! The ledger in the embedded store's file, so that newer logs can be added by a later run.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use rusqlite::{Connection, OptionalExtension, params};

use crate::detect::Timestamp;
use crate::detect::key_change::KeyChange;
use crate::detect::listing::{AccessKey, KeyStatus};
use crate::detect::user::UserId;
use crate::local::ledger::LedgerUsers;

/// What a file keeps of the replays into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// The users and their keys.
    pub users: LedgerUsers,
    /// The time of the newest record that was read; none for a file that nothing was replayed into.
    pub newest: Option<Timestamp>,
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
";

/// Reads what the file keeps; makes the tables if they are not there.
pub fn load(connection: &Connection) -> rusqlite::Result<Replayed> {
    connection.execute_batch(TABLES)?;
    let newest: Option<String> = connection
        .query_row("SELECT newest FROM ledger_newest", [], |row| row.get(0))
        .optional()?;
    let mut users = LedgerUsers::new();
    let mut statement =
        connection.prepare("SELECT account, user, display_name FROM ledger_users")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let user = UserId::new(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        users.entry(user).or_default().display_name = row.get(2)?;
    }
    let mut statement =
        connection.prepare("SELECT account, user, key_id, status, created FROM ledger_keys")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let user = UserId::new(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
        let status: String = row.get(3)?;
        let status = KeyStatus::parse(&status).ok_or_else(|| unreadable(3, &status))?;
        let created: Option<String> = row.get(4)?;
        let created = created.map(|text| time(4, &text)).transpose()?;
        users
            .entry(user)
            .or_default()
            .keys
            .insert(row.get(2)?, AccessKey { status, created });
    }
    Ok(Replayed {
        users,
        newest: newest.map(|text| time(0, &text)).transpose()?,
    })
}

/// Writes what the file keeps from now on.
pub fn save(connection: &Connection, replayed: &Replayed) -> rusqlite::Result<()> {
    connection.execute_batch(
        "DELETE FROM ledger_users; DELETE FROM ledger_keys; DELETE FROM ledger_newest;",
    )?;
    for (user, known) in &replayed.users {
        connection.execute(
            "INSERT INTO ledger_users VALUES (?1, ?2, ?3)",
            params![user.account(), user.name(), known.display_name],
        )?;
        for (id, key) in &known.keys {
            connection.execute(
                "INSERT INTO ledger_keys VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    user.account(),
                    user.name(),
                    id,
                    key.status.word(),
                    key.created.map(text)
                ],
            )?;
        }
    }
    if let Some(newest) = replayed.newest {
        connection.execute("INSERT INTO ledger_newest VALUES (1, ?1)", [text(newest)])?;
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
