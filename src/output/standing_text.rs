//! A finding as it stands in words, for formats that have a place for a title, a description and advice.

use crate::detect::finding::FindingStatus;
use crate::output::alert_text::what_to_do;
use crate::output::escape::Place;
use crate::output::facts::{Facts, user_name};
use crate::output::standing::Standing;

/// A finding as it stands, about to be told in words.
pub(super) struct StandingText<'a>(Facts<'a>);

impl<'a> StandingText<'a> {
    /// `standing`, for `place`.
    pub(super) fn of(standing: &'a Standing, place: Place) -> Self {
        Self(Facts {
            alert: &standing.alert,
            last_uses: &standing.last_uses,
            place,
            invocation: &standing.invocation,
        })
    }

    /// What it is about. The same at every look.
    pub(super) fn title(&self) -> String {
        let Self(facts) = self;
        let finding = &facts.alert.finding;
        format!(
            "Second active access key: {} ({})",
            facts.text(user_name(finding)),
            facts.text(finding.user().account())
        )
    }

    /// What is known, in sentences.
    pub(super) fn description(&self) -> Vec<String> {
        let Self(facts) = self;
        if facts.alert.finding.status == FindingStatus::Closed {
            return facts.closing();
        }
        let mut sentences = facts.standing();
        sentences.extend(facts.circumstances());
        sentences.extend(facts.severity_reasons());
        sentences.push(facts.opened());
        sentences.extend(facts.opened_by());
        sentences.extend(facts.joined());
        sentences.push(facts.window());
        sentences
    }

    /// What is to be done, in lines, with the commands where they can be pasted as they stand.
    pub(super) fn to_do(&self) -> Vec<String> {
        let lines = what_to_do(&self.0);
        // More than one line have a heading.
        let heading = usize::from(lines.len() > 1);
        let advice = lines.iter().skip(heading);
        advice.map(|line| line.trim().to_owned()).collect()
    }

    /// What found it, if it was no event; and the exemption that hides it or did.
    pub(super) fn circumstances(&self) -> Vec<String> {
        self.0.circumstances()
    }

    /// Why the severity is above the usual.
    pub(super) fn risk(&self) -> Option<String> {
        self.0.severity_reasons()
    }
}
