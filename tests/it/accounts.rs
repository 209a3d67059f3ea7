//! Other accounts, entered through moto's STS.

use std::sync::Arc;

use aws_config::SdkConfig;
use secondkey::aws::accounts::{AccountError, Accounts, MemberRole};
use secondkey::pipeline::error::ErrorKind;

use crate::stack::clients::config;
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::stack;
use crate::stack::wiring::ACCOUNT;

const MEMBER: &str = "444455556666";

/// What STS answers to who may not enter a role, or asks for one that is not there.
const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
    sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>";

/// Credentials that end too soon to be handed out twice.
const ALMOST_OVER: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAOLD</AccessKeyId>\
    <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2024-01-01T00:00:00Z</Expiration>\
    </Credentials></AssumeRoleResult></AssumeRoleResponse>";

/// Accounts whose clients show the configuration that they were made of.
async fn behind_proxy() -> (Accounts<SdkConfig>, Proxy) {
    let proxy = Proxy::start(&stack().await.moto_url);
    let role = MemberRole {
        arn: "arn:aws:iam::{account}:role/secondkey-audit".to_owned(),
        external_id: Some("the external id".to_owned()),
    };
    let config = config(&proxy.url).await;
    let accounts = Accounts::new(config, ACCOUNT.to_owned(), Some(role), SdkConfig::clone);
    (accounts, proxy)
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
async fn a_member_is_entered_once_however_many_ask_at_the_same_time() {
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
async fn a_role_that_may_not_be_entered_is_a_refusal_until_it_is_mended() {
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
async fn a_service_that_is_down_is_no_refusal() {
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
