//! Reports that keys leaked, which name no user: the users are looked up by the keys, and re-checked.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use crate::detect::Timestamp;
use crate::detect::health::LeakReport;
use crate::pipeline::batch::{Received, UserResult, recheck_users};
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::Parts;

/// How many keys are looked up side by side.
const KEYS_AT_ONCE: usize = 8;

/// A report and how it came.
#[derive(Debug)]
pub struct ReceivedReport {
    /// The message's id in its queue.
    pub id: String,
    /// Whether it was handed out before.
    pub is_retry: bool,
    /// What it says.
    pub report: LeakReport,
}

/// What became of reports.
#[derive(Debug, Default)]
pub struct Reported {
    /// The re-checks of the users who have the keys.
    pub results: Vec<UserResult>,
    /// The keys that no user has: they are gone, or were never there.
    pub without_owner: Vec<LeakedKey>,
    /// The keys whose user could not be looked up, and why.
    pub failed: Vec<(LeakedKey, ServiceError)>,
}

/// A key that a report names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeakedKey {
    /// The id of the message.
    pub message_id: String,
    /// The account.
    pub account: String,
    /// The key's id.
    pub key: String,
}

/// Looks up whose keys `reports` are about, and re-checks these users.
///
/// A key of a report is looked up even where that of another key fails: the message comes again, and
/// what it said before is recorded once.
pub async fn recheck_owners(
    parts: &Parts,
    reports: Vec<ReceivedReport>,
    now: Timestamp,
) -> Reported {
    let mut reported = Reported::default();
    let keys = reports.iter().flat_map(|received| {
        let keys: BTreeSet<&String> = received.report.keys.iter().collect();
        keys.into_iter().map(move |key| (received, key))
    });
    let owners: Vec<_> = stream::iter(keys)
        .map(|(received, key)| async move {
            let account = &received.report.account;
            (received, key, parts.keys.owner(account, key).await)
        })
        .buffer_unordered(KEYS_AT_ONCE)
        .collect()
        .await;
    let mut changes = Vec::new();
    for (received, key, owner) in owners {
        let leaked = || LeakedKey {
            message_id: received.id.clone(),
            account: received.report.account.clone(),
            key: key.clone(),
        };
        match owner {
            Ok(Some(name)) => changes.push(Received {
                id: received.id.clone(),
                is_retry: received.is_retry,
                message: Message::Change(Box::new(received.report.change(key, &name))),
            }),
            Ok(None) => reported.without_owner.push(leaked()),
            Err(failure) => reported.failed.push((leaked(), failure)),
        }
    }
    reported.without_owner.sort();
    reported.results = recheck_users(parts, changes, now).await;
    reported
}
