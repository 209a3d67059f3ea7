//! What may make the usual advice wrong: a key that nobody meant to make, and one that is unused because it is new.

use crate::detect::finding::Opener;
use crate::detect::severity::SeverityReason;
use crate::output::facts::Facts;
use crate::output::facts::actor::did;

impl Facts<'_> {
    /// The key that goes instead of the one that `instead_of` names, if nobody meant it to be made active.
    pub(in crate::output) fn key_in_doubt(&self, instead_of: &str) -> Option<&Opener> {
        let finding = self.finding();
        finding.opener.as_ref().filter(|opener| {
            opener.key != instead_of && finding.active_keys().any(|key| key == opener.key)
        })
    }

    /// The question whether the key of `opener` was meant to be made active, and what follows if not.
    pub(in crate::output) fn doubt(&self, opener: &Opener) -> String {
        let key = self.id(&opener.key);
        let what = did(opener);
        format!("If nobody on your side {what} {key}, deactivate that one instead, at once")
    }

    /// What holds if the key to retire, `retired`, was created just now on purpose: it is unused because it is new.
    pub(in crate::output) fn rotation(&self, retired: &str) -> Option<String> {
        let finding = self.finding();
        let is_new = finding
            .opener
            .as_ref()
            .is_some_and(|opener| opener.created && opener.key == retired);
        let other = finding.active_keys().find(|key| *key != retired)?;
        (is_new && self.alert.at < self.alert.window_ends_at).then(|| {
            format!(
                "If this is a rotation, switch to {} first, then deactivate {} instead",
                self.id(retired),
                self.id(other)
            )
        })
    }

    /// Whether there is reason to think that the second key was made by somebody who should not have.
    pub(in crate::output) fn is_suspicious(&self) -> bool {
        self.finding().severity_reasons.iter().any(|reason| {
            matches!(
                reason,
                SeverityReason::UntrustedActor
                    | SeverityReason::UnfamiliarActor
                    | SeverityReason::DormantKey
            )
        })
    }
}
