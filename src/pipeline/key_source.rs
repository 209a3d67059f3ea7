//! Where a user's keys are listed.

use async_trait::async_trait;

use crate::detect::listing::KeyListing;
use crate::detect::retire::LastUses;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;

/// Lists the keys of one user: IAM, or the ledger of replayed records.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// All keys of `user` now, who is spelled `name`: IAM names are unique without regard to case, but whether a call may
    /// spell one otherwise is not documented. A source that refuses for good answers with a refused listing, for that is news; an error
    /// means that it may answer later.
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError>;

    /// The name of the user of `account` who has `key`, as the source spells it; `None` if there is no such key.
    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError>;

    /// When each of `keys` was last used, as far as it can be had in one round trip; what cannot be had is left out.
    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses;
}
