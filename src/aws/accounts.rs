//! Clients for the accounts of an organization. The function's own account uses its own
//! credentials; other accounts use the role that the member stack creates there.

mod sessions;

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::{AssumeRoleError, AssumeRoleOutput};
use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::aws::accounts::sessions::{SessionCache, SessionSlot};
use crate::aws::sdk_errors::{is_refusal, service_error};
use crate::detect::Timestamp;
use crate::pipeline::error::ServiceError;

/// The placeholder for the account ID in a member role's ARN.
pub(crate) const ACCOUNT_PLACEHOLDER: &str = "{account}";

/// The session name, which appears in the CloudTrail of the member accounts.
const SESSION_NAME: &str = "secondkey";

/// How long before they expire credentials are no longer handed out. Longer than any function may
/// run.
const RENEWED_BEFORE_END: TimeDelta = TimeDelta::minutes(15);

/// The minimum age of a session for which a denial may be stale. If a role was deleted and
/// recreated, old sessions are denied what the new role allows. A younger session belongs to the
/// current role.
const MAY_BE_OF_A_FORMER_ROLE: TimeDelta = TimeDelta::minutes(1);

/// STS error codes, other than a denial, that mean that the member account must be fixed.
const NOT_TO_BE_ENTERED: [&str; 2] = ["NoSuchEntity", "RegionDisabledException"];

/// The role that is assumed in every other account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRole {
    /// Its ARN, with `{account}` in place of the account ID.
    pub arn: String,
    /// The external ID that its trust policy requires, if any.
    pub external_id: Option<String>,
}

impl MemberRole {
    /// The role's ARN in `account`, or `None` if that is not an account ID. The ID comes from an
    /// event, and other text could change the meaning of the ARN.
    fn arn_in(&self, account: &str) -> Option<String> {
        is_account_id(account).then(|| self.arn.replace(ACCOUNT_PLACEHOLDER, account))
    }
}

/// Whether `text` is an account ID: 12 digits.
#[must_use]
pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// Why there is no client for an account.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The account cannot be entered or denies the call until an operator fixes its role or the
    /// settings. Contains the reason.
    #[error("{0}")]
    Refused(String),
    /// AWS failed or was unreachable, or our own credentials failed.
    #[error(transparent)]
    Failed(ServiceError),
}

impl AccountError {
    /// Classifies the error of the call `what` in an account.
    pub(crate) fn of_call<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = service_error(what, error);
        if is_refusal(error) {
            Self::Refused(failure.to_string())
        } else {
            Self::Failed(failure)
        }
    }

    /// Whether credentials newer than `since` may succeed.
    fn may_be_of_a_former_role(&self, since: Timestamp) -> bool {
        match self {
            Self::Failed(failure) => failure.is_unauthenticated(),
            Self::Refused(_) => Utc::now() - since > MAY_BE_OF_A_FORMER_ROLE,
        }
    }
}

impl From<ServiceError> for AccountError {
    fn from(failure: ServiceError) -> Self {
        Self::Failed(failure)
    }
}

/// The accounts that can be accessed, each with a client of one service.
#[derive(Debug)]
pub struct Accounts<C> {
    config: SdkConfig,
    own: String,
    role: Option<MemberRole>,
    new_client: fn(&SdkConfig) -> C,
    /// Cached: creating a client takes a quarter of the time of a call.
    own_client: C,
    entered: SessionCache<Session<C>>,
}

/// An account with credentials.
#[derive(Debug, Clone)]
struct Session<C> {
    client: C,
    since: Timestamp,
    until: Timestamp,
}

impl<C> Session<C> {
    fn is_usable(&self) -> bool {
        Utc::now() < self.until
    }
}

/// An account other than our own, and how to enter it.
struct Member<'a, C> {
    role: &'a MemberRole,
    arn: String,
    account: String,
    slot: SessionSlot<Session<C>>,
}

impl<C: Clone> Accounts<C> {
    /// Combines the account `own`, whose credentials are in `config`, with the accounts that `role`
    /// opens. `new_client` creates the clients.
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
            entered: SessionCache::default(),
        }
    }

    /// Our own account's ID.
    #[must_use]
    pub fn own_account(&self) -> &str {
        &self.own
    }

    /// A client for `account`, with the region, timeouts and endpoints of our own account. Request
    /// a new one for each task: a member's credentials expire within the hour. [`Accounts::call`]
    /// also handles credentials that expire earlier.
    pub async fn client(&self, account: &str) -> Result<C, AccountError> {
        if account == self.own {
            return Ok(self.own_client.clone());
        }
        let member = self.member(account)?;
        let entered = self
            .session(&mut *member.slot.lock().await, &member)
            .await?;
        Ok(entered.client)
    }

    /// Runs `call` with a client for `account`.
    ///
    /// A member's credentials can outlive the role that issued them. If AWS rejects the credentials
    /// or denies the call, the role is assumed again and the call is repeated once. So a deleted
    /// role is reported as a refusal, not as a failure.
    pub async fn call<T, F>(&self, account: &str, call: impl Fn(C) -> F) -> Result<T, AccountError>
    where
        F: Future<Output = Result<T, AccountError>>,
    {
        if account == self.own {
            return call(self.own_client.clone()).await;
        }
        let member = self.member(account)?;
        let before = self
            .session(&mut *member.slot.lock().await, &member)
            .await?;
        let first = match call(before.client).await {
            Err(error) if error.may_be_of_a_former_role(before.since) => error,
            answered => return answered,
        };
        let again = {
            let mut slot = member.slot.lock().await;
            // Another caller may have entered the account in the meantime.
            slot.take_if(|entered| entered.since == before.since);
            self.session(&mut slot, &member).await
        };
        let again = match (again, first) {
            (Ok(entered), _) => entered,
            // The refusal is reported even if STS does not answer.
            (Err(AccountError::Failed(_)), refused @ AccountError::Refused(_)) => {
                return Err(refused);
            }
            (Err(error), _) => return Err(error),
        };
        match call(again.client).await {
            Err(AccountError::Failed(failure)) if failure.is_unauthenticated() => {
                Err(AccountError::Refused(format!(
                    "account `{account}` cannot be looked into: it rejects the credentials that role `{}` gives: {failure}",
                    member.arn
                )))
            }
            answered => answered,
        }
    }

    /// How to enter `account`, which is not our own.
    fn member(&self, account: &str) -> Result<Member<'_, C>, AccountError> {
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
        Ok(Member {
            role,
            arn,
            account: account.to_owned(),
            slot: self.entered.slot_for(account, Session::is_usable),
        })
    }

    /// The member in `slot`, which is entered if necessary.
    async fn session(
        &self,
        slot: &mut Option<Session<C>>,
        member: &Member<'_, C>,
    ) -> Result<Session<C>, AccountError> {
        if let Some(entered) = slot.as_ref().filter(|entered| entered.is_usable()) {
            return Ok(entered.clone());
        }
        let Member {
            role, arn, account, ..
        } = member;
        let entered = self.assume_role(account, arn, role).await?;
        Ok(slot.insert(entered).clone())
    }

    async fn assume_role(
        &self,
        account: &str,
        arn: &str,
        role: &MemberRole,
    ) -> Result<Session<C>, AccountError> {
        let since = Utc::now();
        let answer = Client::new(&self.config)
            .assume_role()
            .role_arn(arn)
            .role_session_name(SESSION_NAME)
            .set_external_id(role.external_id.clone())
            .send()
            .await
            .map_err(|error| not_entered(account, arn, &error))?;
        let Some((credentials, ends_at)) = credentials(answer) else {
            let text = format!(
                "sts:AssumeRole on role `{arn}` failed: the answer contains no credentials"
            );
            return Err(AccountError::Failed(ServiceError::retryable(text)));
        };
        let provider = SharedCredentialsProvider::new(credentials);
        let builder = self.config.to_builder();
        let config = builder.credentials_provider(provider).build();
        Ok(Session {
            client: (self.new_client)(&config),
            since,
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
        // STS returns the same error for a missing role and for a denied one.
        AccountError::Refused(format!(
            "account `{account}` cannot be entered: {failure}; deploy the member stack there, with the external id of this one"
        ))
    } else {
        AccountError::Failed(failure)
    }
}

/// The credentials in `answer` and their expiration.
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
    const MEMBER: &str = "444455556666";

    /// Accounts whose clients expose the configuration that they were created with.
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
    async fn only_an_account_id_is_put_into_an_arn() {
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

    /// Accounts with a session of [`MEMBER`] that was entered `ago`. Without credentials STS does
    /// not answer.
    fn entered(ago: TimeDelta) -> Accounts<SdkConfig> {
        let accounts = accounts(Some("arn:aws:iam::{account}:role/audit"));
        let now = Utc::now();
        let session = Session {
            client: accounts.config.clone(),
            since: now - ago,
            until: now + TimeDelta::hours(1),
        };
        let slot = accounts.entered.slot_for(MEMBER, Session::is_usable);
        *slot.try_lock().unwrap() = Some(session);
        accounts
    }

    fn is_entered(accounts: &Accounts<SdkConfig>) -> bool {
        let slot = accounts.entered.slot_for(MEMBER, Session::is_usable);
        slot.try_lock().unwrap().is_some()
    }

    #[tokio::test]
    async fn a_denial_of_an_old_session_enters_the_account_again() {
        for (ago, stays) in [(0, true), (2, false)] {
            let accounts = entered(TimeDelta::minutes(ago));
            let denied = AccountError::Refused("denied".to_owned());
            let answer: Result<(), _> = accounts.call(MEMBER, async |_| Err(denied.clone())).await;
            // STS does not answer, but the denial is still reported.
            assert_eq!(answer, Err(denied));
            assert_eq!(is_entered(&accounts), stays, "{ago} minutes");
        }
    }

    #[tokio::test]
    async fn rejected_credentials_are_not_kept() {
        let accounts = entered(TimeDelta::zero());
        let rejected = AccountError::Failed(ServiceError::unauthenticated("rejected"));
        let answer: Result<(), _> = accounts.call(MEMBER, async |_| Err(rejected.clone())).await;
        assert!(matches!(answer, Err(AccountError::Failed(_))), "{answer:?}");
        assert!(!is_entered(&accounts));
    }

    #[tokio::test]
    async fn another_failure_leaves_the_session_alone() {
        let accounts = entered(TimeDelta::minutes(2));
        let failed = AccountError::Failed(ServiceError::retryable("throttled"));
        let answer: Result<(), _> = accounts.call(MEMBER, async |_| Err(failed.clone())).await;
        assert_eq!(answer, Err(failed));
        assert!(is_entered(&accounts));
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
