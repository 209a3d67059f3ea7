//! Reads from the embedded file when accounts were last checked: by scans, and up to when their logs
//! were replayed.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::detect::records::coverage::AccountCoverage;
use crate::local::known_uses::has_table;
use crate::local::{ledger_table, scan_log};

/// What the file knows about each account that was scanned or replayed.
pub(super) fn coverage(connection: &Connection) -> rusqlite::Result<Vec<AccountCoverage>> {
    let mut accounts = BTreeMap::new();
    if has_table(connection, "scans")? {
        for scanned in scan_log::coverage(connection)? {
            accounts.insert(scanned.account.clone(), scanned);
        }
    }
    if has_table(connection, "ledger_newest_of")? {
        for (account, newest) in ledger_table::newest(connection)? {
            let known = accounts.entry(account).or_insert_with_key(|account| {
                let account = account.clone();
                AccountCoverage {
                    account,
                    ..AccountCoverage::default()
                }
            });
            known.logs_until = Some(newest);
        }
    }
    Ok(accounts.into_values().collect())
}
