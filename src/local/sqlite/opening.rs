//! Opens a database: checks that it belongs to secondkey and creates its tables.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::local::sqlite::describe;
use crate::output::invocation::{AcceptedOptions, Invocation, StoreLocation};
use crate::pipeline::error::ServiceError;
use crate::stored::{SCHEMA, check_schema};

/// Identifies secondkey's databases: `scky` in ASCII.
const APPLICATION_ID: i32 = 0x7363_6b79;

/// How long to wait for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// INVARIANT (the audit trail only grows): the triggers refuse everything else, also for tools that
/// open the file directly.
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

/// The tables that schema 2 added.
const TABLES_OF_SCHEMA_2: &str = "
    CREATE TABLE IF NOT EXISTS exemptions (
        account TEXT NOT NULL, id TEXT NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT;
";

/// Tables that were added without a new schema. Older releases ignore them.
const TABLES_BESIDE: &str = "
    CREATE TABLE IF NOT EXISTS familiar (
        account TEXT NOT NULL, actor TEXT NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, actor)
    ) STRICT;

    CREATE TABLE IF NOT EXISTS audit_replaced (
        account TEXT NOT NULL, user TEXT NOT NULL, generation INTEGER NOT NULL,
        sequence INTEGER NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (account, user, generation, sequence)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS audit_replaced_by_place ON audit_replaced (account, user, sequence);
    CREATE TRIGGER IF NOT EXISTS replaced_is_never_updated BEFORE UPDATE ON audit_replaced
    BEGIN SELECT RAISE(ABORT, 'a replaced audit entry is never changed'); END;
    CREATE TRIGGER IF NOT EXISTS replaced_is_never_deleted BEFORE DELETE ON audit_replaced
    WHEN NOT EXISTS (
        SELECT 1 FROM audit WHERE account = OLD.account AND user = OLD.user
        AND sequence = OLD.sequence AND body = OLD.body
    )
    BEGIN SELECT RAISE(ABORT, 'a replaced audit entry is never deleted'); END;
    -- A replay of older logs moves an entry there.
    DROP TRIGGER IF EXISTS audit_is_never_deleted;
    CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
    WHEN NOT EXISTS (
        SELECT 1 FROM audit_replaced WHERE account = OLD.account AND user = OLD.user
        AND sequence = OLD.sequence AND body = OLD.body
    )
    BEGIN SELECT RAISE(ABORT, 'an audit entry is never deleted'); END;
";

/// Opens the database at `path` for writing. Creates it if the file is missing or empty.
pub(super) fn open_or_create(path: &Path) -> Result<Connection, ServiceError> {
    create_private(path);
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let described = |error| describe(path, &error);
    if connection.is_readonly("main").map_err(described)? {
        return Err(ServiceError::permanent(format!(
            "database `{}` is read-only; make it writable, or name another file",
            path.display()
        )));
    }
    // This check comes first, so that a foreign file is not modified.
    match owner(&connection).map_err(described)? {
        FileOwner::Secondkey => {}
        FileOwner::None => {
            // WAL: readers do not block writers. The mode is stored in the file.
            connection
                .pragma_update(None, "journal_mode", "wal")
                .map_err(described)?;
            create(&mut connection).map_err(described)?;
        }
        FileOwner::Other => return Err(not_ours(path)),
    }
    if is_behind(&connection, path)? {
        raise(&mut connection).map_err(described)?;
    }
    Ok(connection)
}

/// Creates the file at `path`, if there is none, so that only its owner can read it: it names users, keys
/// and actors. SQLite gives the files beside it the same permissions.
fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // If it exists, there is nothing to do. SQLite describes any other failure.
    let _ = options.open(path);
}

/// Opens the database at `path`, which must exist.
pub(super) fn open_existing(path: &Path) -> Result<Connection, ServiceError> {
    if !path.exists() {
        let invocation = Invocation {
            store: StoreLocation::file(Some(path)),
            ..Invocation::default()
        };
        let scan = invocation.secondkey_command(&["scan"], None, AcceptedOptions::StoreAndAws);
        return Err(ServiceError::permanent(format!(
            "there is no database `{}`; create it with `{}` or a replay, or name another file with --db",
            path.display(),
            scan.as_deref().unwrap_or("scan")
        )));
    }
    let mut connection = open(path, OpenFlags::empty())?;
    match owner(&connection).map_err(|error| describe(path, &error))? {
        FileOwner::Secondkey => {}
        FileOwner::None | FileOwner::Other => return Err(not_ours(path)),
    }
    if is_behind(&connection, path)? {
        // A read-only database is read as far as its schema allows.
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
    // Without SQLITE_OPEN_URI, a file name is used as it is, even if it begins with `file:`. SQLite
    // opens a write-protected file for reading.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| describe(path, &error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        // Parameter values do not affect the best query plan. Without this setting, SQLite compiles
        // each statement again, which takes longer than running it.
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true))
        .map_err(|error| describe(path, &error))?;
    Ok(connection)
}

enum FileOwner {
    Secondkey,
    None,
    Other,
}

fn owner(connection: &Connection) -> rusqlite::Result<FileOwner> {
    // In one statement, because another process may be creating the tables.
    let (application_id, tables): (i32, u32) = connection.query_row(
        "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(match (application_id, tables) {
        (APPLICATION_ID, _) => FileOwner::Secondkey,
        (0, 0) => FileOwner::None,
        _ => FileOwner::Other,
    })
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if matches!(owner(&transaction)?, FileOwner::None) {
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(TABLES_OF_SCHEMA_2)?;
        transaction.execute_batch(TABLES_BESIDE)?;
        transaction.execute("INSERT INTO meta VALUES ('schema', ?1)", [SCHEMA])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()
}

/// Adds to a database of an older schema what this release needs.
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

/// Whether the database, which belongs to secondkey, lacks anything that this release needs.
fn is_behind(connection: &Connection, path: &Path) -> Result<bool, ServiceError> {
    let schema = check(connection, path)?;
    let has_all = connection
        .table_exists(None, "audit_replaced")
        .map_err(|error| describe(path, &error))?;
    Ok(schema < SCHEMA || !has_all)
}

/// The schema of the database, which belongs to secondkey. Returns an error if this release cannot
/// use it.
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
        "`{}` is not a secondkey database; name another file",
        path.display()
    ))
}
