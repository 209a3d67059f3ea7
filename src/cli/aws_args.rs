//! Which AWS account and region a command calls, and how long it waits for an answer.

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_types::os_shim_internal::{Env, Fs};

use crate::aws::connections::Connections;
use crate::cli::MAX_CHARS;
use crate::output::escape::for_terminal;

/// The region of IAM's endpoint. Source: IAM user guide, endpoints.
const HOME_REGION: &str = "us-east-1";

/// The AWS profile and region, named as in the AWS CLI.
#[derive(Debug, clap::Args)]
pub(crate) struct AwsArgs {
    /// The AWS profile, as in the AWS CLI
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// The AWS region, as in the AWS CLI
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    #[command(flatten)]
    timeout: TimeoutArg,
}

/// The longest wait for AWS.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct TimeoutArg {
    /// How long to wait for one call to AWS, retries included, in seconds. A scan that is throttled
    /// waits longer, and `rotate` at least 20 seconds for each attempt
    #[arg(
        id = "timeout",
        long = "timeout",
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    seconds: u64,
}

impl TimeoutArg {
    /// The time.
    #[must_use]
    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl AwsArgs {
    #[must_use]
    pub(crate) fn of(profile: Option<String>, region: Option<String>, timeout: TimeoutArg) -> Self {
        Self {
            profile,
            region,
            timeout,
        }
    }

    /// The longest wait for the answer to a call.
    #[must_use]
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.duration()
    }

    /// The profile, if one is named.
    #[must_use]
    pub(crate) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The region, if one is named.
    #[must_use]
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The AWS configuration. IAM is global, so the default region is `us-east-1`. Fails if the
    /// profile does not exist.
    pub(crate) async fn config(&self) -> anyhow::Result<SdkConfig> {
        let config = load_config(
            self.profile.as_deref(),
            self.region.as_deref(),
            self.timeout,
        )
        .await?;
        if config.region().is_some() {
            return Ok(config);
        }
        load_config(self.profile.as_deref(), Some(HOME_REGION), self.timeout).await
    }
}

/// The AWS configuration as the AWS CLI finds it. Fails if the profile does not exist or no region is
/// set.
pub(crate) async fn aws_config(
    profile: Option<&str>,
    region: Option<&str>,
    timeout: TimeoutArg,
) -> anyhow::Result<SdkConfig> {
    let config = load_config(profile, region, timeout).await?;
    anyhow::ensure!(
        config.region().is_some(),
        "no AWS region is set; use --region, set AWS_REGION, or set `region` in the profile"
    );
    Ok(config)
}

async fn load_config(
    profile: Option<&str>,
    region: Option<&str>,
    timeout: TimeoutArg,
) -> anyhow::Result<SdkConfig> {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(timeout.duration())
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Connections::default())
        .timeout_config(timeouts);
    if let Some(profile) = profile {
        ensure_exists(profile).await?;
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    Ok(match profile {
        Some(profile) => with_credentials_of(profile, config),
        None => config,
    })
}

/// Fails if the AWS configuration has no `profile`. The SDK reports that only after the first call,
/// and does not name the profile if there are no others.
async fn ensure_exists(profile: &str) -> anyhow::Result<()> {
    let files = EnvConfigFiles::default();
    let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &files, None).await?;
    anyhow::ensure!(
        profiles.get_profile(profile).is_some(),
        "profile `{}` is not in the AWS configuration; name another with --profile, or create it with `aws configure \
         --profile NAME`",
        for_terminal(profile, MAX_CHARS)
    );
    Ok(())
}

/// `config` with the credentials of `profile` and no others. `--profile` overrides keys in the
/// environment, as in the AWS CLI; the SDK alone would prefer the environment and call another account.
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
