//! Opening a database: whose it is, and the tables it has.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::local::sqlite::describe;
use crate::output::invocation::{Invocation, Kept, Takes};
use crate::pipeline::error::ServiceError;
use crate::stored::{SCHEMA, check_schema};

/// Tells secondkey's databases from others: `scky` in ASCII.
const APPLICATION_ID: i32 = 0x7363_6b79;

/// How long to wait for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// INVARIANT (the audit trail only grows): the triggers refuse all else, also to whoever opens the file by hand.
const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;

    CREATE TABLE records (
        account TEXT NOT NULL, user TEXT NOT NULL,
        version INTEGER NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, user)
    ) STRICT;

    CREATE TABLE findings (
        account TEXT NOT NULL, user TEXT NOT NULL, episode INTEGER NOT NULL,
        status TEXT NOT NULL, opened_at TEXT NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, user, episode)
    ) STRICT;
    CREATE INDEX findings_by_status ON findings (status, opened_at);

    CREATE TABLE audit (
        account TEXT NOT NULL, user TEXT NOT NULL, sequence INTEGER NOT NULL,
        schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, user, sequence)
    ) STRICT;
    CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'an audit entry is never changed'); END;
    CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'an audit entry is never deleted'); END;

    CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
    WHEN EXISTS (
        SELECT 1 FROM audit
        WHERE account = NEW.account AND user = NEW.user AND sequence = NEW.sequence
    )
    BEGIN SELECT RAISE(ABORT, 'an audit entry is never replaced'); END;

    CREATE TABLE owed (
        account TEXT NOT NULL, user TEXT NOT NULL, sequence INTEGER NOT NULL, sink TEXT NOT NULL,
        due_at TEXT NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, user, sequence, sink)
    ) STRICT;

    CREATE TABLE seen (
        account TEXT NOT NULL, user TEXT NOT NULL, change_id TEXT NOT NULL, expires_at INTEGER NOT NULL,
        PRIMARY KEY (account, user, change_id)
    ) STRICT;
";

/// What schema 2 added.
const TABLES_OF_SCHEMA_2: &str = "
    CREATE TABLE IF NOT EXISTS exemptions (
        account TEXT NOT NULL, id TEXT NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT;
";

/// What came without a new schema: an older release passes over it.
const TABLES_BESIDE: &str = "
    CREATE TABLE IF NOT EXISTS familiar (
        account TEXT NOT NULL, actor TEXT NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, actor)
    ) STRICT;
";

/// Opens the database at `path` for writing; makes it if there is no file, or an empty one.
pub(super) fn open_or_create(path: &Path) -> Result<Connection, ServiceError> {
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let described = |error| describe(path, &error);
    if connection.is_readonly("main").map_err(described)? {
        return Err(ServiceError::permanent(format!(
            "database `{}` is read-only; make it writable, or name another file",
            path.display()
        )));
    }
    // First of all: a file of somebody else's is left as it is.
    match owner(&connection).map_err(described)? {
        Owner::Us => {}
        Owner::Nobody => {
            // WAL: whoever reads does not hold up whoever writes. It stays with the file.
            connection
                .pragma_update(None, "journal_mode", "wal")
                .map_err(described)?;
            create(&mut connection).map_err(described)?;
        }
        Owner::SomebodyElse => return Err(not_ours(path)),
    }
    if is_behind(&connection, path)? {
        raise(&mut connection).map_err(described)?;
    }
    Ok(connection)
}

/// Opens the database at `path`, which must be there.
pub(super) fn open_existing(path: &Path) -> Result<Connection, ServiceError> {
    if !path.exists() {
        let invocation = Invocation {
            store: Kept::file(Some(path)),
            ..Invocation::default()
        };
        let scan = invocation.ours(&["scan"], None, Takes::StoreAndAws);
        return Err(ServiceError::permanent(format!(
            "there is no database `{}`; `{}` or a replay makes one; or name another file with --db",
            path.display(),
            scan.as_deref().unwrap_or("scan")
        )));
    }
    let mut connection = open(path, OpenFlags::empty())?;
    match owner(&connection).map_err(|error| describe(path, &error))? {
        Owner::Us => {}
        Owner::Nobody | Owner::SomebodyElse => return Err(not_ours(path)),
    }
    if is_behind(&connection, path)? {
        // One that may not be written is read as far as it goes.
        let _ = raise(&mut connection);
    }
    Ok(connection)
}

fn open(path: &Path, create: OpenFlags) -> Result<Connection, ServiceError> {
    if path.is_dir() {
        return Err(ServiceError::permanent(format!(
            "`{}` is a directory; name a file in it",
            path.display()
        )));
    }
    // Without SQLITE_OPEN_URI: a file name is a file name, also if it begins with `file:`. Where the file may not be
    // written, SQLite opens it for reading.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| describe(path, &error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        // What a statement is asked about changes nothing in how it is best run. Without this it is compiled anew each time,
        // which takes longer than running it.
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true))
        .map_err(|error| describe(path, &error))?;
    Ok(connection)
}

enum Owner {
    Us,
    Nobody,
    SomebodyElse,
}

fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    // In one statement: another process may be making the tables just now.
    let (application_id, tables): (i32, u32) = connection.query_row(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(match (application_id, tables) {
        (APPLICATION_ID, _) => Owner::Us,
        (0, 0) => Owner::Nobody,
        _ => Owner::SomebodyElse,
    })
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if matches!(owner(&transaction)?, Owner::Nobody) {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(TABLES_OF_SCHEMA_2)?;
        transaction.execute_batch(TABLES_BESIDE)?;
        transaction.execute("INSERT INTO meta VALUES ('schema', ?1)", [SCHEMA])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()
}

/// Gives a database of an older schema what this one has beside.
fn raise(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES_OF_SCHEMA_2)?;
    transaction.execute_batch(TABLES_BESIDE)?;
    transaction.execute(
        "UPDATE meta SET value = ?1 WHERE name = 'schema' AND value < ?1",
        [SCHEMA],
    )?;
    transaction.commit()
}

/// Whether the database, which is one of ours, lacks something that this release needs.
fn is_behind(connection: &Connection, path: &Path) -> Result<bool, ServiceError> {
    let schema = check(connection, path)?;
    let has_all = connection
        .table_exists(None, "familiar")
        .map_err(|error| describe(path, &error))?;
    Ok(schema < SCHEMA || !has_all)
}

/// The schema of the database, which is one of ours; an error if this release cannot use it.
fn check(connection: &Connection, path: &Path) -> Result<u32, ServiceError> {
    let schema: Option<u32> = connection
        .query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|error| describe(path, &error))?;
    let name = format!("database `{}`", path.display());
    match schema {
        Some(schema) => check_schema(&name, schema).map(|()| schema),
        None => Err(not_ours(path)),
    }
}

fn not_ours(path: &Path) -> ServiceError {
    ServiceError::permanent(format!(
        "`{}` is no secondkey database; name another file",
        path.display()
    ))
}
