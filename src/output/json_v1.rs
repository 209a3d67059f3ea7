//! Version 1 of the JSON for programs. New fields may be added. A field changes its meaning or goes
//! away only with a new version. Times are RFC 3339 in UTC, in whole seconds.

use serde::Serialize;
use serde_json::Value;

use crate::detect::events::actor::Actor;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::digest::Digest;
use crate::detect::findings::finding::{Finding, KeyActivation};
use crate::detect::trail::audit::AuditEntry;
use crate::detect::usage::last_use::LastUses;
use crate::output::escape::for_json;
use crate::output::facts;
use crate::output::invocation::{Invocation, NOWHERE};
use crate::output::json_v1::advice::{commands_of, last_used_of, retire_of};
use crate::output::json_v1::wire::{
    ActorV1, AlertV1, AuditEntryV1, DigestFindingV1, DigestV1, ExemptionV1, FindingSnapshotV1,
    FindingV1, JoinedV1, KeyV1, LeakV1, OpenerV1,
};
use crate::output::json_v1::words::AlertKindV1;
use crate::output::snapshot::FindingSnapshot;

pub(crate) use verdict::verdict_v1;

pub(super) mod advice;
#[cfg(feature = "cli")]
pub(crate) mod runs;
#[cfg(feature = "cli")]
pub mod schema;
pub(super) mod verdict;
pub(crate) mod wire;
pub(crate) mod words;

/// The longest text in a JSON document that had to be shortened, in characters.
const MAX_CUT_TEXT_CHARS: usize = 200;

/// `finding` in version 1.
#[must_use]
pub(crate) fn finding(finding: &Finding) -> FindingV1 {
    let user = finding.user();
    let closing = finding.closing.as_ref();
    FindingV1 {
        id: finding.id.to_string(),
        account: user.account().to_owned(),
        user: finding.display_name.clone(),
        is_root: user.is_root(),
        status: finding.status.into(),
        confirmed: finding.confirmed,
        could_not_list: finding.listing_refusal.clone(),
        severity: finding.severity.into(),
        severity_reasons: finding
            .severity_reasons
            .iter()
            .map(|reason| (*reason).into())
            .collect(),
        opened_at: finding.opened_at.into(),
        opened_at_is_estimate: finding.is_opened_at_estimated,
        detected_at: finding.detected_at.into(),
        closed_at: closing.map(|closing| closing.at.into()),
        close_reason: closing.map(|closing| closing.reason.into()),
        closed_by: closing.and_then(|closing| closing.actor.as_ref().map(actor)),
        close_event_id: closing.and_then(|closing| closing.event_id.clone()),
        keys: finding
            .keys
            .iter()
            .map(|key| KeyV1 {
                id: key.id.clone(),
                status: key.status.into(),
                created: key.created.map(Into::into),
            })
            .collect(),
        actor: finding.opener.as_ref().map(|opener| actor(&opener.actor)),
        opener: finding.opener.as_ref().map(opener),
        joined: finding
            .other_activations
            .iter()
            .map(|event| JoinedV1 {
                opener: opener(event),
                actor: actor(&event.actor),
            })
            .collect(),
        leaks: finding
            .leaks
            .iter()
            .map(|leak| LeakV1 {
                key: leak.key.clone(),
                at: leak.at.into(),
                signal: leak.signal.into(),
                event_id: leak.event_id.clone(),
            })
            .collect(),
        continues: finding.continues.as_ref().map(ToString::to_string),
        found_by: finding.found_by.into(),
        exemption: finding.exemption.as_ref().map(|exemption| ExemptionV1 {
            id: exemption.id.clone(),
            owner: exemption.owner.clone(),
            reason: exemption.reason.clone(),
            until: exemption.until.into(),
        }),
    }
}

fn opener(event: &KeyActivation) -> OpenerV1 {
    OpenerV1 {
        key: event.key.clone(),
        how: event.into(),
        at: event.at.into(),
        inactive_since: event.inactive_since.map(Into::into),
        relation: event.relation.map(Into::into),
        event_id: event.event_id.clone(),
    }
}

/// `alert` in version 1.
#[must_use]
pub fn alert(alert: &Alert, last_uses: &LastUses) -> AlertV1 {
    alert_shown_by(alert, last_uses, &NOWHERE)
}

/// The same, with commands that match `invocation`.
#[must_use]
pub(crate) fn alert_shown_by(
    alert: &Alert,
    last_uses: &LastUses,
    invocation: &Invocation,
) -> AlertV1 {
    let verdict = alert.verdict(last_uses);
    AlertV1 {
        version: "1",
        kind: (&alert.kind).into(),
        updates: match &alert.kind {
            AlertKind::Updated(updates) => updates.iter().map(|one| (*one).into()).collect(),
            AlertKind::Opened | AlertKind::Closed => vec![],
        },
        sequence: alert.sequence,
        audit_hash: alert.audit_hash.clone(),
        at: alert.at.into(),
        rotation_window_ends_at: alert.window_ends_at.into(),
        in_digest: alert.in_digest,
        finding: finding(&alert.finding),
        last_used: last_used_of(&alert.finding, last_uses),
        retire: verdict.as_ref().and_then(retire_of),
        commands: commands_of(&alert.finding, verdict.as_ref(), invocation),
        verdict: verdict.as_ref().map(verdict_v1),
    }
}

/// `snapshot` in version 1. The document that contains it has the version.
#[must_use]
pub fn snapshot(snapshot: &FindingSnapshot) -> FindingSnapshotV1 {
    let found = &snapshot.alert.finding;
    let verdict = snapshot.verdict();
    FindingSnapshotV1 {
        change: (&snapshot.alert.kind).into(),
        finding: finding(found),
        last_used: last_used_of(found, &snapshot.last_uses),
        retire: verdict.as_ref().and_then(retire_of),
        commands: commands_of(found, verdict.as_ref(), &snapshot.invocation),
        verdict_as_of: verdict.as_ref().map(|_| snapshot.alert.at.into()),
        verdict: verdict.as_ref().map(verdict_v1),
    }
}

/// `digest` in version 1, with its first `most` findings.
fn digest_v1(digest: &Digest, most: usize) -> DigestV1 {
    DigestV1 {
        version: "1",
        kind: "digest",
        reason: digest.kind.into(),
        account: digest.account.clone(),
        at: digest.at.into(),
        open: digest.findings.len(),
        unchecked: digest.unchecked,
        findings: digest
            .findings
            .iter()
            .take(most)
            .map(|finding| DigestFindingV1 {
                id: finding.id.to_string(),
                user: finding.display_name.clone(),
                severity: finding.severity.into(),
                opened_at: finding.opened_at.into(),
                opened_at_is_estimate: finding.is_opened_at_estimated,
                keys: finding.active_keys().map(ToOwned::to_owned).collect(),
            })
            .collect(),
    }
}

/// The numbers of findings to try for a digest, one after the other, until the line is short
/// enough.
const FINDINGS_OF_A_DIGEST: [usize; 6] = [1_000, 300, 100, 30, 10, 0];

/// `digest` in version 1, passed through `of`, as one line of at most `longest` bytes, with as many
/// findings as fit.
pub(crate) fn digest_to_line<T: Serialize>(
    digest: &Digest,
    longest: usize,
    of: impl Fn(DigestV1) -> T,
) -> Result<String, serde_json::Error> {
    let mut line = String::new();
    for most in FINDINGS_OF_A_DIGEST {
        line = to_line(&of(digest_v1(digest, most)), longest)?;
        if line.len() <= longest {
            break;
        }
    }
    Ok(line)
}

/// `entry` in version 1.
#[must_use]
pub(crate) fn audit_entry(entry: &AuditEntry) -> AuditEntryV1 {
    let draft = &entry.draft;
    AuditEntryV1 {
        account: entry.user.account().to_owned(),
        user: entry.user.name().to_owned(),
        sequence: entry.sequence,
        at: draft.at.into(),
        recorded_at: draft.recorded_at.into(),
        kind: draft.kind.word(),
        finding_id: draft.finding_id.clone(),
        event_id: draft.event_id.clone(),
        actor: draft.actor.clone(),
        details: draft.details.clone(),
        previous_hash: entry.previous_hash.clone(),
        hash: entry.hash.clone(),
    }
}

/// The word for what happened to a finding.
#[must_use]
pub(crate) fn kind(kind: &AlertKind) -> &'static str {
    AlertKindV1::from(kind).word()
}

/// The ARN of the finding's user. Only an event made by the user contains it.
#[must_use]
pub(crate) fn user_arn(finding: &Finding) -> Option<&str> {
    facts::user_arn(finding)
}

/// `document` as one line of JSON. Invisible characters become JSON escapes, because the line may
/// be read on a terminal and SQS rejects messages with some of them. If the line would be longer
/// than `longest` bytes, which takes hostile text in many fields, every text is cut to 200
/// characters: a shortened alert is better than one that every service rejects.
pub fn to_line(document: &impl Serialize, longest: usize) -> Result<String, serde_json::Error> {
    let line = for_json(&serde_json::to_string(document)?);
    if line.len() <= longest {
        return Ok(line);
    }
    let cut = with_cut_texts(serde_json::to_value(document)?);
    Ok(for_json(&cut.to_string()))
}

fn with_cut_texts(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > MAX_CUT_TEXT_CHARS => {
            Value::String(text.chars().take(MAX_CUT_TEXT_CHARS).chain(['…']).collect())
        }
        Value::Array(values) => values.into_iter().map(with_cut_texts).collect(),
        Value::Object(fields) => fields
            .into_iter()
            // Half a command would do something else.
            .filter(|(name, _)| name != "commands")
            .map(|(name, value)| (name, with_cut_texts(value)))
            .collect(),
        other => other,
    }
}

fn actor(actor: &Actor) -> ActorV1 {
    ActorV1 {
        kind: actor.kind.clone(),
        arn: actor.arn.clone(),
        name: actor.name.clone(),
        account: actor.account.clone(),
        access_key_id: actor.access_key_id.clone(),
        source_ip: actor.source_ip.clone(),
        user_agent: actor.user_agent.clone(),
        mfa: actor.mfa,
        console: actor.console,
        invoked_by: actor.invoked_by.clone(),
    }
}

#[cfg(test)]
mod tests;
