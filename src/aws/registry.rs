//! The accounts that the detector wrote down for the sweeper.
//!
//! Without a list of the organization's accounts the sweeper knows only those that the table names. An account that sends
//! events is there, so its first event puts it into the table.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use tracing::warn;

use crate::aws::accounts::is_account_id;
use crate::aws::dynamodb::DynamoDbStore;
use crate::detect::Timestamp;

/// The most accounts that are remembered, which takes about a megabyte. An organization has at most ten thousand by default.
const MOST_REMEMBERED: usize = 16_384;

/// The accounts that this process wrote down or found written down.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<BTreeSet<String>>,
}

impl Registry {
    /// Writes the `accounts` that are not known yet into `table`. A failure is logged, and the account's next event tries it
    /// again: no event depends on it.
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
                    warn!(account, %failure, "the account is not registered for sweeps; its next event tries again");
                }
            }
        }))
        .await;
    }

    fn remember(&self, account: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            // What is forgotten costs a write that changes nothing.
            known.clear();
        }
        known.insert(account.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_does_not_grow_without_bound() {
        let registry = Registry::default();
        for number in 0..=MOST_REMEMBERED * 2 {
            registry.remember(&format!("{number:012}"));
        }
        assert_eq!(registry.known.lock().unwrap().len(), 1);
    }
}
