//! Alerts in the AWS Security Finding Format, which Security Hub takes. Made from the JSON of an alert, version 1, so that
//! whatever hears of an alert can make it, in this release or a later one.
//!
//! Source of the format and its limits: Security Hub API reference, `AwsSecurityFinding`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::detect::text::sha256_hex;
use crate::output::asff::alert::Alert;
use crate::output::asff::resources::resources;
use crate::output::asff::texts::{description, product_fields, remediation, title};
use crate::output::time::rfc3339;

mod alert;
mod resources;
mod texts;

/// Who makes the findings: with the product's ARN it tells them from others of the account.
pub const GENERATOR: &str = "secondkey";

/// The longest id of a finding of ours that stands in an id of ASFF as it is, in bytes; the whole may have 512.
const LONGEST_ID: usize = 300;

/// A finding in ASFF. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsffFinding {
    /// `2018-10-08`.
    pub schema_version: &'static str,
    /// The same in every alert of a finding, for one hub.
    pub id: String,
    /// The account's own product, under which it may import.
    pub product_arn: String,
    /// `secondkey`.
    pub product_name: &'static str,
    /// `secondkey`.
    pub generator_id: &'static str,
    /// The account that imports.
    pub aws_account_id: String,
    /// Since when two keys are active.
    pub created_at: String,
    /// When the alert was made; its milliseconds are the alert's place among those of one second.
    pub updated_at: String,
    /// When secondkey saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_observed_at: Option<String>,
    /// When the alert was made.
    pub last_observed_at: String,
    /// At most 256 bytes.
    pub title: String,
    /// At most 1,024 bytes.
    pub description: String,
    /// What to do.
    pub remediation: Remediation,
    /// What ASFF has no place for.
    pub product_fields: BTreeMap<&'static str, String>,
    /// The user, the keys, the account.
    pub resources: Vec<Resource>,
    /// Whether the user keeps to one active key.
    pub compliance: Compliance,
    /// Where the work on it is.
    pub workflow: Workflow,
    /// `ACTIVE` or `ARCHIVED`.
    pub record_state: &'static str,
    /// Severity and types, which a provider gives here and leaves to the customer elsewhere.
    pub finding_provider_fields: FindingProviderFields,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Remediation {
    /// What to do.
    pub recommendation: Recommendation,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Recommendation {
    /// At most 512 bytes.
    pub text: String,
    /// AWS's page about it.
    pub url: &'static str,
}

/// Whether a rule is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Compliance {
    /// `FAILED` or `PASSED`.
    pub status: &'static str,
}

/// Where the work on a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Workflow {
    /// `NEW`, `RESOLVED` or `SUPPRESSED`.
    pub status: &'static str,
}

/// What the provider thinks of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FindingProviderFields {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in ASFF's taxonomy.
    pub types: Vec<&'static str>,
}

/// How bad a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Severity {
    /// `MEDIUM`, `HIGH` or `CRITICAL`.
    pub label: &'static str,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    /// `AwsIamUser`, `AwsIamAccessKey` or `AwsAccount`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// The ARN, where it is known.
    pub id: String,
    /// `aws`, `aws-cn`, …
    pub partition: &'static str,
    /// More of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// More of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Details {
    /// Of a user.
    AwsIamUser(UserDetails),
    /// Of a key.
    AwsIamAccessKey(KeyDetails),
}

/// More of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserDetails {
    /// The name.
    pub user_name: String,
}

/// More of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyDetails {
    /// Its id.
    pub access_key_id: String,
    /// The account that it is of.
    pub account_id: String,
    /// The user that it is of.
    pub principal_name: String,
    /// `IAMUser` or `Root`.
    pub principal_type: &'static str,
    /// `Active` or `Inactive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
}

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

fn types(severity_reasons: &[String]) -> Vec<&'static str> {
    let is_suspicious = severity_reasons
        .iter()
        .any(|reason| ["untrusted_actor", "dormant_key"].contains(&reason.as_str()));
    let mut types = vec!["Software and Configuration Checks/AWS Security Best Practices"];
    if is_suspicious {
        types.push("TTPs/Persistence");
    }
    types
}

#[cfg(test)]
mod tests;
