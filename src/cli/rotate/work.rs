//! What every step of a rotation works with: whose key, in which account, and the keys that there are.

use std::time::Duration;

use anyhow::bail;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use chrono::Utc;

use crate::aws::iam::IamKeySource;
use crate::cli::LONGEST;
use crate::cli::again::again;
use crate::cli::caller::Caller;
use crate::cli::rotate::Common;
use crate::cli::source::Store;
use crate::cli::spelling::Named;
use crate::detect::Timestamp;
use crate::detect::finding::FindingKey;
use crate::detect::listing::{Answer, KeyListing};
use crate::detect::rotation::RotationKey;
use crate::detect::user::UserId;
use crate::output::escape::for_terminal;
use crate::output::invocation::Invocation;
use crate::pipeline::key_source::KeySource;

/// How long one call may take; IAM answers within a second or two.
const LONGEST_CALL: Duration = Duration::from_secs(20);

/// Whose key is rotated, and by whom.
pub(super) struct Work<'a> {
    /// The options that were given.
    pub(super) common: &'a Common,
    /// The AWS that is asked.
    pub(super) config: SdkConfig,
    /// Who rotates.
    pub(super) caller: Caller,
    /// Whose key.
    pub(super) user: UserId,
    /// The user's name in IAM's spelling.
    pub(super) name: String,
    /// When the step began.
    pub(super) now: Timestamp,
    source: IamKeySource,
}

impl<'a> Work<'a> {
    /// Finds out who we are and which keys the user has.
    pub(super) async fn begin(common: &'a Common) -> anyhow::Result<(Self, Vec<RotationKey>)> {
        let config = common.connection.config().await;
        // Signals do not end a step that has begun, so no call may wait for ever.
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(LONGEST_CALL)
            .build();
        let config = config.to_builder().timeout_config(timeouts).build();
        let caller = Caller::ask(&config).await?;
        let now = Utc::now();
        let source = IamKeySource::of_own(&config, &caller.account);
        let store = common.which.open_if_there(&config)?;
        let reader = store.as_ref().map(Store::reader);
        let user = UserId::new(&caller.account, &common.user);
        let named = Named::look_up(&source, reader, &user, &common.user).await?;
        if named.is_unknown() {
            return Err(named.no_such_user());
        }
        let mut work = Self {
            common,
            user: named.user,
            name: named.name,
            source,
            now,
            config,
            caller,
        };
        let keys = work.read(&named.listing).await?;
        Ok((work, keys))
    }

    /// The user's keys as IAM lists them now, and when each was last used.
    pub(super) async fn look(&mut self) -> anyhow::Result<Vec<RotationKey>> {
        let listing = self.source.list(&self.user, &self.name).await?;
        self.read(&listing).await
    }

    async fn read(&mut self, listing: &KeyListing) -> anyhow::Result<Vec<RotationKey>> {
        match listing.answer() {
            Answer::Keys { display_name, .. } => {
                if let Some(name) = display_name {
                    self.name.clone_from(name);
                }
            }
            Answer::NoSuchUser => bail!(
                "IAM user `{}` of account `{}` is gone, so nothing was done",
                self.name,
                self.caller.account
            ),
            Answer::Refused { reason } => bail!("{reason}"),
            Answer::Report { .. } => bail!("IAM answered with a report instead of the keys"),
        }
        let ids: Vec<String> = listing.keys().map(|(id, _)| id.clone()).collect();
        let mut last_uses = self.source.last_used(&self.user, &ids).await;
        let keys = listing.keys().map(|(id, key)| RotationKey {
            last_used: last_uses.remove(id),
            key: FindingKey {
                id: id.clone(),
                status: key.status,
                created: key.created,
            },
        });
        Ok(keys.collect())
    }

    /// A client of IAM.
    pub(super) fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config)
    }

    /// Where keys are listed.
    pub(super) fn source(&self) -> IamKeySource {
        self.source.clone()
    }

    /// The user's name, to be shown.
    pub(super) fn shown_name(&self) -> String {
        for_terminal(&self.name, LONGEST)
    }

    /// How the command was called, for commands that are shown.
    pub(super) fn invocation(&self) -> Invocation {
        self.common.which.invocation(&self.common.connection)
    }

    /// The command for `step` of this rotation, with `options` beside those that say where, ready for a shell.
    pub(super) fn command(&self, step: &str, options: &[&str]) -> String {
        let words = [&["rotate", step], options].concat();
        again(&words, &self.name, &self.invocation())
    }
}
