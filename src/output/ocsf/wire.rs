//! The structs of a Detection Finding. Unknown values are left out. Times are milliseconds since
//! 1970.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::output::ocsf::wire::evidences::{Evidence, User};

pub(crate) mod evidences;

/// A Detection Finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DetectionFinding {
    /// 1 for a new finding, 2 for one that is still open, 3 for a closed one.
    pub activity_id: u32,
    /// `Create`, `Update` or `Close`.
    pub activity_name: &'static str,
    /// 2.
    pub category_uid: u32,
    /// `Findings`.
    pub category_name: &'static str,
    /// 2004.
    pub class_uid: u32,
    /// `Detection Finding`.
    pub class_name: &'static str,
    /// 200401, 200402 or 200403.
    pub type_uid: u32,
    /// `Detection Finding: Create`, …
    pub type_name: String,
    /// When the finding was looked up.
    pub time: i64,
    /// 3, 4 or 5.
    pub severity_id: u32,
    /// `Medium`, `High` or `Critical`.
    pub severity: &'static str,
    /// 1, 3 or 4.
    pub status_id: u32,
    /// `New`, `Suppressed` or `Resolved`.
    pub status: &'static str,
    /// How it was closed, or that an exemption covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_detail: Option<&'static str>,
    /// 3 if a settled listing has shown two active keys, else 2.
    pub confidence_id: u32,
    /// `High` or `Medium`.
    pub confidence: &'static str,
    /// Whether it should be treated as an alert.
    pub is_alert: bool,
    /// The title.
    pub message: String,
    /// What made this, and with which schema.
    pub metadata: Metadata,
    /// The account.
    pub cloud: Cloud,
    /// The finding.
    pub finding_info: FindingInfo,
    /// Why the severity is above the usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_details: Option<String>,
    /// What to do.
    pub remediation: Remediation,
    /// The user and its keys.
    pub resources: Vec<Resource>,
    /// Who made the second key active and who closed the finding, as far as events show it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidences: Vec<Evidence>,
    /// What OCSF has no field for.
    pub unmapped: BTreeMap<&'static str, Value>,
}

/// What made this, and with which schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Metadata {
    /// The schema's version.
    pub version: &'static str,
    /// `cloud`.
    pub profiles: [&'static str; 1],
    /// secondkey.
    pub product: Product,
}

/// secondkey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Product {
    /// `secondkey`.
    pub name: &'static str,
    /// `secondkey`.
    pub vendor_name: &'static str,
    /// The release.
    pub version: &'static str,
}

/// The cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cloud {
    /// `AWS`.
    pub provider: &'static str,
    /// The user's account.
    pub account: Account,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    /// Its ID.
    pub uid: String,
    /// `AWS Account`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// 10.
    pub type_id: u32,
}

/// The finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FindingInfo {
    /// `<account>/<user>/<episode>`.
    pub uid: String,
    /// The same in every run.
    pub title: String,
    /// What is known.
    pub desc: String,
    /// When secondkey saw it.
    pub created_time: i64,
    /// When the finding was looked up.
    pub modified_time: i64,
    /// Since when two keys have been active.
    pub first_seen_time: i64,
    /// Until when, if known.
    pub last_seen_time: i64,
    /// `Second Active Access Key`.
    pub types: [&'static str; 1],
    /// The rule.
    pub analytic: Analytic,
    /// Where it is in MITRE ATT&CK.
    pub attacks: [Attack; 1],
    /// The events of its opening and its closing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related_events: Vec<RelatedEvent>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Analytic {
    /// Its ID.
    pub uid: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `Rule`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// 1.
    pub type_id: u32,
}

/// A place in MITRE ATT&CK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Attack {
    /// The tactic.
    pub tactic: Named,
    /// The technique.
    pub technique: Named,
    /// The sub-technique.
    pub sub_technique: Named,
}

/// Something with an ID and a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Named {
    /// The ID.
    pub uid: &'static str,
    /// The name.
    pub name: &'static str,
}

/// A related event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RelatedEvent {
    /// CloudTrail's `eventID`.
    pub uid: String,
    /// `CloudTrail`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Remediation {
    /// The advice.
    pub desc: String,
    /// AWS's page about it.
    pub references: [&'static str; 1],
}

/// A user or a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Resource {
    /// The ARN if known, else `<account>/<user>`, or the key's ID.
    pub uid: String,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `AWS::IAM::User`, `AWS::IAM::AccessKey`, or `AWS::::Account` for root.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `Affected`.
    pub role: &'static str,
    /// 3.
    pub role_id: u32,
    /// When a key was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
    /// The user that the key belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<User>,
    /// Details of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<KeyData>,
}

/// Details of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KeyData {
    /// `Active`, `Inactive` or `Deleted`.
    pub status: &'static str,
    /// Whether it was ever used, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was_used: Option<bool>,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_time: Option<i64>,
    /// By which service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_service: Option<String>,
    /// In which Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_region: Option<String>,
    /// Whether it is the key to retire.
    pub is_to_retire: bool,
}

impl Named {
    pub(super) fn new(uid: &'static str, name: &'static str) -> Self {
        Self { uid, name }
    }
}
