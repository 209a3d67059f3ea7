//! Key changes out of logs, led through the same pipeline as live events, in the order in which they happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::health::LeakReport;
use crate::detect::key_change::KeyChange;
use crate::detect::policy::Policy;
use crate::detect::user::UserId;
use crate::local::caught_up::{caught_up, is_in_listing, refuse_older_than_listing};
use crate::local::ledger::{Ledger, LedgerUsers};
use crate::local::ledger_table::{self, Replayed};
use crate::local::log_reading::LogReading;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;
use crate::pipeline::key_source::KeySource;
use crate::pipeline::recheck::{Occasion, Parts, recheck};

/// What a replay found out beside the findings.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The keys that were there before the first record of them.
    pub known_only_from_then: BTreeSet<(UserId, String)>,
    /// How many changes had been replayed into the file before.
    pub already_replayed: usize,
    /// How many leaked keys AWS Health reported that no user had then, as far as the logs tell.
    pub reported_without_owner: usize,
}

/// Leads the changes in `reading` through the pipeline into `store`: all of it, or nothing.
pub async fn replay(
    reading: &LogReading,
    store: Arc<SqliteStore>,
    sinks: Vec<Box<dyn AlertSink>>,
    policy: &Policy,
) -> Result<Replay, ServiceError> {
    store.begin()?;
    let before = store.write(ledger_table::load)?;
    let users = caught_up(store.as_ref(), &before, &reading.changes, policy.settle).await?;
    let (mut changes, reported_without_owner) = with_reports(reading, &users).await?;
    let recorded = store.read(|connection| ledger_table::already_recorded(connection, &changes))?;
    let all = changes.len();
    changes.retain(|id, change| {
        let replayed_until = before.newest.get(change.user.account());
        let is_known = Some(&change.at) <= replayed_until || is_in_listing(change, &users);
        // What another command recorded later than that the ledger has not heard of yet.
        !(is_known && recorded.binary_search(id).is_ok())
    });
    let already_replayed = all - changes.len();
    refuse_older(&changes, &before.newest)?;
    let is_recorded = |id: &String| recorded.binary_search(id).is_ok();
    let news = changes.iter().filter(|(id, _)| !is_recorded(id));
    refuse_older_than_listing(news.map(|(_, change)| change), &users)?;

    let ledger = Arc::new(Ledger::new(users));
    let parts = Parts {
        store: store.clone(),
        keys: ledger.clone(),
        sinks,
        policy: Policy {
            // The ledger is never behind the records.
            settle: TimeDelta::zero(),
            ..policy.clone()
        },
    };
    let mut replay = Replay {
        already_replayed,
        reported_without_owner,
        ..Replay::default()
    };
    let newest = newest(before.newest, &changes, reading);
    for second in in_order(changes) {
        for change in ledger.legal_order(second) {
            if let Some(key) = ledger.apply(&change) {
                replay
                    .known_only_from_then
                    .insert((change.user.clone(), key));
            }
            for user in change.affected_users() {
                let occasion = Occasion {
                    changes: vec![change.clone()],
                    // The ledger shows each pair itself: a second's order is its own, and events add none to it.
                    is_history: true,
                    ..Occasion::default()
                };
                recheck(&parts, &user, &occasion, change.at).await?;
            }
        }
    }

    let mut findings = store.findings(FindingStatus::Open).await?;
    // An exemption may have ended since.
    findings.extend(store.findings(FindingStatus::Suppressed).await?);
    for user in findings.iter().map(Finding::user) {
        match newest.get(user.account()) {
            Some(now) if ledger.knows(user, *now) => {
                ledger.advance(*now);
                recheck(&parts, user, &Occasion::default(), *now).await?;
            }
            // Another command's finding is left to those that know the user.
            _ => {}
        }
    }
    let after = Replayed {
        users: ledger.users(),
        newest,
    };
    store.write(|connection| ledger_table::save(connection, &after))?;
    store.commit_all()?;
    Ok(replay)
}

/// The changes in `reading`, and the reports of leaked keys as changes of the users who had the keys
/// then; and how many keys no user had. `users` are those before the first change.
async fn with_reports(
    reading: &LogReading,
    users: &LedgerUsers,
) -> Result<(BTreeMap<String, KeyChange>, usize), ServiceError> {
    let mut changes = reading.changes.clone();
    let mut reports: Vec<&LeakReport> = reading.reports.iter().collect();
    reports.sort_by_key(|report| report.at);
    let mut without_owner = 0;
    if reports.is_empty() {
        return Ok((changes, without_owner));
    }
    let ledger = Ledger::new(users.clone());
    let mut seconds = in_order(reading.changes.clone()).into_iter().peekable();
    for report in reports {
        let is_due = |second: &Vec<KeyChange>| second.iter().any(|change| change.at <= report.at);
        while let Some(second) = seconds.next_if(is_due) {
            for change in ledger.legal_order(second) {
                ledger.apply(&change);
            }
        }
        for key in &report.keys {
            match ledger.owner(&report.account, key).await? {
                Some(name) => {
                    let change = report.change(key, &name);
                    changes.insert(change.id.clone(), change);
                }
                None => without_owner += 1,
            }
        }
    }
    Ok((changes, without_owner))
}

/// The time of the newest record of each account that had a key change, now or in an earlier
/// replay.
fn newest(
    before: BTreeMap<String, Timestamp>,
    changes: &BTreeMap<String, KeyChange>,
    reading: &LogReading,
) -> BTreeMap<String, Timestamp> {
    let mut newest = before;
    for change in changes.values() {
        let of_account = newest.entry(change.user.account().to_owned());
        let known = of_account.or_insert(change.at);
        *known = change.at.max(*known);
    }
    for (account, known) in &mut newest {
        *known = reading
            .newest_of
            .get(account)
            .map_or(*known, |read| (*known).max(*read));
    }
    newest
}

/// A file that has been told of later records of an account has decided on them; an older one
/// cannot be slipped in beneath.
fn refuse_older(
    changes: &BTreeMap<String, KeyChange>,
    newest: &BTreeMap<String, Timestamp>,
) -> Result<(), ServiceError> {
    let mut by_time: Vec<&KeyChange> = changes.values().collect();
    by_time.sort_by_key(|change| change.at);
    for change in by_time {
        let account = change.user.account();
        if let Some(newest) = newest.get(account).filter(|newest| change.at < **newest) {
            return Err(ServiceError::permanent(format!(
                "the logs hold a change of {} in account {account} that the file does not know, and the file has already \
                 been told of records of that account up to {}; replay all logs together into a new file",
                change.at.format("%Y-%m-%d %H:%M:%S UTC"),
                newest.format("%Y-%m-%d %H:%M:%S UTC"),
            )));
        }
    }
    Ok(())
}

/// The changes by time; those of one second stand together.
fn in_order(changes: BTreeMap<String, KeyChange>) -> Vec<Vec<KeyChange>> {
    let mut by_time: BTreeMap<Timestamp, Vec<KeyChange>> = BTreeMap::new();
    for change in changes.into_values() {
        by_time.entry(change.at).or_default().push(change);
    }
    by_time.into_values().collect()
}
