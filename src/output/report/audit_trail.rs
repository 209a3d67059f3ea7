//! What a user's audit trail says about one finding, and whether the trail is intact.

use std::ops::Range;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::trail::audit::{AuditEntry, AuditKind, BrokenTrailError};

/// How long a change may take to reach the whole store. Findings and trails may disagree about
/// anything younger.
const ON_ITS_WAY: TimeDelta = TimeDelta::minutes(5);

/// The audit trail of one user, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trail {
    /// Its entries, in order; empty if it could not be read.
    pub entries: Vec<AuditEntry>,
    /// The result of checking it against the user's record.
    pub state: TrailState,
}

impl Trail {
    /// Whether nothing was ever recorded. Such a user has a record and no trail.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.state == TrailState::Whole
    }
}

/// The result of checking a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrailState {
    /// Every entry follows the one before it, and the last one is the one that the user's record
    /// names.
    Whole,
    /// It is broken.
    Broken(BrokenTrailError),
    /// The trail or the user's record could not be read, for this reason.
    Unread(String),
}

/// What the trail says about one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrailEvidence {
    /// The trail is intact and agrees with the finding.
    Whole,
    /// The trail is broken.
    Broken(String),
    /// The trail could not be read.
    Unread(String),
    /// The trail is intact and disagrees with the finding.
    Differs(&'static str),
}

impl TrailEvidence {
    /// What `trail` says about `finding`, both read at `now`.
    #[must_use]
    pub(crate) fn of(finding: &Finding, trail: Option<&Trail>, now: Timestamp) -> Self {
        let Some(trail) = trail else {
            return Self::Differs("the store has no audit trail for this user");
        };
        match &trail.state {
            TrailState::Broken(chain_break) => Self::Broken(chain_break.to_string()),
            TrailState::Unread(reason) => Self::Unread(reason.clone()),
            TrailState::Whole => {
                difference(finding, &trail.entries, now).map_or(Self::Whole, Self::Differs)
            }
        }
    }

    /// The word for it.
    #[must_use]
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Whole => "intact",
            Self::Broken(_) => "BROKEN",
            Self::Unread(_) => "UNREAD",
            Self::Differs(_) => "DIFFERS",
        }
    }

    /// What is wrong, in words; `None` if nothing is.
    #[must_use]
    pub(crate) fn problem(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Broken(reason) | Self::Unread(reason) => Some(reason),
            Self::Differs(reason) => Some(reason),
        }
    }
}

fn difference(finding: &Finding, entries: &[AuditEntry], now: Timestamp) -> Option<&'static str> {
    let id = finding.id.to_string();
    let last = |kind: AuditKind| {
        let mut entries = entries.iter().rev();
        entries.find(|entry| entry.draft.kind == kind && is_of(entry, &id))
    };
    if last(AuditKind::FindingOpened).is_none() {
        return Some("no entry in the trail opens this finding");
    }
    let closing = last(AuditKind::FindingClosed);
    match (finding.status, closing) {
        (FindingStatus::Closed, None) => {
            Some("the finding is closed, but no entry in the trail closes it")
        }
        (FindingStatus::Open | FindingStatus::Suppressed, Some(entry))
            if is_settled(entry, now) =>
        {
            Some("the finding is open, but an entry in the trail closes it")
        }
        _ => None,
    }
}

/// The IDs of findings that the intact trail `entries` opens and the store does not have, according
/// to `is_kept`.
#[must_use]
pub(crate) fn not_kept(
    entries: &[AuditEntry],
    is_kept: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Vec<&str> {
    entries
        .iter()
        .filter(|entry| entry.draft.kind == AuditKind::FindingOpened && is_settled(entry, now))
        .filter_map(|entry| entry.draft.finding_id.as_deref())
        .filter(|id| !is_kept(id))
        .collect()
}

/// The entries about the finding `id`: from the end of the finding before it to its own last entry,
/// or to the end of the trail if no other finding follows. So each entry belongs to one finding,
/// and the key changes that led to a finding are part of it. All entries if the trail does not name
/// the finding.
#[must_use]
pub(crate) fn entries_of(id: &str, entries: &[AuditEntry]) -> Range<usize> {
    let Some(first) = entries.iter().position(|entry| is_of(entry, id)) else {
        return 0..entries.len();
    };
    let is_others =
        |entry: &AuditEntry| entry.draft.finding_id.as_deref().is_some_and(|of| of != id);
    let start = entries
        .iter()
        .take(first)
        .rposition(is_others)
        .map_or(0, |place| place + 1);
    let is_last = !entries.iter().skip(first).any(is_others);
    let last = entries.iter().rposition(|entry| is_of(entry, id));
    let end = if is_last {
        entries.len()
    } else {
        last.map_or(first, |last| last + 1)
    };
    start..end
}

fn is_of(entry: &AuditEntry, id: &str) -> bool {
    entry.draft.finding_id.as_deref() == Some(id)
}

fn is_settled(entry: &AuditEntry, now: Timestamp) -> bool {
    entry.draft.recorded_at <= now - ON_ITS_WAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, user};
    use crate::detect::trail::audit::{AuditDraft, ChainHead};
    use crate::output::testing;

    /// A trail of entries, each of a kind and perhaps of an episode.
    fn trail(entries: &[(AuditKind, Option<u32>)]) -> Trail {
        let mut head = ChainHead::default();
        let entries = entries.iter().map(|(kind, episode)| {
            let draft = AuditDraft {
                at: at(0),
                recorded_at: at(0),
                kind: *kind,
                finding_id: episode.map(|episode| format!("111122223333/alice/{episode}")),
                event_id: None,
                actor: None,
                details: std::collections::BTreeMap::new(),
            };
            head.append(&user(), draft)
        });
        Trail {
            entries: entries.collect(),
            state: TrailState::Whole,
        }
    }

    const OPENED: (AuditKind, Option<u32>) = (AuditKind::FindingOpened, Some(1));
    const CLOSED: (AuditKind, Option<u32>) = (AuditKind::FindingClosed, Some(1));
    const KEY: (AuditKind, Option<u32>) = (AuditKind::KeyCreated, None);

    #[track_caller]
    fn check(finding: &Finding, entries: &[(AuditKind, Option<u32>)], expected: &str) {
        let evidence = TrailEvidence::of(finding, Some(&trail(entries)), at(1_000));
        assert_eq!(evidence.problem().unwrap_or_default(), expected);
    }

    #[test]
    fn finding_without_matching_trail_entries_differs() {
        let (open, closed) = (testing::opened().finding, testing::closed().finding);
        check(&open, &[KEY, OPENED], "");
        check(&closed, &[OPENED, CLOSED], "");
        check(&open, &[KEY], "no entry in the trail opens this finding");
        check(
            &closed,
            &[OPENED],
            "the finding is closed, but no entry in the trail closes it",
        );
        check(
            &open,
            &[OPENED, CLOSED],
            "the finding is open, but an entry in the trail closes it",
        );
        let other = (AuditKind::FindingOpened, Some(2));
        check(&open, &[other], "no entry in the trail opens this finding");
        let evidence = TrailEvidence::of(&open, None, at(0));
        assert_eq!(evidence.word(), "DIFFERS");
    }

    #[test]
    fn recent_changes_are_not_a_difference() {
        let open = testing::opened().finding;
        let evidence = TrailEvidence::of(&open, Some(&trail(&[OPENED, CLOSED])), at(60));
        assert_eq!(evidence, TrailEvidence::Whole);
        assert_eq!(
            not_kept(&trail(&[OPENED]).entries, |_| false, at(60)),
            [""; 0]
        );
    }

    #[test]
    fn finding_that_only_the_trail_has_is_named() {
        let trail = trail(&[OPENED, CLOSED, (AuditKind::FindingOpened, Some(2))]);
        let is_kept = |id: &str| id.ends_with("/2");
        let missing = not_kept(&trail.entries, is_kept, at(1_000));
        assert_eq!(missing, ["111122223333/alice/1"]);
    }

    #[test]
    fn each_entry_belongs_to_one_finding() {
        let second = (AuditKind::FindingOpened, Some(2));
        let trail = trail(&[KEY, OPENED, CLOSED, KEY, second, KEY]);
        let of =
            |episode: u32| entries_of(&format!("111122223333/alice/{episode}"), &trail.entries);
        assert_eq!(of(1), 0..3);
        assert_eq!(of(2), 3..6);
        assert_eq!(of(3), 0..6, "nothing is left out where nothing fits");
    }
}
