//! A finding in words, for formats with fields for a title, a description and advice.

use crate::detect::findings::finding::FindingStatus;
use crate::output::alert_text::what_to_do;
use crate::output::escape::OutputContext;
use crate::output::facts::{Facts, user_name};
use crate::output::snapshot::FindingSnapshot;

/// A finding as it is now, in words.
pub(super) struct SnapshotText<'a>(Facts<'a>);

impl<'a> SnapshotText<'a> {
    /// The words for `snapshot` in `context`.
    pub(super) fn of(snapshot: &'a FindingSnapshot, context: OutputContext) -> Self {
        Self(Facts {
            alert: &snapshot.alert,
            last_uses: &snapshot.last_uses,
            context,
            invocation: &snapshot.invocation,
        })
    }

    /// What the finding is about. It is the same in every run.
    pub(super) fn title(&self) -> String {
        let Self(facts) = self;
        let finding = &facts.alert.finding;
        format!(
            "Second active access key: {} ({})",
            facts.text(user_name(finding)),
            facts.text(finding.user().account())
        )
    }

    /// What is known, one sentence per item.
    pub(super) fn description(&self) -> Vec<String> {
        let Self(facts) = self;
        if facts.alert.finding.status == FindingStatus::Closed {
            return facts.closing();
        }
        let mut sentences = facts.current_state();
        sentences.extend(facts.circumstances());
        sentences.extend(facts.severity_reasons());
        sentences.push(facts.opened());
        sentences.extend(facts.opened_by());
        sentences.extend(facts.joined());
        sentences.push(facts.window());
        sentences
    }

    /// What to do, in lines. Commands that are not safe to paste are left out.
    pub(super) fn to_do(&self) -> Vec<String> {
        let lines = what_to_do(&self.0);
        // More than one line have a heading.
        let heading = usize::from(lines.len() > 1);
        let advice = lines.iter().skip(heading);
        advice.map(|line| line.trim().to_owned()).collect()
    }

    /// What found it, if not an event, and the exemption that suppresses it or last did.
    pub(super) fn circumstances(&self) -> Vec<String> {
        self.0.circumstances()
    }

    /// Why the severity is above the usual.
    pub(super) fn risk(&self) -> Option<String> {
        self.0.severity_reasons()
    }
}
