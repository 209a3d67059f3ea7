//! Other accounts of the organization, and accounts that cannot be entered.

use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::user::UserId;

use super::sweeps::{Swept, digests, own_moto};
use super::world::{ACCOUNT, Setup, World, kinds};
use crate::stack::clients::iam_of;
use crate::stack::proxy::{Fault, Proxy};

const MEMBER: &str = "444455556666";

/// The STS error for a role that is missing or must not be assumed.
const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
    sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>";

/// IAM of the member account.
async fn member_iam(world: &World, account: &str) -> aws_sdk_iam::Client {
    iam_of(&world.config, account, "secondkey-audit").await
}

#[tokio::test]
async fn a_members_second_key_is_found_by_event_and_by_sweep() {
    let setup = Setup {
        parameters: vec![("ListAccounts", "true")],
        ..Setup::default()
    };
    let swept = Swept::new("member", setup).await;
    let world = &swept.world;
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let made = organizations.create_organization().send().await;
    made.expect("an organization can be created");
    let made = organizations
        .create_account()
        .account_name("member")
        .email("member@example.com");
    let made = made.send().await.expect("an account can be created");
    let member = made
        .create_account_status
        .and_then(|status| status.account_id);
    let member = member.expect("moto creates it at once");

    // Reported by an event that the member's rule forwards to the bus.
    let iam = member_iam(world, &member).await;
    let made = iam.create_user().user_name("Erin").send().await;
    made.expect("a user can be created");
    let mut keys = vec![];
    for _ in 0..2 {
        let made = iam.create_access_key().user_name("Erin").send().await;
        keys.push(made.unwrap().access_key.unwrap().access_key_id);
    }
    let mut record = World::record("CreateAccessKey", &serde_json::json!({"userName": "Erin"}));
    record["recipientAccountId"] = member.as_str().into();
    record["responseElements"] = serde_json::json!({"accessKey": {"userName": "Erin", "accessKeyId": keys[1],
        "status": "Active"}});
    world.tell(record).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.until_quiet().await;
    let finding = world.findings(FindingStatus::Open).await.remove(0);
    assert_eq!(finding.user(), &UserId::new(&member, "erin"));
    assert!(
        finding.confirmed,
        "the member's keys were listed by its role"
    );
    let alerts = world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["account"], member);

    // Every account of the organization is swept, and so is the one with an open finding.
    swept.sweep().await;
    let swept_accounts: Vec<String> = world
        .store
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .filter(|record| record.swept_at.is_some())
        .map(|record| record.account)
        .collect();
    for account in [ACCOUNT, &member] {
        assert!(
            swept_accounts.iter().any(|swept| swept == account),
            "{swept_accounts:?}"
        );
    }
}

#[tokio::test]
async fn a_member_with_a_broken_role_is_named_and_stops_no_other() {
    let moto = own_moto().await;
    let proxy = Proxy::start(&moto.url);
    let denial = Fault {
        part: "Action=AssumeRole",
        status: 403,
        body: DENIED,
        times: u32::MAX,
    };
    proxy.set(denial.clone());
    let setup = Setup {
        environment: vec![("AWS_ENDPOINT_URL_STS", proxy.url.clone())],
        moto: Some(moto),
        ..Setup::default()
    };
    let swept = Swept::new("broken", setup).await;
    let world = &swept.world;
    let mut record = World::record("CreateAccessKey", &serde_json::json!({"userName": "Erin"}));
    record["recipientAccountId"] = MEMBER.into();
    record["responseElements"] = serde_json::json!({"accessKey": {"userName": "Erin", "accessKeyId": "AKIAERIN",
        "status": "Active"}});
    world.tell(record).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    let finding = world.findings(FindingStatus::Open).await.remove(0);
    let reason = finding.listing_refusal.expect("it says why");
    assert!(reason.contains("cannot be entered"), "{reason}");
    assert_eq!(
        kinds(&world.alerts().await),
        ["opened"],
        "blindness is news"
    );

    swept.pair("Frank").await;
    // A refused listing is retried in a quarter of an hour, so the changes queue does not become
    // quiet.
    swept.sweep_alone().await;
    let unreachable = async || {
        let accounts = world.store.accounts().await.unwrap();
        let member = accounts.into_iter().find(|record| record.account == MEMBER);
        member.expect("its turn was noted").unreachable
    };
    let why = unreachable().await.expect("it is named").reason;
    assert!(why.contains("deploy the member stack there"), "{why}");
    assert!(swept.metric("UnreachableAccounts").contains(&1));
    assert!(
        swept.open().await.contains(&"Frank".to_owned()),
        "the rest is swept"
    );
    assert_eq!(digests(&world.alerts().await).len(), 1);

    proxy.set(Fault { times: 0, ..denial });
    swept.sweep_alone().await;
    assert_eq!(unreachable().await, None, "mended");
}
