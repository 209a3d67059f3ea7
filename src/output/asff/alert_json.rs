//! What is read from an alert's JSON. Fields that an older release did not write may be missing;
//! fields of a newer release are ignored.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::detect::Timestamp;
use crate::detect::decision::verdict::Verdict;
use crate::output::asff::AsffError;
use crate::output::json_v1::verdict::Read;

/// The version that is read.
const VERSION: &str = "1";

/// An alert.
pub(super) struct Alert {
    pub(super) sequence: u64,
    pub(super) audit_hash: Option<String>,
    pub(super) at: Timestamp,
    pub(super) window_ends_at: Option<Timestamp>,
    pub(super) finding: Finding,
    /// `None` if an older release wrote the alert, or a newer release wrote an unknown word.
    pub(super) verdict: Option<Verdict>,
    pub(super) commands: Vec<Command>,
}

/// A finding.
pub(super) struct Finding {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) user: String,
    pub(super) is_root: bool,
    pub(super) status: String,
    pub(super) confirmed: bool,
    pub(super) could_not_list: Option<String>,
    pub(super) severity: String,
    pub(super) severity_reasons: Vec<String>,
    pub(super) opened_at: Timestamp,
    pub(super) opened_at_is_estimate: bool,
    pub(super) detected_at: Option<Timestamp>,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) close_reason: Option<String>,
    pub(super) closed_by: Option<Actor>,
    pub(super) keys: Vec<Key>,
    pub(super) actor: Option<Actor>,
    pub(super) opener: Option<Opener>,
    pub(super) joined: Vec<Joined>,
    pub(super) found_by: Option<String>,
}

/// A key.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) created: Option<Timestamp>,
}

/// Who made a change.
#[derive(Deserialize)]
pub(super) struct Actor {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) arn: Option<String>,
    pub(super) name: Option<String>,
    pub(super) account: Option<String>,
    pub(super) source_ip: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) invoked_by: Option<String>,
}

/// What made another key active.
#[derive(Deserialize)]
pub(super) struct Joined {
    pub(super) key: String,
    pub(super) how: String,
    pub(super) actor: Actor,
}

/// What made the second key active.
#[derive(Deserialize)]
pub(super) struct Opener {
    pub(super) key: String,
    pub(super) how: String,
    pub(super) event_id: Option<String>,
}

/// A verdict in the words of the JSON.
#[derive(Deserialize)]
struct VerdictV1 {
    code: String,
    reason: String,
    key: Option<String>,
    not_before: Option<String>,
    old_key: Option<String>,
    new_key: Option<String>,
}

/// A command.
#[derive(Deserialize)]
pub(super) struct Command {
    pub(super) purpose: String,
    pub(super) command: String,
}

#[derive(Deserialize)]
struct AlertV1 {
    sequence: u64,
    audit_hash: Option<String>,
    at: String,
    rotation_window_ends_at: Option<String>,
    finding: FindingV1,
    verdict: Option<VerdictV1>,
    commands: Option<Vec<Command>>,
}

#[derive(Deserialize)]
struct FindingV1 {
    id: String,
    account: String,
    user: String,
    #[serde(default)]
    is_root: bool,
    status: String,
    #[serde(default)]
    confirmed: bool,
    could_not_list: Option<String>,
    severity: String,
    #[serde(default)]
    severity_reasons: Vec<String>,
    opened_at: String,
    // Alerts of earlier releases have none.
    #[serde(default)]
    opened_at_is_estimate: bool,
    detected_at: Option<String>,
    closed_at: Option<String>,
    close_reason: Option<String>,
    closed_by: Option<Actor>,
    #[serde(default)]
    keys: Vec<KeyV1>,
    actor: Option<Actor>,
    opener: Option<Opener>,
    // Alerts of earlier releases have none.
    #[serde(default)]
    joined: Vec<Joined>,
    found_by: Option<String>,
}

#[derive(Deserialize)]
struct KeyV1 {
    id: String,
    status: String,
    created: Option<String>,
}

impl Alert {
    /// Reads an alert's JSON.
    pub(super) fn read(alert: &Value) -> Result<Self, AsffError> {
        let version = alert.get("version").unwrap_or(&Value::Null);
        if version != VERSION {
            let version = version
                .as_str()
                .map_or_else(|| version.to_string(), str::to_owned);
            return Err(AsffError::UnknownVersion(version));
        }
        let wire = AlertV1::deserialize(alert).map_err(AsffError::NotAnAlert)?;
        let finding = wire.finding;
        Ok(Self {
            sequence: wire.sequence,
            audit_hash: wire.audit_hash,
            at: time("at", &wire.at)?,
            window_ends_at: known_time("rotation_window_ends_at", wire.rotation_window_ends_at)?,
            finding: Finding {
                id: finding.id,
                account: finding.account,
                user: finding.user,
                is_root: finding.is_root,
                status: finding.status,
                confirmed: finding.confirmed,
                could_not_list: finding.could_not_list,
                severity: finding.severity,
                severity_reasons: finding.severity_reasons,
                opened_at: time("opened_at", &finding.opened_at)?,
                opened_at_is_estimate: finding.opened_at_is_estimate,
                detected_at: known_time("detected_at", finding.detected_at)?,
                closed_at: known_time("closed_at", finding.closed_at)?,
                close_reason: finding.close_reason,
                closed_by: finding.closed_by,
                keys: finding
                    .keys
                    .into_iter()
                    .map(|key| {
                        Ok(Key {
                            id: key.id,
                            status: key.status,
                            created: known_time("created", key.created)?,
                        })
                    })
                    .collect::<Result<_, AsffError>>()?,
                actor: finding.actor,
                opener: finding.opener,
                joined: finding.joined,
                found_by: finding.found_by,
            },
            verdict: wire.verdict.map(verdict).transpose()?.flatten(),
            commands: wire.commands.unwrap_or_default(),
        })
    }
}

impl Finding {
    /// The user's own ARN. Only an event made by the user contains it.
    pub(super) fn user_arn(&self) -> Option<&str> {
        [&self.actor, &self.closed_by]
            .into_iter()
            .flatten()
            .filter(|actor| {
                actor.account.as_deref() == Some(&self.account)
                    && actor.kind.as_deref() == Some("IAMUser")
                    && actor.name.as_deref().map(str::to_lowercase)
                        == Some(self.user.to_lowercase())
            })
            .find_map(|actor| actor.arn.as_deref())
            // IAM's ARNs contain only visible ASCII.
            .filter(|arn| arn.starts_with("arn:") && arn.chars().all(|at| at.is_ascii_graphic()))
    }
}

fn verdict(wire: VerdictV1) -> Result<Option<Verdict>, AsffError> {
    let read = Read {
        code: &wire.code,
        reason: &wire.reason,
        key: wire.key.as_deref(),
        not_before: known_time("not_before", wire.not_before)?,
        old_key: wire.old_key.as_deref(),
        new_key: wire.new_key.as_deref(),
    };
    Ok(read.verdict())
}

fn time(name: &'static str, text: &str) -> Result<Timestamp, AsffError> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|_| AsffError::NotATime(name))
}

fn known_time(name: &'static str, text: Option<String>) -> Result<Option<Timestamp>, AsffError> {
    text.map(|text| time(name, &text)).transpose()
}
