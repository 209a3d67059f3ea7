//! Where a command keeps and reads findings: an embedded file, or a deployed table.

use std::path::PathBuf;

use anyhow::Context;
#[cfg(feature = "live")]
use aws_config::SdkConfig;

#[cfg(feature = "live")]
use crate::cli::aws_args::{TimeoutArg, aws_config};
#[cfg(feature = "live")]
use crate::cli::store::table_store;
use crate::local::sqlite::SqliteStore;
use crate::output::invocation::{Invocation, StoreLocation};
use crate::pipeline::finding_store::FindingReader;

/// The store, for commands that only read it.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadOnlyStoreArgs {
    #[command(flatten)]
    which: StoreArgs,

    /// The AWS profile, as in the AWS CLI
    #[cfg(feature = "live")]
    #[arg(long, value_name = "NAME", requires = "table", conflicts_with = "db")]
    profile: Option<String>,

    /// The region of the table, as in the AWS CLI
    #[cfg(feature = "live")]
    #[arg(long, value_name = "REGION", requires = "table", conflicts_with = "db")]
    region: Option<String>,

    #[cfg(feature = "live")]
    #[command(flatten)]
    timeout: TimeoutArg,
}

/// The store.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct StoreArgs {
    /// The local file with the findings [default: the variable `SECONDKEY_DB`, or secondkey/findings.db in
    /// your local data folder]
    #[arg(long, value_name = "FILE")]
    pub(super) db: Option<PathBuf>,

    /// The DynamoDB table of a deployed secondkey
    #[cfg(feature = "live")]
    #[arg(long, value_name = "NAME")]
    pub(super) table: Option<String>,
}

impl ReadOnlyStoreArgs {
    /// Opens the store. A file must exist.
    #[cfg_attr(
        not(feature = "live"),
        expect(clippy::unused_async, reason = "only AWS is waited for")
    )]
    pub(crate) async fn open(&self) -> anyhow::Result<Box<dyn FindingReader>> {
        #[cfg(feature = "live")]
        if let Some(table) = &self.which.table {
            return Ok(Box::new(table_store(&self.config().await?, table)));
        }
        Ok(Box::new(SqliteStore::open_existing(&self.which.file()?)?))
    }

    #[cfg(feature = "live")]
    async fn config(&self) -> anyhow::Result<SdkConfig> {
        aws_config(
            self.profile.as_deref(),
            self.region.as_deref(),
            self.timeout,
        )
        .await
    }

    /// How the command was called, for commands that are shown.
    #[must_use]
    pub(crate) fn invocation(&self) -> Invocation {
        Invocation {
            store: self.which.location(),
            #[cfg(feature = "live")]
            profile: self.profile.clone(),
            #[cfg(feature = "live")]
            region: self.region.clone(),
            ..Invocation::default()
        }
    }

    /// The Region of the table, if the store is one.
    #[cfg_attr(
        not(feature = "live"),
        expect(clippy::unused_async, reason = "only AWS is waited for")
    )]
    pub(crate) async fn region(&self) -> anyhow::Result<Option<String>> {
        #[cfg(feature = "live")]
        if self.which.table.is_some() {
            let region = self.config().await?.region().map(ToString::to_string);
            return Ok(region);
        }
        Ok(None)
    }

    /// The name of the store, for the report.
    pub(crate) fn name(&self) -> anyhow::Result<String> {
        #[cfg(feature = "live")]
        if let Some(table) = &self.which.table {
            return Ok(format!("DynamoDB table {table}"));
        }
        Ok(format!("file {}", self.which.file()?.display()))
    }
}

impl StoreArgs {
    pub(super) fn location(&self) -> StoreLocation {
        #[cfg(feature = "live")]
        if let Some(table) = &self.table {
            return StoreLocation::Table(table.clone());
        }
        StoreLocation::file(self.db.as_deref())
    }

    pub(super) fn file(&self) -> anyhow::Result<PathBuf> {
        file(self.db.clone())
    }
}

/// Opens the local file `db`, or the default file. Creates it if it does not exist.
pub(crate) fn open_file(db: Option<PathBuf>) -> anyhow::Result<SqliteStore> {
    let db = db.or_else(db_of_environment);
    let is_named = db.is_some();
    let path = file(db)?;
    if let Some(folder) = path.parent().filter(|_| !is_named) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("folder `{}` cannot be created", folder.display()))?;
    }
    Ok(SqliteStore::open(&path)?)
}

/// The path of the local file `db`, or of the default file, as text.
pub(crate) fn file_name(db: Option<PathBuf>) -> anyhow::Result<String> {
    Ok(file(db)?.display().to_string())
}

/// The path of the local file `db`, or of the default file.
fn file(db: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = db.or_else(db_of_environment) {
        return Ok(path);
    }
    let data = dirs::data_local_dir().context("there is no home folder; name a file with --db")?;
    Ok(data.join("secondkey").join("findings.db"))
}

/// The local file that the environment names. It is not an option's default value, because then it would
/// conflict with `--table`.
fn db_of_environment() -> Option<PathBuf> {
    let path = std::env::var_os("SECONDKEY_DB").filter(|path| !path.is_empty())?;
    Some(PathBuf::from(path))
}
