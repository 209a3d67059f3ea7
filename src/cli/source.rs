//! Where a command keeps and reads findings: an embedded file, or a deployed table; and which AWS it asks.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedCredentialsProvider;

use crate::aws::connections::Connections;
use crate::aws::dynamodb::DynamoDbStore;
use crate::local::sqlite::SqliteStore;
use crate::output::invocation::{Invocation, Kept};
use crate::pipeline::finding_store::FindingReader;

/// The region that IAM is in. Source: IAM user guide, endpoints.
const HOME_REGION: &str = "us-east-1";

/// Which store, for commands that only read it.
#[derive(Debug, clap::Args)]
pub struct Source {
    #[command(flatten)]
    which: Which,

    /// The profile of the AWS configuration, as in the AWS CLI
    #[arg(long, value_name = "NAME", requires = "table", conflicts_with = "db")]
    profile: Option<String>,

    /// The region of the table, as in the AWS CLI
    #[arg(long, value_name = "REGION", requires = "table", conflicts_with = "db")]
    region: Option<String>,
}

/// Which store.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub struct Which {
    /// The embedded file with the findings [default: secondkey/findings.db among your local data files]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// The DynamoDB table of a deployed secondkey
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
}

/// Which AWS account and region, as the AWS CLI would be told.
#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The profile of the AWS configuration, as in the AWS CLI
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// The region, as in the AWS CLI
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// A store that was opened.
pub enum Store {
    /// An embedded file: whoever works on it re-checks users itself.
    File(Arc<SqliteStore>),
    /// A deployed table: its detector re-checks users, and alerts.
    Table(DynamoDbStore),
}

impl Store {
    /// The store, to be read.
    #[must_use]
    pub fn reader(&self) -> &dyn FindingReader {
        match self {
            Self::File(store) => store.as_ref(),
            Self::Table(store) => store,
        }
    }
}

impl Source {
    /// Opens the store, which must be there.
    pub async fn open(&self) -> anyhow::Result<Box<dyn FindingReader>> {
        match &self.which.table {
            Some(table) => {
                let config = aws_config(self.profile.as_deref(), self.region.as_deref()).await?;
                Ok(Box::new(table_store(&config, table)))
            }
            None => Ok(Box::new(SqliteStore::open_existing(&self.which.file()?)?)),
        }
    }

    /// How the command was called, for commands that are shown.
    #[must_use]
    pub fn invocation(&self) -> Invocation {
        Invocation {
            store: self.which.kept(),
            profile: self.profile.clone(),
            region: self.region.clone(),
            ..Invocation::default()
        }
    }

    /// The store in words, for whoever reads what was made of it.
    pub fn name(&self) -> anyhow::Result<String> {
        Ok(match &self.which.table {
            Some(table) => format!("DynamoDB table {table}"),
            None => format!("file {}", self.which.file()?.display()),
        })
    }
}

impl Which {
    /// The embedded file `db`, or the one that is used where none is named.
    #[must_use]
    pub fn of_file(db: Option<PathBuf>) -> Self {
        Self { db, table: None }
    }

    /// Opens the store for reading and writing; makes the file if there is none.
    pub fn open(&self, config: &SdkConfig) -> anyhow::Result<Store> {
        match &self.table {
            Some(table) => Ok(Store::Table(table_store(config, table))),
            None => Ok(Store::File(Arc::new(open_file(self.db.clone())?))),
        }
    }

    /// The store to read what is kept; none where there is no file, so that looking makes none.
    pub fn open_if_there(&self, config: &SdkConfig) -> anyhow::Result<Option<Store>> {
        let is_there = self.table.is_some() || self.file()?.exists();
        is_there.then(|| self.open(config)).transpose()
    }

    /// The store, for a command that asks AWS only if the store is there: a file needs neither credentials nor a region.
    pub async fn open_by(&self, connection: &Connection) -> anyhow::Result<Store> {
        match &self.table {
            Some(table) => Ok(Store::Table(table_store(&connection.config().await, table))),
            None => Ok(Store::File(Arc::new(open_file(self.db.clone())?))),
        }
    }

    /// Whether it is a deployed table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.table.is_some()
    }

    /// How the command was called, for commands that are shown.
    #[must_use]
    pub fn invocation(&self, connection: &Connection) -> Invocation {
        Invocation {
            store: self.kept(),
            profile: connection.profile.clone(),
            region: connection.region.clone(),
            ..Invocation::default()
        }
    }

    fn kept(&self) -> Kept {
        match &self.table {
            Some(table) => Kept::Table(table.clone()),
            None => Kept::file(self.db.as_deref()),
        }
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        file(self.db.clone())
    }
}

impl Connection {
    /// The AWS configuration. IAM has one place for all regions, so where no region is set it is `us-east-1`.
    pub async fn config(&self) -> SdkConfig {
        let config = load_config(self.profile.as_deref(), self.region.as_deref()).await;
        if config.region().is_some() {
            return config;
        }
        load_config(self.profile.as_deref(), Some(HOME_REGION)).await
    }
}

/// Opens the embedded file `db`, or the one that is used where none is named; makes it if there is none.
pub fn open_file(db: Option<PathBuf>) -> anyhow::Result<SqliteStore> {
    let is_named = db.is_some();
    let path = file(db)?;
    if let Some(folder) = path.parent().filter(|_| !is_named) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("folder `{}` cannot be made", folder.display()))?;
    }
    Ok(SqliteStore::open(&path)?)
}

/// The path of the embedded file `db`, or of the one that is used where none is named.
pub fn file_name(db: Option<PathBuf>) -> anyhow::Result<String> {
    Ok(file(db)?.display().to_string())
}

/// The embedded file `db`, or the one that is used where none is named.
fn file(db: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = db {
        return Ok(path);
    }
    let data = dirs::data_local_dir().context("there is no home folder; name a file with --db")?;
    Ok(data.join("secondkey").join("findings.db"))
}

fn table_store(config: &SdkConfig, table: &str) -> DynamoDbStore {
    DynamoDbStore::new(aws_sdk_dynamodb::Client::new(config), table.to_owned())
}

/// The AWS configuration, as the AWS CLI would find it, with a region in any case.
pub async fn aws_config(profile: Option<&str>, region: Option<&str>) -> anyhow::Result<SdkConfig> {
    let config = load_config(profile, region).await;
    anyhow::ensure!(
        config.region().is_some(),
        "no AWS region is set; give --region, or set AWS_REGION, or `region` in the profile"
    );
    Ok(config)
}

async fn load_config(profile: Option<&str>, region: Option<&str>) -> SdkConfig {
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(Connections::default());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    match profile {
        Some(profile) => with_credentials_of(profile, config),
        None => config,
    }
}

/// `config` with the credentials of `profile` and no others: the SDK would take keys that stand in the environment before those
/// of a profile that was named, and ask another account than the AWS CLI does.
fn with_credentials_of(profile: &str, config: SdkConfig) -> SdkConfig {
    let provider_config = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_behavior_version(Some(BehaviorVersion::latest()));
    let credentials = ProfileFileCredentialsProvider::builder()
        .configure(&provider_config)
        .profile_name(profile)
        .build();
    config
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}
