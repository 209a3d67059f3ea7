//! What one re-check writes, whole or not at all.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::alert::OwedAlert;
use crate::detect::audit::AuditEntry;
use crate::detect::decide::Decision;
use crate::detect::finding::Finding;
use crate::detect::policy::Policy;
use crate::detect::user_record::UserRecord;

/// The most events whose audit entries enter one commit: an entry and a mark each, beside the record, the finding, two
/// entries about it and the alerts owed, within the 100 actions of a DynamoDB transaction.
pub const MAX_EVENTS: usize = 45;

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
