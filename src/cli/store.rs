//! A store that a command reads and writes: the embedded file, or a deployed table.

use std::sync::Arc;

use aws_config::SdkConfig;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::aws_args::AwsArgs;
use crate::cli::store_args::{StoreArgs, open_file};
use crate::local::sqlite::SqliteStore;
use crate::output::invocation::Invocation;
use crate::pipeline::finding_store::FindingReader;

/// An open store.
pub(crate) enum Store {
    /// A local file. The command itself re-checks users.
    File(Arc<SqliteStore>),
    /// A deployed table. Its detector re-checks users and sends alerts.
    Table(DynamoDbStore),
}

impl Store {
    /// The store, for reading.
    #[must_use]
    pub(crate) fn reader(&self) -> &dyn FindingReader {
        match self {
            Self::File(store) => store.as_ref(),
            Self::Table(store) => store,
        }
    }
}

impl StoreArgs {
    /// The local file `db`, or the default file.
    #[must_use]
    pub(crate) fn of_file(db: Option<std::path::PathBuf>) -> Self {
        Self { db, table: None }
    }

    /// Opens the store for reading and writing. Creates the file if it does not exist.
    pub(crate) fn open(&self, config: &SdkConfig) -> anyhow::Result<Store> {
        match &self.table {
            Some(table) => Ok(Store::Table(table_store(config, table))),
            None => Ok(Store::File(Arc::new(open_file(self.db.clone())?))),
        }
    }

    /// Opens the store for reading, or returns `None` if the file does not exist. A command that only
    /// reads must not create it.
    pub(crate) fn open_if_there(&self, config: &SdkConfig) -> anyhow::Result<Option<Store>> {
        let is_there = self.table.is_some() || self.file()?.exists();
        is_there.then(|| self.open(config)).transpose()
    }

    /// Opens the store, and loads the AWS configuration only for a table: a file needs neither
    /// credentials nor a region.
    pub(crate) async fn open_by(&self, connection: &AwsArgs) -> anyhow::Result<Store> {
        match &self.table {
            Some(table) => Ok(Store::Table(table_store(
                &connection.config().await?,
                table,
            ))),
            None => Ok(Store::File(Arc::new(open_file(self.db.clone())?))),
        }
    }

    /// Whether the store is a deployed table.
    #[must_use]
    pub(crate) fn is_table(&self) -> bool {
        self.table.is_some()
    }

    /// How the command was called, for commands that are shown.
    #[must_use]
    pub(crate) fn invocation(&self, connection: &AwsArgs) -> Invocation {
        Invocation {
            store: self.location(),
            profile: connection.profile().map(str::to_owned),
            region: connection.region().map(str::to_owned),
            ..Invocation::default()
        }
    }
}

pub(super) fn table_store(config: &SdkConfig, table: &str) -> DynamoDbStore {
    DynamoDbStore::new(aws_sdk_dynamodb::Client::new(config), table.to_owned())
}
