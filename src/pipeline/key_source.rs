//! Where a user's keys are listed.

use async_trait::async_trait;

use crate::detect::keys::listing::KeyListing;
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;

/// Lists the keys of one user: IAM, or the ledger of a replay.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// All current keys of `user`, spelled `name`: IAM names are case-insensitive, but it is not
    /// documented whether a call may use another spelling. A permanent refusal is returned as a
    /// refused listing, because it is news. An error means that a retry may succeed.
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError>;

    /// The name of the user of `account` who owns `key`, as spelled by the source; `None` if the
    /// key does not exist.
    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError>;

    /// When each of `keys` was last used. Keys whose use cannot be read within one round trip are
    /// left out.
    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses;
}
