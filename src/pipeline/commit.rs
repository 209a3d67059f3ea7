//! What one re-check writes, in one transaction.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::decision::decide::Decision;
use crate::detect::decision::policy::Policy;
use crate::detect::findings::alert::PendingAlert;
use crate::detect::findings::finding::Finding;
use crate::detect::records::user_record::UserRecord;
use crate::detect::trail::audit::AuditEntry;

/// The maximum number of events whose audit entries fit into one commit: each takes an entry and a
/// mark. With the record, the finding, three more entries and the pending alerts, a DynamoDB
/// transaction has at most 100 actions.
pub const MAX_EVENTS: usize = 44;

/// What one re-check writes.
///
/// INVARIANT (one transaction): all of it is written, or nothing.
/// INVARIANT (load before list): it is only written if the stored record still has the version
/// before `record.version`. It is also refused if one of `recorded` is already marked as recorded,
/// or the place of one of `audit` is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The user's record, with the version after that of the record the decision was based on.
    pub record: UserRecord,
    /// Whether `record.finding` is also written as a finding.
    pub finding_changed: bool,
    /// The new entries of the audit trail.
    pub audit: Vec<AuditEntry>,
    /// The ids of the changes to mark as recorded.
    pub recorded: Vec<String>,
    /// The new pending alerts.
    pub pending_alerts: Vec<PendingAlert>,
    /// The time of the commit, from which marks expire.
    pub at: Timestamp,
}

/// The result of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitResult {
    /// Everything was written.
    Written,
    /// Another worker wrote the record in between. Nothing was written.
    VersionConflict,
    /// These changes are already in the audit trail. Nothing was written.
    AlreadyRecorded(BTreeSet<String>),
    /// This place of the audit trail is taken, although the record does not know it. Nothing was
    /// written.
    TrailTaken(u64),
}

impl Commit {
    /// What `decision` writes at `at`, with its alert or refresh pending for each of `sinks`.
    #[must_use]
    pub fn of(decision: &Decision, sinks: &[&str], at: Timestamp) -> Self {
        let sent = decision.alert.iter().chain(&decision.refresh);
        let pending = sent.flat_map(|alert| {
            sinks.iter().map(|sink| PendingAlert {
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
            pending_alerts: pending.collect(),
            at,
        }
    }

    /// Whether it only records that the user was checked. If such a commit is lost, the same check
    /// is repeated.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        !self.finding_changed
            && self.audit.is_empty()
            && self.recorded.is_empty()
            && self.pending_alerts.is_empty()
    }

    /// The version that the stored record must have; 0 if it must not exist.
    #[must_use]
    pub fn expected_version(&self) -> u64 {
        self.record.version.saturating_sub(1)
    }

    /// The result of this commit if the stored record has `stored_version` (0 if it does not exist)
    /// and the changes `marked` are already in the audit trail.
    #[must_use]
    pub fn check(&self, stored_version: u64, marked: &BTreeSet<String>) -> CommitResult {
        if stored_version != self.expected_version() {
            return CommitResult::VersionConflict;
        }
        let already_recorded: BTreeSet<String> = self
            .recorded
            .iter()
            .filter(|id| marked.contains(*id))
            .cloned()
            .collect();
        if already_recorded.is_empty() {
            CommitResult::Written
        } else {
            CommitResult::AlreadyRecorded(already_recorded)
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
    use crate::detect::decision::decide::decide;
    use crate::detect::decision::situation::Situation;
    use crate::detect::testing::{at, created, listing, user};

    /// An opening at second 101, based on version 6 of the record.
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
            former_users: &[],
            exemptions: &[],
            familiar: &[],
            sweep: None,
            unwatched: None,
            is_history: false,
            foreign_entry: None,
        };
        let decision = decide(&situation, &Policy::default(), at(101));
        Commit::of(&decision, &["sns", "eventbridge"], at(101))
    }

    #[test]
    fn alert_is_pending_per_sink_and_reserved_for_30_seconds() {
        let pending: Vec<(String, Timestamp)> = opening()
            .pending_alerts
            .into_iter()
            .map(|pending| (pending.sink, pending.due_at))
            .collect();
        let expected = ["sns", "eventbridge"].map(|sink| (sink.to_owned(), at(131)));
        assert_eq!(pending, expected);
    }

    #[test]
    fn a_commit_is_written_only_over_the_version_it_was_decided_on() {
        let verdict = |stored| opening().check(stored, &BTreeSet::new());
        assert_eq!(verdict(6), CommitResult::Written);
        for stored in [0, 5, 7] {
            assert_eq!(verdict(stored), CommitResult::VersionConflict, "{stored}");
        }
    }

    #[test]
    fn a_commit_is_refused_for_those_of_its_changes_that_are_recorded() {
        let recorded: BTreeSet<String> = opening().recorded.into_iter().collect();
        assert_eq!(recorded.len(), 1);
        let mut marked = recorded.clone();
        marked.insert("another change".to_owned());
        assert_eq!(
            opening().check(6, &marked),
            CommitResult::AlreadyRecorded(recorded)
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
