//! Other accounts, entered through moto's STS.

use std::sync::Arc;

use aws_config::SdkConfig;
use secondkey::aws::accounts::{AccountError, Accounts, MemberRole};
use secondkey::aws::iam::IamKeySource;
use secondkey::detect::keys::listing::{KeyListing, ListingAnswer};
use secondkey::detect::user::UserId;
use secondkey::pipeline::error::{ErrorKind, ServiceError};
use secondkey::pipeline::key_source::KeySource;

use crate::stack::clients::{config, iam_of};
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::stack;
use crate::stack::wiring::ACCOUNT;

const MEMBER: &str = "444455556666";

/// The STS error for a role that is missing or must not be assumed.
const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
    sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>";

/// The IAM error for credentials of a deleted role.
const GONE: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token \
    included in the request is invalid.</Message></Error><RequestId>1</RequestId></ErrorResponse>";

/// Credentials that expire too soon to be handed out twice.
const ALMOST_OVER: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAOLD</AccessKeyId>\
    <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2024-01-01T00:00:00Z</Expiration>\
    </Credentials></AssumeRoleResult></AssumeRoleResponse>";

/// Accounts whose clients expose the configuration that they were created with.
async fn behind_proxy() -> (Accounts<SdkConfig>, Proxy) {
    let proxy = Proxy::start(&stack().await.moto_url);
    let config = config(&proxy.url).await;
    let accounts = Accounts::new(
        config,
        ACCOUNT.to_owned(),
        Some(member_role()),
        SdkConfig::clone,
    );
    (accounts, proxy)
}

fn member_role() -> MemberRole {
    MemberRole {
        arn: "arn:aws:iam::{account}:role/secondkey-audit".to_owned(),
        external_id: Some("the external id".to_owned()),
    }
}

/// IAM rejects the credentials of a listing.
fn rejected(times: u32) -> Fault {
    Fault {
        part: "Action=ListAccessKeys",
        times,
        ..fault(403, GONE)
    }
}

/// The IAM of `account` with one user whose keys were listed once, and the code that lists them
/// again.
struct Entered {
    keys: IamKeySource,
    proxy: Proxy,
    user: UserId,
}

impl Entered {
    async fn new(account: &str, name: &str) -> Self {
        let moto = &stack().await.moto_url;
        let iam = if account == ACCOUNT {
            aws_sdk_iam::Client::new(&config(moto).await)
        } else {
            iam_of(&config(moto).await, account, "secondkey-audit").await
        };
        let made = iam.create_user().user_name(name).send().await;
        made.expect("a user can be created");
        let proxy = Proxy::start(moto);
        let config = config(&proxy.url).await;
        let own = ACCOUNT.to_owned();
        let role = Some(member_role());
        let accounts = Accounts::new(config, own, role, aws_sdk_iam::Client::new);
        let entered = Self {
            keys: IamKeySource::new(Arc::new(accounts)),
            proxy,
            user: UserId::new(account, name),
        };
        assert!(is_listed(&entered.list().await));
        entered.proxy.take_bodies();
        entered
    }

    async fn list(&self) -> Result<KeyListing, ServiceError> {
        self.keys.list(&self.user, self.user.name()).await
    }

    /// IAM rejects the credentials of the next `times` listings.
    fn reject(&self, times: u32) {
        self.proxy.set(rejected(times));
    }

    /// The actions that moto received since the last call.
    fn asked(&self) -> Vec<String> {
        let bodies = self.proxy.take_bodies();
        let action = |body: &String| {
            let fields = body.split('&');
            let action = fields.filter_map(|field| field.strip_prefix("Action="));
            action.map(str::to_owned).collect::<String>()
        };
        bodies.iter().map(action).collect()
    }
}

fn is_listed(listing: &Result<KeyListing, ServiceError>) -> bool {
    let answer = listing.as_ref().map(KeyListing::answer);
    matches!(answer, Ok(ListingAnswer::Keys { .. }))
}

#[track_caller]
fn refused(listing: Result<KeyListing, ServiceError>) -> String {
    match listing.unwrap().answer() {
        ListingAnswer::Refused { reason } => reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_whose_role_was_recreated_is_entered_again() {
    let entered = Entered::new(MEMBER, "made-again").await;
    entered.reject(1);
    assert!(is_listed(&entered.list().await));
    assert_eq!(entered.asked(), ["AssumeRole", "ListAccessKeys"]);
    // The new session is kept.
    assert!(is_listed(&entered.list().await));
    assert_eq!(entered.asked(), ["ListAccessKeys"]);
}

#[tokio::test]
async fn concurrent_callers_enter_a_recreated_role_once() {
    const CALLERS: u32 = 8;
    let entered = Entered::new(MEMBER, "many-callers").await;
    entered.reject(CALLERS);
    let listed = futures::future::join_all((0..CALLERS).map(|_| entered.list())).await;
    assert!(listed.iter().all(is_listed), "{listed:?}");
    let asked = entered.asked();
    let times = |action: &str| asked.iter().filter(|asked| *asked == action).count();
    assert_eq!(times("AssumeRole"), 1, "{asked:?}");
}

#[tokio::test]
async fn a_member_whose_role_was_deleted_is_a_refusal() {
    let entered = Entered::new(MEMBER, "deleted").await;
    entered
        .proxy
        .set_all(vec![rejected(u32::MAX), fault(403, DENIED)]);
    let reason = refused(entered.list().await);
    assert!(reason.contains("deploy the member stack there"), "{reason}");
    assert_eq!(entered.proxy.refused(), 2);
}

#[tokio::test]
async fn roots_listing_never_waits_for_a_failing_report() {
    const THROTTLED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message>\
        </Error><RequestId>1</RequestId></ErrorResponse>";
    let proxy = Proxy::start(&stack().await.moto_url);
    let accounts = Accounts::new(
        config(&proxy.url).await,
        ACCOUNT.to_owned(),
        None,
        aws_sdk_iam::Client::new,
    );
    let keys = IamKeySource::new(Arc::new(accounts));
    let root = UserId::root(ACCOUNT);
    for part in [
        "Action=GenerateCredentialReport",
        "Action=GetCredentialReport",
    ] {
        for (status, body) in [(400, THROTTLED), (503, ""), (403, DENIED)] {
            proxy.set(Fault {
                part,
                times: u32::MAX,
                ..fault(status, body)
            });
            let reason = refused(keys.list(&root, root.name()).await);
            assert!(
                reason.contains("CredentialReport"),
                "{part} {status}: {reason}"
            );
        }
    }
}

#[tokio::test]
async fn a_member_that_rejects_fresh_credentials_too_is_a_refusal() {
    let entered = Entered::new(MEMBER, "rejected").await;
    entered.reject(u32::MAX);
    let reason = refused(entered.list().await);
    assert!(
        reason.contains("it rejects the credentials that role"),
        "{reason}"
    );
    assert_eq!(entered.proxy.refused(), 2, "no third try");
}

#[tokio::test]
async fn rejected_credentials_of_the_own_account_are_a_failure() {
    let entered = Entered::new(ACCOUNT, "own-credentials").await;
    entered.reject(u32::MAX);
    let failure = entered.list().await.unwrap_err();
    assert!(failure.is_unauthenticated(), "{failure}");
    assert_eq!(entered.proxy.refused(), 1);
}

fn fault(status: u16, body: &'static str) -> Fault {
    Fault {
        part: "Action=AssumeRole",
        status,
        body,
        times: 1,
    }
}

/// The account in which `config` acts.
async fn account_of(config: &SdkConfig) -> String {
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity();
    answer.send().await.unwrap().account.unwrap()
}

#[tokio::test]
async fn concurrent_callers_enter_a_member_once() {
    let (accounts, proxy) = behind_proxy().await;
    let accounts = Arc::new(accounts);
    let asked = (0..10).map(|_| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.client(MEMBER).await.unwrap() })
    });
    let configs = futures::future::join_all(asked.collect::<Vec<_>>()).await;
    let requests = proxy.take_bodies();
    assert_eq!(requests.len(), 1, "{requests:?}");
    for part in [
        "Action=AssumeRole",
        "role%2Fsecondkey-audit",
        "444455556666",
        "RoleSessionName=secondkey",
        "ExternalId=the%20external%20id",
    ] {
        assert!(requests[0].contains(part), "{part}: {}", requests[0]);
    }
    for config in configs {
        assert_eq!(account_of(&config.unwrap()).await, MEMBER);
    }
    let own = accounts.client(ACCOUNT).await.unwrap();
    assert_eq!(account_of(&own).await, ACCOUNT);
    let other = accounts.client("777788889999").await.unwrap();
    assert_eq!(account_of(&other).await, "777788889999");
}

#[tokio::test]
async fn a_denied_role_is_a_refusal_until_it_is_fixed() {
    let (accounts, proxy) = behind_proxy().await;
    proxy.set(fault(403, DENIED));
    match accounts.client(MEMBER).await {
        Err(AccountError::Refused(reason)) => {
            assert!(reason.contains("account `444455556666` cannot be entered"));
            assert!(reason.contains("deploy the member stack there"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        account_of(&accounts.client(MEMBER).await.unwrap()).await,
        MEMBER
    );
}

#[tokio::test]
async fn a_service_that_is_down_is_not_a_refusal() {
    let (accounts, proxy) = behind_proxy().await;
    proxy.set(Fault {
        times: 10,
        ..fault(503, "")
    });
    match accounts.client(MEMBER).await {
        Err(AccountError::Failed(failure)) => assert_eq!(failure.kind(), ErrorKind::Retryable),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn credentials_are_renewed_before_they_end() {
    let (accounts, proxy) = behind_proxy().await;
    proxy.set(fault(200, ALMOST_OVER));
    accounts.client(MEMBER).await.unwrap();
    assert_eq!(proxy.refused(), 1);
    let renewed = accounts.client(MEMBER).await.unwrap();
    assert_eq!(account_of(&renewed).await, MEMBER);
}
