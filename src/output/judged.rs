//! Findings with a verdict, judged from stored data. Their keys are not listed now.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::severity::raise_after_window;
use crate::detect::decision::verdict::{Verdict, verdict_on};
use crate::detect::findings::finding::Finding;
use crate::detect::usage::last_use::{KnownUses, LastUses};
use crate::output::json_v1;
use crate::output::json_v1::wire::FindingWithVerdictV1;

/// A finding and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The finding. Its severity is the one at the time of the verdict.
    pub finding: Finding,
    /// When its keys were last used, as far as the store knows.
    pub last_uses: LastUses,
    /// The time that the verdict is about. Nothing later is known about the keys.
    pub as_of: Timestamp,
    /// What to do; `None` once the finding is closed.
    pub verdict: Option<Verdict>,
}

impl Judged {
    /// Judges `finding` by what is `known` about the use of its keys at `now`. Two active keys
    /// count as a rotation in progress during `window`.
    #[must_use]
    pub fn of(mut finding: Finding, known: KnownUses, window: TimeDelta, now: Timestamp) -> Self {
        let KnownUses { last_uses, until } = known;
        let as_of = until.unwrap_or(now).max(finding.detected_at);
        let window_ends_at = finding.window_ends_at(window);
        raise_after_window(&mut finding, window, as_of);
        let verdict = verdict_on(&finding, &last_uses, window_ends_at, as_of);
        Self {
            finding,
            last_uses,
            as_of,
            verdict,
        }
    }

    /// The time up to which two keys are known to have been active: the closing, or the time of the
    /// verdict.
    #[must_use]
    pub(crate) fn known_until(&self) -> Timestamp {
        let closing = self.finding.closing.as_ref();
        closing.map_or(self.as_of, |closing| closing.at)
    }

    /// The finding in version 1 of the JSON.
    #[must_use]
    pub fn json(&self) -> FindingWithVerdictV1 {
        json_v1::judged(
            &self.finding,
            &self.last_uses,
            self.verdict.as_ref(),
            self.as_of,
        )
    }
}

/// The line that says as of when the open findings of `judged` are judged, if that is not `now`.
#[must_use]
pub fn as_of_line(judged: &[Judged], now: Timestamp) -> Option<String> {
    let open = judged.iter().filter(|one| one.verdict.is_some());
    let times: Vec<Timestamp> = open.map(|one| one.as_of).collect();
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
