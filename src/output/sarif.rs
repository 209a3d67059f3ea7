//! Findings as a log in the Static Analysis Results Interchange Format 2.1.0, for whatever shows results of scanners.
//!
//! Names and ids stand as they are, for programs compare them; messages are escaped like plain text's and chat's; and no
//! character that cannot be seen stands in the document. Source: SARIF 2.1.0, OASIS standard, with errata 01.

use std::collections::BTreeMap;

use crate::detect::alert::AlertKind;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::severity::Severity;
use crate::detect::text::sha256_hex;
use crate::output::escape::{Place, for_json, for_sarif, for_uri_segment};
use crate::output::facts::user_name;
use crate::output::json_v1;
use crate::output::sarif::rules::{RULE, RULE_OF_ROOT, rules};
use crate::output::sarif::wire::{
    ArtifactLocation, AutomationDetails, Driver, Location, Log, LogicalLocation, Message,
    PhysicalLocation, Region, Result as SarifResult, Run, Suppression, Tool,
};
use crate::output::standing::Standing;
use crate::output::standing_text::StandingText;

mod rules;
pub mod wire;

/// `standings` as a SARIF log with one run.
pub fn document(standings: &[Standing]) -> Result<String, serde_json::Error> {
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
            results: standings.iter().map(result).collect(),
        }],
    };
    Ok(for_json(&serde_json::to_string_pretty(&log)?))
}

fn result(standing: &Standing) -> SarifResult {
    let finding = &standing.alert.finding;
    let is_root = finding.user().is_root();
    SarifResult {
        rule_id: if is_root { RULE_OF_ROOT } else { RULE },
        rule_index: usize::from(is_root),
        level: level(finding),
        message: message(standing),
        locations: [location(finding)],
        partial_fingerprints: fingerprints(finding),
        baseline_state: match standing.alert.kind {
            AlertKind::Opened => "new",
            AlertKind::Updated(_) => "unchanged",
            AlertKind::Closed => "absent",
        },
        suppressions: suppression(standing).into_iter().collect(),
        properties: json_v1::standing(standing),
    }
}

fn level(finding: &Finding) -> &'static str {
    match (finding.status, finding.severity) {
        (FindingStatus::Closed | FindingStatus::Suppressed, _) => "note",
        (FindingStatus::Open, Severity::Medium) => "warning",
        (FindingStatus::Open, Severity::High | Severity::Critical) => "error",
    }
}

fn message(standing: &Standing) -> Message {
    let text = StandingText::of(standing, Place::PlainText);
    let plain = format!(
        "{}. {}\n{}",
        text.title(),
        text.description().join(" "),
        text.to_do().join("\n")
    );
    let text = StandingText::of(standing, Place::Chat);
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

/// The user and the keys. The physical location is a path that no file has: GitHub shows no result without one, and by this
/// one groups the results of a user.
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

/// What makes a result the same one at every look; the second is the only one that GitHub compares.
fn fingerprints(finding: &Finding) -> BTreeMap<&'static str, String> {
    let id = finding.id.to_string();
    let hash = format!("{}:1", sha256_hex(id.as_bytes()));
    BTreeMap::from([
        ("secondkeyFinding/v1", id),
        ("primaryLocationLineHash", hash),
    ])
}

fn suppression(standing: &Standing) -> Option<Suppression> {
    let finding = &standing.alert.finding;
    let is_suppressed = finding.status == FindingStatus::Suppressed;
    is_suppressed.then(|| Suppression {
        kind: "external",
        status: "accepted",
        justification: StandingText::of(standing, Place::PlainText)
            .circumstances()
            .join(" "),
    })
}

#[cfg(test)]
mod tests;
