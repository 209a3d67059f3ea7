//! The readable alert: what an engineer reads at 3 a.m. Headline, facts, what to do, details.

use crate::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use crate::detect::findings::finding::{Finding, FindingKey, FindingStatus};
use crate::detect::usage::last_use::LastUses;
use crate::output::alert_text::to_do::{left_to_do, to_do};
use crate::output::commands::verify;
use crate::output::escape::{OutputContext, for_subject};
use crate::output::facts::{Facts, changed, tag, topic, user_name};
use crate::output::invocation::Invocation;

mod to_do;

/// The longest user name and account ID in a subject, in characters.
const MAX_SUBJECT_ID_CHARS: (usize, usize) = (32, 14);

/// The readable alert. It is built only from escaped parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertText {
    headline: String,
    body: String,
}

impl AlertText {
    /// The first line.
    #[must_use]
    pub fn headline(&self) -> &str {
        &self.headline
    }

    /// Everything after the headline. Each line ends with a line feed.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The whole alert: the headline, an empty line, the body.
    #[must_use]
    pub fn whole(&self) -> String {
        format!("{}\n\n{}", self.headline, self.body)
    }
}

/// The readable form of `alert` for `context`, a terminal or plain text. The commands in it
/// match `invocation`.
#[must_use]
pub fn alert_text(
    alert: &Alert,
    last_uses: &LastUses,
    context: OutputContext,
    invocation: &Invocation,
) -> AlertText {
    let facts = Facts {
        alert,
        last_uses,
        context,
        invocation,
    };
    let finding = &alert.finding;
    let mut lines = match &alert.kind {
        AlertKind::Opened => opened(&facts),
        AlertKind::Updated(updates) => updated(&facts, updates),
        AlertKind::Closed => facts.closing(),
    };
    lines.push(String::new());
    lines.extend(keys(&facts));
    if finding.status != FindingStatus::Closed {
        lines.push(String::new());
        lines.extend(opener(&facts));
    }
    lines.push(String::new());
    lines.extend(what_to_do(&facts));
    lines.push(String::new());
    lines.extend(details(&facts));
    AlertText {
        headline: format!(
            "[{}] {}: {} ({})",
            tag(alert),
            topic(alert),
            facts.text(user_name(finding)),
            facts.text(finding.user().account())
        ),
        body: lines.join("\n") + "\n",
    }
}

/// The lines that say what to do, which depends on the finding's status.
pub(super) fn what_to_do(facts: &Facts<'_>) -> Vec<String> {
    match facts.alert.finding.status {
        FindingStatus::Open | FindingStatus::Suppressed => to_do(facts),
        FindingStatus::Closed => left_to_do(facts),
    }
}

/// The subject of a message with `alert`: printable ASCII, shorter than 100 characters.
#[must_use]
pub fn subject(alert: &Alert) -> String {
    let finding = &alert.finding;
    let (longest_name, longest_account) = MAX_SUBJECT_ID_CHARS;
    for_subject(&format!(
        "[{}] {}: {} ({})",
        tag(alert),
        topic(alert),
        // SNS also uses the subject as the text message, where phones turn names into links.
        OutputContext::PlainText.escape(user_name(finding), longest_name),
        OutputContext::PlainText.escape(finding.user().account(), longest_account),
    ))
}

fn opened(facts: &Facts<'_>) -> Vec<String> {
    let mut lines = facts.current_state();
    lines.extend(facts.circumstances());
    lines.extend(facts.severity_reasons());
    lines.push(facts.opened());
    lines.push(facts.window());
    lines
}

fn updated(facts: &Facts<'_>, updates: &[FindingUpdate]) -> Vec<String> {
    let mut lines = vec![changed(updates)];
    lines.extend(opened(facts));
    lines
}

fn keys(facts: &Facts<'_>) -> Vec<String> {
    let of_key = |key: &FindingKey| {
        [
            format!("  {}  {}", facts.id(&key.id), key.status.word()),
            row("  created", &facts.created(key)),
            row("  last used", &facts.last_used(key)),
        ]
    };
    let keys = facts
        .alert
        .finding
        .keys_by_age()
        .into_iter()
        .flat_map(of_key);
    ["Keys".to_owned()].into_iter().chain(keys).collect()
}

fn opener(facts: &Facts<'_>) -> Vec<String> {
    let Some(opener) = &facts.alert.finding.opener else {
        return vec![match facts.context {
            // A person at a terminal may have no deployment that receives events.
            OutputContext::Terminal => "It is not known who made the second key active.".to_owned(),
            OutputContext::PlainText | OutputContext::Chat => {
                "It is not known who made the second key active; an update follows if an event \
                 shows it."
                    .to_owned()
            }
        }];
    };
    let rows = facts.opener_rows(opener);
    let joined = facts.joined();
    let others = (!joined.is_empty()).then(|| "Other keys made active".to_owned());
    [facts.opener_heading(opener)]
        .into_iter()
        .chain(rows.iter().map(|(name, value)| row(name, value)))
        .chain(others)
        .chain(joined.into_iter().map(|sentence| format!("  {sentence}")))
        .collect()
}

fn details(facts: &Facts<'_>) -> Vec<String> {
    let Alert {
        finding,
        sequence,
        audit_hash,
        ..
    } = facts.alert;
    let Finding { id, continues, .. } = finding;
    let mut lines = vec![
        "Details".to_owned(),
        row("finding", &facts.id(&id.to_string())),
    ];
    lines.extend(continues.as_ref().map(|former| {
        row(
            "continues",
            &format!("{}, the user's former name", facts.id(&former.to_string())),
        )
    }));
    let event = finding
        .closing
        .as_ref()
        .and_then(|closing| closing.event_id.as_ref());
    lines.extend(event.map(|id| row("closed by event", &facts.id(id))));
    lines.push(row("audit entry", &sequence.to_string()));
    lines.push(row("audit hash", &facts.text(audit_hash)));
    // A table opened read-only may not have an audit trail for this user yet.
    if !facts.invocation.has_store() || audit_hash.is_empty() {
        return lines;
    }
    let check = verify(finding, audit_hash, facts.invocation)
        .filter(|line| facts.context.command(line).as_ref() == Some(line))
        .unwrap_or_else(|| {
            "(no command: the name has characters that are not safe to paste)".to_owned()
        });
    lines.push(row("check it later", &check));
    lines
}

fn row(name: &str, value: &str) -> String {
    format!("  {name:<15} {value}")
}

#[cfg(test)]
mod tests;
