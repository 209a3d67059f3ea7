//! The structs of a SARIF log.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output::json_v1::wire::FindingSnapshotV1;

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Log {
    /// Where the schema is published.
    #[serde(rename = "$schema")]
    pub schema: &'static str,
    /// `2.1.0`.
    pub version: &'static str,
    /// The only run.
    pub runs: [Run; 1],
}

/// One run of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// secondkey.
    pub tool: Tool,
    /// Which runs belong together.
    pub automation_details: AutomationDetails,
    /// The findings.
    pub results: Vec<Result>,
}

/// secondkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Tool {
    /// The tool itself, without extensions.
    pub driver: Driver,
}

/// The tool itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Driver {
    /// `secondkey`.
    pub name: &'static str,
    /// The release.
    pub semantic_version: &'static str,
    /// For an IAM user, and for root.
    pub rules: [Rule; 2],
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rule {
    /// Its ID, which never changes.
    pub id: &'static str,
    /// A readable ID.
    pub name: &'static str,
    /// What it finds, in one line.
    pub short_description: Text,
    /// What it finds.
    pub full_description: Text,
    /// Why, and what to do.
    pub help: MultiformatText,
    /// The usual level.
    pub default_configuration: Configuration,
    /// Properties that GitHub reads.
    pub properties: RuleProperties,
}

/// A text of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Text {
    /// The text.
    pub text: &'static str,
}

/// A text of our own, also as Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MultiformatText {
    /// As plain text.
    pub text: &'static str,
    /// As Markdown.
    pub markdown: &'static str,
}

/// The defaults of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Configuration {
    /// `warning` or `error`.
    pub level: &'static str,
}

/// Properties of a rule that GitHub reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RuleProperties {
    /// What it is about.
    pub tags: [&'static str; 4],
    /// How rarely it is wrong.
    pub precision: &'static str,
    /// From 0 to 10, as in CVSS.
    #[serde(rename = "security-severity")]
    pub security_severity: &'static str,
}

/// Which runs belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AutomationDetails {
    /// `secondkey/scan/`.
    pub id: &'static str,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Result {
    /// The rule's ID.
    pub rule_id: &'static str,
    /// The rule's index.
    pub rule_index: usize,
    /// `error`, `warning`, or `note` for a closed or suppressed finding.
    pub level: &'static str,
    /// What is known and what to do.
    pub message: Message,
    /// The user.
    pub locations: [Location; 1],
    /// What identifies it across runs.
    pub partial_fingerprints: BTreeMap<&'static str, String>,
    /// `new`, `unchanged` or `absent`.
    pub baseline_state: &'static str,
    /// The exemption, if one suppresses it.
    pub suppressions: Vec<Suppression>,
    /// The finding in version 1 of our own JSON.
    pub properties: FindingSnapshotV1,
}

/// A text, also as Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// As plain text.
    pub text: String,
    /// As Markdown.
    pub markdown: String,
}

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Location {
    /// A path made of the account and the user.
    pub physical_location: PhysicalLocation,
    /// The user, then its keys.
    pub logical_locations: Vec<LogicalLocation>,
}

/// A path made of the account and the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhysicalLocation {
    /// The path.
    pub artifact_location: ArtifactLocation,
    /// The start of the file.
    pub region: Region,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ArtifactLocation {
    /// `<account>/iam/user/<user>`.
    pub uri: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Region {
    /// 1.
    pub start_line: u32,
}

/// A user or a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogicalLocation {
    /// The user's name or the key's ID.
    pub name: String,
    /// `<account>/<user>` or `<account>/<user>/<key>`.
    pub fully_qualified_name: String,
    /// `resource`.
    pub kind: &'static str,
}

/// An exemption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Suppression {
    /// `external`: it is stored outside this log.
    pub kind: &'static str,
    /// `accepted`.
    pub status: &'static str,
    /// Until when, why, and who is responsible for it.
    pub justification: String,
}
