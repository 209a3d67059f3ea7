//! Alerts in the AWS Security Finding Format, which Security Hub takes. Made from the JSON of an alert, version 1, so that
//! whatever hears of an alert can make it, in this release or a later one.
//!
//! Source of the format and its limits: Security Hub API reference, `AwsSecurityFinding`.

use serde_json::Value;
use thiserror::Error;

use crate::detect::text::sha256_hex;
use crate::output::asff::alert::Alert;
use crate::output::asff::product_fields::product_fields;
use crate::output::asff::resources::resources;
use crate::output::asff::texts::{LONGEST_NAME, description, remediation, shown, title};
use crate::output::asff::wire::{
    AsffFinding, Compliance, FindingProviderFields, Remediation, Severity, Workflow,
};
use crate::output::escape::for_json;
use crate::output::json_v1;
use crate::output::standing;
use crate::output::time::rfc3339;

mod alert;
mod product_fields;
mod resources;
mod texts;
pub mod wire;

/// Who makes the findings: with the product's ARN it tells them from others of the account.
pub const GENERATOR: &str = "secondkey";

/// The longest id of a finding of ours that stands in an id of ASFF as it is, in bytes; the whole may have 512.
const LONGEST_ID: usize = 300;

/// The Security Hub that a finding is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// The account that imports.
    pub account: String,
    /// The region.
    pub region: String,
}

impl Hub {
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

    /// The partition that the region is in.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        let known = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("us-iso-", "aws-iso"),
            ("us-isob-", "aws-iso-b"),
            ("us-isof-", "aws-iso-f"),
            ("eu-isoe-", "aws-iso-e"),
            ("eusc-", "aws-eusc"),
        ];
        let found = known
            .into_iter()
            .find(|(beginning, _)| self.region.starts_with(beginning));
        found.map_or("aws", |(_, partition)| partition)
    }
}

/// Why there is no finding in ASFF of an alert.
#[derive(Debug, Error)]
pub enum AsffError {
    /// It is of a version that this release does not know.
    #[error(
        "the alert has version `{0}`, which this release does not know; deploy the release that sent it"
    )]
    UnknownVersion(String),
    /// It is no alert.
    #[error("this is no alert in version 1: {0}")]
    NotAnAlert(serde_json::Error),
    /// It cannot be written as JSON.
    #[error("a finding could not be written as JSON: {0}")]
    NotWritten(serde_json::Error),
    /// A time in it is none.
    #[error("this is no alert in version 1: its `{0}` is no time in RFC 3339")]
    NotATime(&'static str),
}

/// The finding of `alert`, which is an alert's JSON, as `hub` takes it.
pub fn finding(alert: &Value, hub: &Hub) -> Result<AsffFinding, AsffError> {
    let alert = Alert::read(alert)?;
    let finding = &alert.finding;
    let standing = Standing::of(&finding.status);
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
            status: standing.compliance,
        },
        workflow: Workflow {
            status: standing.workflow,
        },
        record_state: standing.record_state,
        finding_provider_fields: FindingProviderFields {
            severity: Severity {
                label: label(&finding.severity),
            },
            types: types(&finding.severity_reasons),
        },
    })
}

/// `standings` as `aws securityhub batch-import-findings --findings file://…` takes them, which is 100 in one call: a JSON
/// array. Each finding is its own account's, in `region`, for an account's default product takes findings from that account
/// only; the forwarder of a member account makes the same ids.
pub fn document(standings: &[standing::Standing], region: &str) -> Result<String, AsffError> {
    let findings = standings
        .iter()
        .map(|standing| {
            let standing::Standing {
                alert,
                last_uses,
                invocation,
            } = standing;
            let alert = json_v1::alert_shown_by(alert, last_uses, invocation);
            let alert = serde_json::to_value(alert).map_err(AsffError::NotWritten)?;
            let account = standing.alert.finding.user().account();
            let hub = Hub {
                account: shown(account, LONGEST_NAME),
                region: region.to_owned(),
            };
            finding(&alert, &hub)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let document = serde_json::to_string_pretty(&findings).map_err(AsffError::NotWritten)?;
    Ok(for_json(&document))
}

/// When the alert was made, as Security Hub puts updates in order: it ignores one that is as late as what it has, or
/// earlier (user guide, `BatchImportFindings`). Times of alerts are whole seconds and a closing may come in the second of the
/// opening, so the milliseconds count the alerts.
fn updated_at(alert: &Alert) -> String {
    format!(
        "{}.{:03}Z",
        alert.at.format("%Y-%m-%dT%H:%M:%S"),
        alert.sequence % 1_000
    )
}

/// The id that every alert of the finding `id` has. What IAM would not allow in it is hashed, and never cut: two findings
/// must not become one.
fn id(id: &str, hub: &Hub) -> String {
    let is_plain = id.len() <= LONGEST_ID
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

/// What a finding's status is in ASFF.
struct Standing {
    compliance: &'static str,
    workflow: &'static str,
    record_state: &'static str,
}

impl Standing {
    fn of(status: &str) -> Self {
        let (compliance, workflow, record_state) = match status {
            "closed" => ("PASSED", "RESOLVED", "ARCHIVED"),
            "suppressed" => ("FAILED", "SUPPRESSED", "ARCHIVED"),
            // A word of a later release hides nothing.
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

/// The reasons for a severity that speak of an intruder.
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
