//! The structs of version 1. An absent value is `null`.

use std::collections::BTreeMap;

use serde::Serialize;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertV1 {
    /// `1`.
    pub version: &'static str,
    /// `opened`, `updated` or `closed`.
    pub kind: &'static str,
    /// What changed: `keys`, `opener`, `continues`, `since`, `severity`, `outlived_window`,
    /// `exempted`, `exemption_ended`, `leaked`.
    pub updates: Vec<&'static str>,
    /// Whether people read about it in a digest, so that only programs receive this alert.
    pub in_digest: bool,
    /// The sequence number of the audit entry. With the finding's ID it identifies a repeated alert
    /// and orders alerts.
    pub sequence: u64,
    /// The hash of that audit entry.
    pub audit_hash: String,
    /// The moment that the alert treats as now.
    pub at: String,
    /// When the rotation window ends.
    pub rotation_window_ends_at: String,
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
    pub commands: Vec<CommandV1>,
}

/// A finding as every command prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingSnapshotV1 {
    /// How it changed since the last scan: `new`, `open` or `closed`. Only `scan` compares with an
    /// earlier run, so that other commands print no `new`.
    pub change: &'static str,
    /// The finding. Its fields are beside the others.
    #[serde(flatten)]
    pub finding: FindingV1,
    /// When each key was last used. Keys whose last use is not known are left out.
    pub last_used: Vec<LastUsedV1>,
    /// What to do about the keys; `null` once the finding is closed.
    pub verdict: Option<VerdictV1>,
    /// The time that the verdict is about. Nothing later is known about the keys.
    pub verdict_as_of: Option<String>,
    /// The key to deactivate, if the verdict names one.
    pub retire: Option<RetireV1>,
    /// The commands that clean up, never for both active keys.
    pub commands: Vec<CommandV1>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingV1 {
    /// `<account>/<user>/<episode>`.
    pub id: String,
    /// The account's ID.
    pub account: String,
    /// The user's name in IAM's spelling.
    pub user: String,
    /// Whether the user is the account's root.
    pub is_root: bool,
    /// `open`, `suppressed` (open, and an exemption suppresses it) or `closed`.
    pub status: &'static str,
    /// Whether a settled listing has shown two active keys; in `replay`, whether the logs do.
    pub confirmed: bool,
    /// Why the keys could not be listed when the finding was opened, if they could not.
    pub could_not_list: Option<String>,
    /// `MEDIUM`, `HIGH` or `CRITICAL`.
    pub severity: &'static str,
    /// `root`, `outlived_window`, `untrusted_actor`, `dormant_key`, `unfamiliar_actor`,
    /// `leaked_key`.
    pub severity_reasons: Vec<&'static str>,
    /// Since when two keys have been active.
    pub opened_at: String,
    /// Whether `opened_at` is an estimate, because no event shows it: two keys became active then
    /// at the earliest.
    pub opened_at_is_estimate: bool,
    /// When secondkey saw it.
    pub detected_at: String,
    /// When fewer than two were active again.
    pub closed_at: Option<String>,
    /// `deactivated`, `deleted`, `user_deleted`, `renamed`, `never_confirmed`, `account_left` or
    /// `account_excluded`.
    pub close_reason: Option<&'static str>,
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
    /// `event`, `sweep` (no event had reported it) or `baseline` (the first sweep of the account).
    pub found_by: &'static str,
    /// The exemption that suppresses it, or that last did.
    pub exemption: Option<ExemptionV1>,
}

/// A report by AWS that a key has leaked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakV1 {
    /// The key; `null` if it is not known which of the user's keys it is.
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
    /// Its ID within the account.
    pub id: String,
    /// Who is responsible for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: String,
}

/// The open findings of an account in one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DigestV1 {
    /// `1`.
    pub version: &'static str,
    /// `digest`.
    pub kind: &'static str,
    /// `baseline` or `reminder`.
    pub reason: &'static str,
    /// The account's ID.
    pub account: String,
    /// The moment that the digest treats as now.
    pub at: String,
    /// How many findings are open.
    pub open: usize,
    /// How many users could not be checked.
    pub unchecked: usize,
    /// The open findings, the oldest opening first. If there are very many, not all of them.
    pub findings: Vec<DigestFindingV1>,
}

/// A finding in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DigestFindingV1 {
    /// `<account>/<user>/<episode>`.
    pub id: String,
    /// The user's name in IAM's spelling.
    pub user: String,
    /// `MEDIUM`, `HIGH` or `CRITICAL`.
    pub severity: &'static str,
    /// Since when two keys have been active.
    pub opened_at: String,
    /// Whether `opened_at` is an estimate: two keys became active then at the earliest.
    pub opened_at_is_estimate: bool,
    /// The IDs of the active keys.
    pub keys: Vec<String>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyV1 {
    /// Its ID, or the slot's name in a credential report.
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
    /// `created`, `reactivated`, or `set_active` if it is not known whether the key was inactive
    /// before.
    pub how: &'static str,
    /// When.
    pub at: String,
    /// Since when the key had been inactive, if an event shows that.
    pub inactive_since: Option<String>,
    /// How the actor relates to the user: `own` (the actor is the user), `trusted`, `familiar` (the
    /// actor completed a rotation in the account before) or `unfamiliar`; `null` if it was not
    /// judged.
    pub relation: Option<&'static str>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
}

/// What made another key active, and who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinedV1 {
    /// What happened.
    #[serde(flatten)]
    pub opener: OpenerV1,
    /// Who did it.
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
pub struct LastUsedV1 {
    /// The key.
    pub key: String,
    /// When; `null` if never.
    pub at: Option<String>,
    /// By which service.
    pub service: Option<String>,
    /// In which Region.
    pub region: Option<String>,
}

/// What to do about two active keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictV1 {
    /// `contain` (deactivate the key now), `rotation_in_progress` (deactivate nothing yet),
    /// `retire` (deactivate the key) or `ask` (a person has to decide).
    pub code: &'static str,
    /// The key to deactivate; only with `contain` and `retire`.
    pub key: Option<String>,
    /// Why. With `contain`: `quarantined`, `exposed`, `exposure_suspected`,
    /// `created_by_unfamiliar_actor`, `reactivated_by_unfamiliar_actor`. With
    /// `rotation_in_progress`: `new_key_not_used`, `old_key_in_use`, `use_unknown`, `unconfirmed`,
    /// `exempt`. With `retire`: `never_used`, `least_recently_used`, `older_of_unused`. With `ask`:
    /// `one_leaked`, `dormant_key`, `root`, `both_in_use`, `use_unknown`, `age_unknown`,
    /// `unconfirmed`.
    pub reason: &'static str,
    /// Deactivate nothing before this time; only with `rotation_in_progress`.
    pub not_before: Option<String>,
    /// The older key, which is retired in the end; only with `rotation_in_progress`.
    pub old_key: Option<String>,
    /// The newer key, which stays; only with `rotation_in_progress`.
    pub new_key: Option<String>,
}

/// The key to deactivate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetireV1 {
    /// The key.
    pub key: String,
    /// `never_used`, `least_recently_used` or `oldest`; if the verdict is `contain`, its reason.
    pub reason: &'static str,
}

/// A command for a POSIX shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandV1 {
    /// `deactivate`, `roll_back` or `delete`.
    pub purpose: &'static str,
    /// The key that it acts on.
    pub key: String,
    /// The command.
    pub command: String,
}

/// An entry of a user's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AuditEntryV1 {
    /// The account's ID.
    pub account: String,
    /// The user's name in lower case, as stored in the trail.
    pub user: String,
    /// Its place in the trail, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: String,
    /// When secondkey recorded it.
    pub recorded_at: String,
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
