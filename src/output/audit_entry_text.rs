//! An audit trail as a readable timeline.

use crate::detect::trail::audit::{AuditEntry, AuditKind};
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// The longest value that is shown in full, in characters.
const MAX_CHARS: usize = 300;

/// The timeline mentions a delay in noticing an event only if it is longer than this, in seconds.
const NOTABLE_DELAY_SECONDS: i64 = 60;

/// One entry, in lines: what happened and when, who did it, and the details.
#[must_use]
pub(crate) fn audit_entry_text(entry: &AuditEntry) -> String {
    let draft = &entry.draft;
    let mut lines = vec![format!(
        "{:>4}  {}  {}",
        entry.sequence,
        readable(draft.at),
        headline(draft.kind)
    )];
    let mut fact = |name: &str, value: &str| {
        lines.push(format!(
            "        {:<16}{}",
            for_terminal(name, MAX_CHARS),
            for_terminal(value, MAX_CHARS)
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
        AuditKind::KeyLeaked => "KEY LEAKED",
        AuditKind::FindingOpened => "FINDING OPENED",
        AuditKind::FindingConfirmed => "finding confirmed",
        AuditKind::FindingUpdated => "FINDING UPDATED",
        AuditKind::FindingClosed => "FINDING CLOSED",
        AuditKind::FindingSuppressed => "FINDING SUPPRESSED",
        AuditKind::ExemptionEnded => "EXEMPTION ENDED",
        AuditKind::ForeignEntry => "FOREIGN ENTRY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, user};
    use crate::detect::trail::audit::{AuditDraft, ChainHead};
    use crate::output::hostile::first_unseen;
    use crate::output::testing::HOSTILE;

    fn shown(text: &str) -> String {
        let draft = AuditDraft {
            at: at(0),
            recorded_at: at(100),
            kind: AuditKind::KeyCreated,
            finding_id: Some(text.to_owned()),
            event_id: Some(text.to_owned()),
            actor: Some(text.to_owned()),
            details: [(text.to_owned(), text.to_owned())].into(),
        };
        let mut written = ChainHead::default().append(&user(), draft);
        text.clone_into(&mut written.hash);
        audit_entry_text(&written)
    }

    #[test]
    fn hostile_text_in_the_store_forges_no_timeline_line() {
        let harmless = shown("x").lines().count();
        for text in HOSTILE.iter() {
            let shown = shown(text);
            assert_eq!(first_unseen(&shown), None, "{shown}");
            assert_eq!(shown.lines().count(), harmless, "{shown}");
            assert!(shown.lines().all(|line| line.chars().count() <= 700));
        }
    }
}
