//! Alerts in the AWS Security Finding Format, for Security Hub. They are built from an alert's
//! JSON, version 1, so that any receiver of an alert can build them, in this release or a later
//! one.
//!
//! Source of the format and its limits: Security Hub API reference, `AwsSecurityFinding`.

use serde_json::Value;
use thiserror::Error;

use crate::detect::events::text::sha256_hex;
use crate::output::asff::alert_json::Alert;
use crate::output::asff::product_fields::product_fields;
use crate::output::asff::resources::resources;
use crate::output::asff::texts::{MAX_NAME_CHARS, description, remediation, shown, title};
use crate::output::asff::wire::{
    AsffFinding, Compliance, FindingProviderFields, Remediation, Severity, Workflow,
};
use crate::output::escape::for_json;
use crate::output::json_v1;
use crate::output::partition::Partition;
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::rfc3339;

mod alert_json;
mod product_fields;
mod resources;
mod texts;
pub(crate) mod wire;

/// The generator of the findings. With the product's ARN it separates them from others of the
/// account.
pub(crate) const GENERATOR: &str = "secondkey";

/// The longest finding ID of ours that is used unchanged in an ASFF ID, in bytes. The whole ASFF ID
/// may have 512.
const MAX_ID_BYTES: usize = 300;

/// The Security Hub that a finding is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHubTarget {
    /// The account that imports.
    pub account: String,
    /// The Region.
    pub region: String,
}

impl SecurityHubTarget {
    /// The ARN of the account's own product.
    #[must_use]
    pub fn product_arn(&self) -> String {
        format!(
            "arn:{}:securityhub:{region}:{account}:product/{account}/default",
            self.partition(),
            region = self.region,
            account = self.account
        )
    }

    /// The partition of the Region.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        Partition::of(&self.region).name
    }
}

/// Why an alert could not become a finding in ASFF.
#[derive(Debug, Error)]
pub enum AsffError {
    /// It has a version that this release does not know.
    #[error(
        "the alert has version `{0}`, which this release does not know; deploy the release that \
         sent it"
    )]
    UnknownVersion(String),
    /// It is not an alert.
    #[error("this is not an alert in version 1")]
    NotAnAlert(#[source] serde_json::Error),
    /// It cannot be written as JSON.
    #[error("a finding could not be written as JSON")]
    NotWritten(#[source] serde_json::Error),
    /// A time in it is not a time.
    #[error("this is not an alert in version 1: its `{0}` is not a time in RFC 3339")]
    NotATime(&'static str),
}

/// The finding for `alert`, an alert's JSON, in the form that `hub` accepts.
pub fn finding(alert: &Value, hub: &SecurityHubTarget) -> Result<AsffFinding, AsffError> {
    let alert = Alert::read(alert)?;
    let finding = &alert.finding;
    let status = AsffStatus::of(&finding.status);
    Ok(AsffFinding {
        schema_version: "2018-10-08",
        id: id(&finding.id, hub),
        product_arn: hub.product_arn(),
        product_name: "secondkey",
        generator_id: GENERATOR,
        aws_account_id: hub.account.clone(),
        created_at: rfc3339(finding.opened_at),
        updated_at: updated_at(&alert),
        first_observed_at: finding.detected_at.map(rfc3339),
        last_observed_at: rfc3339(alert.at),
        title: title(&alert),
        description: description(&alert),
        remediation: Remediation {
            recommendation: remediation(&alert),
        },
        product_fields: product_fields(&alert),
        resources: resources(finding, hub.partition()),
        compliance: Compliance {
            status: status.compliance,
        },
        workflow: Workflow {
            status: status.workflow,
        },
        record_state: status.record_state,
        finding_provider_fields: FindingProviderFields {
            severity: Severity {
                label: label(&finding.severity),
            },
            types: types(&finding.severity_reasons),
        },
    })
}

/// `snapshots` as `aws securityhub batch-import-findings --findings file://…` accepts them, at most
/// 100 per call: a JSON array. Each finding belongs to its own account, in `region`, because an
/// account's default product accepts findings of that account only. The forwarder in a member
/// account makes the same IDs.
pub fn document(snapshots: &[FindingSnapshot], region: &str) -> Result<String, AsffError> {
    let findings = snapshots
        .iter()
        .map(|snapshot| {
            let FindingSnapshot {
                alert,
                last_uses,
                invocation,
            } = snapshot;
            let alert = json_v1::alert_shown_by(alert, last_uses, invocation);
            let alert = serde_json::to_value(alert).map_err(AsffError::NotWritten)?;
            let account = snapshot.alert.finding.user().account();
            let hub = SecurityHubTarget {
                account: shown(account, MAX_NAME_CHARS),
                region: region.to_owned(),
            };
            finding(&alert, &hub)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let document = serde_json::to_string_pretty(&findings).map_err(AsffError::NotWritten)?;
    Ok(for_json(&document))
}

/// When the alert was made, in a form that keeps Security Hub's order of updates: it ignores an
/// update that is not later than the one it has (user guide, `BatchImportFindings`). Alert times
/// are in whole seconds, and a closing may have the same second as the opening, so the milliseconds
/// number the alerts.
fn updated_at(alert: &Alert) -> String {
    format!(
        "{}.{:03}Z",
        alert.at.format("%Y-%m-%dT%H:%M:%S"),
        alert.sequence % 1_000
    )
}

/// The ID that all alerts of the finding `id` share. An ID with characters that IAM would not allow
/// is hashed and never cut: two findings must not become one.
fn id(id: &str, hub: &SecurityHubTarget) -> String {
    let is_plain = id.len() <= MAX_ID_BYTES
        && id
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "+=,.@_-/<>".contains(character));
    let name = if is_plain {
        id.to_owned()
    } else {
        format!("sha256/{}", sha256_hex(id.as_bytes()))
    };
    format!("{}/secondkey/{name}", hub.product_arn())
}

/// A finding's status in ASFF.
struct AsffStatus {
    compliance: &'static str,
    workflow: &'static str,
    record_state: &'static str,
}

impl AsffStatus {
    fn of(status: &str) -> Self {
        let (compliance, workflow, record_state) = match status {
            "closed" => ("PASSED", "RESOLVED", "ARCHIVED"),
            "suppressed" => ("FAILED", "SUPPRESSED", "ARCHIVED"),
            // A word that only a later release knows must not hide a finding.
            _ => ("FAILED", "NEW", "ACTIVE"),
        };
        Self {
            compliance,
            workflow,
            record_state,
        }
    }
}

fn label(severity: &str) -> &'static str {
    let known = ["INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"];
    let found = known.into_iter().find(|label| *label == severity);
    found.unwrap_or("MEDIUM")
}

/// The severity reasons that suggest an intruder.
const SUSPICIOUS: [&str; 4] = [
    "untrusted_actor",
    "unfamiliar_actor",
    "dormant_key",
    "leaked_key",
];

fn types(severity_reasons: &[String]) -> Vec<&'static str> {
    let is_suspicious = severity_reasons
        .iter()
        .any(|reason| SUSPICIOUS.contains(&reason.as_str()));
    let mut types = vec!["Software and Configuration Checks/AWS Security Best Practices"];
    if is_suspicious {
        types.push("TTPs/Persistence");
    }
    types
}

#[cfg(test)]
mod tests;
