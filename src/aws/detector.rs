//! The detector function: takes a payload, re-checks users and returns the messages that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Context;
use chrono::Utc;
use futures::future::{join_all, join3};
use serde_json::Value;
use tracing::{error, info};

use crate::aws::batch_response::response;
use crate::aws::deployment::Deployment;
use crate::aws::metrics::Metrics;
use crate::detect::decision::policy::Policy;
use crate::detect::user::UserId;
use crate::pipeline::batch::{ReceivedMessage, UserResult, recheck_users};
use crate::pipeline::error::{ErrorKind, ServiceError};
use crate::pipeline::leak_reports::{LeakReportOutcome, LeakedKey, ReceivedReport, recheck_owners};
use crate::pipeline::message::Message;
use crate::pipeline::payload::{Payload, PayloadMessage, read_payload};
use crate::pipeline::recheck::RecheckOutcome;

/// Why a message about an excluded account is ignored, as metrics show it. This includes queued
/// re-checks: they would open what the sweeper closes. The hourly sweep delivers pending alerts.
const EXCLUDED: &str = "excluded account";

/// Handles one invocation: an SQS batch, or one bare EventBridge event. For a batch the response
/// names the failed messages; for a bare event a failure is an error, so that Lambda retries.
/// Metrics go to `out`.
pub async fn handle(
    detector: &Deployment,
    payload: Value,
    out: &mut impl Write,
) -> anyhow::Result<Value> {
    let Payload { is_batch, messages } =
        read_payload(payload, Utc::now()).context("the payload is not an SQS batch")?;
    let mut metrics = Metrics::default();
    let failed = process(detector, messages, &mut metrics).await;
    metrics
        .write(out, Utc::now())
        .context("metrics could not be written")?;
    response(is_batch, failed)
}

/// Processes `messages` and returns the IDs of those that failed.
async fn process(
    detector: &Deployment,
    messages: Vec<PayloadMessage<Message>>,
    metrics: &mut Metrics,
) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    let mut reports = Vec::new();
    let mut bodies_of_reports = BTreeMap::new();
    for PayloadMessage {
        id: message_id,
        is_retry,
        body,
        message,
    } in messages
    {
        match message {
            Ok(Message::Ignored(reason)) => {
                count_ignored(metrics, &message_id, None, reason.reason());
            }
            Ok(message) if is_excluded(detector, &message) => {
                count_ignored(metrics, &message_id, message.account(), EXCLUDED);
            }
            Ok(Message::Probe(id)) => {
                info!(message_id, probe = id, "probe seen");
                if let Err(failure) = detector.table.put_probe(&id, Utc::now()).await {
                    error!(message_id, %failure, "a probe could not be recorded");
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
                    error!(message_id, %failure, "incomplete record; re-checking its user and setting the message aside");
                    *metrics.events_by_outcome.entry("malformed").or_default() += 1;
                    unreadable.push((message_id.clone(), body, failure.to_string()));
                    // A retry comes late enough to be the later check itself.
                    if !is_retry {
                        queue_later_rechecks(detector, &message_id, &incomplete.users).await;
                    }
                }
                readable.push(ReceivedMessage {
                    id: message_id,
                    is_retry,
                    message,
                });
            }
            Err(failure) if failure.is_of_newer_release() => {
                error!(message_id, %failure, "message cannot be read yet and will be retried");
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
    // In parallel, so that an unresponsive dead-letter queue does not delay changes, and the call
    // that finds a key's user does not delay alerts.
    let (mut results, reported, kept) = join3(
        recheck_users(&detector.dependencies, readable, Utc::now()),
        recheck_owners(&detector.dependencies, reports, Utc::now()),
        join_all(unreadable.into_iter().map(|(id, body, why)| async move {
            let is_given_up = send_to_dead_letters(detector, &id, body.as_deref(), &why).await;
            (!is_given_up).then_some(id)
        })),
    )
    .await;
    failed.extend(kept.into_iter().flatten());
    let (of_reports, comes_again) =
        handle_report_outcome(detector, reported, &bodies_of_reports, metrics).await;
    results.extend(of_reports);
    failed.extend(comes_again);
    failed.extend(queue_all_rechecks(detector, &results, metrics).await);
    metrics.failed_rechecks += failed.len() as u64;
    // After the alerts, which must not wait for it.
    let own = detector.accounts.own_account();
    let others = results.iter().map(|result| result.user.account());
    let others = others.filter(|account| *account != own).collect();
    let now = Utc::now();
    detector
        .registry
        .register(&detector.table, others, now)
        .await;
    failed
}

fn count_ignored(
    metrics: &mut Metrics,
    message_id: &str,
    account: Option<&str>,
    reason: &'static str,
) {
    info!(message_id, account, reason, "message ignored");
    *metrics.ignored_by_reason.entry(reason).or_default() += 1;
}

fn is_excluded(detector: &Deployment, message: &Message) -> bool {
    let account = message.account();
    account.is_some_and(|account| detector.excluded_accounts.contains(account))
}

/// Queues later re-checks of the users of an incomplete record. The record is not evidence, so a
/// listing that lags behind the change would look consistent. The message has already failed, so a
/// re-check that cannot be queued is only logged.
async fn queue_later_rechecks(detector: &Deployment, message_id: &str, users: &[UserId]) {
    let delays = [
        Policy::FIRST_RECHECK,
        detector.dependencies.policy.settled_recheck(),
    ];
    for user in users {
        if let Err(failure) = detector.rechecks.queue(user, delays).await {
            error!(message_id, %failure, "later re-checks could not be queued");
        }
    }
}

/// Sends an unreadable message to the dead-letter queue. Returns whether it arrived there, so that
/// the message can be given up.
async fn send_to_dead_letters(
    detector: &Deployment,
    message_id: &str,
    body: Option<&str>,
    why: &str,
) -> bool {
    // A bare event does not come from our queue. Lambda retries it and then sends it to the event's
    // own destination.
    let (Some(queue), Some(body)) = (&detector.dead_letters, body) else {
        return false;
    };
    match queue.send(message_id, body, why).await {
        Ok(()) => true,
        Err(failure) => {
            error!(message_id, %failure, "the message could not be set aside and will be retried");
            false
        }
    }
}

/// Handles the outcome of leaked-key reports. Returns the re-checks of the users, and the IDs of
/// the messages to retry.
async fn handle_report_outcome(
    detector: &Deployment,
    reported: LeakReportOutcome,
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
            "AWS reported a leaked key that belongs to no user of the account; nothing to do"
        );
        *metrics.events_by_outcome.entry("no owner").or_default() += 1;
    }
    let mut comes_again = BTreeSet::new();
    for (leaked, failure) in reported.failed {
        let body = bodies.get(&leaked.message_id).and_then(Option::as_deref);
        if !handle_failed_lookup(detector, &leaked, body, &failure).await {
            comes_again.insert(leaked.message_id);
        }
        *metrics.events_by_outcome.entry("failed").or_default() += 1;
    }
    (reported.results, comes_again)
}

/// Handles a report whose key's user could not be looked up. Returns whether the message can be
/// given up. A failure that may be temporary is retried. A refusal is not: IAM may refuse the call
/// because the key no longer exists, so the report goes to the dead-letter queue, where an operator
/// sees it.
async fn handle_failed_lookup(
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
    is_refused && send_to_dead_letters(detector, message_id, body, &failure.to_string()).await
}

/// Queues and counts the further checks that the re-checks request. Returns the IDs of the messages
/// to retry.
async fn queue_all_rechecks(
    detector: &Deployment,
    results: &[UserResult],
    metrics: &mut Metrics,
) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for result in results {
        let count = result.message_ids.len() as u64;
        let outcome = match queue_rechecks(detector, result).await {
            Ok(rechecked) => {
                metrics.count_recheck(rechecked, Utc::now());
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
                    "re-check failed; its messages will be retried"
                );
                failed.extend(result.message_ids.iter().cloned());
                "failed"
            }
        };
        *metrics.events_by_outcome.entry(outcome).or_default() += count;
    }
    failed
}

/// Queues the further checks that a re-check requests. Its messages are given up only after that.
async fn queue_rechecks<'a>(
    detector: &Deployment,
    result: &'a UserResult,
) -> Result<&'a RecheckOutcome, ServiceError> {
    let rechecked = result.result.as_ref().map_err(Clone::clone)?;
    detector.rechecks.queue_all(&result.user, rechecked).await?;
    Ok(rechecked)
}
