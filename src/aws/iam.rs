//! Lists access keys through IAM, and root's keys through the credential report.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use aws_sdk_iam::error::SdkError;
use aws_sdk_iam::operation::get_access_key_last_used::GetAccessKeyLastUsedError;
use aws_sdk_iam::operation::list_access_keys::{ListAccessKeysError, ListAccessKeysOutput};
use aws_sdk_iam::types::{AccessKeyMetadata, StatusType};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use tracing::warn;

use crate::aws::accounts::{AccountError, Accounts};
use crate::aws::credential_report::{FetchedReport, fetch, parse_root};
use crate::aws::sdk_errors::{is_refusal, service_error};
use crate::detect::Timestamp;
use crate::detect::keys::listing::{AccessKey, KeyListing, KeyStatus, PageResult, PartialListing};
use crate::detect::usage::last_use::{LastUsed, LastUses};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// The action that shows when a key was last used.
const LAST_USED: &str = "iam:GetAccessKeyLastUsed";

/// How often to request a credential report that IAM is still generating, while an alert may be
/// waiting.
const REPORT_TRIES: u32 = 5;

/// IAM in all accounts that can be accessed.
#[derive(Debug, Clone)]
pub struct IamKeySource {
    accounts: Arc<Accounts<Client>>,
}

impl IamKeySource {
    /// Lists the users of `accounts`.
    #[must_use]
    pub fn new(accounts: Arc<Accounts<Client>>) -> Self {
        Self { accounts }
    }

    /// Lists the users of `account`, whose credentials are in `config`, and of no other account.
    #[must_use]
    pub fn for_own_account(config: &SdkConfig, account: &str) -> Self {
        let accounts = Accounts::new(config.clone(), account.to_owned(), None, Client::new);
        Self::new(Arc::new(accounts))
    }

    async fn list_user(client: Client, name: &str) -> Result<KeyListing, AccountError> {
        let requested_at = Utc::now();
        let mut partial = PartialListing::requested(requested_at);
        let mut marker: Option<String> = None;
        loop {
            // The user name is always set: without it, IAM would list the keys of the caller.
            let answer = client
                .list_access_keys()
                .user_name(name)
                .set_marker(marker.take())
                .send()
                .await;
            let page = match answer {
                Ok(page) => page,
                Err(error) => return listing_failure(&error, requested_at),
            };
            marker.clone_from(&page.marker);
            match add_page(partial, page, name) {
                PageResult::Complete(listing) => return Ok(listing),
                PageResult::More(more) => partial = more,
            }
        }
    }

    async fn list_root(client: Client) -> Result<KeyListing, AccountError> {
        let asked_at = Utc::now();
        Ok(match fetch(&client, REPORT_TRIES).await? {
            FetchedReport::Ready {
                generated_at,
                content,
                ..
            } => match parse_root(&content) {
                Ok(slots) => KeyListing::from_report(generated_at, slots),
                Err(error) => KeyListing::refused(asked_at, error.to_string()),
            },
            FetchedReport::NotYet => {
                return Err(AccountError::Failed(ServiceError::retryable(
                    "IAM is still making the credential report, which alone shows root's keys",
                )));
            }
        })
    }

    async fn owner_of(client: Client, key: &str) -> Result<Option<String>, AccountError> {
        let request = client.get_access_key_last_used().access_key_id(key);
        match request.send().await {
            Ok(answer) => Ok(answer.user_name.filter(|name| !name.is_empty())),
            Err(error) if is_no_such_key(&error) => Ok(None),
            Err(error) => Err(AccountError::of_call(LAST_USED, &error)),
        }
    }

    async fn last_used_of(client: &Client, key: &str) -> Option<LastUsed> {
        let answer = client
            .get_access_key_last_used()
            .access_key_id(key)
            .send()
            .await
            .inspect_err(|error| {
                let failure = service_error(LAST_USED, error);
                warn!(
                    %failure,
                    needs = is_refusal(error).then_some(LAST_USED),
                    several = "last use of {count} keys could not be read",
                    "last use of a key could not be read"
                );
            })
            .ok()?;
        let known = answer.access_key_last_used?;
        // IAM returns N/A for a key without a use that it tracks.
        let told = |text: String| Some(text).filter(|text| text != "N/A");
        Some(match known.last_used_date.as_ref().and_then(timestamp) {
            Some(at) => LastUsed::At {
                at,
                service: told(known.service_name),
                region: told(known.region),
            },
            None => LastUsed::Never,
        })
    }
}

#[async_trait]
impl KeySource for IamKeySource {
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError> {
        let asked_at = Utc::now();
        // Always in the user's account: a user of the same name in another account is a different
        // user.
        let account = user.account();
        let listed = if user.is_root() {
            self.accounts.call(account, Self::list_root).await
        } else {
            let list = |client| Self::list_user(client, name);
            self.accounts.call(account, list).await
        };
        match listed {
            // INVARIANT (blindness is news): a refusal that a retry does not change is an answer.
            Err(AccountError::Refused(reason)) => Ok(KeyListing::refused(asked_at, reason)),
            // Root's alert does not wait for the credential report: without it, the events decide.
            Err(AccountError::Failed(failure)) if user.is_root() => {
                Ok(KeyListing::refused(asked_at, failure.to_string()))
            }
            Err(AccountError::Failed(failure)) => Err(failure),
            Ok(listing) => Ok(listing),
        }
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        if !is_key_id(key) {
            return Ok(None);
        }
        let owner = |client| Self::owner_of(client, key);
        match self.accounts.call(account, owner).await {
            Err(AccountError::Refused(reason)) => Err(ServiceError::permanent(reason)),
            Err(AccountError::Failed(failure)) => Err(failure),
            Ok(owner) => Ok(owner),
        }
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        if user.is_root() {
            // A report names slots, not keys.
            return LastUses::new();
        }
        let Ok(client) = self.accounts.client(user.account()).await else {
            // A key that cannot be listed cannot be queried either.
            return LastUses::new();
        };
        let last_uses = join_all(keys.iter().map(|key| Self::last_used_of(&client, key))).await;
        keys.iter()
            .cloned()
            .zip(last_uses)
            .filter_map(|(key, last_used)| Some((key, last_used?)))
            .collect()
    }
}

fn add_page(partial: PartialListing, page: ListAccessKeysOutput, asked_for: &str) -> PageResult {
    // A caller may still use the former name of a renamed user. This must not list another user who
    // has that name now.
    let name = page
        .access_key_metadata
        .iter()
        .find_map(|key| key.user_name.clone())
        .filter(|name| name.to_lowercase() == asked_for.to_lowercase());
    let keys: BTreeMap<String, AccessKey> = page
        .access_key_metadata
        .into_iter()
        .filter_map(access_key)
        .collect();
    partial.page(name, keys, page.is_truncated)
}

fn access_key(key: AccessKeyMetadata) -> Option<(String, AccessKey)> {
    let created = key.create_date.as_ref().and_then(timestamp);
    let status = match key.status {
        Some(StatusType::Active) => KeyStatus::Active,
        // Only a key that IAM calls active can sign a request.
        _ => KeyStatus::Inactive,
    };
    Some((key.access_key_id?, AccessKey { status, created }))
}

/// Whether IAM accepts `key` as a key ID. Source: IAM API reference, `GetAccessKeyLastUsed`.
fn is_key_id(key: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (16..=128).contains(&key.len()) && key.bytes().all(is_word)
}

/// Whether IAM does not have the key. The API reference, and so the SDK, defines no specific error
/// for this.
fn is_no_such_key(error: &SdkError<GetAccessKeyLastUsedError>) -> bool {
    use aws_sdk_iam::error::ProvideErrorMetadata;
    error.code() == Some("NoSuchEntity")
}

fn listing_failure(
    error: &SdkError<ListAccessKeysError>,
    requested_at: Timestamp,
) -> Result<KeyListing, AccountError> {
    if error
        .as_service_error()
        .is_some_and(ListAccessKeysError::is_no_such_entity_exception)
    {
        return Ok(KeyListing::no_such_user(requested_at));
    }
    Err(AccountError::of_call("iam:ListAccessKeys", error))
}

/// A time from IAM, in whole seconds like the events that it is compared with.
fn timestamp(time: &aws_sdk_iam::primitives::DateTime) -> Option<Timestamp> {
    DateTime::from_timestamp(time.secs(), 0)
}
