//! The forwarder to Security Hub: receives one of our events and imports, updates or archives a
//! finding.
//!
//! Events arrive in any order and more than once. The forwarder needs no state for that: Security
//! Hub ignores a finding whose `UpdatedAt` is not later than the stored one (user guide,
//! `BatchImportFindings`), and `UpdatedAt` is the time of the alert.

use anyhow::{Context, anyhow, bail};
use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::operation::batch_import_findings::BatchImportFindingsOutput;
use serde_json::Value;
use tracing::info;

use crate::aws::accounts::{AccountError, Accounts};
use crate::aws::eventbridge::{ALERT_TYPES, DIGEST_TYPE, REFRESH_SOURCE, SOURCE};
use crate::aws::sdk_errors::is_throttling;
use crate::output::asff::wire::AsffFinding;
use crate::output::asff::{SecurityHubTarget, finding};
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;

mod sdk_finding;
pub mod settings;

use self::sdk_finding::to_sdk;
use self::settings::Import;

/// The error code if Security Hub, or the import into it, is not enabled.
const NOT_ENABLED: &str = "InvalidAccess";

/// The longest failure that is reported, in characters. The attribute of a dead letter has the same
/// limit.
const MAX_FAILURE_CHARS: usize = 1_000;

/// The state that the function keeps between invocations.
#[derive(Debug)]
pub struct Forwarder {
    /// The accounts that findings can be imported into.
    pub accounts: Accounts<Client>,
    /// The central account.
    pub account: String,
    /// The region of every Security Hub.
    pub region: String,
    /// Which Security Hub receives a finding.
    pub import: Import,
}

/// Handles one invocation: one EventBridge event. A failure is an error of the invocation, so that
/// Lambda logs it, retries it and then sends it to the dead-letter queue.
pub async fn handle(forwarder: &Forwarder, payload: Value) -> anyhow::Result<Value> {
    match handle_event(forwarder, payload).await {
        Ok(()) => Ok(Value::Null),
        // Lambda keeps only the outermost message of an error, and the dead letter contains it.
        Err(error) => Err(anyhow!(for_terminal(
            &format!("{error:#}"),
            MAX_FAILURE_CHARS
        ))),
    }
}

async fn handle_event(forwarder: &Forwarder, payload: Value) -> anyhow::Result<()> {
    let event: EventBridgeEvent<Value> =
        serde_json::from_value(payload).context("the payload is not an EventBridge event")?;
    let detail_type = event.detail_type.as_str();
    if ![SOURCE, REFRESH_SOURCE].contains(&event.source.as_str()) {
        bail!(
            "the event's source is `{}`; the rule of this function must match only the sources `{SOURCE}` and `{REFRESH_SOURCE}`",
            event.source
        );
    }
    if detail_type == DIGEST_TYPE {
        info!(
            detail_type,
            "event ignored: Security Hub imports single findings only"
        );
        return Ok(());
    }
    if !ALERT_TYPES.contains(&detail_type) {
        bail!(
            "the event's detail type is `{detail_type}`, which this release does not know; deploy the release that sent it"
        );
    }
    let hub = forwarder.hub(&event.detail);
    let finding = finding(&event.detail, &hub).context("the event's detail cannot be read")?;
    let imported = forwarder.forward(&finding, &hub).await;
    imported.with_context(|| format!("finding `{}` could not be imported", finding.id))?;
    info!(
        hub = hub.account,
        id = finding.id,
        updated_at = finding.updated_at,
        record_state = finding.record_state,
        "finding imported"
    );
    Ok(())
}

impl Forwarder {
    /// The Security Hub that receives the finding of `alert`. An account's product accepts only
    /// findings from that account.
    fn hub(&self, alert: &Value) -> SecurityHubTarget {
        let member = alert.pointer("/finding/account").and_then(Value::as_str);
        let account = match (self.import, member) {
            (Import::Members, Some(member)) => member,
            (Import::Members, None) | (Import::Central, _) => &self.account,
        };
        SecurityHubTarget {
            account: account.to_owned(),
            region: self.region.clone(),
        }
    }

    async fn forward(
        &self,
        finding: &AsffFinding,
        hub: &SecurityHubTarget,
    ) -> Result<(), AccountError> {
        let what = format!(
            "securityhub:BatchImportFindings in account `{}`, region `{}`,",
            hub.account, hub.region
        );
        let import = async |client: Client| {
            client
                .batch_import_findings()
                .findings(to_sdk(finding))
                .send()
                .await
                .map_err(|error| AccountError::of_call(&what, &error))
        };
        let answer = self.accounts.call(&hub.account, import).await?;
        check_accepted(&what, &answer).map_err(AccountError::Failed)
    }
}

/// Whether Security Hub accepted the finding. The call succeeds even if it did not.
fn check_accepted(what: &str, answer: &BatchImportFindingsOutput) -> Result<(), ServiceError> {
    let Some(failed) = answer.failed_findings().first() else {
        return match answer.success_count {
            Some(1) => Ok(()),
            count => Err(ServiceError::retryable(format!(
                "{what} failed: {} findings were accepted instead of 1",
                count.unwrap_or_default()
            ))),
        };
    };
    let code = failed.error_code().unwrap_or("unknown error");
    let message = failed.error_message().unwrap_or("no further explanation");
    let text = format!("{what} failed: the finding was refused: {code}: {message}");
    Err(if code == NOT_ENABLED {
        ServiceError::permanent(format!(
            "{text}; enable Security Hub there, or import centrally"
        ))
    } else if is_throttling(code) || code.starts_with("Internal") {
        ServiceError::retryable(text)
    } else {
        ServiceError::permanent(text)
    })
}

#[cfg(test)]
mod tests;
