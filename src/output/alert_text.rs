//! The readable alert: what an engineer reads at 3 a.m. Headline, facts, what to do, details.

use crate::detect::alert::{Alert, AlertKind, Update};
use crate::detect::finding::{Finding, FindingKey, FindingStatus};
use crate::detect::retire::LastUses;
use crate::output::alert_text::to_do::{left_to_do, to_do};
use crate::output::commands::verify;
use crate::output::escape::{Place, for_subject};
use crate::output::facts::{Facts, tag, topic, user_name};
use crate::output::invocation::Invocation;

mod to_do;

/// The longest user name and account id in a subject.
const LONGEST_IN_SUBJECT: (usize, usize) = (32, 14);

/// The readable alert. Made only of escaped parts.
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

    /// The rest, in lines that each end with a line feed.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// All of it: the headline, an empty line, the rest.
    #[must_use]
    pub fn whole(&self) -> String {
        format!("{}\n\n{}", self.headline, self.body)
    }
}

/// The readable form of `alert` for `place`, a terminal or plain text, with commands for who called
/// `invocation`.
#[must_use]
pub fn alert_text(
    alert: &Alert,
    last_uses: &LastUses,
    place: Place,
    invocation: &Invocation,
) -> AlertText {
    let facts = Facts {
        alert,
        last_uses,
        place,
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

/// What is to be done, by where the finding is in its life, in lines.
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
    let (longest_name, longest_account) = LONGEST_IN_SUBJECT;
    for_subject(&format!(
        "[{}] {}: {} ({})",
        tag(alert),
        topic(alert),
        // It is also the text message, in which phones link what mail programs do.
        Place::PlainText.escape(user_name(finding), longest_name),
        Place::PlainText.escape(finding.user().account(), longest_account),
    ))
}

fn opened(facts: &Facts<'_>) -> Vec<String> {
    let mut lines = facts.standing();
    lines.extend(facts.circumstances());
    lines.extend(facts.severity_reasons());
    lines.push(facts.opened());
    lines.push(facts.window());
    lines
}

fn updated(facts: &Facts<'_>, updates: &[Update]) -> Vec<String> {
    let words: Vec<&str> = updates.iter().map(|update| update.words()).collect();
    let mut lines = vec![format!("Changed: {}.", words.join("; "))];
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
    let keys = facts.alert.finding.keys.iter().flat_map(of_key);
    ["Keys".to_owned()].into_iter().chain(keys).collect()
}

fn opener(facts: &Facts<'_>) -> Vec<String> {
    let Some(opener) = &facts.alert.finding.opener else {
        return vec![match facts.place {
            // Whoever reads a terminal may have nothing deployed that hears of events.
            Place::Terminal => "Who made the second key active is not known.".to_owned(),
            Place::PlainText | Place::Chat => {
                "Who made the second key active is not known; an update follows if an event tells."
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
    // A table that is only read may hold no trail of the user yet.
    if !facts.invocation.is_kept() || audit_hash.is_empty() {
        return lines;
    }
    let check = verify(finding, audit_hash, facts.invocation)
        .filter(|line| facts.place.command(line).as_ref() == Some(line))
        .unwrap_or_else(|| "(no command: the name holds what cannot be pasted safely)".to_owned());
    lines.push(row("check it later", &check));
    lines
}

fn row(name: &str, value: &str) -> String {
    format!("  {name:<15} {value}")
}

#[cfg(test)]
mod tests;
