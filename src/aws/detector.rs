//! The detector function: a payload in, users re-checked, messages that failed out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Context;
use chrono::Utc;
use futures::future::{join_all, join3};
use serde_json::Value;
use tracing::{error, info};

use crate::aws::deployment::Deployment;
use crate::aws::invocation::answer;
use crate::aws::metrics::Metrics;
use crate::detect::policy::Policy;
use crate::detect::user::UserId;
use crate::pipeline::batch::{Received, UserResult, recheck_users};
use crate::pipeline::error::{ErrorKind, ServiceError};
use crate::pipeline::message::Message;
use crate::pipeline::owners::{LeakedKey, ReceivedReport, Reported, recheck_owners};
use crate::pipeline::payload::{HandedOut, Payload, read_payload};
use crate::pipeline::recheck::Rechecked;

/// Handles one invocation: an SQS batch, or one bare EventBridge event. Of a batch the answer names the messages that
/// failed; a bare event that fails is an error, so that Lambda tries it again. Metrics go to `out`.
pub async fn handle(
    detector: &Deployment,
    payload: Value,
    out: &mut impl Write,
) -> anyhow::Result<Value> {
    let Payload { is_batch, messages } =
        read_payload(payload, Utc::now()).context("the batch is not one of SQS")?;
    let mut metrics = Metrics::default();
    let failed = process(detector, messages, &mut metrics).await;
    metrics
        .write(out, Utc::now())
        .context("metrics could not be written")?;
    answer(is_batch, failed)
}

/// Processes `messages` and gives back the ids of those that failed.
async fn process(
    detector: &Deployment,
    messages: Vec<HandedOut<Message>>,
    metrics: &mut Metrics,
) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    let mut reports = Vec::new();
    let mut bodies_of_reports = BTreeMap::new();
    for HandedOut {
        id: message_id,
        is_retry,
        body,
        message,
    } in messages
    {
        match message {
            Ok(Message::Ignored(reason)) => {
                info!(message_id, reason = reason.reason(), "message ignored");
                *metrics
                    .ignored_by_reason
                    .entry(reason.reason())
                    .or_default() += 1;
            }
            Ok(Message::Probe(id)) => {
                info!(message_id, probe = id, "probe seen");
                if let Err(failure) = detector.table.put_probe(&id, Utc::now()).await {
                    error!(message_id, %failure, "a probe left no trace");
                    failed.insert(message_id);
                }
            }
            Ok(Message::Leaked(report)) => {
                bodies_of_reports.insert(message_id.clone(), body);
                reports.push(ReceivedReport {
                    id: message_id,
                    is_retry,
                    report: *report,
                });
            }
            Ok(message) => {
                if let Message::Incomplete(incomplete) = &message {
                    let failure = &incomplete.why;
                    error!(message_id, %failure, "incomplete record; re-checking its user, and setting the message aside");
                    *metrics.events_by_outcome.entry("malformed").or_default() += 1;
                    unreadable.push((message_id.clone(), body, failure.to_string()));
                    // A retry comes late enough to be the later look itself.
                    if !is_retry {
                        look_again(detector, &message_id, &incomplete.users).await;
                    }
                }
                readable.push(Received {
                    id: message_id,
                    is_retry,
                    message,
                });
            }
            Err(failure) if failure.is_of_newer_release() => {
                error!(message_id, %failure, "message cannot be read yet and comes again");
                *metrics
                    .events_by_outcome
                    .entry("newer release")
                    .or_default() += 1;
                failed.insert(message_id);
            }
            Err(failure) => {
                error!(message_id, %failure, "message cannot be read and goes to the dead-letter queue");
                *metrics.events_by_outcome.entry("malformed").or_default() += 1;
                unreadable.push((message_id, body, failure.to_string()));
            }
        }
    }
    // Side by side, so that a dead-letter queue that does not answer holds up no change, and the
    // call that finds a key's user no alert.
    let (mut results, reported, kept) = join3(
        recheck_users(&detector.parts, readable, Utc::now()),
        recheck_owners(&detector.parts, reports, Utc::now()),
        join_all(unreadable.into_iter().map(|(id, body, why)| async move {
            let is_given_up = give_up(detector, &id, body.as_deref(), &why).await;
            (!is_given_up).then_some(id)
        })),
    )
    .await;
    failed.extend(kept.into_iter().flatten());
    let (of_reports, comes_again) =
        settle_reports(detector, reported, &bodies_of_reports, metrics).await;
    results.extend(of_reports);
    failed.extend(comes_again);
    failed.extend(settle_all(detector, &results, metrics).await);
    metrics.failed_rechecks += failed.len() as u64;
    // After the alerts, which must not wait for it.
    let own = detector.accounts.own();
    let others = results.iter().map(|result| result.user.account());
    let others = others.filter(|account| *account != own).collect();
    let now = Utc::now();
    detector
        .registry
        .register(&detector.table, others, now)
        .await;
    failed
}

/// Queues later re-checks of the users of an incomplete record. The record is not evidence, so a
/// listing that is behind the change looks settled. The message has failed already, so a re-check
/// that cannot be queued is only logged.
async fn look_again(detector: &Deployment, message_id: &str, users: &[UserId]) {
    let delays = [Policy::FIRST_RECHECK, detector.parts.policy.late_recheck()];
    for user in users {
        if let Err(failure) = detector.rechecks.queue(user, delays).await {
            error!(message_id, %failure, "later re-checks could not be queued");
        }
    }
}

/// Sends a message that cannot be read to the dead-letter queue; tells whether it is there, so that
/// the message can be given up.
async fn give_up(detector: &Deployment, message_id: &str, body: Option<&str>, why: &str) -> bool {
    // A bare event has no queue of ours; Lambda tries it again and then leaves it to the event's
    // own destination.
    let (Some(queue), Some(body)) = (&detector.dead_letters, body) else {
        return false;
    };
    match queue.send(message_id, body, why).await {
        Ok(()) => true,
        Err(failure) => {
            error!(message_id, %failure, "the message stays and comes again");
            false
        }
    }
}

/// Settles what became of reports of leaked keys; returns the re-checks of the users, and the ids of
/// the messages that come again.
async fn settle_reports(
    detector: &Deployment,
    reported: Reported,
    bodies: &BTreeMap<String, Option<String>>,
    metrics: &mut Metrics,
) -> (Vec<UserResult>, BTreeSet<String>) {
    for leaked in reported.without_owner {
        let LeakedKey {
            message_id,
            account,
            key,
        } = leaked;
        error!(
            message_id,
            account,
            key,
            "AWS reported a leaked key that no user of the account has; nothing to do"
        );
        *metrics.events_by_outcome.entry("no owner").or_default() += 1;
    }
    let mut comes_again = BTreeSet::new();
    for (leaked, failure) in reported.failed {
        let body = bodies.get(&leaked.message_id).and_then(Option::as_deref);
        if !put_off(detector, &leaked, body, &failure).await {
            comes_again.insert(leaked.message_id);
        }
        *metrics.events_by_outcome.entry("failed").or_default() += 1;
    }
    (reported.results, comes_again)
}

/// Settles a report whose key's user could not be looked up; tells whether the message can be given
/// up. What trying again may change comes again. A refusal does not: IAM may refuse the call also
/// because the key is gone, so the report goes to the dead-letter queue, where an operator sees it.
async fn put_off(
    detector: &Deployment,
    leaked: &LeakedKey,
    body: Option<&str>,
    failure: &ServiceError,
) -> bool {
    let LeakedKey {
        message_id,
        account,
        key,
    } = leaked;
    error!(message_id, account, key, %failure, "the user of a leaked key could not be looked up");
    let is_refused = failure.kind() == ErrorKind::Permanent && !failure.is_unauthenticated();
    is_refused && give_up(detector, message_id, body, &failure.to_string()).await
}

/// Queues what the re-checks want to have looked at again, and counts them; returns the ids of the
/// messages that come again.
async fn settle_all(
    detector: &Deployment,
    results: &[UserResult],
    metrics: &mut Metrics,
) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for result in results {
        let count = result.message_ids.len() as u64;
        let outcome = match settle(detector, result).await {
            Ok(rechecked) => {
                metrics.count_rechecked(rechecked, Utc::now());
                rechecked
                    .outcomes
                    .last()
                    .map_or("nothing open", |outcome| outcome.word())
            }
            Err(failure) => {
                error!(
                    account = result.user.account(),
                    user = result.user.name(),
                    %failure,
                    "re-check failed; its messages come again"
                );
                failed.extend(result.message_ids.iter().cloned());
                "failed"
            }
        };
        *metrics.events_by_outcome.entry(outcome).or_default() += count;
    }
    failed
}

/// Queues what a re-check wants to have looked at again; before that is done its messages are not given up.
async fn settle<'a>(
    detector: &Deployment,
    result: &'a UserResult,
) -> Result<&'a Rechecked, ServiceError> {
    let rechecked = result.result.as_ref().map_err(Clone::clone)?;
    detector.rechecks.queue_all(&result.user, rechecked).await?;
    Ok(rechecked)
}
