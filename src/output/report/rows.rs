//! The rows of the report's tables, in words.

use serde::Serialize;

use crate::detect::Timestamp;
use crate::detect::arn::Arn;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::finding::Finding;
use crate::output::escape::{MAX_ID_CHARS, MAX_TEXT_CHARS, for_terminal};
use crate::output::facts::user_name;
use crate::output::key_facts::key_facts;
use crate::output::overlap_start::{beginning, lasted};
use crate::output::report::Report;
use crate::output::report::audit_trail::TrailEvidence;
use crate::output::report::exemptions;
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::duration;
use crate::output::verdict_text::sentence;

/// A finding.
#[derive(Debug, Serialize)]
pub(super) struct FindingRow {
    severity: &'static str,
    severity_class: &'static str,
    severity_rank: u8,
    status: &'static str,
    user: String,
    account: String,
    opened: String,
    opened_at: i64,
    lasted: String,
    lasted_seconds: i64,
    opened_by: ActorText,
    ended: String,
    ended_by: Option<ActorText>,
    trail: &'static str,
    trouble: Option<String>,
}

/// An open finding, and what to do about it.
#[derive(Debug, Serialize)]
pub(super) struct OpenRow {
    finding: FindingRow,
    to_do: String,
    keys: Vec<KeyText>,
}

#[derive(Debug, Serialize)]
struct KeyText {
    label: &'static str,
    id: String,
    /// Its status, age and last use.
    facts: String,
}

/// An exemption.
#[derive(Debug, Serialize)]
pub(super) struct ExemptionRow {
    id: String,
    account: String,
    users: Option<String>,
    actors: Option<String>,
    owner: String,
    reason: String,
    from: String,
    until: String,
    state: &'static str,
    is_in_force: bool,
    left: Option<String>,
    findings: usize,
}

/// `snapshot`, an open finding of `report`.
pub(super) fn open(report: &Report, snapshot: &FindingSnapshot) -> OpenRow {
    let alert = &snapshot.alert;
    let keys = key_facts(&alert.finding, &snapshot.last_uses, alert.at, &id);
    OpenRow {
        finding: finding(report, snapshot),
        to_do: snapshot.verdict().map_or_else(
            || "Not known: fewer than two of its keys are active".to_owned(),
            |verdict| sentence(&verdict, &id),
        ),
        keys: keys
            .into_iter()
            .map(|key| KeyText {
                label: key.label,
                id: key.id,
                facts: format!("{}, {}, {}", key.status, key.age, key.last_use),
            })
            .collect(),
    }
}

/// `snapshot`, a finding of `report`.
pub(super) fn finding(report: &Report, snapshot: &FindingSnapshot) -> FindingRow {
    let (finding, until) = (&snapshot.alert.finding, snapshot.known_until());
    let now = report.period.now;
    let account = finding.user().account();
    let evidence = TrailEvidence::of(finding, report.trails.get(finding.user()), now);
    let closing = finding.closing.as_ref();
    let closer = closing.and_then(|closing| closing.actor.as_ref());
    FindingRow {
        severity: finding.severity.word(),
        severity_class: severity_class(finding.severity),
        severity_rank: match finding.severity {
            Severity::Medium => 1,
            Severity::High => 2,
            Severity::Critical => 3,
        },
        status: finding.status.word(),
        user: shown_user(finding),
        account: id(account),
        opened: beginning(finding.is_opened_at_estimated, &time(finding.opened_at)),
        opened_at: finding.opened_at.timestamp(),
        lasted: lasted(finding, until),
        lasted_seconds: (until - finding.opened_at).num_seconds().max(0),
        opened_by: actor_words(
            finding
                .opener
                .as_ref()
                .map_or("unknown", |opener| opener.actor.label()),
            account,
        ),
        ended: closing.map_or_else(String::new, |closing| closing.reason.words().to_owned()),
        ended_by: closer.map(|actor| actor_words(actor.label(), account)),
        trail: evidence.word(),
        trouble: evidence.problem().map(text),
    }
}

/// `row` at `now`.
pub(super) fn exemption(row: &exemptions::Row<'_>, now: Timestamp) -> ExemptionRow {
    let is_in_force = row.state == exemptions::ExemptionState::InForce;
    ExemptionRow {
        id: id(row.id),
        account: id(row.account),
        users: row.user_pattern.map(id),
        actors: row.actor_pattern.map(id),
        owner: text(row.owner),
        reason: text(row.reason),
        from: time(row.created_at),
        until: time(row.until),
        state: row.state.words(),
        is_in_force,
        left: is_in_force.then(|| duration(row.until - now)),
        findings: row.findings,
    }
}

/// The CSS class of a severity.
pub(super) fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// The name of a finding's user. It is never blank.
pub(super) fn shown_user(finding: &Finding) -> String {
    id(user_name(finding))
}

/// An actor in readable form.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct ActorText {
    /// For an ARN, the part that is unique within its account; else everything that is known.
    pub(super) name: String,
    /// The account of the ARN, if it is not the expected one.
    pub(super) account: Option<String>,
}

/// The actor `label`, shown next to something of the account `beside`.
pub(super) fn actor_words(label: &str, beside: &str) -> ActorText {
    match Arn::parse(label) {
        Some(arn) if !arn.account.is_empty() && !arn.resource.is_empty() => ActorText {
            name: id(arn.resource),
            account: (arn.account != beside).then(|| id(arn.account)),
        },
        _ => ActorText {
            name: id(label),
            account: None,
        },
    }
}

/// A moment. The page says once that all times are in UTC.
pub(super) fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A name, an ID or an ARN, cut.
pub(super) fn id(text: &str) -> String {
    shown(text, MAX_ID_CHARS)
}

/// A free text, cut.
pub(super) fn text(text: &str) -> String {
    shown(text, MAX_TEXT_CHARS * 2)
}

fn shown(text: &str, longest: usize) -> String {
    if text.trim().is_empty() {
        return "(empty)".to_owned();
    }
    for_terminal(text, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actor_shows_account_only_if_it_differs() {
        for (label, name, account) in [
            ("arn:aws:iam::1:user/bob", "user/bob", None),
            (
                "arn:aws:sts::1:assumed-role/A/b:c",
                "assumed-role/A/b:c",
                None,
            ),
            ("arn:aws:iam::2:user/bob", "user/bob", Some("2")),
            ("arn:aws:iam::1:", "arn:aws:iam::1:", None),
            ("arn:aws:iam:::user/bob", "arn:aws:iam:::user/bob", None),
            (
                "cloudformation.amazonaws.com",
                "cloudformation.amazonaws.com",
                None,
            ),
            ("x:aws:iam::1:user/bob", "x:aws:iam::1:user/bob", None),
            ("", "(empty)", None),
        ] {
            let words = ActorText {
                name: name.to_owned(),
                account: account.map(ToOwned::to_owned),
            };
            assert_eq!(actor_words(label, "1"), words);
        }
    }
}
