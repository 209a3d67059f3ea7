//! The one place that a new key's secret goes to.

use std::io::Write;

use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretError;

use crate::aws::errors::service_error;
use crate::cli::LONGEST;
use crate::cli::rotate::credentials_file::{CredentialsFile, Prepared};
use crate::cli::rotate::secret::NewKey;
use crate::output::escape::for_terminal;

/// Where the secret goes, as options say it.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArgs {
    #[command(flatten)]
    one: One,

    /// Replace the key of the profile, if there is one of that name
    #[arg(long, requires = "to_profile")]
    replace: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct One {
    /// Put the key into this profile of the AWS CLI's file of credentials, wherever that is
    #[arg(long, value_name = "PROFILE")]
    to_profile: Option<String>,

    /// Put the key as JSON into this secret of Secrets Manager; makes the secret if there is none
    #[arg(long, value_name = "SECRET")]
    to_secret: Option<String>,

    /// Print the key on stdout as one line of JSON, once, and keep it nowhere. A pipe will do too
    #[arg(long)]
    show_once: bool,
}

/// A place that was looked at, and not changed yet.
pub(super) enum Place {
    /// A profile in a file.
    Profile(CredentialsFile),
    /// A secret of Secrets Manager.
    Secret(SecretPlace),
    /// Standard output.
    Stdout,
}

/// A place that is ready to be written to.
pub(super) enum ReadyPlace {
    /// A profile in a file.
    Profile(Prepared),
    /// A secret of Secrets Manager.
    Secret(SecretPlace),
    /// Standard output.
    Stdout,
}

/// A secret of Secrets Manager.
pub(super) struct SecretPlace {
    client: Client,
    name: String,
    is_there: bool,
}

impl PlaceArgs {
    /// Looks at the place and refuses one that could not take a key. Changes nothing.
    pub(super) async fn look(&self, config: &SdkConfig) -> anyhow::Result<Place> {
        Ok(match &self.one {
            One {
                to_profile: Some(profile),
                ..
            } => Place::Profile(CredentialsFile::check(profile, self.replace)?),
            One {
                to_secret: Some(name),
                ..
            } => Place::Secret(SecretPlace::look(config, name).await?),
            One { .. } => Place::Stdout,
        })
    }

    /// The options that name the place again.
    pub(super) fn options(&self) -> Vec<&str> {
        let mut options = match &self.one {
            One {
                to_profile: Some(profile),
                ..
            } => vec!["--to-profile", profile],
            One {
                to_secret: Some(name),
                ..
            } => vec!["--to-secret", name],
            One { .. } => vec!["--show-once"],
        };
        options.extend(self.replace.then_some("--replace"));
        options
    }
}

impl Place {
    /// What will be done there, in words.
    pub(super) fn plan(&self) -> String {
        match self {
            Self::Profile(file) => format!("put the key into {}", profile(file)),
            Self::Secret(secret) if secret.is_there => format!(
                "put the key into {} as its new value; the one before stays as AWSPREVIOUS",
                secret.words()
            ),
            Self::Secret(secret) => format!("put the key into {}, which is made", secret.words()),
            Self::Stdout => "print the key on stdout, once".to_owned(),
        }
    }

    /// Makes ready what can be before there is a key.
    pub(super) fn prepare(self) -> anyhow::Result<ReadyPlace> {
        Ok(match self {
            Self::Profile(file) => ReadyPlace::Profile(file.prepare()?),
            Self::Secret(secret) => ReadyPlace::Secret(secret),
            Self::Stdout => ReadyPlace::Stdout,
        })
    }
}

impl ReadyPlace {
    /// Hands `key` over and says where it is now.
    pub(super) async fn hand_over(self, key: &NewKey) -> anyhow::Result<String> {
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

impl SecretPlace {
    async fn look(config: &SdkConfig, name: &str) -> anyhow::Result<Self> {
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
            "there is no secret `{name}`, and none can be made of that name; use letters, digits and `/_+=.@-`"
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
        format!("secret {}", for_terminal(&self.name, LONGEST))
    }
}

fn profile(file: &CredentialsFile) -> String {
    format!(
        "profile {} of {}",
        for_terminal(&file.profile, LONGEST),
        for_terminal(&file.path.display().to_string(), LONGEST)
    )
}
