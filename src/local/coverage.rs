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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::detect::records::coverage::{FullCheck, FullCheckKind, UnfinishedScan};
    use crate::detect::testing::at;
    use crate::local::scan_log::ScanLog;
    use crate::local::sqlite::SqliteStore;

    #[test]
    fn a_scan_counts_once_it_finished_and_until_the_next_one_did() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("db")).unwrap());
        assert_eq!(store.read(coverage).unwrap(), []);
        let log = ScanLog::open(store.clone(), "1").unwrap();
        let check = |finished_at: Option<i64>, unfinished| {
            let expected = AccountCoverage {
                account: "1".to_owned(),
                all_users: finished_at.map(|second| FullCheck {
                    kind: FullCheckKind::Scan,
                    at: at(second),
                }),
                unfinished,
                ..AccountCoverage::default()
            };
            assert_eq!(store.read(coverage).unwrap(), [expected]);
        };
        let scan = UnfinishedScan {
            started_at: at(0),
            is_listed: false,
            unchecked: 0,
            users: 0,
        };
        log.begin("list", at(0)).unwrap();
        check(None, Some(scan));
        let names = ["alice", "bob"].map(str::to_owned);
        log.add_page(&names, None).unwrap();
        log.done("alice").unwrap();
        let listed = UnfinishedScan {
            is_listed: true,
            unchecked: 1,
            users: 2,
            ..scan
        };
        check(None, Some(listed));
        log.finish(at(60)).unwrap();
        check(Some(60), None);
        log.begin("list", at(100)).unwrap();
        let again = UnfinishedScan {
            started_at: at(100),
            ..scan
        };
        check(Some(60), Some(again));
    }
}
