//! A batch of messages, grouped by user, so that ten changes to one user cost one re-check.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};

use crate::detect::Timestamp;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::{Occasion, Parts, Rechecked, recheck};

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

/// A message and how it came.
#[derive(Debug)]
pub struct Received {
    /// The message's id in its queue.
    pub id: String,
    /// Whether it was handed out before.
    pub is_retry: bool,
    /// What it says.
    pub message: Message,
}

/// What a batch asks of one user.
#[derive(Debug, Default)]
struct Work {
    message_ids: BTreeSet<String>,
    occasion: Occasion,
}

impl Work {
    fn add(&mut self, id: &str, is_retry: bool, change: Option<&KeyChange>) {
        self.message_ids.insert(id.to_owned());
        self.occasion.is_retry |= is_retry;
        self.occasion.has_failed |= is_retry;
        self.occasion.changes.extend(change.cloned());
    }
}

/// Re-checks every user that `messages` ask for, several side by side.
pub async fn recheck_users(
    parts: &Parts,
    messages: Vec<Received>,
    now: Timestamp,
) -> Vec<UserResult> {
    let mut by_user: BTreeMap<UserId, Work> = BTreeMap::new();
    // By new name, the former one.
    let mut renamed: BTreeMap<UserId, UserId> = BTreeMap::new();
    for Received {
        id,
        is_retry,
        message,
    } in messages
    {
        match message {
            Message::Recheck(user) => by_user.entry(user).or_default().add(&id, is_retry, None),
            Message::Incomplete(incomplete) => {
                if let [to, former] = incomplete.users.as_slice() {
                    renamed.insert(to.clone(), former.clone());
                }
                for user in incomplete.users {
                    by_user.entry(user).or_default().add(&id, is_retry, None);
                }
            }
            Message::Change(change) => {
                if let ChangeKind::UserRenamed { to, .. } = &change.kind
                    && *to != change.user
                {
                    renamed.insert(to.clone(), change.user.clone());
                }
                for user in change.affected_users() {
                    let work = by_user.entry(user).or_default();
                    work.add(&id, is_retry, Some(&change));
                }
            }
            // The keys of a report have no user yet; `recheck_owners` looks them up.
            Message::Leaked(_) | Message::Probe(_) | Message::Ignored(_) => {}
        }
    }
    let changes: BTreeMap<UserId, Vec<KeyChange>> = by_user
        .iter()
        .map(|(user, work)| (user.clone(), work.occasion.changes.clone()))
        .collect();
    for (user, work) in &mut by_user {
        work.occasion.former_names = former_names(user, &renamed)
            .into_iter()
            .map(|name| {
                (
                    name.clone(),
                    changes.get(&name).cloned().unwrap_or_default(),
                )
            })
            .collect();
    }
    let former_names: BTreeSet<&UserId> = renamed.values().collect();
    // A finding is not closed under the old name before it stands under the new one.
    let (later, first): (BTreeMap<_, _>, BTreeMap<_, _>) = by_user
        .into_iter()
        .partition(|(user, _)| former_names.contains(user));
    let mut results = side_by_side(parts, first, now).await;
    let failed: BTreeSet<String> = results
        .iter()
        .filter(|done| done.result.is_err())
        .flat_map(|done| done.message_ids.clone())
        .collect();
    let (waiting, ready): (BTreeMap<_, _>, BTreeMap<_, _>) = later
        .into_iter()
        .partition(|(_, work)| !work.message_ids.is_disjoint(&failed));
    results.extend(side_by_side(parts, ready, now).await);
    results.extend(waiting.into_iter().map(|(user, work)| UserResult {
        user,
        message_ids: work.message_ids,
        result: Err(ServiceError::retryable(
            "the re-check under the user's new name has to come first, and failed",
        )),
    }));
    results
}

/// The former names of `user` by the renamings of a batch, the last first.
fn former_names(user: &UserId, renamed: &BTreeMap<UserId, UserId>) -> Vec<UserId> {
    let mut names: Vec<UserId> = Vec::new();
    let mut name = user;
    while let Some(former) = renamed.get(name)
        && former != user
        && !names.contains(former)
    {
        names.push(former.clone());
        name = former;
    }
    names
}

/// Re-checks each user on its occasion, several side by side.
pub async fn recheck_each(
    parts: &Parts,
    occasions: BTreeMap<UserId, Occasion>,
    now: Timestamp,
) -> Vec<(UserId, Result<Rechecked, ServiceError>)> {
    stream::iter(occasions)
        .map(|(user, occasion)| async move {
            let result = recheck(parts, &user, &occasion, now).await;
            (user, result)
        })
        .buffer_unordered(USERS_AT_ONCE)
        .collect()
        .await
}

async fn side_by_side(
    parts: &Parts,
    by_user: BTreeMap<UserId, Work>,
    now: Timestamp,
) -> Vec<UserResult> {
    let mut message_ids = BTreeMap::new();
    let mut occasions = BTreeMap::new();
    for (user, work) in by_user {
        message_ids.insert(user.clone(), work.message_ids);
        occasions.insert(user, work.occasion);
    }
    recheck_each(parts, occasions, now)
        .await
        .into_iter()
        .map(|(user, result)| UserResult {
            message_ids: message_ids.remove(&user).unwrap_or_default(),
            user,
            result,
        })
        .collect()
}
