//! Groups a batch of messages by user, so that ten changes to one user cost one re-check.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use tracing::error;

use crate::detect::Timestamp;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::{Dependencies, RecheckOutcome, RecheckRequest, recheck};

/// How many users are re-checked concurrently. IAM throttles an account's calls, so more would not
/// be faster.
const USERS_AT_ONCE: usize = 8;

/// One user of a batch, and the result of its re-check.
#[derive(Debug)]
pub struct UserResult {
    /// The user.
    pub user: UserId,
    /// The ids of the messages that led to the re-check.
    pub message_ids: BTreeSet<String>,
    /// The result of the re-check.
    pub result: Result<RecheckOutcome, ServiceError>,
}

/// A received message.
#[derive(Debug)]
pub struct ReceivedMessage {
    /// The message's id in its queue.
    pub id: String,
    /// Whether it was received before.
    pub is_retry: bool,
    /// The message.
    pub message: Message,
}

/// The work of a batch for one user.
#[derive(Debug, Default)]
struct UserWork {
    message_ids: BTreeSet<String>,
    request: RecheckRequest,
}

impl UserWork {
    fn add(&mut self, id: &str, is_retry: bool, change: Option<&KeyChange>) {
        self.message_ids.insert(id.to_owned());
        self.request.is_retry |= is_retry;
        self.request.has_failed_before |= is_retry;
        self.request.changes.extend(change.cloned());
    }
}

/// Re-checks every user in `messages`, several concurrently.
pub async fn recheck_users(
    dependencies: &Dependencies,
    messages: Vec<ReceivedMessage>,
    now: Timestamp,
) -> Vec<UserResult> {
    let mut by_user: BTreeMap<UserId, UserWork> = BTreeMap::new();
    // New name → former name.
    let mut renamed: BTreeMap<UserId, UserId> = BTreeMap::new();
    for ReceivedMessage {
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
            // The users of these keys are unknown; `recheck_owners` looks them up.
            Message::Leaked(_) | Message::Probe(_) | Message::Ignored(_) => {}
        }
    }
    let changes: BTreeMap<UserId, Vec<KeyChange>> = by_user
        .iter()
        .map(|(user, work)| (user.clone(), work.request.changes.clone()))
        .collect();
    for (user, work) in &mut by_user {
        work.request.former_names = former_names(user, &renamed)
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
    // The finding must exist under the new name before it is closed under the old one.
    let (later, first): (BTreeMap<_, _>, BTreeMap<_, _>) = by_user
        .into_iter()
        .partition(|(user, _)| former_names.contains(user));
    let mut results = side_by_side(dependencies, first, now).await;
    let failed: BTreeSet<String> = results
        .iter()
        .filter(|done| done.result.is_err())
        .flat_map(|done| done.message_ids.clone())
        .collect();
    let (waiting, ready): (BTreeMap<_, _>, BTreeMap<_, _>) = later
        .into_iter()
        .partition(|(_, work)| !work.message_ids.is_disjoint(&failed));
    results.extend(side_by_side(dependencies, ready, now).await);
    results.extend(waiting.into_iter().map(|(user, work)| UserResult {
        user,
        message_ids: work.message_ids,
        result: Err(ServiceError::retryable(
            "the re-check under the user's new name must come first, but failed",
        )),
    }));
    results
}

/// The former names of `user` according to the renamings of a batch, latest first.
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

/// Re-checks each user on its own request, several concurrently. A panic fails the user that it
/// happened on, because the rest of the batch must not be retried for it.
pub async fn recheck_each(
    dependencies: &Dependencies,
    requests: BTreeMap<UserId, RecheckRequest>,
    now: Timestamp,
) -> Vec<(UserId, Result<RecheckOutcome, ServiceError>)> {
    stream::iter(requests)
        .map(|(user, request)| async move {
            let checked = AssertUnwindSafe(recheck(dependencies, &user, &request, now));
            let result = checked.catch_unwind().await.unwrap_or_else(|_| {
                error!(
                    account = user.account(),
                    user = user.name(),
                    "a re-check panicked"
                );
                Err(ServiceError::retryable(
                    "the re-check panicked; the log has the place",
                ))
            });
            (user, result)
        })
        .buffer_unordered(USERS_AT_ONCE)
        .collect()
        .await
}

async fn side_by_side(
    dependencies: &Dependencies,
    by_user: BTreeMap<UserId, UserWork>,
    now: Timestamp,
) -> Vec<UserResult> {
    let mut message_ids = BTreeMap::new();
    let mut requests = BTreeMap::new();
    for (user, work) in by_user {
        message_ids.insert(user.clone(), work.message_ids);
        requests.insert(user, work.request);
    }
    recheck_each(dependencies, requests, now)
        .await
        .into_iter()
        .map(|(user, result)| UserResult {
            message_ids: message_ids.remove(&user).unwrap_or_default(),
            user,
            result,
        })
        .collect()
}
