//! The structs of version 1. An absent value is `null`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::detect::Timestamp;
use crate::output::json_v1::words::{
    AlertKindV1, ChangeV1, CloseReasonV1, DigestReasonV1, FoundByV1, HowV1, KeyStatusV1,
    LeakSignalV1, PurposeV1, RelationV1, SeverityReasonV1, SeverityV1, StatusV1, UpdateV1,
};
#[cfg(feature = "cli")]
use crate::output::json_v1::{advice, verdict};
use crate::output::time::rfc3339;

/// A time: RFC 3339 in UTC, in whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(extend("format" = "date-time")))]
pub struct TimeV1(String);

impl From<Timestamp> for TimeV1 {
    fn from(at: Timestamp) -> Self {
        Self(rfc3339(at))
    }
}

impl From<TimeV1> for String {
    fn from(time: TimeV1) -> Self {
        time.0
    }
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct AlertV1 {
    /// `1`.
    #[cfg_attr(feature = "cli", schemars(extend("const" = "1")))]
    pub version: &'static str,
    /// What happened to the finding.
    pub kind: AlertKindV1,
    /// What changed, if the kind is `updated`.
    pub updates: Vec<UpdateV1>,
    /// Whether people read about it in a digest, so that only programs receive this alert.
    pub in_digest: bool,
    /// The sequence number of the audit entry. With the finding's ID it identifies a repeated alert
    /// and orders alerts.
    pub sequence: u64,
    /// The hash of that audit entry.
    pub audit_hash: String,
    /// The moment that the alert treats as now.
    pub at: TimeV1,
    /// When the rotation window ends.
    pub rotation_window_ends_at: TimeV1,
    /// The finding at that moment.
    pub finding: FindingV1,
    /// When each key was last used. Keys whose last use is not known are left out.
    pub last_used: Vec<LastUsedV1>,
    /// What to do about the keys; `null` once the finding is closed.
    pub verdict: Option<VerdictV1>,
    /// The key to deactivate, if the verdict names one.
    pub retire: Option<RetireV1>,
    /// The commands that clean up, never for both active keys. Missing in an alert whose texts had
    /// to be cut.
    #[cfg_attr(feature = "cli", schemars(skip_serializing_if = "Vec::is_empty"))]
    pub commands: Vec<CommandV1>,
}

/// A finding as every command prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct FindingSnapshotV1 {
    /// How it changed since the last scan. Only `scan` compares with an earlier run, so other
    /// commands print no `new`.
    pub change: ChangeV1,
    /// The finding. Its fields are beside the others.
    #[serde(flatten)]
    pub finding: FindingV1,
    /// When each key was last used. Keys whose last use is not known are left out.
    pub last_used: Vec<LastUsedV1>,
    /// What to do about the keys; `null` once the finding is closed.
    pub verdict: Option<VerdictV1>,
    /// The time that the verdict is about. Nothing later is known about the keys.
    pub verdict_as_of: Option<TimeV1>,
    /// The key to deactivate, if the verdict names one.
    pub retire: Option<RetireV1>,
    /// The commands that clean up, never for both active keys.
    pub commands: Vec<CommandV1>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct FindingV1 {
    /// `<account>/<user>/<episode>`.
    pub id: String,
    /// The account's ID.
    pub account: String,
    /// The user's name in IAM's spelling.
    pub user: String,
    /// Whether the user is the account's root.
    pub is_root: bool,
    /// Its state.
    pub status: StatusV1,
    /// Whether a settled listing has shown two active keys; in `replay`, whether the logs do.
    pub confirmed: bool,
    /// Why the keys could not be listed when the finding was opened, if they could not.
    pub could_not_list: Option<String>,
    /// The level of harm.
    pub severity: SeverityV1,
    /// Why the severity is above `MEDIUM`.
    pub severity_reasons: Vec<SeverityReasonV1>,
    /// Since when two keys have been active.
    pub opened_at: TimeV1,
    /// Whether `opened_at` is an estimate, because no event shows it: two keys became active then
    /// at the earliest.
    pub opened_at_is_estimate: bool,
    /// When secondkey saw it.
    pub detected_at: TimeV1,
    /// When fewer than two were active again.
    pub closed_at: Option<TimeV1>,
    /// Why it is closed.
    pub close_reason: Option<CloseReasonV1>,
    /// Who closed it, if an event shows that.
    pub closed_by: Option<ActorV1>,
    /// CloudTrail's `eventID` of the event that closed it.
    pub close_event_id: Option<String>,
    /// The user's keys as last recorded.
    pub keys: Vec<KeyV1>,
    /// Who made the second key active, if an event shows that.
    pub actor: Option<ActorV1>,
    /// What made the second key active, if an event shows that.
    pub opener: Option<OpenerV1>,
    /// What made other keys active, since fewer than two were active and while the finding was
    /// open, as far as events show it.
    pub joined: Vec<JoinedV1>,
    /// The reports by AWS that one of its keys has leaked, the earliest first.
    pub leaks: Vec<LeakV1>,
    /// The ID of the same user's finding under the former name.
    pub continues: Option<String>,
    /// How it was found.
    pub found_by: FoundByV1,
    /// The exemption that suppresses it, or that last did.
    pub exemption: Option<ExemptionV1>,
}

/// A report by AWS that a key has leaked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct LeakV1 {
    /// The key; `null` if it is not known which of the user's keys it is.
    pub key: Option<String>,
    /// When AWS reported it.
    pub at: TimeV1,
    /// How AWS reported it.
    pub signal: LeakSignalV1,
    /// CloudTrail's `eventID`, or the ARN of the AWS Health event.
    pub event_id: Option<String>,
}

/// The exemption of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct ExemptionV1 {
    /// Its ID within the account.
    pub id: String,
    /// Who is responsible for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: TimeV1,
}

/// The open findings of an account in one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub(crate) struct DigestV1 {
    /// `1`.
    #[cfg_attr(feature = "cli", schemars(extend("const" = "1")))]
    pub version: &'static str,
    /// `digest`.
    #[cfg_attr(feature = "cli", schemars(extend("const" = "digest")))]
    pub kind: &'static str,
    /// Why it is sent.
    pub reason: DigestReasonV1,
    /// The account's ID.
    pub account: String,
    /// The moment that the digest treats as now.
    pub at: TimeV1,
    /// How many findings are open.
    pub open: usize,
    /// How many users could not be checked.
    pub unchecked: usize,
    /// The open findings, the oldest opening first. If there are very many, not all of them.
    pub findings: Vec<DigestFindingV1>,
}

/// A finding in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub(crate) struct DigestFindingV1 {
    /// `<account>/<user>/<episode>`.
    pub id: String,
    /// The user's name in IAM's spelling.
    pub user: String,
    /// The level of harm.
    pub severity: SeverityV1,
    /// Since when two keys have been active.
    pub opened_at: TimeV1,
    /// Whether `opened_at` is an estimate: two keys became active then at the earliest.
    pub opened_at_is_estimate: bool,
    /// The IDs of the active keys.
    pub keys: Vec<String>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct KeyV1 {
    /// Its ID, or the slot's name in a credential report.
    pub id: String,
    /// Its state as last recorded.
    pub status: KeyStatusV1,
    /// When it was created, if known.
    pub created: Option<TimeV1>,
}

/// What made the second key active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct OpenerV1 {
    /// The key.
    pub key: String,
    /// What happened to the key.
    pub how: HowV1,
    /// When.
    pub at: TimeV1,
    /// Since when the key had been inactive, if an event shows that.
    pub inactive_since: Option<TimeV1>,
    /// How the actor relates to the user; `null` if it was not judged.
    pub relation: Option<RelationV1>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
}

/// What made another key active, and who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct JoinedV1 {
    /// What happened.
    #[serde(flatten)]
    pub opener: OpenerV1,
    /// Who did it.
    pub actor: ActorV1,
}

/// Who made a change, in CloudTrail's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct ActorV1 {
    /// `IAMUser`, `AssumedRole`, `Root`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The ARN.
    pub arn: Option<String>,
    /// The user name, only for an IAM user.
    pub name: Option<String>,
    /// The account that the actor belongs to.
    pub account: Option<String>,
    /// The access key that signed the call.
    pub access_key_id: Option<String>,
    /// An IP address or a service's name.
    pub source_ip: Option<String>,
    /// The user agent.
    pub user_agent: Option<String>,
    /// Whether the session was authenticated with MFA, if known.
    pub mfa: Option<bool>,
    /// Whether the call came from the console.
    pub console: bool,
    /// The AWS service that made the call on the actor's behalf.
    pub invoked_by: Option<String>,
}

/// When a key was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct LastUsedV1 {
    /// The key.
    pub key: String,
    /// When; `null` if never.
    pub at: Option<TimeV1>,
    /// By which service.
    pub service: Option<String>,
    /// In which Region.
    pub region: Option<String>,
}

/// What to do about two active keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct VerdictV1 {
    /// `contain` (deactivate the key now), `rotation_in_progress` (deactivate nothing yet),
    /// `retire` (deactivate the key) or `ask` (a person has to decide).
    #[cfg_attr(feature = "cli", schemars(extend("enum" = verdict::CODES)))]
    pub code: &'static str,
    /// The key to deactivate; only with `contain` and `retire`.
    pub key: Option<String>,
    /// Why. With `contain`: `quarantined`, `exposed`, `exposure_suspected`,
    /// `created_by_unfamiliar_actor`, `reactivated_by_unfamiliar_actor`. With
    /// `rotation_in_progress`: `new_key_not_used`, `old_key_in_use`, `use_unknown`, `unconfirmed`,
    /// `exempt`. With `retire`: `never_used`, `least_recently_used`, `older_of_unused`. With `ask`:
    /// `one_leaked`, `dormant_key`, `root`, `both_in_use`, `use_unknown`, `age_unknown`,
    /// `unconfirmed`.
    #[cfg_attr(feature = "cli", schemars(extend("enum" = verdict::reasons())))]
    pub reason: &'static str,
    /// Deactivate nothing before this time; only with `rotation_in_progress`.
    pub not_before: Option<TimeV1>,
    /// The older key, which is retired in the end; only with `rotation_in_progress`.
    pub old_key: Option<String>,
    /// The newer key, which stays; only with `rotation_in_progress`.
    pub new_key: Option<String>,
}

/// The key to deactivate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct RetireV1 {
    /// The key.
    pub key: String,
    /// `never_used`, `least_recently_used` or `oldest`; if the verdict is `contain`, its reason.
    #[cfg_attr(feature = "cli", schemars(extend("enum" = advice::retire_reasons())))]
    pub reason: &'static str,
}

/// A command for a POSIX shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct CommandV1 {
    /// What it does.
    pub purpose: PurposeV1,
    /// The key that it acts on.
    pub key: String,
    /// The command.
    pub command: String,
}

/// An entry of a user's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub(crate) struct AuditEntryV1 {
    /// The account's ID.
    pub account: String,
    /// The user's name in lower case, as stored in the trail.
    pub user: String,
    /// Its place in the trail, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: TimeV1,
    /// When secondkey recorded it.
    pub recorded_at: TimeV1,
    /// What happened.
    pub kind: &'static str,
    /// The finding it is about.
    pub finding_id: Option<String>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The other details, by name.
    pub details: BTreeMap<String, String>,
    /// The hash of the previous entry; empty for the first.
    pub previous_hash: String,
    /// The hash of this entry, over times in whole milliseconds.
    pub hash: String,
}
