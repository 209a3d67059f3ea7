//! What a function answers to Lambda.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use serde_json::Value;

/// The answer after the messages `failed` failed. Of a batch it names them, so that SQS hands them out again; a bare event
/// that fails is an error, so that Lambda tries it again.
pub fn answer(is_batch: bool, failed: BTreeSet<String>) -> anyhow::Result<Value> {
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
