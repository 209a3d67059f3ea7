//! Where records, findings and audit trails are stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::findings::alert::PendingAlert;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::records::coverage::AccountCoverage;
use crate::detect::records::user_record::UserRecord;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::usage::last_use::KnownUses;
use crate::detect::user::UserId;
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::ServiceError;

/// What a re-check needs from a store: DynamoDB or SQLite.
#[async_trait]
pub trait FindingStore: Send + Sync {
    /// The record of `user` after the last commit (strongly consistent), or a new one with version
    /// 0.
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError>;

    /// The pending alerts for `user`, in order of sequence.
    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError>;

    /// The current exemptions of `account` (strongly consistent). An unreadable one is skipped and
    /// logged: an extra alert is better than a user who is ignored.
    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError>;

    /// The familiar actors of `account` (strongly consistent), possibly including expired ones. An
    /// unreadable one is skipped and logged; a key by that actor is then HIGH.
    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError>;

    /// Stores `familiar`, replacing the same actor's entry. Idempotent.
    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError>;

    /// Writes all of `commit` or nothing; see [`Commit`] for the conditions.
    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError>;

    /// Sets the due time of `pending` to `until` if it is still the one in `pending`. Returns whether it
    /// was.
    async fn reschedule(
        &self,
        pending: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError>;

    /// Records that `pending` was delivered. Idempotent.
    async fn mark_delivered(&self, pending: &PendingAlert) -> Result<(), ServiceError>;
}

/// What the command line reads from a store.
#[async_trait]
pub trait FindingReader: FindingStore {
    /// The findings with this status, earliest opening first.
    async fn findings(&self, status: FindingStatus) -> Result<Vec<Finding>, ServiceError>;

    /// The audit trail of `user`, in order of sequence.
    async fn history(&self, user: &UserId) -> Result<Vec<AuditEntry>, ServiceError>;

    /// The complete trails of `user` that replays of older logs have replaced, latest first. Only
    /// the embedded file has any.
    async fn replaced(&self, _user: &UserId) -> Result<Vec<Vec<AuditEntry>>, ServiceError> {
        Ok(vec![])
    }

    /// Stores `exemption`, replacing the one with the same id in the same account.
    async fn put_exemption(&self, exemption: &Exemption) -> Result<(), ServiceError>;

    /// Removes the exemption `id` of `account`. Returns whether it existed.
    async fn remove_exemption(&self, account: &str, id: &str) -> Result<bool, ServiceError>;

    /// The last uses of `keys` of `account` that the store knows. A deployed table does not store
    /// them: its detector asks IAM.
    async fn known_uses(
        &self,
        _account: &str,
        _keys: &[String],
    ) -> Result<KnownUses, ServiceError> {
        Ok(KnownUses::default())
    }

    /// The ids of the accounts with a finding, a sweep or an exemption, as far as they can be read
    /// without a full scan: a table lists those that were swept.
    async fn account_ids(&self) -> Result<BTreeSet<String>, ServiceError>;

    /// When accounts were last checked. An account is missing if the store does not know.
    async fn coverage(&self) -> Result<Vec<AccountCoverage>, ServiceError>;

    /// Every user with an audit trail or a record. Reads the items themselves, so that it finds a
    /// trail whose record was removed.
    async fn users(&self) -> Result<Vec<UserId>, ServiceError>;
}
