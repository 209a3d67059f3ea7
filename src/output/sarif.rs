//! Findings as a log in the Static Analysis Results Interchange Format 2.1.0, for viewers of
//! scanner results.
//!
//! Names and IDs stay as they are, because programs compare them. Messages are escaped like plain
//! text and chat. The document contains no invisible characters. Source: SARIF 2.1.0, OASIS
//! standard, with errata 01.

use std::collections::BTreeMap;

use crate::detect::decision::severity::Severity;
use crate::detect::events::text::sha256_hex;
use crate::detect::findings::alert::AlertKind;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::output::escape::{OutputContext, for_json, for_sarif, for_uri_segment};
use crate::output::facts::user_name;
use crate::output::json_v1;
use crate::output::sarif::rules::{RULE, RULE_OF_ROOT, rules};
use crate::output::sarif::wire::{
    ArtifactLocation, AutomationDetails, Driver, Location, Log, LogicalLocation, Message,
    PhysicalLocation, Region, Result as SarifResult, Run, Suppression, Tool,
};
use crate::output::snapshot::FindingSnapshot;
use crate::output::snapshot_text::SnapshotText;

mod rules;
pub(crate) mod wire;

/// `snapshots` as a SARIF log with one run.
pub fn document(snapshots: &[FindingSnapshot]) -> Result<String, serde_json::Error> {
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "secondkey",
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: rules(),
                },
            },
            automation_details: AutomationDetails {
                id: "secondkey/scan/",
            },
            results: snapshots.iter().map(result).collect(),
        }],
    };
    Ok(for_json(&serde_json::to_string_pretty(&log)?))
}

fn result(snapshot: &FindingSnapshot) -> SarifResult {
    let finding = &snapshot.alert.finding;
    let is_root = finding.user().is_root();
    SarifResult {
        rule_id: if is_root { RULE_OF_ROOT } else { RULE },
        rule_index: usize::from(is_root),
        level: level(finding),
        message: message(snapshot),
        locations: [location(finding)],
        partial_fingerprints: fingerprints(finding),
        baseline_state: match snapshot.alert.kind {
            AlertKind::Opened => "new",
            AlertKind::Updated(_) => "unchanged",
            AlertKind::Closed => "absent",
        },
        suppressions: suppression(snapshot).into_iter().collect(),
        properties: json_v1::snapshot(snapshot),
    }
}

fn level(finding: &Finding) -> &'static str {
    match (finding.status, finding.severity) {
        (FindingStatus::Closed | FindingStatus::Suppressed, _) => "note",
        (FindingStatus::Open, Severity::Medium) => "warning",
        (FindingStatus::Open, Severity::High | Severity::Critical) => "error",
    }
}

fn message(snapshot: &FindingSnapshot) -> Message {
    let text = SnapshotText::of(snapshot, OutputContext::PlainText);
    let plain = format!(
        "{}. {}\n{}",
        text.title(),
        text.description().join(" "),
        text.to_do().join("\n")
    );
    let text = SnapshotText::of(snapshot, OutputContext::Chat);
    let markdown = format!(
        "{}. {}\n\n{}",
        text.title(),
        text.description().join(" "),
        text.to_do().join("\n\n")
    );
    Message {
        text: for_sarif(&plain),
        markdown: for_sarif(&markdown),
    }
}

/// The user and the keys. The physical location is a path that no file has: GitHub does not show a
/// result without one, and groups the results of a user by it.
fn location(finding: &Finding) -> Location {
    let (account, name) = (finding.user().account(), user_name(finding));
    let owner = format!("{account}/{name}");
    let keys = finding.keys.iter().map(|key| LogicalLocation {
        name: key.id.clone(),
        fully_qualified_name: format!("{owner}/{}", key.id),
        kind: "resource",
    });
    let path = [account, "iam", "user", name].map(for_uri_segment);
    Location {
        physical_location: PhysicalLocation {
            artifact_location: ArtifactLocation {
                uri: path.join("/"),
            },
            region: Region { start_line: 1 },
        },
        logical_locations: [LogicalLocation {
            name: name.to_owned(),
            fully_qualified_name: owner.clone(),
            kind: "resource",
        }]
        .into_iter()
        .chain(keys)
        .collect(),
    }
}

/// What identifies a result across runs. GitHub compares only the second one.
fn fingerprints(finding: &Finding) -> BTreeMap<&'static str, String> {
    let id = finding.id.to_string();
    let hash = format!("{}:1", sha256_hex(id.as_bytes()));
    BTreeMap::from([
        ("secondkeyFinding/v1", id),
        ("primaryLocationLineHash", hash),
    ])
}

fn suppression(snapshot: &FindingSnapshot) -> Option<Suppression> {
    let finding = &snapshot.alert.finding;
    let is_suppressed = finding.status == FindingStatus::Suppressed;
    is_suppressed.then(|| Suppression {
        kind: "external",
        status: "accepted",
        justification: SnapshotText::of(snapshot, OutputContext::PlainText)
            .circumstances()
            .join(" "),
    })
}

#[cfg(test)]
mod tests;
