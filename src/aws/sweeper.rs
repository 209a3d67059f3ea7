//! The sweeper function: looks at every user that may have been missed.
//!
//! The hourly message has every account looked into, one message each, so that Lambda does the scaling. An account's turn is
//! [`turn`].

mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Context;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use chrono::{TimeDelta, Utc};
use futures::future::try_join3;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use tracing::{error, info, warn};

use crate::aws::account_users::SweepMode;
use crate::aws::deployment::Deployment;
use crate::aws::errors::service_error;
use crate::aws::invocation::answer;
use crate::aws::metrics::Metrics;
use crate::aws::organization::active_accounts;
use crate::aws::sweeper::turn::Turn;
use crate::detect::Timestamp;
use crate::detect::account_record::AccountRecord;
use crate::detect::finding::FindingStatus;
use crate::detect::user::UserId;
use crate::pipeline::batch::recheck_each;
use crate::pipeline::error::ServiceError;
use crate::pipeline::payload::{HandedOut, Payload, read_payload_by};
use crate::pipeline::recheck::Occasion;
use crate::pipeline::sweep_message::{SweepMessage, account_body, read_sweep};

/// The most messages that SQS takes at once. Source: SQS API reference, `SendMessageBatch`.
const MESSAGES_AT_ONCE: usize = 10;

/// How many calls to SQS are made side by side.
const CALLS_AT_ONCE: usize = 8;

/// The most accounts that a line of the log names.
const MOST_NAMED: usize = 10;

/// What the function keeps from one invocation to the next.
pub struct Sweeper {
    /// What it has in common with the detector.
    pub deployment: Deployment,
    /// The own account's id.
    pub account: String,
    /// How it looks through an account's users.
    pub mode: SweepMode,
    /// Whether the organisation's accounts are swept too.
    pub lists_accounts: bool,
    /// How often people are reminded of findings that outlived their window.
    pub remind_every: TimeDelta,
    /// The own queue.
    pub sqs: aws_sdk_sqs::Client,
    /// Its URL.
    pub queue_url: String,
    /// What the own account's services are asked with.
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
        read_payload_by(payload, Utc::now(), read).context("the batch is not one of SQS")?;
    let mut metrics = Metrics::default();
    let mut failed = BTreeSet::new();
    for HandedOut { id, message, .. } in messages {
        let swept = match message {
            Ok((SweepMessage::All, _)) => {
                Box::pin(fan_out(sweeper, Utc::now(), &mut metrics)).await
            }
            Ok((SweepMessage::Account { account, users }, sent_at)) => {
                let turn = Turn {
                    account,
                    users,
                    sent_at,
                };
                turn.sweep(sweeper, &mut metrics).await
            }
            Err(failure) => Err(ServiceError::permanent(failure.to_string())),
        };
        if let Err(failure) = swept {
            error!(message_id = id, %failure, "the sweep failed; its message comes again");
            failed.insert(id);
        }
    }
    metrics
        .write(out, Utc::now())
        .context("metrics could not be written")?;
    answer(is_batch, failed)
}

/// Sends a message for every account, with the users that are to be looked at in any case.
async fn fan_out(
    sweeper: &Sweeper,
    now: Timestamp,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let table = &sweeper.deployment.table;
    let (open, hidden, due) = try_join3(
        table.holders(FindingStatus::Open),
        table.holders(FindingStatus::Suppressed),
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
    let known = table.accounts().await;
    if let Some(mut members) = members(sweeper, metrics).await {
        members.insert(sweeper.account.clone());
        let left: BTreeMap<_, _> = users
            .extract_if(.., |account, _| !members.contains(account))
            .collect();
        close_left(sweeper, left, &due, now, metrics).await?;
        for account in members {
            users.entry(account).or_default();
        }
    } else {
        for known in known.clone()? {
            users.entry(known.account).or_default();
        }
    }
    users.entry(sweeper.account.clone()).or_default();
    match known {
        Ok(known) => note_overdue(&known, &users, now, metrics),
        Err(failure) => error!(%failure, "which accounts are overdue is not known"),
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
    info!(accounts, messages, "every account's turn is queued");
    Ok(())
}

/// Closes the findings of accounts that `left` the organization or were closed, once that is certain. Until then the detector
/// looks at their users as far as something is `due`, or the alerts owed about them would wait.
async fn close_left(
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
            if let Some(missed) = record.missed(now) {
                // Where another sweep wrote in between, the next one sees to it.
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
        let occasion = Occasion {
            has_left: true,
            is_retry: true,
            ..Occasion::default()
        };
        let occasions = users.into_iter().map(|user| (user, occasion.clone()));
        let parts = &sweeper.deployment.parts;
        for (user, result) in recheck_each(parts, occasions.collect(), now).await {
            let rechecked = result?;
            metrics.count_rechecked(&rechecked, now);
            let rechecks = &sweeper.deployment.rechecks;
            rechecks.queue_all(&user, &rechecked).await?;
            info!(
                account,
                user = user.name(),
                "an account left, and its finding is closed"
            );
        }
    }
    Ok(())
}

/// Counts and names the accounts that are to be swept and were not in time.
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
        let first = overdue.get(..MOST_NAMED).unwrap_or(&overdue).join(", ");
        warn!(
            accounts = overdue.len(),
            first, "accounts have not been swept for two hours; see the sweeper's log for why"
        );
    }
}

/// Notes for how long the oldest pending alert has been owed. A failure of it stops no sweep.
async fn note_pending_alerts(sweeper: &Sweeper, now: Timestamp, metrics: &mut Metrics) {
    match sweeper.deployment.table.pending_alerts().await {
        Ok(pending) => {
            // That nothing is pending ends the alarm, so it is told too.
            metrics.note_pending_alert(now, now);
            for alert in pending {
                metrics.note_pending_alert(alert.owed_since, now);
            }
        }
        Err(failure) => error!(%failure, "the alerts that are pending could not be read"),
    }
}

/// The organisation's accounts; none where Organizations is not to be asked, or does not answer. Then those that are known are
/// swept.
async fn members(sweeper: &Sweeper, metrics: &mut Metrics) -> Option<BTreeSet<String>> {
    if !sweeper.lists_accounts {
        return None;
    }
    match active_accounts(&sweeper.config).await {
        Ok(members) => Some(members.into_iter().collect()),
        Err(failure) => {
            error!(%failure, "the organisation's accounts cannot be listed; those that are known are swept");
            metrics.unreachable_accounts = Some(1);
            None
        }
    }
}

fn account_bodies(account: &str, mut users: Vec<UserId>) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let (body, left_out) = account_body(account, &users);
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
    // The call succeeds even if the queue took nothing.
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
