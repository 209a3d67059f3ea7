//! A finding as it is now, for the outputs of commands.

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::verdict::Verdict;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::finding::Finding;
use crate::detect::trail::audit::ChainHead;
use crate::detect::usage::last_use::LastUses;
use crate::output::invocation::Invocation;

/// A finding as it is now, in the form of an alert: opened if this run found it, updated if it is
/// still open, closed if it ended since the last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingSnapshot {
    /// The finding as an alert.
    pub alert: Alert,
    /// When its keys were last used, as far as known.
    pub last_uses: LastUses,
    /// How the command that shows it was invoked.
    pub invocation: Invocation,
}

impl FindingSnapshot {
    /// `finding` at `now`, with the end of its audit `trail`, as an alert of `kind`.
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

    /// The same finding, with commands that match `invocation`.
    #[must_use]
    pub fn shown_by(self, invocation: &Invocation) -> Self {
        Self {
            invocation: invocation.clone(),
            ..self
        }
    }

    /// What to do about the keys; `None` once the finding is closed.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.alert.verdict(&self.last_uses)
    }

    /// How the finding changed since the last run: `new`, `open` or `closed`.
    #[must_use]
    pub fn change(&self) -> &'static str {
        match self.alert.kind {
            AlertKind::Opened => "new",
            AlertKind::Updated(_) => "open",
            AlertKind::Closed => "closed",
        }
    }
}
