//! IAM as a scan asks it, which may be stopped and gone on with: what was answered is not asked again.

use async_trait::async_trait;
use tracing::warn;

use crate::aws::iam::IamKeySource;
use crate::detect::listing::KeyListing;
use crate::detect::retire::LastUses;
use crate::detect::user::UserId;
use crate::local::scan_log::ScanLog;
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// IAM, asked once in a scan for the last use of a key.
pub(super) struct Remembering {
    pub(super) iam: IamKeySource,
    pub(super) log: ScanLog,
}

#[async_trait]
impl KeySource for Remembering {
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError> {
        self.iam.list(user, name).await
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        self.iam.owner(account, key).await
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        let mut last_uses = self.log.last_uses(keys).unwrap_or_else(|failure| {
            warn!(%failure, "what a scan heard of last uses cannot be read");
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
        let heard = self.iam.last_used(user, &unknown).await;
        if let Err(failure) = self.log.keep_last_uses(&heard) {
            warn!(%failure, "what a scan heard of last uses cannot be kept");
        }
        last_uses.extend(heard);
        last_uses
    }
}
