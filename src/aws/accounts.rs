//! Clients for the accounts of an organisation: the own account's by the own credentials, another's by the role that the
//! member stack put there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::aws::errors::{is_refusal, service_error};
use crate::detect::Timestamp;
use crate::pipeline::error::ServiceError;

/// What stands for the account's id in a member role's ARN.
pub const ACCOUNT_PLACEHOLDER: &str = "{account}";

/// The name of the sessions, which the members' CloudTrail shows.
const SESSION_NAME: &str = "secondkey";

/// How long before their end credentials are no longer handed out: longer than any function may run.
const RENEWED_BEFORE_END: TimeDelta = TimeDelta::minutes(15);

/// Codes other than a denial by which STS says that the member itself has to be mended.
const NOT_TO_BE_ENTERED: [&str; 2] = ["NoSuchEntity", "RegionDisabledException"];

/// The role that is entered in every account but the own one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRole {
    /// Its ARN, with `{account}` in the place of the account's id.
    pub arn: String,
    /// The external id that its trust asks for, if it does.
    pub external_id: Option<String>,
}

impl MemberRole {
    /// The role's ARN in `account`; none for what is no account id. The id comes from an event, and whatever else it
    /// holds could make another ARN of it.
    fn arn_in(&self, account: &str) -> Option<String> {
        let is_account = account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit());
        is_account.then(|| self.arn.replace(ACCOUNT_PLACEHOLDER, account))
    }
}

/// Why there is no client for an account.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountError {
    /// It cannot be entered until somebody mends its role or the settings; says why.
    #[error("{0}")]
    Refused(String),
    /// STS or the way to it let us down, or our own credentials did.
    #[error(transparent)]
    Failed(ServiceError),
}

/// The accounts that can be worked in, each by a client of the service that is worked with.
#[derive(Debug)]
pub struct Accounts<C> {
    config: SdkConfig,
    own: String,
    role: Option<MemberRole>,
    new_client: fn(&SdkConfig) -> C,
    /// Making a client takes a quarter of the work of a call, so it is made once.
    own_client: C,
    /// One place per account: whoever comes while it is being entered waits for that.
    entered: StdMutex<BTreeMap<String, Place<C>>>,
}

type Place<C> = Arc<Mutex<Option<Entered<C>>>>;

/// An account with credentials at hand.
#[derive(Debug)]
struct Entered<C> {
    client: C,
    until: Timestamp,
}

impl<C: Clone> Accounts<C> {
    /// The account `own`, whose credentials `config` holds, and those that `role` opens, by clients that `new_client` makes.
    #[must_use]
    pub fn new(
        config: SdkConfig,
        own: String,
        role: Option<MemberRole>,
        new_client: fn(&SdkConfig) -> C,
    ) -> Self {
        Self {
            own_client: new_client(&config),
            config,
            own,
            role,
            new_client,
            entered: StdMutex::default(),
        }
    }

    /// A client that acts in `account`, with the region, the timeouts and the endpoints of the own one. Ask again for each
    /// piece of work: the credentials of a member's end within the hour.
    pub async fn client(&self, account: &str) -> Result<C, AccountError> {
        if account == self.own {
            return Ok(self.own_client.clone());
        }
        let Some(role) = &self.role else {
            return Err(AccountError::Refused(format!(
                "account `{account}` cannot be entered from account `{}`: no member role is set; set `MEMBER_ROLE_ARN`",
                self.own
            )));
        };
        let Some(arn) = role.arn_in(account) else {
            return Err(AccountError::Refused(format!(
                "account `{account}` cannot be entered: an account id is 12 digits"
            )));
        };
        let place = self.place(account);
        let mut place = place.lock().await;
        if let Some(entered) = place.as_ref().filter(|entered| Utc::now() < entered.until) {
            return Ok(entered.client.clone());
        }
        let entered = self.enter(account, &arn, role).await?;
        Ok(place.insert(entered).client.clone())
    }

    fn place(&self, account: &str) -> Place<C> {
        let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        entered.entry(account.to_owned()).or_default().clone()
    }

    async fn enter(
        &self,
        account: &str,
        arn: &str,
        role: &MemberRole,
    ) -> Result<Entered<C>, AccountError> {
        let answer = Client::new(&self.config)
            .assume_role()
            .role_arn(arn)
            .role_session_name(SESSION_NAME)
            .set_external_id(role.external_id.clone())
            .send()
            .await
            .map_err(|error| not_entered(account, arn, &error))?;
        let Some((credentials, ends_at)) = credentials(answer) else {
            let text = format!("sts:AssumeRole on role `{arn}` failed: the answer holds none");
            return Err(AccountError::Failed(ServiceError::retryable(text)));
        };
        let provider = SharedCredentialsProvider::new(credentials);
        let builder = self.config.to_builder();
        let config = builder.credentials_provider(provider).build();
        Ok(Entered {
            client: (self.new_client)(&config),
            until: ends_at - RENEWED_BEFORE_END,
        })
    }
}

fn not_entered(account: &str, arn: &str, error: &SdkError<AssumeRoleError>) -> AccountError {
    let failure = service_error(&format!("sts:AssumeRole on role `{arn}`"), error);
    let is_of_member = error
        .code()
        .is_some_and(|code| NOT_TO_BE_ENTERED.contains(&code));
    if is_refusal(error) || is_of_member {
        // STS denies a role that is not there like one that may not be entered.
        AccountError::Refused(format!(
            "account `{account}` cannot be entered: {failure}; deploy the member stack there, with the external id of this one"
        ))
    } else {
        AccountError::Failed(failure)
    }
}

/// The credentials in `answer`, and when they end.
fn credentials(answer: AssumeRoleOutput) -> Option<(Credentials, Timestamp)> {
    let given = answer.credentials?;
    let ends_at = SystemTime::try_from(given.expiration).ok()?;
    let credentials = Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        Some(ends_at),
        "AssumeRole",
    );
    Some((credentials, DateTime::from(ends_at)))
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};

    use super::*;

    const OWN: &str = "111122223333";

    /// Accounts whose clients show the configuration that they were made of.
    fn accounts(role: Option<&str>) -> Accounts<SdkConfig> {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .build();
        let role = role.map(|arn| MemberRole {
            arn: arn.to_owned(),
            external_id: None,
        });
        Accounts::new(config, OWN.to_owned(), role, SdkConfig::clone)
    }

    async fn refusal(accounts: &Accounts<SdkConfig>, account: &str) -> String {
        match accounts.client(account).await {
            Err(AccountError::Refused(reason)) => reason,
            other => panic!("{account}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_own_account_is_entered_without_a_role() {
        for role in [None, Some("arn:aws:iam::{account}:role/audit")] {
            let config = accounts(role).client(OWN).await.unwrap();
            assert_eq!(config.region(), Some(&Region::new("us-east-1")));
        }
    }

    #[tokio::test]
    async fn another_account_is_refused_where_no_role_is_set() {
        let reason = refusal(&accounts(None), "444455556666").await;
        assert!(reason.contains("`444455556666` cannot be entered from account `111122223333`"));
        assert!(reason.contains("set `MEMBER_ROLE_ARN`"), "{reason}");
    }

    #[tokio::test]
    async fn what_is_no_account_id_becomes_part_of_no_arn() {
        let accounts = accounts(Some("arn:aws:iam::{account}:role/audit"));
        for account in [
            "",
            "44445555666",
            "4444555566667",
            "44445555666a",
            "٤٤٤٤٥٥",
            "444455556666:role/x",
            "{account}",
            "111122223333 ",
        ] {
            let reason = refusal(&accounts, account).await;
            assert!(reason.contains("an account id is 12 digits"), "{reason}");
        }
    }

    #[test]
    fn the_role_is_that_of_the_account() {
        let role = MemberRole {
            arn: "arn:aws-cn:iam::{account}:role/x-{account}".to_owned(),
            external_id: None,
        };
        assert_eq!(
            role.arn_in("444455556666").unwrap(),
            "arn:aws-cn:iam::444455556666:role/x-444455556666"
        );
    }
}
