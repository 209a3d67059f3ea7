//! The structs of a finding in ASFF.

use std::collections::BTreeMap;

use serde::Serialize;

/// A finding in ASFF. Unknown values are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsffFinding {
    /// `2018-10-08`.
    pub schema_version: &'static str,
    /// The same in every alert of a finding, for one hub.
    pub id: String,
    /// The account's own product, under which it may import findings.
    pub product_arn: String,
    /// `secondkey`.
    pub product_name: &'static str,
    /// `secondkey`.
    pub generator_id: &'static str,
    /// The account that imports.
    pub aws_account_id: String,
    /// Since when two keys have been active.
    pub created_at: String,
    /// When the alert was made. The milliseconds order the alerts within one second.
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
    /// What ASFF has no field for.
    pub product_fields: BTreeMap<&'static str, String>,
    /// The user, the keys, the account.
    pub resources: Vec<Resource>,
    /// Whether the user has at most one active key.
    pub compliance: Compliance,
    /// The state of the investigation.
    pub workflow: Workflow,
    /// `ACTIVE` or `ARCHIVED`.
    pub record_state: &'static str,
    /// Severity and types. A provider sets them here; the top-level fields belong to the customer.
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

/// Whether the resource complies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Compliance {
    /// `FAILED` or `PASSED`.
    pub status: &'static str,
}

/// The state of the investigation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Workflow {
    /// `NEW`, `RESOLVED` or `SUPPRESSED`.
    pub status: &'static str,
}

/// The provider's severity and types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FindingProviderFields {
    /// The severity.
    pub severity: Severity,
    /// The type, in ASFF's taxonomy.
    pub types: Vec<&'static str>,
}

/// The severity of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Severity {
    /// `MEDIUM`, `HIGH` or `CRITICAL`.
    pub label: &'static str,
}

/// A resource of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    /// `AwsIamUser`, `AwsIamAccessKey` or `AwsAccount`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// The ARN, if known.
    pub id: String,
    /// `aws`, `aws-cn`, …
    pub partition: &'static str,
    /// Details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// Details of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Details {
    /// Details of a user.
    AwsIamUser(UserDetails),
    /// Details of a key.
    AwsIamAccessKey(KeyDetails),
}

/// Details of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserDetails {
    /// The name.
    pub user_name: String,
}

/// Details of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyDetails {
    /// Its ID.
    pub access_key_id: String,
    /// The account that it belongs to.
    pub account_id: String,
    /// The user that it belongs to.
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
