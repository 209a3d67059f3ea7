//! The detector function: a payload in, users re-checked, messages that failed out.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use chrono::Utc;
use serde_json::Value;
use tracing::{error, info};

use crate::aws::metrics::Metrics;
use crate::aws::recheck_queue::RecheckQueue;
use crate::detect::Timestamp;
use crate::detect::alert::{Alert, AlertKind};
use crate::detect::view::Unsettled;
use crate::pipeline::batch::{Received, UserResult, recheck_users};
use crate::pipeline::message::Message;
use crate::pipeline::payload::{HandedOut, Payload, read_payload};
use crate::pipeline::recheck::{Parts, Rechecked};

/// What the function keeps from one invocation to the next.
pub struct Detector {
    /// What a re-check works with.
    pub parts: Parts,
    /// Where re-checks are queued.
    pub queue: RecheckQueue,
}

/// Handles one invocation: an SQS batch, or one bare EventBridge event. Of a batch the answer names the messages that
/// failed; a bare event that fails is an error, so that Lambda tries it again.
pub async fn handle(detector: &Detector, payload: Value) -> anyhow::Result<Value> {
    let Payload { is_batch, messages } =
        read_payload(payload, Utc::now()).context("the batch is not one of SQS")?;
    let mut metrics = Metrics::default();
    let failed = process(detector, messages, &mut metrics).await;
    metrics
        .write(&mut std::io::stdout().lock(), Utc::now())
        .context("metrics could not be written")?;
    if !is_batch {
        if !failed.is_empty() {
            bail!("the event could not be processed; the log says why");
        }
        return Ok(Value::Null);
    }
    let mut answer = SqsBatchResponse::default();
    answer.batch_item_failures = failed
        .into_iter()
        .map(|message_id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message_id;
            failure
        })
        .collect();
    serde_json::to_value(answer).context("the answer could not be written as JSON")
}

/// Processes `messages` and gives back the ids of those that failed.
async fn process(
    detector: &Detector,
    messages: Vec<HandedOut>,
    metrics: &mut Metrics,
) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    let mut readable = Vec::new();
    for HandedOut {
        id: message_id,
        is_retry,
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
            Ok(message) => readable.push(Received {
                id: message_id,
                is_retry,
                message,
            }),
            Err(failure) => {
                error!(message_id, %failure, "message cannot be read and goes to the dead-letter queue");
                *metrics.events_by_outcome.entry("malformed").or_default() += 1;
                failed.insert(message_id);
            }
        }
    }
    for result in recheck_users(&detector.parts, readable, Utc::now()).await {
        let count = result.message_ids.len() as u64;
        let outcome = match settle(detector, &result).await {
            Ok(rechecked) => {
                count_rechecked(metrics, rechecked);
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
    detector: &Detector,
    result: &'a UserResult,
) -> Result<&'a Rechecked, crate::pipeline::error::ServiceError> {
    let rechecked = result.result.as_ref().map_err(Clone::clone)?;
    detector
        .queue
        .queue(&result.user, rechecked.rechecks.iter().copied())
        .await?;
    Ok(rechecked)
}

fn count_rechecked(metrics: &mut Metrics, rechecked: &Rechecked) {
    let now = Utc::now();
    metrics.conflicts += u64::from(rechecked.conflicts);
    metrics.duplicates += rechecked.duplicates as u64;
    metrics.alerts_delivered += rechecked.told.len() as u64;
    metrics.seconds_to_alert.extend(
        rechecked
            .told
            .iter()
            .filter_map(|(alert, _)| event_time(alert))
            .map(|at| (now - at).as_seconds_f64()),
    );
    let is_stale = |why: &Unsettled| {
        matches!(
            why,
            Unsettled::ListingBehindEvents | Unsettled::ListingChangedUnexplained
        )
    };
    metrics.stale_listings += u64::from(rechecked.unsettled.iter().any(is_stale));
    metrics.refused_listings += u64::from(rechecked.unsettled.contains(&Unsettled::ListingRefused));
}

/// The time of the event that an alert tells of, if one told.
fn event_time(alert: &Alert) -> Option<Timestamp> {
    match alert.kind {
        AlertKind::Opened => alert.finding.opener.as_ref().map(|opener| opener.at),
        AlertKind::Closed => alert
            .finding
            .closing
            .as_ref()
            .filter(|closing| closing.actor.is_some())
            .map(|closing| closing.at),
        AlertKind::Updated(_) => None,
    }
}
