//! What one re-check writes, whole or not at all.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::alert::OwedAlert;
use crate::detect::audit::AuditEntry;
use crate::detect::decide::Decision;
use crate::detect::finding::Finding;
use crate::detect::policy::Policy;
use crate::detect::user_record::UserRecord;

/// The most events whose audit entries enter one commit: an entry and a mark each, beside the record, the finding, three
/// more entries and the alerts owed, within the 100 actions of a DynamoDB transaction.
pub const MAX_EVENTS: usize = 44;

/// What one re-check writes.
///
/// INVARIANT (one transaction): all of it is written, or nothing.
/// INVARIANT (load before list): it is written only if the stored record still has the version before `record.version`.
/// It is refused too if one of `recorded` is marked as recorded already, or one of `audit` stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The user's record; its version is one above that of the record it was decided on.
    pub record: UserRecord,
    /// Whether `record.finding` is to be written as a finding too.
    pub finding_changed: bool,
    /// The new entries of the audit trail.
    pub audit: Vec<AuditEntry>,
    /// The ids of the changes to be marked as recorded.
    pub recorded: Vec<String>,
    /// The alerts owed from now on.
    pub owed: Vec<OwedAlert>,
    /// The moment of the commit, from which marks expire.
    pub at: Timestamp,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is written.
    Written,
    /// Somebody else wrote the record in between; nothing is written.
    VersionConflict,
    /// These changes stand in the audit trail already; nothing is written.
    AlreadyRecorded(BTreeSet<String>),
    /// An entry stands at this place of the audit trail, though the record does not know it; nothing is written.
    TrailTaken(u64),
}

impl Commit {
    /// What `decision` writes at `at`, its alert owed to each of `sinks`.
    #[must_use]
    pub fn of(decision: &Decision, sinks: &[&str], at: Timestamp) -> Self {
        let owed = decision.alert.iter().flat_map(|alert| {
            sinks.iter().map(|sink| OwedAlert {
                sink: (*sink).to_owned(),
                due_at: at + Policy::DELIVERY_GRACE,
                alert: alert.clone(),
            })
        });
        Self {
            record: decision.record.clone(),
            finding_changed: decision.finding_changed,
            audit: decision.audit.clone(),
            recorded: decision.recorded.clone(),
            owed: owed.collect(),
            at,
        }
    }

    /// Whether it says nothing but that the user was looked at. If it is lost, that is done again and comes to the same.
    #[must_use]
    pub fn tells_nothing(&self) -> bool {
        !self.finding_changed
            && self.audit.is_empty()
            && self.recorded.is_empty()
            && self.owed.is_empty()
    }

    /// The version that the stored record must have; 0 if there must be none.
    #[must_use]
    pub fn expected_version(&self) -> u64 {
        self.record.version.saturating_sub(1)
    }

    /// What becomes of this commit where the stored record has `stored_version` (0 if there is none) and the changes
    /// `marked` stand in the audit trail already.
    #[must_use]
    pub fn verdict(&self, stored_version: u64, marked: &BTreeSet<String>) -> Committed {
        if stored_version != self.expected_version() {
            return Committed::VersionConflict;
        }
        let already_recorded: BTreeSet<String> = self
            .recorded
            .iter()
            .filter(|id| marked.contains(*id))
            .cloned()
            .collect();
        if already_recorded.is_empty() {
            Committed::Written
        } else {
            Committed::AlreadyRecorded(already_recorded)
        }
    }

    /// The finding to write, if it is new or changed.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.record
            .finding
            .as_ref()
            .filter(|_| self.finding_changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decide::decide;
    use crate::detect::situation::Situation;
    use crate::detect::testing::{at, created, listing, user};

    /// An opening at second 101, decided on version 6 of the record.
    fn opening() -> Commit {
        let situation = Situation {
            record: &UserRecord {
                version: 6,
                ..UserRecord::new(user())
            },
            listing: &listing(100, &["+K1", "+K2"]),
            changes: &[created("K2", 95)],
            already_recorded: &BTreeSet::new(),
            is_retry: false,
            former: &[],
            exemptions: &[],
            familiar: &[],
            sweep: None,
            has_left: false,
            is_history: false,
            foreign_entry: None,
        };
        let decision = decide(&situation, &Policy::default(), at(101));
        Commit::of(&decision, &["sns", "eventbridge"], at(101))
    }

    #[test]
    fn an_alert_is_owed_to_each_sink_and_left_to_its_owner_for_thirty_seconds() {
        let owed: Vec<(String, Timestamp)> = opening()
            .owed
            .into_iter()
            .map(|owed| (owed.sink, owed.due_at))
            .collect();
        let expected = ["sns", "eventbridge"].map(|sink| (sink.to_owned(), at(131)));
        assert_eq!(owed, expected);
    }

    #[test]
    fn a_commit_is_written_only_over_the_version_it_was_decided_on() {
        let verdict = |stored| opening().verdict(stored, &BTreeSet::new());
        assert_eq!(verdict(6), Committed::Written);
        for stored in [0, 5, 7] {
            assert_eq!(verdict(stored), Committed::VersionConflict, "{stored}");
        }
    }

    #[test]
    fn a_commit_is_refused_for_those_of_its_changes_that_are_recorded() {
        let recorded: BTreeSet<String> = opening().recorded.into_iter().collect();
        assert_eq!(recorded.len(), 1);
        let mut marked = recorded.clone();
        marked.insert("another change".to_owned());
        assert_eq!(
            opening().verdict(6, &marked),
            Committed::AlreadyRecorded(recorded)
        );
    }

    #[test]
    fn a_finding_is_written_only_where_it_changed() {
        let mut commit = opening();
        assert!(commit.finding().is_some());
        commit.finding_changed = false;
        assert_eq!(commit.finding(), None);
    }
}
