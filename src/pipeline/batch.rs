//! A batch of messages, grouped by user, so that ten changes to one user cost one re-check.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};

use crate::detect::Timestamp;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::{Parts, Rechecked, recheck};

/// How many users are re-checked side by side. IAM throttles an account's calls, so more would not be faster.
const USERS_AT_ONCE: usize = 8;

/// One user of a batch, what asked for it and what came of it.
#[derive(Debug)]
pub struct UserResult {
    /// The user.
    pub user: UserId,
    /// The ids of the messages that asked for the user.
    pub message_ids: BTreeSet<String>,
    /// The result of the re-check.
    pub result: Result<Rechecked, ServiceError>,
}

/// What a batch asks of one user.
#[derive(Debug, Default)]
struct Work {
    message_ids: BTreeSet<String>,
    changes: Vec<KeyChange>,
}

/// Re-checks every user that `messages` (by message id) ask for, several side by side.
pub async fn recheck_users(
    parts: &Parts,
    messages: Vec<(String, Message)>,
    now: Timestamp,
) -> Vec<UserResult> {
    let mut by_user: BTreeMap<UserId, Work> = BTreeMap::new();
    let mut former_names = BTreeSet::new();
    for (message_id, message) in messages {
        match message {
            Message::Recheck(user) => {
                by_user
                    .entry(user)
                    .or_default()
                    .message_ids
                    .insert(message_id);
            }
            Message::Change(change) => {
                if matches!(&change.kind, ChangeKind::UserRenamed { to, .. } if *to != change.user)
                {
                    former_names.insert(change.user.clone());
                }
                for user in change.affected_users() {
                    let work = by_user.entry(user).or_default();
                    work.message_ids.insert(message_id.clone());
                    work.changes.push((*change).clone());
                }
            }
            Message::Ignored(_) => {}
        }
    }
    // A finding is not closed under the old name before it stands under the new one.
    let (later, first): (BTreeMap<_, _>, BTreeMap<_, _>) = by_user
        .into_iter()
        .partition(|(user, _)| former_names.contains(user));
    let mut results = side_by_side(parts, first, now).await;
    results.extend(side_by_side(parts, later, now).await);
    results
}

async fn side_by_side(
    parts: &Parts,
    by_user: BTreeMap<UserId, Work>,
    now: Timestamp,
) -> Vec<UserResult> {
    stream::iter(by_user)
        .map(|(user, work)| async move {
            let result = recheck(parts, &user, &work.changes, now).await;
            UserResult {
                user,
                message_ids: work.message_ids,
                result,
            }
        })
        .buffer_unordered(USERS_AT_ONCE)
        .collect()
        .await
}
