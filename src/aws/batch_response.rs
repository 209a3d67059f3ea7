//! Builds the response of a function to Lambda.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use serde_json::Value;

/// The response after the messages `failed` failed. For a batch it names them, so that SQS delivers
/// them again. For a bare event it is an error, so that Lambda retries.
pub(crate) fn response(is_batch: bool, failed: BTreeSet<String>) -> anyhow::Result<Value> {
    if !is_batch {
        if !failed.is_empty() {
            bail!("the event could not be processed; see the log for the reason");
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
