//! An audit trail as a timeline for people.

use crate::detect::audit::{AuditEntry, AuditKind};
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// The longest value that is shown whole, in characters.
const LONGEST: usize = 300;

/// How far behind an event has to have been noticed for the timeline to say so, in seconds.
const NOTABLE_DELAY_SECONDS: i64 = 60;

/// One entry, in lines: what and when; by whom; the details.
#[must_use]
pub fn entry(entry: &AuditEntry) -> String {
    let draft = &entry.draft;
    let mut lines = vec![format!(
        "{:>4}  {}  {}",
        entry.sequence,
        readable(draft.at),
        headline(draft.kind)
    )];
    let mut fact = |name: &str, value: &str| {
        lines.push(format!(
            "        {name:<16}{}",
            for_terminal(value, LONGEST)
        ));
    };
    for (name, value) in &draft.details {
        fact(&name.replace('_', " "), value);
    }
    if let Some(actor) = &draft.actor {
        fact("by", actor);
    }
    if let Some(finding_id) = &draft.finding_id {
        fact("finding", finding_id);
    }
    if let Some(event_id) = &draft.event_id {
        fact("event", event_id);
    }
    let delay = draft.recorded_at - draft.at;
    if delay.num_seconds() > NOTABLE_DELAY_SECONDS {
        fact("noticed", &format!("{} later", duration(delay)));
    }
    fact("hash", &entry.hash);
    lines.join("\n")
}

fn headline(kind: AuditKind) -> &'static str {
    match kind {
        AuditKind::KeyCreated => "key created",
        AuditKind::KeyUpdated => "key status changed",
        AuditKind::KeyDeleted => "key deleted",
        AuditKind::UserDeleted => "user deleted",
        AuditKind::UserRenamed => "user renamed",
        AuditKind::FindingOpened => "FINDING OPENED",
        AuditKind::FindingConfirmed => "finding confirmed",
        AuditKind::FindingUpdated => "FINDING UPDATED",
        AuditKind::FindingClosed => "FINDING CLOSED",
    }
}
