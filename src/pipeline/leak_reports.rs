//! Reports of leaked keys do not name users. This looks up the users by their keys and re-checks
//! them.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use crate::detect::Timestamp;
use crate::detect::events::health::LeakReport;
use crate::pipeline::batch::{ReceivedMessage, UserResult, recheck_users};
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::Dependencies;

/// How many keys are looked up concurrently.
const KEYS_AT_ONCE: usize = 8;

/// A received report.
#[derive(Debug)]
pub(crate) struct ReceivedReport {
    /// The message's id in its queue.
    pub id: String,
    /// Whether it was received before.
    pub is_retry: bool,
    /// The report.
    pub report: LeakReport,
}

/// The result for a set of reports.
#[derive(Debug, Default)]
pub(crate) struct LeakReportOutcome {
    /// The re-checks of the keys' users.
    pub results: Vec<UserResult>,
    /// The keys without a user: they were deleted or never existed.
    pub without_owner: Vec<LeakedKey>,
    /// The keys whose user lookup failed, and why.
    pub failed: Vec<(LeakedKey, ServiceError)>,
}

/// A key in a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeakedKey {
    /// The id of the message.
    pub message_id: String,
    /// The account.
    pub account: String,
    /// The key's id.
    pub key: String,
}

/// Looks up the users of the keys in `reports`, and re-checks them.
///
/// A failed lookup of one key does not stop the others: the message is received again, and what it
/// recorded is recorded once.
pub(crate) async fn recheck_owners(
    dependencies: &Dependencies,
    reports: Vec<ReceivedReport>,
    now: Timestamp,
) -> LeakReportOutcome {
    let mut reported = LeakReportOutcome::default();
    let keys = reports.iter().flat_map(|received| {
        let keys: BTreeSet<&String> = received.report.keys.iter().collect();
        keys.into_iter().map(move |key| (received, key))
    });
    let owners: Vec<_> = stream::iter(keys)
        .map(|(received, key)| async move {
            let account = &received.report.account;
            (received, key, dependencies.keys.owner(account, key).await)
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
            Ok(Some(name)) => changes.push(ReceivedMessage {
                id: received.id.clone(),
                is_retry: received.is_retry,
                message: Message::Change(Box::new(received.report.change(key, &name))),
            }),
            Ok(None) => reported.without_owner.push(leaked()),
            Err(failure) => reported.failed.push((leaked(), failure)),
        }
    }
    reported.without_owner.sort();
    reported.results = recheck_users(dependencies, changes, now).await;
    reported
}
