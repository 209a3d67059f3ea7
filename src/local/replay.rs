//! Key changes out of logs, led through the same pipeline as live events, in the order in which they happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::finding::FindingStatus;
use crate::detect::key_change::KeyChange;
use crate::detect::policy::Policy;
use crate::detect::user::UserId;
use crate::local::ledger::{Ledger, rank};
use crate::local::ledger_table::{self, Replayed};
use crate::local::log_reading::LogReading;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;
use crate::pipeline::recheck::{Occasion, Parts, recheck};

/// What a replay found out beside the findings.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The keys that were there before the first record of them.
    pub known_only_from_then: BTreeSet<(UserId, String)>,
    /// How many changes had been replayed into the file before.
    pub already_replayed: usize,
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
    let known =
        store.read(|connection| ledger_table::already_recorded(connection, &reading.changes))?;
    let mut changes = reading.changes.clone();
    changes.retain(|id, _| known.binary_search(id).is_err());
    refuse_older(&changes, before.newest)?;

    let ledger = Arc::new(Ledger::new(before.users));
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
        already_replayed: known.len(),
        ..Replay::default()
    };
    for change in in_order(changes) {
        for change in legal_order(change, &ledger) {
            if let Some(key) = ledger.apply(&change) {
                replay
                    .known_only_from_then
                    .insert((change.user.clone(), key));
            }
            for user in change.affected_users() {
                let occasion = Occasion {
                    changes: vec![change.clone()],
                    ..Occasion::default()
                };
                recheck(&parts, &user, &occasion, change.at).await?;
            }
        }
    }

    let newest = reading.newest.max(before.newest);
    if let Some(now) = newest {
        ledger.advance(now);
        for finding in store.findings(FindingStatus::Open).await? {
            recheck(&parts, finding.user(), &Occasion::default(), now).await?;
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

/// A file that has seen later records has decided on them; an older one cannot be slipped in beneath.
fn refuse_older(
    changes: &BTreeMap<String, KeyChange>,
    newest: Option<Timestamp>,
) -> Result<(), ServiceError> {
    let oldest = changes.values().min_by_key(|change| change.at);
    match (oldest, newest) {
        (Some(oldest), Some(newest)) if oldest.at < newest => {
            Err(ServiceError::permanent(format!(
                "the logs hold a change of {} that the file does not know, and the file has already been told of records \
             up to {}; replay all logs together into a new file",
                oldest.at.format("%Y-%m-%d %H:%M:%S UTC"),
                newest.format("%Y-%m-%d %H:%M:%S UTC"),
            )))
        }
        _ => Ok(()),
    }
}

/// The changes by time; those of one second stand together.
fn in_order(changes: BTreeMap<String, KeyChange>) -> Vec<Vec<KeyChange>> {
    let mut by_time: BTreeMap<Timestamp, Vec<KeyChange>> = BTreeMap::new();
    for change in changes.into_values() {
        by_time.entry(change.at).or_default().push(change);
    }
    by_time.into_values().collect()
}

/// The changes of one second in an order that IAM allows, the same for whatever order the logs have them in.
fn legal_order(mut changes: Vec<KeyChange>, ledger: &Ledger) -> impl Iterator<Item = KeyChange> {
    changes.sort_by_cached_key(|change| {
        let key = change.key_status().map(|(key, _)| key.to_owned());
        (rank(&change.kind), key, change.id.clone())
    });
    std::iter::from_fn(move || {
        // Each is applied before the next is asked for, so the ledger knows what is legal now.
        let legal = changes.iter().position(|change| ledger.is_legal(change));
        (!changes.is_empty()).then(|| changes.remove(legal.unwrap_or(0)))
    })
}
