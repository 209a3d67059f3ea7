//! The structs of a SARIF log, as they stand on the wire.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output::json_v1::wire::StandingV1;

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Where the schema is published.
    #[serde(rename = "$schema")]
    pub schema: &'static str,
    /// `2.1.0`.
    pub version: &'static str,
    /// The only run.
    pub runs: [Run; 1],
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// secondkey.
    pub tool: Tool,
    /// Which runs belong together.
    pub automation_details: AutomationDetails,
    /// The findings.
    pub results: Vec<Result>,
}

/// secondkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// The tool itself, without extensions.
    pub driver: Driver,
}

/// The tool itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Driver {
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
pub struct Rule {
    /// Its id, which never changes.
    pub id: &'static str,
    /// The same for people.
    pub name: &'static str,
    /// What it finds, in a line.
    pub short_description: Text,
    /// What it finds.
    pub full_description: Text,
    /// Why, and what to do.
    pub help: MultiformatText,
    /// The usual level.
    pub default_configuration: Configuration,
    /// What GitHub reads.
    pub properties: RuleProperties,
}

/// A text of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// The text.
    pub text: &'static str,
}

/// A text of our own, and the same in Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MultiformatText {
    /// The text.
    pub text: &'static str,
    /// In Markdown.
    pub markdown: &'static str,
}

/// How a rule is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Configuration {
    /// `warning` or `error`.
    pub level: &'static str,
}

/// What GitHub reads of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleProperties {
    /// What it is about.
    pub tags: [&'static str; 4],
    /// How seldom it is wrong.
    pub precision: &'static str,
    /// From 0 to 10, as CVSS has it.
    #[serde(rename = "security-severity")]
    pub security_severity: &'static str,
}

/// Which runs belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AutomationDetails {
    /// `secondkey/scan/`.
    pub id: &'static str,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Result {
    /// The rule's id.
    pub rule_id: &'static str,
    /// The rule's place among the rules.
    pub rule_index: usize,
    /// `error`, `warning`, or `note` for one that is closed or exempt.
    pub level: &'static str,
    /// What is known and what to do.
    pub message: Message,
    /// The user.
    pub locations: [Location; 1],
    /// What makes it the same at every look.
    pub partial_fingerprints: BTreeMap<&'static str, String>,
    /// `new`, `unchanged` or `absent`.
    pub baseline_state: &'static str,
    /// The exemption, if one hides it.
    pub suppressions: Vec<Suppression>,
    /// The finding in version 1 of our own JSON.
    pub properties: StandingV1,
}

/// A text, and the same in Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The text.
    pub text: String,
    /// In Markdown.
    pub markdown: String,
}

/// Where a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// A path made of account and user.
    pub physical_location: PhysicalLocation,
    /// The user, then its keys.
    pub logical_locations: Vec<LogicalLocation>,
}

/// A path made of account and user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhysicalLocation {
    /// The path.
    pub artifact_location: ArtifactLocation,
    /// Its beginning.
    pub region: Region,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactLocation {
    /// `<account>/iam/user/<user>`.
    pub uri: String,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// 1.
    pub start_line: u32,
}

/// A user or a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogicalLocation {
    /// The user's name or the key's id.
    pub name: String,
    /// `<account>/<user>` or `<account>/<user>/<key>`.
    pub fully_qualified_name: String,
    /// `resource`.
    pub kind: &'static str,
}

/// An exemption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// `external`: it is kept outside of this log.
    pub kind: &'static str,
    /// `accepted`.
    pub status: &'static str,
    /// Until when, why, and who answers for it.
    pub justification: String,
}
