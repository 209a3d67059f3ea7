//! The one place where a new key's secret is stored.

use std::io::Write;

use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretError;

use crate::aws::sdk_errors::service_error;
use crate::cli::MAX_CHARS;
use crate::cli::rotate::credentials_file::{CredentialsFile, Prepared};
use crate::cli::rotate::secret::NewKey;
use crate::output::escape::for_terminal;

/// The options for the place of the secret.
#[derive(Debug, clap::Args)]
pub(super) struct SecretDestinationArgs {
    #[command(flatten)]
    one: DestinationChoice,

    /// With --to-profile: if the profile exists, replace its key
    #[arg(long, requires = "to_profile")]
    replace: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct DestinationChoice {
    /// Store the key in this profile of the AWS CLI's credentials file
    #[arg(long, value_name = "PROFILE")]
    to_profile: Option<String>,

    /// Store the key as JSON in this Secrets Manager secret. Creates the secret if it does not exist
    #[arg(long, value_name = "SECRET")]
    to_secret: Option<String>,

    /// Print the key once on stdout, as one line of JSON, and store it nowhere. The output can be piped
    #[arg(long)]
    show_once: bool,
}

/// A place that was checked but not changed yet.
pub(super) enum SecretDestination {
    /// A profile in a file.
    Profile(CredentialsFile),
    /// A secret of Secrets Manager.
    Secret(SecretsManagerSecret),
    /// Standard output.
    Stdout,
}

/// A place that is ready for the key.
pub(super) enum PreparedDestination {
    /// A profile in a file.
    Profile(Prepared),
    /// A secret of Secrets Manager.
    Secret(SecretsManagerSecret),
    /// Standard output.
    Stdout,
}

/// A secret of Secrets Manager.
pub(super) struct SecretsManagerSecret {
    client: Client,
    name: String,
    is_there: bool,
}

impl SecretDestinationArgs {
    /// Checks that the place can store a key. Changes nothing.
    pub(super) async fn check(&self, config: &SdkConfig) -> anyhow::Result<SecretDestination> {
        Ok(match &self.one {
            DestinationChoice {
                to_profile: Some(profile),
                ..
            } => SecretDestination::Profile(CredentialsFile::check(profile, self.replace)?),
            DestinationChoice {
                to_secret: Some(name),
                ..
            } => SecretDestination::Secret(SecretsManagerSecret::check(config, name).await?),
            DestinationChoice { .. } => SecretDestination::Stdout,
        })
    }

    /// The options for the same place, for a suggested command.
    pub(super) fn options(&self) -> Vec<&str> {
        let mut options = match &self.one {
            DestinationChoice {
                to_profile: Some(profile),
                ..
            } => vec!["--to-profile", profile],
            DestinationChoice {
                to_secret: Some(name),
                ..
            } => vec!["--to-secret", name],
            DestinationChoice { .. } => vec!["--show-once"],
        };
        options.extend(self.replace.then_some("--replace"));
        options
    }
}

impl SecretDestination {
    /// What will be done there, as text.
    pub(super) fn plan(&self) -> String {
        match self {
            Self::Profile(file) => format!("store the key in {}", profile(file)),
            Self::Secret(secret) if secret.is_there => format!(
                "store the key in {} as its new value; the previous value stays as AWSPREVIOUS",
                secret.words()
            ),
            Self::Secret(secret) => format!("create {} and store the key in it", secret.words()),
            Self::Stdout => "print the key on stdout, once".to_owned(),
        }
    }

    /// Prepares everything that does not need the key.
    pub(super) fn prepare(self) -> anyhow::Result<PreparedDestination> {
        Ok(match self {
            Self::Profile(file) => PreparedDestination::Profile(file.prepare()?),
            Self::Secret(secret) => PreparedDestination::Secret(secret),
            Self::Stdout => PreparedDestination::Stdout,
        })
    }
}

impl PreparedDestination {
    /// Stores `key`. Returns where it is now, as text.
    pub(super) async fn store_key(self, key: &NewKey) -> anyhow::Result<String> {
        match self {
            Self::Profile(prepared) => {
                let words = profile(prepared.file());
                prepared.write(key)?;
                Ok(format!("it is in {words}"))
            }
            Self::Secret(secret) => {
                secret.write(key).await?;
                Ok(format!("it is in {}", secret.words()))
            }
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", key.document())
                    .and_then(|()| out.flush())
                    .context("the key could not be printed")?;
                Ok("it was printed, and cannot be shown again".to_owned())
            }
        }
    }
}

impl SecretsManagerSecret {
    async fn check(config: &SdkConfig, name: &str) -> anyhow::Result<Self> {
        let client = Client::new(config);
        let is_there = match client.describe_secret().secret_id(name).send().await {
            Ok(described) => {
                ensure!(
                    described.deleted_date.is_none(),
                    "secret `{name}` is scheduled for deletion; restore it, or name another"
                );
                true
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeSecretError::is_resource_not_found_exception) =>
            {
                false
            }
            Err(error) => {
                return Err(service_error("secretsmanager:DescribeSecret", &error).into());
            }
        };
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character);
        ensure!(
            is_there || name.len() <= 512 && name.chars().all(is_plain),
            "there is no secret `{name}`, and this is not a valid name for a new one; use letters, digits and `/_+=.@-`"
        );
        Ok(Self {
            client,
            name: name.to_owned(),
            is_there,
        })
    }

    async fn write(&self, key: &NewKey) -> anyhow::Result<()> {
        let document = key.document();
        if self.is_there {
            let put = self
                .client
                .put_secret_value()
                .secret_id(&self.name)
                .secret_string(document);
            put.send()
                .await
                .map_err(|error| service_error("secretsmanager:PutSecretValue", &error))?;
        } else {
            let made = self
                .client
                .create_secret()
                .name(&self.name)
                .description("An access key, put here by secondkey rotate start")
                .secret_string(document);
            made.send()
                .await
                .map_err(|error| service_error("secretsmanager:CreateSecret", &error))?;
        }
        Ok(())
    }

    fn words(&self) -> String {
        format!("secret {}", for_terminal(&self.name, MAX_CHARS))
    }
}

fn profile(file: &CredentialsFile) -> String {
    format!(
        "profile {} of {}",
        for_terminal(&file.profile, MAX_CHARS),
        for_terminal(&file.path.display().to_string(), MAX_CHARS)
    )
}
