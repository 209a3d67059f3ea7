//! The structs of version 1, as they stand on the wire. An absent value is `null`.

use std::collections::BTreeMap;

use serde::Serialize;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertV1 {
    /// `1`.
    pub version: &'static str,
    /// `opened`, `updated` or `closed`.
    pub kind: &'static str,
    /// What changed: `keys`, `opener`, `continues`, `since`, `severity`, `outlived_window`, `exempted`, `exemption_ended`,
    /// `leaked`.
    pub updates: Vec<&'static str>,
    /// Whether people read of it in a digest, and only programs get this.
    pub in_digest: bool,
    /// The sequence number of the audit entry; with the finding's id it tells a repeat and the order.
    pub sequence: u64,
    /// The hash of that audit entry.
    pub audit_hash: String,
    /// The moment of which the alert speaks as now.
    pub at: String,
    /// When the rotation window ends.
    pub rotation_window_ends_at: String,
    /// The finding as it was then.
    pub finding: FindingV1,
    /// When each key was last used; a key of which it is not known is missing.
    pub last_used: Vec<LastUsedV1>,
    /// What to do about the keys; missing once the finding is closed.
    pub verdict: Option<VerdictV1>,
    /// The key to deactivate, if the verdict names one.
    pub retire: Option<RetireV1>,
    /// The commands that clean up; never for both active keys. Missing in an alert whose texts had to be cut.
    pub commands: Vec<CommandV1>,
}

/// A finding as it stands when somebody looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingV1 {
    /// What has become of it since the last look: `new`, `open` or `closed`.
    pub change: &'static str,
    /// The finding.
    pub finding: FindingV1,
    /// When each key was last used; a key of which it is not known is missing.
    pub last_used: Vec<LastUsedV1>,
    /// What to do about the keys; missing once the finding is closed.
    pub verdict: Option<VerdictV1>,
    /// The key to deactivate, if the verdict names one.
    pub retire: Option<RetireV1>,
    /// The commands that clean up; never for both active keys.
    pub commands: Vec<CommandV1>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingV1 {
    /// `<account>/<user>/<episode>`.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// The user's name in IAM's spelling.
    pub user: String,
    /// Whether the user is the account's root.
    pub is_root: bool,
    /// `open`, `suppressed` (open, and an exemption hides it) or `closed`.
    pub status: &'static str,
    /// Whether a settled listing has shown two active keys; in `replay`, whether the logs do.
    pub confirmed: bool,
    /// Why the keys could not be listed when the finding was opened, if they could not.
    pub could_not_list: Option<String>,
    /// `MEDIUM`, `HIGH` or `CRITICAL`.
    pub severity: &'static str,
    /// `root`, `outlived_window`, `untrusted_actor`, `dormant_key`, `unfamiliar_actor`, `leaked_key`.
    pub severity_reasons: Vec<&'static str>,
    /// Since when two keys are active.
    pub opened_at: String,
    /// Whether no event told of `opened_at`: two keys have been active since then at the earliest.
    pub opened_at_is_estimate: bool,
    /// When secondkey saw it.
    pub detected_at: String,
    /// When fewer than two were active again.
    pub closed_at: Option<String>,
    /// `deactivated`, `deleted`, `user_deleted`, `renamed`, `never_confirmed` or `account_left`.
    pub close_reason: Option<&'static str>,
    /// Who ended it, if an event told.
    pub closed_by: Option<ActorV1>,
    /// CloudTrail's `eventID` of what ended it.
    pub close_event_id: Option<String>,
    /// The user's keys as last noted.
    pub keys: Vec<KeyV1>,
    /// Who made the second key active, if an event told.
    pub actor: Option<ActorV1>,
    /// What made the second key active, if an event told.
    pub opener: Option<OpenerV1>,
    /// What made other keys active, since fewer than two were and while the finding was open, as far as events told.
    pub joined: Vec<JoinedV1>,
    /// The reports by AWS that one of its keys leaked, the earliest first.
    pub leaks: Vec<LeakV1>,
    /// The id of the finding of the same user under its former name.
    pub continues: Option<String>,
    /// `event`, `sweep` (no event had told of it) or `baseline` (the first sweep of the account).
    pub found_by: &'static str,
    /// The exemption that hides it, or that last did.
    pub exemption: Option<ExemptionV1>,
}

/// A finding as it is recorded, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JudgedV1 {
    /// The finding.
    #[serde(flatten)]
    pub finding: FindingV1,
    /// What to do about the keys; missing once the finding is closed.
    pub verdict: Option<VerdictV1>,
}

/// A report by AWS that a key leaked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakV1 {
    /// The key; `null` if nothing tells which of the user's keys it is.
    pub key: Option<String>,
    /// When AWS reported it.
    pub at: String,
    /// `quarantine` (AWS quarantined the user), `exposed` or `exposure_suspected` (AWS Health).
    pub signal: &'static str,
    /// CloudTrail's `eventID`, or the ARN of the AWS Health event.
    pub event_id: Option<String>,
}

/// The exemption of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExemptionV1 {
    /// Which one of the account.
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: String,
}

/// What is told of an account's findings at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestV1 {
    /// `1`.
    pub version: &'static str,
    /// `digest`.
    pub kind: &'static str,
    /// `baseline` or `reminder`.
    pub reason: &'static str,
    /// The account's id.
    pub account: String,
    /// The moment of which the digest speaks as now.
    pub at: String,
    /// How many findings are open.
    pub open: usize,
    /// How many users could not be checked.
    pub unchecked: usize,
    /// The findings that are open, the oldest opening first; not all of them where they are very many.
    pub findings: Vec<DigestFindingV1>,
}

/// A finding in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestFindingV1 {
    /// `<account>/<user>/<episode>`.
    pub id: String,
    /// The user's name in IAM's spelling.
    pub user: String,
    /// `MEDIUM`, `HIGH` or `CRITICAL`.
    pub severity: &'static str,
    /// Since when two keys are active.
    pub opened_at: String,
    /// Whether two keys have been active since then at the earliest.
    pub opened_at_is_estimate: bool,
    /// The ids of the active keys.
    pub keys: Vec<String>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyV1 {
    /// Its id, or the slot's name in a credential report.
    pub id: String,
    /// `Active`, `Inactive` or `Deleted`.
    pub status: &'static str,
    /// When it was created, if known.
    pub created: Option<String>,
}

/// What made the second key active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenerV1 {
    /// The key.
    pub key: String,
    /// `created`, `reactivated`, or `set_active` where it is not known whether the key was inactive before.
    pub how: &'static str,
    /// When.
    pub at: String,
    /// Since when the key had been inactive, if an event told.
    pub inactive_since: Option<String>,
    /// How the actor relates to the user: `own` (the actor is the user), `trusted`, `familiar` (the actor completed a
    /// rotation in the account before) or `unfamiliar`; none if it was not judged.
    pub relation: Option<&'static str>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
}

/// What made another key active, and who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinedV1 {
    /// What.
    #[serde(flatten)]
    pub opener: OpenerV1,
    /// Who.
    pub actor: ActorV1,
}

/// Who made a change, in CloudTrail's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorV1 {
    /// `IAMUser`, `AssumedRole`, `Root`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The ARN.
    pub arn: Option<String>,
    /// The user name, only of an IAM user.
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
    /// The AWS service that made the call on somebody's behalf.
    pub invoked_by: Option<String>,
}

/// When a key was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastUsedV1 {
    /// The key.
    pub key: String,
    /// When; `null` if never.
    pub at: Option<String>,
    /// By which service.
    pub service: Option<String>,
    /// In which region.
    pub region: Option<String>,
}

/// What to do about two active keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictV1 {
    /// `contain` (deactivate the key now), `rotation_in_progress` (deactivate nothing yet), `retire` (deactivate the key) or
    /// `ask` (a person has to decide).
    pub code: &'static str,
    /// The key to deactivate; only with `contain` and `retire`.
    pub key: Option<String>,
    /// Why. With `contain`: `quarantined`, `exposed`, `exposure_suspected`, `created_by_unfamiliar_actor`,
    /// `reactivated_by_unfamiliar_actor`. With `rotation_in_progress`: `new_key_not_used`, `old_key_in_use`, `use_unknown`,
    /// `unconfirmed`, `exempt`. With `retire`: `never_used`, `least_recently_used`, `older_of_unused`. With `ask`:
    /// `one_leaked`, `dormant_key`, `root`, `both_in_use`, `use_unknown`, `age_unknown`, `unconfirmed`.
    pub reason: &'static str,
    /// Before when nothing is to be deactivated; only with `rotation_in_progress`.
    pub not_before: Option<String>,
    /// The older key, which goes in the end; only with `rotation_in_progress`.
    pub old_key: Option<String>,
    /// The newer key, which stays; only with `rotation_in_progress`.
    pub new_key: Option<String>,
}

/// The key to deactivate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetireV1 {
    /// The key.
    pub key: String,
    /// `never_used`, `least_recently_used` or `oldest`; where the verdict is `contain`, its reason.
    pub reason: &'static str,
}

/// A command for a POSIX shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandV1 {
    /// `deactivate`, `roll_back` or `delete`.
    pub purpose: &'static str,
    /// The key it is for.
    pub key: String,
    /// The command.
    pub command: String,
}

/// An entry of a user's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntryV1 {
    /// The account's id.
    pub account: String,
    /// The user's name in lower case, as the trail keeps it.
    pub user: String,
    /// Place in the trail, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: String,
    /// When secondkey wrote it down.
    pub recorded_at: String,
    /// What happened.
    pub kind: &'static str,
    /// The finding it is about.
    pub finding_id: Option<String>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The rest, by name.
    pub details: BTreeMap<String, String>,
    /// The hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// The hash of this entry, over times in whole milliseconds.
    pub hash: String,
}
