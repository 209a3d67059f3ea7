//! Access keys as IAM lists them; root's as the credential report tells of them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_iam::Client;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::list_access_keys::{ListAccessKeysError, ListAccessKeysOutput};
use aws_sdk_iam::types::{AccessKeyMetadata, ReportStateType, StatusType};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use tracing::warn;

use crate::aws::credential_report::{ReportError, parse_root};
use crate::aws::errors::{is_refusal, service_error};
use crate::detect::Timestamp;
use crate::detect::listing::{AccessKey, AfterPage, KeyListing, KeyStatus, PartialListing};
use crate::detect::retire::{LastUsed, LastUses};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// How often, and how far apart, a credential report that is being made is asked for again.
const REPORT_TRIES: u32 = 5;
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// IAM of one account.
#[derive(Debug, Clone)]
pub struct IamKeySource {
    client: Client,
    account: String,
}

impl IamKeySource {
    /// Lists with the credentials of `client`, which are of `account`.
    #[must_use]
    pub fn new(client: Client, account: String) -> Self {
        Self { client, account }
    }

    async fn list_user(&self, name: &str) -> Result<KeyListing, ServiceError> {
        let requested_at = Utc::now();
        let mut partial = PartialListing::requested(requested_at);
        let mut marker: Option<String> = None;
        loop {
            // Never without a user name: a role's call would list somebody else's keys.
            let answer = self
                .client
                .list_access_keys()
                .user_name(name)
                .set_marker(marker.take())
                .send()
                .await;
            let page = match answer {
                Ok(page) => page,
                Err(error) => return unlisted(&error, requested_at),
            };
            marker.clone_from(&page.marker);
            match add_page(partial, page, name) {
                AfterPage::Complete(listing) => return Ok(listing),
                AfterPage::More(more) => partial = more,
            }
        }
    }

    async fn list_root(&self) -> Result<KeyListing, ServiceError> {
        let asked_at = Utc::now();
        for _ in 0..REPORT_TRIES {
            // A report that is younger than four hours is given again (IAM API reference, GenerateCredentialReport).
            let state = match self.client.generate_credential_report().send().await {
                Ok(answer) => answer.state,
                Err(error) => return refused_or(&error, "iam:GenerateCredentialReport", asked_at),
            };
            if state == Some(ReportStateType::Complete) {
                return self.root_of_report(asked_at).await;
            }
            tokio::time::sleep(REPORT_WAIT).await;
        }
        // Root's alert does not wait for it: what events tell decides until the report is there.
        Ok(KeyListing::refused(
            asked_at,
            "IAM is still making the credential report that tells of root's keys",
        ))
    }

    async fn root_of_report(&self, asked_at: Timestamp) -> Result<KeyListing, ServiceError> {
        let report = match self.client.get_credential_report().send().await {
            Ok(report) => report,
            Err(error) => return refused_or(&error, "iam:GetCredentialReport", asked_at),
        };
        let generated_at = report.generated_time.as_ref().and_then(timestamp);
        let (Some(content), Some(generated_at)) = (report.content, generated_at) else {
            return Err(ServiceError::retryable(
                "the credential report that tells of root's keys came without content",
            ));
        };
        match parse_root(content.as_ref()) {
            Ok(slots) => Ok(KeyListing::from_report(generated_at, slots)),
            Err(error @ (ReportError::NoRoot | ReportError::NotCsv(_))) => {
                Ok(KeyListing::refused(asked_at, error.to_string()))
            }
        }
    }

    async fn last_used_of(&self, key: &str) -> Option<LastUsed> {
        let answer = self
            .client
            .get_access_key_last_used()
            .access_key_id(key)
            .send()
            .await
            .inspect_err(|error| {
                let failure = service_error("iam:GetAccessKeyLastUsed", error);
                warn!(%failure, "the last use of a key could not be had");
            })
            .ok()?;
        let known = answer.access_key_last_used?;
        // IAM says N/A for a key without a use that it tracks.
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
        if user.account() != self.account {
            // Our own user of that name is somebody else.
            let reason = format!(
                "the users of account `{}` cannot be listed from account `{}`",
                user.account(),
                self.account
            );
            return Ok(KeyListing::refused(Utc::now(), reason));
        }
        if user.is_root() {
            self.list_root().await
        } else {
            self.list_user(name).await
        }
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        if user.is_root() || user.account() != self.account {
            // A report names slots, not keys; and what cannot be listed cannot be asked for either.
            return LastUses::new();
        }
        let last_uses = join_all(keys.iter().map(|key| self.last_used_of(key))).await;
        keys.iter()
            .cloned()
            .zip(last_uses)
            .filter_map(|(key, last_used)| Some((key, last_used?)))
            .collect()
    }
}

fn add_page(partial: PartialListing, page: ListAccessKeysOutput, asked_for: &str) -> AfterPage {
    // What still calls a renamed user by the former name must not have somebody else listed from then on.
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
        // Only what IAM calls active can sign a request.
        _ => KeyStatus::Inactive,
    };
    Some((key.access_key_id?, AccessKey { status, created }))
}

fn unlisted(
    error: &SdkError<ListAccessKeysError>,
    requested_at: Timestamp,
) -> Result<KeyListing, ServiceError> {
    if error
        .as_service_error()
        .is_some_and(ListAccessKeysError::is_no_such_entity_exception)
    {
        return Ok(KeyListing::no_such_user(requested_at));
    }
    refused_or(error, "iam:ListAccessKeys", requested_at)
}

/// A refused listing where trying again will not help, for that is news; else an error.
fn refused_or<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static>(
    error: &SdkError<E>,
    action: &str,
    requested_at: Timestamp,
) -> Result<KeyListing, ServiceError> {
    let failure = service_error(action, error);
    if is_refusal(error) {
        Ok(KeyListing::refused(requested_at, failure.to_string()))
    } else {
        Err(failure)
    }
}

/// A time of IAM, in whole seconds like the events that it is compared with.
fn timestamp(time: &aws_sdk_iam::primitives::DateTime) -> Option<Timestamp> {
    DateTime::from_timestamp(time.secs(), 0)
}
