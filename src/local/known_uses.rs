//! Reads from the embedded file when keys were used, as recorded by replayed logs or by the last
//! scan.

use rusqlite::{Connection, OptionalExtension, params};

use crate::detect::Timestamp;
use crate::detect::usage::last_use::{KnownUses, LastUses};
use crate::detect::user::UserId;
use crate::local::ledger_table;
use crate::local::scan_log;
use crate::local::uses::KeyUses;

/// The known uses of `keys` in `account`. Only the newer source counts: the older one does not know
/// what happened after it.
pub(super) fn known_uses(
    connection: &Connection,
    account: &str,
    keys: &[String],
) -> rusqlite::Result<KnownUses> {
    let replayed = if has_table(connection, "replayed_uses")? {
        ledger_table::newest_of(connection, account)?
    } else {
        None
    };
    let scanned = if has_table(connection, "scans")? {
        scan_log::started_at(connection, account)?
    } else {
        None
    };
    let last_uses = match (replayed, scanned) {
        (Some(newest), scanned) if scanned < replayed => of_logs(connection, keys, newest)?,
        (_, Some(_)) => scan_log::last_uses_of(connection, account, keys)?,
        _ => LastUses::new(),
    };
    Ok(KnownUses {
        last_uses,
        until: replayed.max(scanned),
    })
}

fn of_logs(
    connection: &Connection,
    keys: &[String],
    newest: Timestamp,
) -> rusqlite::Result<LastUses> {
    let mut uses = KeyUses::default();
    let mut statement = connection
        .prepare_cached("SELECT account, user, spans FROM replayed_uses WHERE key_id = ?1")?;
    for key in keys {
        let mut rows = statement.query([key])?;
        while let Some(row) = rows.next()? {
            let (account, name): (String, String) = (row.get(0)?, row.get(1)?);
            let spans: String = row.get(2)?;
            uses.add_row(&UserId::new(&account, &name), key, &spans);
        }
    }
    Ok(uses.latest(keys, newest))
}

pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
    let found = connection.query_row(sql, params![name], |_| Ok(()));
    Ok(found.optional()?.is_some())
}
