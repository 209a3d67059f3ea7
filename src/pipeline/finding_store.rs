//! Where records, findings and audit trails are kept.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::detect::Timestamp;
use crate::detect::alert::OwedAlert;
use crate::detect::audit::AuditEntry;
use crate::detect::exemption::Exemption;
use crate::detect::familiar::Familiar;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::pipeline::commit::{Commit, Committed};
use crate::pipeline::error::ServiceError;

/// What a re-check needs of a store: DynamoDB, or SQLite.
#[async_trait]
pub trait FindingStore: Send + Sync {
    /// The record of `user`, as the last commit left it (strongly consistent); a new one of version 0 if there is none.
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError>;

    /// The alerts that are owed for `user`, in order of sequence.
    async fn owed(&self, user: &UserId) -> Result<Vec<OwedAlert>, ServiceError>;

    /// The exemptions of `account`, as they are now (strongly consistent). One that cannot be read is left out, and logged:
    /// better an alert too many than a user whom nobody looks at.
    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError>;

    /// The actors whom `account` knows from rotations, as they are now (strongly consistent); those
    /// that have expired may be among them. One that cannot be read is left out, and logged: a key
    /// by that actor is HIGH then.
    async fn familiar(&self, account: &str) -> Result<Vec<Familiar>, ServiceError>;

    /// Keeps `familiar`, in place of what is kept of the same actor. Doing it twice is no error.
    async fn put_familiar(&self, familiar: &Familiar) -> Result<(), ServiceError>;

    /// Writes `commit` whole or not at all; see [`Commit`] for the conditions.
    async fn commit(&self, commit: &Commit) -> Result<Committed, ServiceError>;

    /// Moves the time at which `owed` is due to `until`, if it is still the one in `owed`; tells whether it was.
    async fn postpone(&self, owed: &OwedAlert, until: Timestamp) -> Result<bool, ServiceError>;

    /// Notes that `owed` was delivered. Doing it twice is no error.
    async fn tick_off(&self, owed: &OwedAlert) -> Result<(), ServiceError>;
}

/// What the command line reads of a store.
#[async_trait]
pub trait FindingReader: FindingStore {
    /// The findings of a status, the oldest opening first.
    async fn findings(&self, status: FindingStatus) -> Result<Vec<Finding>, ServiceError>;

    /// The audit trail of `user`, in order of sequence.
    async fn history(&self, user: &UserId) -> Result<Vec<AuditEntry>, ServiceError>;

    /// Keeps `exemption`, in place of the one with the same id in the same account.
    async fn put_exemption(&self, exemption: &Exemption) -> Result<(), ServiceError>;

    /// Removes the exemption `id` of `account`; tells whether there was one.
    async fn remove_exemption(&self, account: &str, id: &str) -> Result<bool, ServiceError>;

    /// The ids of the accounts of which a finding, a sweep or an exemption is kept, as far as that can be had without reading
    /// everything: a table names those that were swept.
    async fn account_ids(&self) -> Result<BTreeSet<String>, ServiceError>;

    /// Every user that has an audit trail or a record; read from the items themselves, so that a trail whose record was
    /// removed is found too.
    async fn users(&self) -> Result<Vec<UserId>, ServiceError>;
}
