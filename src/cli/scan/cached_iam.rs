//! IAM with the last uses cached in the scan log, so that a resumed scan does not ask for them again.

use async_trait::async_trait;
use tracing::warn;

use crate::aws::iam::IamKeySource;
use crate::detect::keys::listing::KeyListing;
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::local::scan_log::ScanLog;
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// A key source that asks IAM only once per scan for the last use of a key.
pub(super) struct CachedIam {
    pub(super) iam: IamKeySource,
    pub(super) log: ScanLog,
}

#[async_trait]
impl KeySource for CachedIam {
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError> {
        self.iam.list(user, name).await
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        self.iam.owner(account, key).await
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        let mut last_uses = self.log.last_uses(keys).unwrap_or_else(|failure| {
            warn!(%failure, "the cached last uses of a scan cannot be read");
            LastUses::new()
        });
        let unknown: Vec<String> = keys
            .iter()
            .filter(|key| !last_uses.contains_key(*key))
            .cloned()
            .collect();
        if unknown.is_empty() {
            return last_uses;
        }
        let fetched = self.iam.last_used(user, &unknown).await;
        if let Err(failure) = self.log.keep_last_uses(&fetched) {
            warn!(%failure, "the last uses cannot be cached for the scan");
        }
        last_uses.extend(fetched);
        last_uses
    }
}
