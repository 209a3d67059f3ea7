//! Accounts in a new store, one for each world. Many worlds share a store, which saves creating
//! stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::finding_store::FindingReader;

use super::story::History;
use super::world::World;

/// A store in which each world has its own account.
pub struct Accounts {
    store: Arc<dyn FindingReader>,
    used: AtomicU32,
    _directory: Option<TempDir>,
}

impl Accounts {
    /// In a new file.
    pub fn on_sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(&directory.path().join("findings.db")).unwrap();
        Self::of(store, Some(directory))
    }

    /// In a new table.
    pub async fn on_dynamodb() -> Self {
        let (client, table) = crate::table::new_table().await;
        Self::of(DynamoDbStore::new(client, table), None)
    }

    fn of(store: impl FindingReader + 'static, directory: Option<TempDir>) -> Self {
        Self {
            store: Arc::new(store),
            used: AtomicU32::new(0),
            _directory: directory,
        }
    }

    /// A new world in an unused account.
    pub fn world(&self, history: &History) -> World {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let account = format!("{number:012}");
        World::new(self.store.clone(), account, history.lags.clone())
    }
}
