//! Where a command reads findings: an embedded file, or a deployed table.

use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region, SdkConfig};

use crate::aws::dynamodb::DynamoDbStore;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::finding_store::FindingReader;

/// Which store to read.
#[derive(Debug, clap::Args)]
pub struct Source {
    #[command(flatten)]
    which: Which,

    /// The profile of the AWS configuration, as in the AWS CLI
    #[arg(long, value_name = "NAME", conflicts_with = "db")]
    profile: Option<String>,

    /// The region of the table, as in the AWS CLI
    #[arg(long, value_name = "REGION", conflicts_with = "db")]
    region: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The file that `secondkey replay --db` wrote
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// The DynamoDB table of a deployed secondkey
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
}

impl Source {
    /// Opens the store.
    pub async fn open(&self) -> anyhow::Result<Box<dyn FindingReader>> {
        if let Some(path) = &self.which.db {
            return Ok(Box::new(SqliteStore::open_existing(path)?));
        }
        let config = aws_config(self.profile.as_deref(), self.region.as_deref()).await?;
        let table = self.which.table.clone().unwrap_or_default();
        Ok(Box::new(DynamoDbStore::new(
            aws_sdk_dynamodb::Client::new(&config),
            table,
        )))
    }
}

/// The AWS configuration, as the AWS CLI would find it, with a region in any case.
pub async fn aws_config(profile: Option<&str>, region: Option<&str>) -> anyhow::Result<SdkConfig> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    anyhow::ensure!(
        config.region().is_some(),
        "no AWS region is set; give --region, or set AWS_REGION, or `region` in the profile"
    );
    Ok(config)
}
