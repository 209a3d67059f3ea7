//! The verdict in words, and what could make it wrong.

use crate::detect::decision::relation::Relation;
use crate::detect::decision::verdict::{ContainReason, ProgressReason, Verdict};
use crate::detect::findings::finding::KeyActivation;
use crate::output::facts::Facts;
use crate::output::facts::actor::did;
use crate::output::verdict_text::sentence;

impl Facts<'_> {
    /// What to do about the keys; `None` once the finding is closed.
    pub(in crate::output) fn verdict(&self) -> Option<Verdict> {
        self.alert.verdict(self.last_uses)
    }

    /// `verdict` as a sentence, without the full stop.
    pub(in crate::output) fn verdict_sentence(&self, verdict: &Verdict) -> String {
        sentence(verdict, &|key| self.id(key))
    }

    /// What the reader may know that changes `verdict`, as sentences without full stops.
    pub(in crate::output) fn caveats(&self, verdict: &Verdict) -> Vec<String> {
        match verdict {
            Verdict::Contain {
                reason: ContainReason::CreatedByUnfamiliar | ContainReason::ReactivatedByUnfamiliar,
                ..
            } => vec![
                "If the change was planned, roll back, and add the actor to TrustedActors or write \
                 an exemption"
                    .to_owned(),
            ],
            Verdict::Contain { key, .. } => self.made_with(key).collect(),
            Verdict::InProgress { reason, .. } if *reason != ProgressReason::Exempt => {
                self.unexpected().into_iter().collect()
            }
            Verdict::InProgress { .. } | Verdict::Retire { .. } | Verdict::Ask { .. } => vec![],
        }
    }

    /// The active keys that were made active by a call signed with `leaked`.
    fn made_with(&self, leaked: &str) -> impl Iterator<Item = String> {
        let finding = self.finding();
        let activations = finding.opener.iter().chain(&finding.other_activations);
        activations
            .filter(move |activation| {
                let is_active = finding.active_keys().any(|key| key == activation.key);
                is_active
                    && activation.key != leaked
                    && activation.actor.access_key_id.as_deref() == Some(leaked)
            })
            .map(move |activation| {
                format!(
                    "{} was {} with a call signed by {}, so it may also be the intruder's",
                    self.id(&activation.key),
                    did(activation),
                    self.id(leaked)
                )
            })
    }

    /// What to do if making the second key active was not intended.
    fn unexpected(&self) -> Option<String> {
        let finding = self.finding();
        let opener: &KeyActivation = finding.opener.as_ref()?;
        if opener.relation == Some(Relation::Trusted) {
            return None;
        }
        let other = finding.active_keys().find(|key| *key != opener.key)?;
        finding.active_keys().find(|key| *key == opener.key)?;
        Some(format!(
            "If you did not expect {} to be {}, deactivate it, and keep {}",
            self.id(&opener.key),
            did(opener),
            self.id(other)
        ))
    }
}
