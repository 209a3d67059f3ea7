//! The forwarder to Security Hub: an event of ours in, a finding imported, updated or archived.
//!
//! Events come in any order and more than once. Nothing is remembered for that: Security Hub ignores what is not later than
//! what it has, by `UpdatedAt` (user guide, `BatchImportFindings`), and that time is the alert's.

use anyhow::{Context, anyhow, bail};
use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::operation::batch_import_findings::BatchImportFindingsOutput;
use serde_json::Value;
use tracing::info;

use crate::aws::accounts::{AccountError, Accounts};
use crate::aws::errors::is_throttling;
use crate::output::asff::wire::AsffFinding;
use crate::output::asff::{Hub, finding};
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;

mod finding;
pub mod settings;

use self::finding::to_sdk;
use self::settings::Import;

/// The source of our events.
const SOURCE: &str = "secondkey";
/// The detail types of alerts that tell of one finding.
const ALERTS: [&str; 3] = [
    "Second Active Access Key Opened",
    "Second Active Access Key Updated",
    "Second Active Access Key Closed",
];
/// The detail type of what tells of many, each of which has alerts of its own.
const DIGEST: &str = "Second Active Access Key Digest";

/// The code by which Security Hub says that it, or the import into it, is not switched on.
const NOT_ENABLED: &str = "InvalidAccess";

/// The longest failure that is told, in characters; the attribute of a dead letter ends there too.
const LONGEST_FAILURE: usize = 1_000;

/// What the function keeps from one invocation to the next.
#[derive(Debug)]
pub struct Forwarder {
    /// The accounts that can be imported into.
    pub accounts: Accounts<Client>,
    /// The central account.
    pub account: String,
    /// The region of all the Security Hubs.
    pub region: String,
    /// Into which of them.
    pub import: Import,
}

/// Handles one invocation: one EventBridge event. A failure is an error of the invocation, so that Lambda logs it, tries it
/// again and then hands it to the dead-letter queue.
pub async fn handle(forwarder: &Forwarder, payload: Value) -> anyhow::Result<Value> {
    match handle_event(forwarder, payload).await {
        Ok(()) => Ok(Value::Null),
        // Lambda keeps only the outermost words of an error, and the dead letter carries them.
        Err(error) => Err(anyhow!(for_terminal(
            &format!("{error:#}"),
            LONGEST_FAILURE
        ))),
    }
}

async fn handle_event(forwarder: &Forwarder, payload: Value) -> anyhow::Result<()> {
    let event: EventBridgeEvent<Value> =
        serde_json::from_value(payload).context("the payload is no EventBridge event")?;
    let detail_type = event.detail_type.as_str();
    if event.source != SOURCE {
        bail!(
            "the event's source is `{}`; the rule of this function has to lead only `{SOURCE}` here",
            event.source
        );
    }
    if detail_type == DIGEST {
        info!(
            detail_type,
            "event ignored: Security Hub takes findings one by one"
        );
        return Ok(());
    }
    if !ALERTS.contains(&detail_type) {
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
    /// The Security Hub that takes the finding of `alert`. The product of an account takes findings only from that account.
    fn hub(&self, alert: &Value) -> Hub {
        let member = alert.pointer("/finding/account").and_then(Value::as_str);
        let account = match (self.import, member) {
            (Import::Members, Some(member)) => member,
            (Import::Members, None) | (Import::Central, _) => &self.account,
        };
        Hub {
            account: account.to_owned(),
            region: self.region.clone(),
        }
    }

    async fn forward(&self, finding: &AsffFinding, hub: &Hub) -> Result<(), AccountError> {
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
        taken(&what, &answer).map_err(AccountError::Failed)
    }
}

/// Whether Security Hub took the finding. The call succeeds even if it did not.
fn taken(what: &str, answer: &BatchImportFindingsOutput) -> Result<(), ServiceError> {
    let Some(failed) = answer.failed_findings().first() else {
        return match answer.success_count {
            Some(1) => Ok(()),
            count => Err(ServiceError::retryable(format!(
                "{what} failed: {} findings were taken in place of 1",
                count.unwrap_or_default()
            ))),
        };
    };
    let code = failed.error_code().unwrap_or("unknown error");
    let message = failed.error_message().unwrap_or("no further explanation");
    let text = format!("{what} failed: the finding was refused: {code}: {message}");
    Err(if code == NOT_ENABLED {
        ServiceError::permanent(format!(
            "{text}; switch Security Hub on there, or import centrally"
        ))
    } else if is_throttling(code) || code.starts_with("Internal") {
        ServiceError::retryable(text)
    } else {
        ServiceError::permanent(text)
    })
}

#[cfg(test)]
mod tests;
