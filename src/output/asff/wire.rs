//! The structs of a finding in ASFF, as they stand on the wire.

use std::collections::BTreeMap;

use serde::Serialize;

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
