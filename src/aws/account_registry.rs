//! Registers accounts for the sweeper.
//!
//! If the sweeper cannot list the organization's accounts, it knows only those in the table. An
//! account that sends events belongs there, so its first event adds it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use tracing::warn;

use crate::aws::accounts::is_account_id;
use crate::aws::dynamodb::DynamoDbStore;
use crate::detect::Timestamp;

/// The most accounts that are cached, which takes about a megabyte. By default an organization has
/// at most ten thousand.
const MAX_REMEMBERED: usize = 16_384;

/// The accounts that this process registered or found registered.
#[derive(Debug, Default)]
pub struct AccountRegistry {
    known: Mutex<BTreeSet<String>>,
}

impl AccountRegistry {
    /// Adds the `accounts` that are not known yet to `table`. A failure is logged and retried with
    /// the account's next event, because no event depends on it.
    pub async fn register(&self, table: &DynamoDbStore, accounts: BTreeSet<&str>, now: Timestamp) {
        let new: Vec<&str> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = |account: &&str| is_account_id(account) && !known.contains(*account);
            accounts.into_iter().filter(is_new).collect()
        };
        join_all(new.into_iter().map(async |account| {
            match table.register_account(account, now).await {
                Ok(()) => self.remember(account),
                Err(failure) => {
                    warn!(account, %failure, "the account could not be registered for sweeps; its next event retries");
                }
            }
        }))
        .await;
    }

    fn remember(&self, account: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            // Forgetting an account only costs a write that changes nothing.
            known.clear();
        }
        known.insert(account.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_bounded() {
        let registry = AccountRegistry::default();
        for number in 0..=MAX_REMEMBERED * 2 {
            registry.remember(&format!("{number:012}"));
        }
        assert_eq!(registry.known.lock().unwrap().len(), 1);
    }
}
