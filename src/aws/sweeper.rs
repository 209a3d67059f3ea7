//! The sweeper function: checks every user, in case events were missed.
//!
//! The hourly message queues one message per account, so that Lambda scales the work.
//! `account_sweep` handles one account.

mod account_sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Context;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use chrono::{TimeDelta, Utc};
use futures::future::try_join3;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use tracing::{error, info, warn};

use crate::aws::batch_response::response;
use crate::aws::deployment::Deployment;
use crate::aws::metrics::Metrics;
use crate::aws::organization::active_accounts;
use crate::aws::sdk_errors::service_error;
use crate::aws::suspects::SweepMode;
use crate::aws::sweeper::account_sweep::AccountSweep;
use crate::detect::Timestamp;
use crate::detect::decision::situation::Unwatched;
use crate::detect::findings::finding::FindingStatus;
use crate::detect::records::account_record::AccountRecord;
use crate::detect::user::UserId;
use crate::pipeline::batch::recheck_each;
use crate::pipeline::error::ServiceError;
use crate::pipeline::payload::{Payload, PayloadMessage, read_payload_by};
use crate::pipeline::recheck::RecheckRequest;
use crate::pipeline::sweep_message::{SweepMessage, account_sweep_body, read_sweep};

/// The largest batch that SQS accepts. Source: SQS API reference, `SendMessageBatch`.
const MESSAGES_AT_ONCE: usize = 10;

/// How many calls to SQS run in parallel.
const CALLS_AT_ONCE: usize = 8;

/// The most accounts that a log line names.
const MAX_NAMED: usize = 10;

/// The state that the function keeps between invocations.
pub struct Sweeper {
    /// The parts shared with the detector.
    pub deployment: Deployment,
    /// Our own account's ID.
    pub account: String,
    /// How the suspects of an account are found.
    pub mode: SweepMode,
    /// Whether to sweep the organization's accounts too.
    pub lists_accounts: bool,
    /// How often reminders of findings past their rotation window are sent.
    pub remind_every: TimeDelta,
    /// The client of the sweeper's own queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The URL of that queue.
    pub queue_url: String,
    /// The configuration for services in our own account.
    pub config: aws_config::SdkConfig,
}

/// Handles one invocation: an SQS batch, or one bare message. Metrics go to `out`.
pub async fn handle(
    sweeper: &Sweeper,
    payload: Value,
    out: &mut impl Write,
) -> anyhow::Result<Value> {
    let read = |json, sent_at| Ok((read_sweep(json)?, sent_at));
    let Payload { is_batch, messages } =
        read_payload_by(payload, Utc::now(), read).context("the payload is not an SQS batch")?;
    let mut metrics = Metrics::default();
    let mut failed = BTreeSet::new();
    for PayloadMessage { id, message, .. } in messages {
        let swept = match message {
            Ok((SweepMessage::All, _)) => {
                Box::pin(fan_out(sweeper, Utc::now(), &mut metrics)).await
            }
            Ok((SweepMessage::Account { account, users }, sent_at)) => {
                let turn = AccountSweep {
                    account,
                    users,
                    sent_at,
                };
                turn.sweep(sweeper, &mut metrics).await
            }
            Err(failure) => Err(ServiceError::permanent(failure.to_string())),
        };
        if let Err(failure) = swept {
            error!(message_id = id, %failure, "the sweep failed; its message will be retried");
            failed.insert(id);
        }
    }
    metrics
        .write(out, Utc::now())
        .context("metrics could not be written")?;
    response(is_batch, failed)
}

/// Sends a message for every account, with the users who must be checked in any case.
async fn fan_out(
    sweeper: &Sweeper,
    now: Timestamp,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let table = &sweeper.deployment.table;
    let (open, hidden, due) = try_join3(
        table.users_with_finding(FindingStatus::Open),
        table.users_with_finding(FindingStatus::Suppressed),
        table.due(now),
    )
    .await?;
    metrics.open_findings = Some(open.len() as u64);
    note_pending_alerts(sweeper, now, metrics).await;
    let mut users: BTreeMap<String, BTreeSet<UserId>> = BTreeMap::new();
    for user in open.iter().chain(&hidden).chain(&due) {
        let of_account = users.entry(user.account().to_owned()).or_default();
        of_account.insert(user.clone());
    }
    let is_excluded = |account: &str| sweeper.deployment.excluded_accounts.contains(account);
    let excluded: BTreeMap<_, _> = users
        .extract_if(.., |account, _| is_excluded(account))
        .collect();
    let known = table.accounts().await;
    let mut left = BTreeMap::new();
    if let Some(mut members) = members(sweeper, metrics).await {
        members.insert(sweeper.account.clone());
        left = users
            .extract_if(.., |account, _| !members.contains(account))
            .collect();
        for account in members {
            users.entry(account).or_default();
        }
    } else {
        for known in known.clone()? {
            users.entry(known.account).or_default();
        }
    }
    users.retain(|account, _| !is_excluded(account));
    users.entry(sweeper.account.clone()).or_default();
    match known {
        Ok(known) => note_overdue(&known, &users, now, metrics),
        Err(failure) => error!(%failure, "could not determine which accounts are overdue"),
    }
    let accounts = users.len();
    let bodies: Vec<String> = users
        .into_iter()
        .flat_map(|(account, users)| account_bodies(&account, users.into_iter().collect()))
        .collect();
    stream::iter(bodies.chunks(MESSAGES_AT_ONCE))
        .map(Ok)
        .try_for_each_concurrent(CALLS_AT_ONCE, |bodies| send(sweeper, bodies))
        .await?;
    let messages = bodies.len();
    info!(accounts, messages, "a sweep of every account is queued");

    // After the sweeps, because each alert to people has a pause.
    for (account, users) in excluded {
        close_findings(sweeper, &account, users, Unwatched::Excluded, now, metrics).await?;
    }
    close_findings_of_left_accounts(sweeper, left, &due, now, metrics).await
}

/// Closes the findings of accounts that `left` the organization or were closed, once that is
/// certain. Until then the detector checks their users if something is `due`, because their pending
/// alerts would otherwise wait.
async fn close_findings_of_left_accounts(
    sweeper: &Sweeper,
    left: BTreeMap<String, BTreeSet<UserId>>,
    due: &BTreeSet<UserId>,
    now: Timestamp,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let table = &sweeper.deployment.table;
    for (account, users) in left {
        let record = table.account(&account).await?;
        if !record.has_left(now) {
            warn!(
                account,
                users = users.len(),
                "the organization does not list an account with open findings or pending alerts"
            );
            if let Some(missed) = record.marked_missing(now) {
                // If another sweep wrote concurrently, the next sweep handles it.
                table.put_account(&missed).await?;
            }
            let due: Vec<UserId> = users.intersection(due).cloned().collect();
            stream::iter(&due)
                .map(Ok)
                .try_for_each_concurrent(CALLS_AT_ONCE, |user| {
                    let rechecks = &sweeper.deployment.rechecks;
                    rechecks.queue(user, [TimeDelta::zero()])
                })
                .await?;
            continue;
        }
        close_findings(sweeper, &account, users, Unwatched::Left, now, metrics).await?;
    }
    Ok(())
}

/// Closes the findings of `users` of `account`, which is not watched any more, and delivers their
/// pending alerts.
async fn close_findings(
    sweeper: &Sweeper,
    account: &str,
    users: BTreeSet<UserId>,
    unwatched: Unwatched,
    now: Timestamp,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let request = RecheckRequest {
        unwatched: Some(unwatched),
        is_retry: true,
        ..RecheckRequest::default()
    };
    let requests = users.into_iter().map(|user| (user, request.clone()));
    let dependencies = &sweeper.deployment.dependencies;
    for (user, result) in recheck_each(dependencies, requests.collect(), now).await {
        let rechecked = match result {
            Ok(rechecked) => rechecked,
            Err(failure) => {
                // The next fan-out tries again. The other findings must not wait for that.
                error!(account, user = user.name(), %failure, "a finding of an unwatched account could not be closed");
                metrics.unchecked_users += 1;
                continue;
            }
        };
        metrics.count_recheck(&rechecked, now);
        let rechecks = &sweeper.deployment.rechecks;
        rechecks.queue_all(&user, &rechecked).await?;
        info!(
            account,
            user = user.name(),
            reason = unwatched.close_reason().words(),
            "an account is not watched any more; its finding is closed"
        );
    }
    Ok(())
}

/// Counts and names the accounts that were not swept in time.
fn note_overdue(
    known: &[AccountRecord],
    to_sweep: &BTreeMap<String, BTreeSet<UserId>>,
    now: Timestamp,
    metrics: &mut Metrics,
) {
    let overdue: Vec<&str> = known
        .iter()
        .filter(|record| record.is_overdue(now) && to_sweep.contains_key(&record.account))
        .map(|record| record.account.as_str())
        .collect();
    metrics.overdue_accounts = Some(overdue.len() as u64);
    if !overdue.is_empty() {
        let first = overdue.get(..MAX_NAMED).unwrap_or(&overdue).join(", ");
        warn!(
            accounts = overdue.len(),
            first, "accounts have not been swept for two hours; see the sweeper's log for why"
        );
    }
}

/// Reports the age of the oldest pending alert. A failure does not stop the sweep.
async fn note_pending_alerts(sweeper: &Sweeper, now: Timestamp, metrics: &mut Metrics) {
    match sweeper.deployment.table.pending_deliveries().await {
        Ok(pending) => {
            // Zero is reported too, because it ends the alarm.
            metrics.note_pending_alert(now, now);
            for alert in pending {
                metrics.note_pending_alert(alert.pending_since, now);
            }
        }
        Err(failure) => error!(%failure, "the pending alerts could not be read"),
    }
}

/// The organization's accounts, or `None` if Organizations must not be called or does not answer.
/// In that case the known accounts are swept.
async fn members(sweeper: &Sweeper, metrics: &mut Metrics) -> Option<BTreeSet<String>> {
    if !sweeper.lists_accounts {
        return None;
    }
    match active_accounts(&sweeper.config).await {
        Ok(members) => Some(members.into_iter().collect()),
        Err(failure) => {
            error!(%failure, "the organization's accounts could not be listed; sweeping the known accounts");
            metrics.unreachable_accounts = Some(1);
            None
        }
    }
}

fn account_bodies(account: &str, mut users: Vec<UserId>) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let (body, left_out) = account_sweep_body(account, &users);
        bodies.push(body);
        if left_out.is_empty() || left_out.len() == users.len() {
            return bodies;
        }
        users = left_out;
    }
}

async fn send(sweeper: &Sweeper, bodies: &[String]) -> Result<(), ServiceError> {
    let what = "sqs:SendMessageBatch on the sweep queue";
    let entries = bodies.iter().enumerate().map(|(place, body)| {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(body)
            .build()
            .map_err(|error| ServiceError::permanent(format!("{what} failed: {error}")))
    });
    let answer = sweeper
        .sqs
        .send_message_batch()
        .queue_url(&sweeper.queue_url)
        .set_entries(Some(entries.collect::<Result<_, _>>()?))
        .send()
        .await
        .map_err(|error| service_error(what, &error))?;
    // The call succeeds even if the queue accepted nothing.
    match answer.failed.first() {
        None => Ok(()),
        Some(refused) => Err(ServiceError::retryable(format!(
            "{what} failed for {} of {} messages: {}",
            answer.failed.len(),
            bodies.len(),
            refused.code
        ))),
    }
}
