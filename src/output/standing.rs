//! A finding as it stands when somebody looks, for the outputs of commands.

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, AlertKind};
use crate::detect::audit::ChainHead;
use crate::detect::finding::Finding;
use crate::detect::policy::Policy;
use crate::detect::retire::LastUses;
use crate::detect::verdict::Verdict;
use crate::output::invocation::Invocation;

/// A finding as it stands, in the form of the alert that would tell of it: opened if this look found it, updated if it is open
/// still, closed if it ended since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The finding and what there is to tell of it.
    pub alert: Alert,
    /// When its keys were last used, as far as that could be had.
    pub last_uses: LastUses,
    /// How the run that shows it was called.
    pub invocation: Invocation,
}

impl Standing {
    /// `finding` at `now`, whose `trail` ends there, as `kind` says.
    #[must_use]
    pub fn of(
        finding: Finding,
        kind: AlertKind,
        trail: &ChainHead,
        policy: &Policy,
        last_uses: LastUses,
        now: Timestamp,
    ) -> Self {
        let alert = Alert {
            kind,
            sequence: trail.sequence,
            audit_hash: trail.hash.clone(),
            in_digest: false,
            at: now,
            window_ends_at: finding.window_ends_at(policy.rotation_window),
            finding,
        };
        Self {
            alert,
            last_uses,
            invocation: Invocation::default(),
        }
    }

    /// The same, with commands for who called `invocation`.
    #[must_use]
    pub fn shown_by(self, invocation: &Invocation) -> Self {
        Self {
            invocation: invocation.clone(),
            ..self
        }
    }

    /// What to do about the keys; none once the finding is closed.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.alert.verdict(&self.last_uses)
    }

    /// What has become of the finding since the last look: `new`, `open` or `closed`.
    #[must_use]
    pub fn change(&self) -> &'static str {
        match self.alert.kind {
            AlertKind::Opened => "new",
            AlertKind::Updated(_) => "open",
            AlertKind::Closed => "closed",
        }
    }
}
