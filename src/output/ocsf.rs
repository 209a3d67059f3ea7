//! Findings in the Open Cybersecurity Schema Framework, as Detection Findings, for SIEMs and data
//! lakes.
//!
//! Source: the schema's class `detection_finding` with the profile `cloud`, in version 1.6.0, the
//! version that AWS Security Hub accepts. Names and IDs stay as they are, because programs compare
//! them. Readable texts are escaped like plain text. The document contains no invisible characters.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::alert::AlertKind;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::output::escape::{OutputContext, for_json};
use crate::output::json_v1::{
    verdict::verdict_v1,
    words::{FoundByV1, SeverityReasonV1},
};
use crate::output::ocsf::evidences::{evidences, related_events};
use crate::output::ocsf::resources::{account, resources};
use crate::output::ocsf::wire::{
    Analytic, Attack, Cloud, DetectionFinding, FindingInfo, Metadata, Named, Product, Remediation,
};
use crate::output::snapshot::FindingSnapshot;
use crate::output::snapshot_text::SnapshotText;
use crate::output::time::rfc3339;

mod evidences;
mod resources;
pub(crate) mod wire;

/// The version of the schema.
const SCHEMA: &str = "1.6.0";

/// The classes `Findings` and `Detection Finding`.
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;

/// How to rotate keys.
const ABOUT_ROTATION: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html";

/// `snapshots` as a JSON array of Detection Findings.
pub fn document(snapshots: &[FindingSnapshot]) -> Result<String, serde_json::Error> {
    let events: Vec<_> = snapshots.iter().map(event).collect();
    Ok(for_json(&serde_json::to_string_pretty(&events)?))
}

/// `snapshot` as a Detection Finding.
#[must_use]
pub(crate) fn event(snapshot: &FindingSnapshot) -> DetectionFinding {
    let finding = &snapshot.alert.finding;
    let text = SnapshotText::of(snapshot, OutputContext::PlainText);
    let (activity_id, activity_name) = activity(&snapshot.alert.kind);
    let (status_id, status) = status(finding.status);
    let (severity_id, severity) = severity(finding.severity);
    let (confidence_id, confidence) = if finding.confirmed {
        (3, "High")
    } else {
        (2, "Medium")
    };
    DetectionFinding {
        activity_id,
        activity_name,
        category_uid: CATEGORY,
        category_name: "Findings",
        class_uid: CLASS,
        class_name: "Detection Finding",
        type_uid: CLASS * 100 + activity_id,
        type_name: format!("Detection Finding: {activity_name}"),
        time: milliseconds(snapshot.alert.at),
        severity_id,
        severity,
        status_id,
        status,
        status_detail: status_detail(finding),
        confidence_id,
        confidence,
        is_alert: finding.status == FindingStatus::Open,
        message: text.title(),
        metadata: Metadata {
            version: SCHEMA,
            profiles: ["cloud"],
            product: Product {
                name: "secondkey",
                vendor_name: "secondkey",
                version: env!("CARGO_PKG_VERSION"),
            },
        },
        cloud: Cloud {
            provider: "AWS",
            account: account(finding.user().account()),
        },
        finding_info: finding_info(snapshot, &text),
        risk_details: text.risk(),
        remediation: Remediation {
            desc: text.to_do().join("\n"),
            references: [ABOUT_ROTATION],
        },
        resources: resources(snapshot),
        evidences: evidences(finding),
        unmapped: unmapped(snapshot),
    }
}

/// `at` as OCSF's `timestamp_t`: milliseconds since 1970.
fn milliseconds(at: Timestamp) -> i64 {
    at.timestamp_millis()
}

fn activity(kind: &AlertKind) -> (u32, &'static str) {
    match kind {
        AlertKind::Opened => (1, "Create"),
        AlertKind::Updated(_) => (2, "Update"),
        AlertKind::Closed => (3, "Close"),
    }
}

/// `In Progress` is not used: it means that a person is reviewing the finding, which secondkey
/// cannot know.
fn status(status: FindingStatus) -> (u32, &'static str) {
    match status {
        FindingStatus::Open => (1, "New"),
        FindingStatus::Suppressed => (3, "Suppressed"),
        FindingStatus::Closed => (4, "Resolved"),
    }
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn status_detail(finding: &Finding) -> Option<&'static str> {
    let closing = finding.closing.as_ref();
    let exempt = (finding.status == FindingStatus::Suppressed).then_some("exempt");
    closing.map(|closing| closing.reason.words()).or(exempt)
}

fn finding_info(snapshot: &FindingSnapshot, text: &SnapshotText<'_>) -> FindingInfo {
    let finding = &snapshot.alert.finding;
    let closed_at = finding.closing.as_ref().map(|closing| closing.at);
    FindingInfo {
        uid: finding.id.to_string(),
        title: text.title(),
        desc: text.description().join(" "),
        created_time: milliseconds(finding.detected_at),
        modified_time: milliseconds(snapshot.alert.at),
        first_seen_time: milliseconds(finding.opened_at),
        last_seen_time: milliseconds(closed_at.unwrap_or(snapshot.alert.at)),
        types: ["Second Active Access Key"],
        analytic: Analytic {
            uid: "second-active-access-key",
            name: "Second active access key",
            kind: "Rule",
            type_id: 1,
        },
        attacks: [Attack {
            tactic: Named::new("TA0003", "Persistence"),
            technique: Named::new("T1098", "Account Manipulation"),
            sub_technique: Named::new("T1098.001", "Additional Cloud Credentials"),
        }],
        related_events: related_events(finding),
    }
}

/// What OCSF has no field for.
fn unmapped(snapshot: &FindingSnapshot) -> BTreeMap<&'static str, Value> {
    let finding = &snapshot.alert.finding;
    let found_by = FoundByV1::from(finding.found_by).word();
    let reasons = finding.severity_reasons.iter();
    let reasons: Vec<&str> = reasons
        .map(|one| SeverityReasonV1::from(*one).word())
        .collect();
    let mut fields = BTreeMap::from([
        ("change", Value::from(snapshot.change())),
        ("found_by", found_by.into()),
        ("severity_reasons", reasons.into()),
        (
            "rotation_window_ends_at",
            rfc3339(snapshot.alert.window_ends_at).into(),
        ),
    ]);
    if let Some(verdict) = snapshot.verdict() {
        let verdict = verdict_v1(&verdict);
        fields.insert("verdict", verdict.code.into());
        fields.insert("verdict_key", verdict.key.into());
        fields.insert("verdict_reason", verdict.reason.into());
        fields.insert(
            "verdict_not_before",
            verdict.not_before.map(String::from).into(),
        );
    }
    if let Some(exemption) = &finding.exemption {
        let owner = exemption.owner.clone();
        fields.insert("exemption_id", exemption.id.clone().into());
        fields.insert("exemption_owner", owner.into());
        fields.insert("exemption_until", rfc3339(exemption.until).into());
    }
    fields
}

#[cfg(test)]
mod tests;
