//! A finding as it is now, or as it is stored, for the outputs of commands.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::severity::raise_after_window;
use crate::detect::decision::verdict::Verdict;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::trail::audit::ChainHead;
use crate::detect::usage::last_use::{KnownUses, LastUses};
use crate::output::invocation::Invocation;
use crate::output::json_v1::words::ChangeV1;

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
    /// `finding` at `now`, as an alert of `kind`. Two active keys count as a rotation in progress
    /// during `window`.
    #[must_use]
    pub fn of(
        finding: Finding,
        kind: AlertKind,
        window: TimeDelta,
        last_uses: LastUses,
        now: Timestamp,
    ) -> Self {
        let ChainHead { sequence, hash } = ChainHead::default();
        let alert = Alert {
            kind,
            sequence,
            audit_hash: hash,
            in_digest: false,
            at: now,
            window_ends_at: finding.window_ends_at(window),
            finding,
        };
        Self {
            alert,
            last_uses,
            invocation: Invocation::default(),
        }
    }

    /// `finding` as it is stored, with what is `known` about the use of its keys, which are not
    /// listed now. The verdict is about the time up to which the store knows of their uses, or
    /// about `now`; so is the severity.
    #[must_use]
    pub fn stored(
        mut finding: Finding,
        known: KnownUses,
        window: TimeDelta,
        now: Timestamp,
    ) -> Self {
        let KnownUses { last_uses, until } = known;
        let as_of = until.unwrap_or(now).max(finding.detected_at);
        raise_after_window(&mut finding, window, as_of);
        let kind = match finding.status {
            FindingStatus::Closed => AlertKind::Closed,
            FindingStatus::Open | FindingStatus::Suppressed => AlertKind::Updated(vec![]),
        };
        Self::of(finding, kind, window, last_uses, as_of)
    }

    /// The same finding, with the end of its audit `trail`.
    #[must_use]
    pub fn with_trail(mut self, trail: &ChainHead) -> Self {
        self.alert.sequence = trail.sequence;
        self.alert.audit_hash.clone_from(&trail.hash);
        self
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

    /// The time up to which two keys are known to have been active: the closing, or the time of the
    /// verdict.
    #[cfg(feature = "cli")]
    #[must_use]
    pub(crate) fn known_until(&self) -> Timestamp {
        let closing = self.alert.finding.closing.as_ref();
        closing.map_or(self.alert.at, |closing| closing.at)
    }

    /// How the finding changed since the last scan: `new`, `open` or `closed`.
    #[must_use]
    pub fn change(&self) -> &'static str {
        ChangeV1::from(&self.alert.kind).word()
    }
}

/// The line that says as of when the open findings of `snapshots` are judged, if that is not `now`.
#[must_use]
pub fn as_of_line(snapshots: &[FindingSnapshot], now: Timestamp) -> Option<String> {
    let open = snapshots.iter().filter(|one| one.verdict().is_some());
    let times: Vec<Timestamp> = open.map(|one| one.alert.at).collect();
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    let shown = |time: &Timestamp| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    if *first >= now {
        return None;
    }
    let when = if first == last {
        shown(first)
    } else {
        format!("{} to {}, by account", shown(first), shown(last))
    };
    Some(format!(
        "Verdicts are as of {when}; nothing later is known about these keys."
    ))
}
