//! What every step of a rotation needs: the caller, the user, and the user's keys.

use std::time::Duration;

use anyhow::bail;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use chrono::Utc;

use crate::aws::iam::IamKeySource;
use crate::cli::MAX_CHARS;
use crate::cli::caller::Caller;
use crate::cli::next_command::command_for_user;
use crate::cli::rotate::CommonArgs;
use crate::cli::store::Store;
use crate::cli::user_lookup::UserLookup;
use crate::detect::Timestamp;
use crate::detect::findings::finding::FindingKey;
use crate::detect::keys::listing::{KeyListing, ListingAnswer};
use crate::detect::rotation::stage::RotationKey;
use crate::detect::user::UserId;
use crate::output::escape::for_terminal;
use crate::output::invocation::Invocation;
use crate::pipeline::key_source::KeySource;

/// The shortest timeout of one attempt. IAM usually answers within two seconds, and whether an abandoned
/// change was made is not known.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The user whose key is rotated, and the caller.
pub(super) struct RotationContext<'a> {
    /// The options.
    pub(super) common: &'a CommonArgs,
    /// The AWS configuration.
    pub(super) config: SdkConfig,
    /// The caller.
    pub(super) caller: Caller,
    /// The user.
    pub(super) user: UserId,
    /// The user's name in IAM's spelling.
    pub(super) name: String,
    /// When the step began.
    pub(super) now: Timestamp,
    source: IamKeySource,
}

impl<'a> RotationContext<'a> {
    /// Looks up the caller, the user and the user's keys.
    pub(super) async fn begin(common: &'a CommonArgs) -> anyhow::Result<(Self, Vec<RotationKey>)> {
        let config = common.connection.config().await?;
        // Signals do not end a step that has begun, so no call may wait forever.
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(CALL_TIMEOUT.max(common.connection.timeout()))
            .build();
        let config = config.to_builder().timeout_config(timeouts).build();
        let caller = Caller::ask(&config).await?;
        let now = Utc::now();
        let source = IamKeySource::for_own_account(&config, &caller.account);
        let store = common.which.open_if_there(&config)?;
        let reader = store.as_ref().map(Store::reader);
        let name = common.user.in_account(&caller.account)?;
        let user = UserId::new(&caller.account, name);
        let named = UserLookup::look_up(&source, reader, &user, name).await?;
        if named.is_unknown() {
            return Err(named.no_such_user());
        }
        let mut context = Self {
            common,
            user: named.user,
            name: named.name,
            source,
            now,
            config,
            caller,
        };
        let keys = context.read_keys(&named.listing).await?;
        Ok((context, keys))
    }

    /// The user's keys as IAM lists them now, and when each was last used.
    pub(super) async fn list_keys(&mut self) -> anyhow::Result<Vec<RotationKey>> {
        let listing = self.source.list(&self.user, &self.name).await?;
        self.read_keys(&listing).await
    }

    async fn read_keys(&mut self, listing: &KeyListing) -> anyhow::Result<Vec<RotationKey>> {
        match listing.answer() {
            ListingAnswer::Keys { display_name, .. } => {
                if let Some(name) = display_name {
                    self.name.clone_from(name);
                }
            }
            ListingAnswer::NoSuchUser => bail!(
                "IAM user `{}` in account `{}` no longer exists, so nothing was done",
                self.name,
                self.caller.account
            ),
            ListingAnswer::Refused { reason } => bail!("{reason}"),
            ListingAnswer::Report { .. } => bail!("IAM returned a report instead of the keys"),
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

    /// An IAM client.
    pub(super) fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.config)
    }

    /// The key source for listings.
    pub(super) fn source(&self) -> IamKeySource {
        self.source.clone()
    }

    /// The user's name, safe for a terminal.
    pub(super) fn shown_name(&self) -> String {
        for_terminal(&self.name, MAX_CHARS)
    }

    /// The options of this run, for the commands that the output suggests.
    pub(super) fn invocation(&self) -> Invocation {
        self.common.which.invocation(&self.common.connection)
    }

    /// The command for `step` of this rotation with `options`, quoted for a shell. It uses the same store
    /// and AWS account.
    pub(super) fn command(&self, step: &str, options: &[&str]) -> String {
        let words = [&["rotate", step], options].concat();
        command_for_user(&words, &self.name, &self.invocation())
    }
}
