//! Stores every change that was replayed into a file, so that older logs can be added later.
//!
//! A replay decides on changes in the order in which they happened. If a change arrives late, the
//! replay resets the accounts that it touches and replays all their changes. The result, including
//! audit trails and hashes, is the same as that of one replay of all logs. If a trail changes, its
//! previous entries move to `audit_replaced`, so nothing that an alert reported leaves the file.
//! Only the embedded file does this; the deployed table is append-only.
//!
//! A user whose record was written by another command is not reset, because the file does not store
//! what that command saw. Neither is an account that an earlier release replayed, because that
//! release stored no changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::detect::events::health::LeakReport;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::trail::audit::{AuditEntry, AuditKind};
use crate::detect::user::UserId;
use crate::local::changes::{ChangeStream, EncodedChange, MergedChanges};
use crate::local::ledger_table::ReplayHistory;
use crate::local::log_reading::LogReading;
use crate::local::sqlite::SqliteStore;
use crate::local::uses::KeyUses;
use crate::pipeline::error::ServiceError;
use crate::stored::{AuditV1, ReportV1, unreadable};

/// How many changes one row holds.
const IN_ROW: usize = 64;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS replayed_accounts (account TEXT PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS replayed_users (
        account TEXT NOT NULL, user TEXT NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (account, user)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS replayed_changes (place INTEGER PRIMARY KEY, changes BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS replayed_reports (place INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS replayed_uses (
        account TEXT NOT NULL, user TEXT NOT NULL, key_id TEXT NOT NULL, spans TEXT NOT NULL,
        PRIMARY KEY (account, user, key_id)
    ) STRICT;
";

/// Which accounts and users a replay starts over, and which it continues.
pub(super) struct ReplayPlan {
    /// The accounts that an earlier release replayed without storing their changes.
    not_kept: BTreeSet<String>,
    /// The accounts that are replayed from their first change.
    restarted: BTreeSet<String>,
    /// The users whose records another command wrote, and the users who share a name with them.
    foreign: BTreeSet<UserId>,
    /// The stored reports.
    pub(super) reports: Vec<LeakReport>,
    /// The stored uses of keys and those that were read now.
    pub(super) uses: Arc<KeyUses>,
    /// How many changes were replayed before.
    pub(super) already_replayed: usize,
    /// Whether there are changes that are not in the file.
    has_news: bool,
    generation: i64,
    last_place: i64,
}

/// What to do with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplayAction {
    /// Reset its account and replay it.
    StartOver,
    /// Apply it to what the file holds.
    Continue,
    /// Do nothing: it is already in the file.
    Skip,
}

impl ReplayPlan {
    /// Decides what to do with the changes in `reading`, in a file that knows `before`.
    pub(super) fn of(
        store: &Arc<SqliteStore>,
        before: &ReplayHistory,
        reading: &LogReading,
    ) -> Result<Self, ServiceError> {
        let mut plan = store.write(|connection| {
            connection.execute_batch(TABLES)?;
            Self::load(connection, before)
        })?;
        plan.reports = read_reports(store)?;
        let kept_uses = store.read(read_uses)?;
        let mut uses = kept_uses.clone();
        uses.append(reading.uses.clone());
        plan.restarted.extend(uses.accounts_that_differ(&kept_uses));
        plan.uses = Arc::new(uses);
        for report in &reading.reports {
            if !plan.reports.contains(report) {
                plan.restarted.insert(report.account.clone());
            }
        }
        for (account, newest) in &reading.newest_of {
            if before.newest.get(account) < Some(newest) {
                plan.restarted.insert(account.clone());
            }
        }
        if before.newest.is_empty() && plan.foreign.is_empty() {
            plan.has_news = !reading.changes.is_empty();
            return Ok(plan);
        }
        let mut renamed = vec![];
        let mut merged = plan.merged(store, reading)?;
        while let Some((entry, first, last)) = merged.next_of()? {
            plan.already_replayed += usize::from(first == 0 && last == 1);
            let is_new = first == 1;
            if !is_new && plan.foreign.is_empty() {
                continue;
            }
            let change = entry.change()?;
            if let ChangeKind::UserRenamed { to, .. } = &change.kind {
                renamed.push((change.user.clone(), to.clone()));
            }
            if is_new {
                plan.has_news = true;
                plan.restarted.insert(change.user.account().to_owned());
            }
        }
        let not_kept = std::mem::take(&mut plan.not_kept);
        plan.restarted.retain(|account| !not_kept.contains(account));
        plan.not_kept = not_kept;
        // A rename moves keys between names, so if one name is not fully known, the other is not
        // either.
        loop {
            let known = plan.foreign.len();
            for (one, other) in &renamed {
                if plan.foreign.contains(one) || plan.foreign.contains(other) {
                    plan.foreign.extend([one.clone(), other.clone()]);
                }
            }
            if plan.foreign.len() == known {
                return Ok(plan);
            }
        }
    }

    fn load(connection: &Connection, before: &ReplayHistory) -> rusqlite::Result<Self> {
        let accounts: BTreeSet<String> = connection
            .prepare("SELECT account FROM replayed_accounts")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let foreign = connection
            .prepare(
                "SELECT account, user FROM records WHERE NOT EXISTS (
                     SELECT 1 FROM replayed_users AS replayed
                     WHERE replayed.account = records.account AND replayed.user = records.user
                     AND replayed.version = records.version)",
            )?
            .query_map([], |row| {
                let (account, name): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(UserId::new(&account, &name))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let last = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let not_kept = before.newest.keys();
        Ok(Self {
            not_kept: not_kept
                .filter(|account| !accounts.contains(*account))
                .cloned()
                .collect(),
            restarted: BTreeSet::new(),
            foreign,
            reports: vec![],
            uses: Arc::default(),
            already_replayed: 0,
            has_news: false,
            generation: last("SELECT max(generation) FROM audit_replaced")?.unwrap_or(0) + 1,
            last_place: last("SELECT max(place) FROM replayed_changes")?.unwrap_or(0),
        })
    }

    /// What to do with `change`. `is_kept`: whether it is among the stored changes.
    pub(super) fn action(&self, change: &KeyChange, is_kept: bool) -> ReplayAction {
        let account = change.user.account();
        let is_foreign = || {
            let users = change.affected_users();
            users.iter().any(|user| self.foreign.contains(user))
        };
        if self.not_kept.contains(account) || is_foreign() {
            if is_kept {
                ReplayAction::Skip
            } else {
                ReplayAction::Continue
            }
        } else if self.restarted.contains(account) {
            ReplayAction::StartOver
        } else {
            ReplayAction::Skip
        }
    }

    /// Whether every account starts over, so that no single change has to be checked.
    pub(super) fn takes_all(&self) -> bool {
        self.last_place == 0 && self.foreign.is_empty() && self.not_kept.is_empty()
    }

    /// Whether `user` is replayed from the first change, uses of keys included.
    pub(super) fn starts_over(&self, user: &UserId) -> bool {
        self.restarted.contains(user.account()) && !self.foreign.contains(user)
    }

    /// Keeps only the users in `before` whom the replay continues.
    pub(super) fn retain_continued(&self, before: &mut ReplayHistory) {
        before.users.retain(|user, _| {
            !self.restarted.contains(user.account()) || self.foreign.contains(user)
        });
    }

    /// The stored changes (first source) and those in `reading` (second source).
    pub(super) fn merged(
        &self,
        store: &Arc<SqliteStore>,
        reading: &LogReading,
    ) -> Result<MergedChanges, ServiceError> {
        MergedChanges::of(vec![
            kept_changes(Arc::clone(store), self.last_place),
            Box::new(reading.changes.merged()?),
        ])
    }

    /// Resets the users of the accounts that start over. Returns the alerts that were already sent
    /// for them.
    pub(super) fn reset_accounts(
        &self,
        store: &SqliteStore,
    ) -> Result<AnnouncedAlerts, ServiceError> {
        let told = store.write(|connection| {
            connection.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS set_back (
                     account TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (account, user));
                 DELETE FROM temp.set_back;",
            )?;
            for account in &self.restarted {
                connection
                    .prepare_cached(
                        "INSERT INTO temp.set_back
                         SELECT account, user FROM records WHERE account = ?1
                         UNION SELECT account, user FROM audit WHERE account = ?1
                         UNION SELECT account, user FROM owed WHERE account = ?1",
                    )?
                    .execute([account])?;
                let is_foreign = |user: &UserId| user.account() == account;
                if !self.foreign.iter().any(is_foreign) {
                    connection
                        .prepare_cached("DELETE FROM familiar WHERE account = ?1")?
                        .execute([account])?;
                }
            }
            for user in &self.foreign {
                connection
                    .prepare_cached("DELETE FROM temp.set_back WHERE account = ?1 AND user = ?2")?
                    .execute(params![user.account(), user.name()])?;
            }
            let told = announced_entries(connection)?;
            connection.execute(
                "INSERT INTO audit_replaced SELECT account, user, ?1, sequence, schema, body FROM audit
                 WHERE (account, user) IN (SELECT account, user FROM temp.set_back)",
                [self.generation],
            )?;
            for table in ["audit", "records", "findings", "owed", "seen", "replayed_users"] {
                connection.execute(
                    &format!(
                        "DELETE FROM {table} WHERE (account, user) IN
                         (SELECT account, user FROM temp.set_back)"
                    ),
                    [],
                )?;
            }
            Ok(told)
        })?;
        let mut all = AnnouncedAlerts::default();
        for (body, opened_at) in told {
            let entry: AuditV1 = serde_json::from_str(&body)
                .map_err(|error| unreadable("an audit entry", &error))?;
            all.add(&AuditEntry::from(entry), opened_at.as_deref());
        }
        Ok(all)
    }

    /// Stores the uses of keys.
    pub(super) fn keep_uses(&self, store: &SqliteStore) -> Result<(), ServiceError> {
        store.write(|connection| {
            let mut statement = connection
                .prepare_cached("INSERT OR REPLACE INTO replayed_uses VALUES (?1, ?2, ?3, ?4)")?;
            let kept = self.uses.rows();
            let kept = kept.filter(|(user, ..)| !self.not_kept.contains(user.account()));
            for (user, key, spans) in kept {
                statement.execute(params![user.account(), user.name(), key, spans])?;
            }
            Ok(())
        })
    }

    /// Stores what was replayed. `newest` names every account that the file knows.
    pub(super) fn keep(
        &self,
        store: &Arc<SqliteStore>,
        reading: &LogReading,
        accounts: &BTreeSet<String>,
    ) -> Result<(), ServiceError> {
        let mut merged = self.merged(store, reading)?;
        let mut row = vec![];
        let mut count = 0;
        let write = |row: &mut Vec<u8>| {
            let packed = zstd::bulk::compress(row, 1).map_err(|error| {
                ServiceError::permanent(format!("changes cannot be compressed: {error}"))
            })?;
            row.clear();
            store.write(|connection| {
                connection
                    .prepare_cached("INSERT INTO replayed_changes (changes) VALUES (?1)")?
                    .execute([packed])
                    .map(drop)
            })
        };
        if self.has_news {
            while let Some((entry, first, _)) = merged.next_of()? {
                if first == 1 && !self.not_kept.is_empty() {
                    let change = entry.clone().change()?;
                    if self.not_kept.contains(change.user.account()) {
                        continue;
                    }
                }
                entry.write(&mut row).map_err(|error| {
                    ServiceError::permanent(format!("changes cannot be compressed: {error}"))
                })?;
                count += 1;
                if count % IN_ROW == 0 {
                    write(&mut row)?;
                }
            }
            if !row.is_empty() {
                write(&mut row)?;
            }
        }
        store.write(|connection| {
            if self.has_news {
                connection.execute(
                    "DELETE FROM replayed_changes WHERE place <= ?1",
                    [self.last_place],
                )?;
            }
            for account in accounts.difference(&self.not_kept) {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO replayed_accounts VALUES (?1)")?
                    .execute([account])?;
                connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO replayed_users
                         SELECT account, user, version FROM records WHERE account = ?1",
                    )?
                    .execute([account])?;
            }
            for user in &self.foreign {
                connection
                    .prepare_cached("DELETE FROM replayed_users WHERE account = ?1 AND user = ?2")?
                    .execute(params![user.account(), user.name()])?;
            }
            for report in &reading.reports {
                if !self.reports.contains(report) && !self.not_kept.contains(&report.account) {
                    let body = serde_json::to_string(&ReportV1::from(report)).unwrap_or_default();
                    connection
                        .prepare_cached("INSERT INTO replayed_reports (body) VALUES (?1)")?
                        .execute([body])?;
                }
            }
            // Entries that did not change are not replaced.
            connection
                .execute(
                    "DELETE FROM audit_replaced WHERE generation = ?1 AND EXISTS (
                         SELECT 1 FROM audit WHERE audit.account = audit_replaced.account
                         AND audit.user = audit_replaced.user
                         AND audit.sequence = audit_replaced.sequence
                         AND audit.body = audit_replaced.body)",
                    [self.generation],
                )
                .map(drop)
        })
    }
}

fn read_uses(connection: &Connection) -> rusqlite::Result<KeyUses> {
    let mut uses = KeyUses::default();
    let mut statement =
        connection.prepare("SELECT account, user, key_id, spans FROM replayed_uses")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (account, name): (String, String) = (row.get(0)?, row.get(1)?);
        let (key, spans): (String, String) = (row.get(2)?, row.get(3)?);
        uses.add_row(&UserId::new(&account, &name), &key, &spans);
    }
    Ok(uses)
}

fn read_reports(store: &SqliteStore) -> Result<Vec<LeakReport>, ServiceError> {
    let bodies: Vec<String> = store.read(|connection| {
        connection
            .prepare("SELECT body FROM replayed_reports ORDER BY place")?
            .query_map([], |row| row.get(0))?
            .collect()
    })?;
    let read = |body: String| {
        serde_json::from_str::<ReportV1>(&body)
            .map(Into::into)
            .map_err(|error| unreadable("a report of leaked keys", &error))
    };
    bodies.into_iter().map(read).collect()
}

/// The stored changes up to row `last`, in order.
fn kept_changes(store: Arc<SqliteStore>, last: i64) -> ChangeStream {
    let mut place = 0;
    let rows =
        std::iter::from_fn(move || {
            let row = store.read(|connection| {
                connection
                    .prepare_cached(
                        "SELECT place, changes FROM replayed_changes
                     WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT 1",
                    )?
                    .query_row([place, last], |row| {
                        Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))
                    })
                    .optional()
            });
            let (next, packed) = match row.transpose()? {
                Ok(row) => row,
                Err(error) => return Some(vec![Err(error)]),
            };
            place = next;
            Some(unpacked(&packed).unwrap_or_else(|error| {
                vec![Err(unreadable("the table of replayed changes", &error))]
            }))
        });
    Box::new(rows.flatten())
}

fn unpacked(packed: &[u8]) -> std::io::Result<Vec<Result<EncodedChange, ServiceError>>> {
    let row = zstd::decode_all(packed)?;
    let mut row = row.as_slice();
    let mut entries = vec![];
    while let Some(entry) = EncodedChange::read(&mut row)? {
        entries.push(Ok(entry));
    }
    Ok(entries)
}

/// The alerts of the reset trails that were already sent, including those silenced with `--quiet`.
/// They are not sent again. An alert that its sink did not accept is not among them.
#[derive(Debug, Default)]
pub(super) struct AnnouncedAlerts(BTreeMap<(UserId, String), u32>);

/// The entries that were announced by an alert, each with the opening time of its finding.
fn announced_entries(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    connection
        .prepare(
            "SELECT audit.body, findings.opened_at FROM audit
             JOIN temp.set_back USING (account, user)
             LEFT JOIN findings ON findings.account = audit.account AND findings.user = audit.user
             AND json_extract(audit.body, '$.finding_id')
                 = findings.account || '/' || findings.user || '/' || findings.episode
             WHERE json_extract(audit.body, '$.finding_id') IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM owed WHERE owed.account = audit.account
                 AND owed.user = audit.user AND owed.sequence = audit.sequence)",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

impl AnnouncedAlerts {
    fn add(&mut self, entry: &AuditEntry, opened_at: Option<&str>) {
        let key = (entry.user.clone(), words_of(entry, opened_at));
        *self.0.entry(key).or_default() += 1;
    }

    /// Whether the alert of `entry` was already sent. Each sent alert counts once.
    pub(super) fn takes(&mut self, entry: &AuditEntry, opened_at: &str) -> bool {
        let key = (entry.user.clone(), words_of(entry, Some(opened_at)));
        let left = self.0.get_mut(&key).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

/// The content of an alert without its place in the trail and the number of its finding, because an
/// older change shifts both. An update carries the time of its check, which can also differ.
fn words_of(entry: &AuditEntry, opened_at: Option<&str>) -> String {
    let draft = &entry.draft;
    let at = match draft.kind {
        AuditKind::FindingOpened | AuditKind::FindingClosed => Some(draft.at),
        _ => None,
    };
    format!(
        "{} {opened_at:?} {at:?} {:?} {:?} {:?}",
        draft.kind.word(),
        draft.actor,
        draft.event_id,
        draft.details
    )
}
