//! `doctor` in an organization, with `infra/template.yaml` in the central account and
//! `infra/member.yaml` in a member account.

use chrono::Utc;
use secondkey::aws::detector::handle;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::json;

use super::JSON;
use super::metrics::assert_asked_like_alarms;
use super::world::{Organization, World, new_account, run};
use crate::stack::proxy::Fault;
use crate::stack::wiring::{cloudtrail_record, queue, take_all};

/// The STS error for a role that is missing or must not be assumed.
const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
    sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>";

#[tokio::test]
async fn a_healthy_organization_passes_every_check() {
    let organization = Organization::new().await;
    let world = &organization.central;
    let said = run(world.doctor(&[])).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    for line in [
        "ok           MemberChangesRule: pattern: equal to infra/event-pattern.json",
        "ok           MemberChangesRule: policy of ChangesQueue: allows the rule to send",
        "ok           ChangesRule: policy of ChangesQueue: allows the rule to send",
        "ok           SecurityHub: secondkey-doctor-securityhub is active",
        "ok           SecurityHubDeadLetters: empty",
        "ok           MemberDeadLetters: empty",
        &format!("ok           organization: {}", organization.id),
        "ok           organization: ListAccounts: the sweep lists the accounts",
        &format!(
            "ok           EventBus: policy: accepts events from members of {}",
            organization.id
        ),
        "ok           organization: accounts: all 2 were swept in the last 2 hours",
    ] {
        assert!(said.stdout.contains(line), "{line}\n{}", said.stdout);
    }
    let summary = said.stdout.lines().last().unwrap_or_default();
    assert!(
        summary.ends_with("0 with a warning, 0 failed, 0 not checked"),
        "{summary}"
    );
    assert_asked_like_alarms(world, &["Detector", "Sweeper", "SecurityHub"]);

    no_page_is_lost(world).await;
    a_members_event_reaches_the_detector(&organization).await;
    an_event_that_was_not_forwarded_is_reported(world).await;
}

async fn an_event_that_was_not_forwarded_is_reported(world: &World) {
    let dead = aws_sdk_sqs::Client::new(&world.config)
        .send_message()
        .queue_url(world.id("MemberDeadLetters"))
        .message_body("not forwarded");
    dead.send().await.unwrap();
    let check = run(world.doctor(&JSON)).await.check("MemberDeadLetters");
    assert_eq!(check["state"], "failed", "{check}");
    let fix = check["mend"].as_str().unwrap();
    assert!(fix.starts_with("aws sqs receive-message"), "{fix}");
}

/// With pages of one item, `doctor` still sees every resource, account, subscription and event source,
/// whichever page has it.
async fn no_page_is_lost(world: &World) {
    let subscribed = aws_sdk_sns::Client::new(&world.config)
        .subscribe()
        .topic_arn(world.id("AlertTopic"))
        .protocol("email")
        .endpoint("second@example.com");
    subscribed.send().await.expect("the topic accepts another");
    let (_, unread) = queue(&aws_sdk_sqs::Client::new(&world.config), "unread").await;
    let mapped = aws_sdk_lambda::Client::new(&world.config)
        .create_event_source_mapping()
        .function_name(world.id("Detector"))
        .event_source_arn(unread);
    mapped.send().await.expect("a function may have another");
    world.proxy.pages_of(1);
    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let found = |what: &str| said.check(what)["found"].clone();
    assert_eq!(
        found("organization: accounts"),
        "all 2 were swept in the last 2 hours"
    );
    assert_eq!(found("AlertTopic: subscriptions"), "2 confirmed");
    assert_eq!(said.state("Detector: event source"), "ok");
}

/// The event of a member's second key passes both deployed rules, and the detector lists the keys
/// in the member account with the settings of the deployed function.
async fn a_members_event_reaches_the_detector(organization: &Organization) {
    let Organization {
        central,
        member,
        member_config,
        ..
    } = organization;
    let iam = aws_sdk_iam::Client::new(member_config);
    let made = iam.create_user().user_name("erin").send().await;
    made.expect("a user can be created");
    let mut keys = vec![];
    for _ in 0..2 {
        let made = iam.create_access_key().user_name("erin").send().await;
        keys.push(made.unwrap().access_key.unwrap().access_key_id);
    }
    let mut record = cloudtrail_record("CreateAccessKey", &json!({"userName": "erin"}), Utc::now());
    record["recipientAccountId"] = json!(member);
    record["responseElements"] =
        json!({"accessKey": {"userName": "erin", "accessKeyId": keys[1], "status": "Active"}});
    let entry = aws_sdk_eventbridge::types::PutEventsRequestEntry::builder()
        .source("aws.iam")
        .detail_type("AWS API Call via CloudTrail")
        .detail(record.to_string())
        .build();
    let events = aws_sdk_eventbridge::Client::new(member_config);
    let put = events.put_events().entries(entry).send().await;
    assert_eq!(put.unwrap().failed_entry_count, 0);

    let sqs = aws_sdk_sqs::Client::new(&central.config);
    let messages = take_all(&sqs, central.id("ChangesQueue")).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    let detector = central.detector();
    let handled = handle(&detector, messages[0].clone(), &mut std::io::sink()).await;
    handled.expect("the detector works");
    let open = central.store().findings(FindingStatus::Open).await.unwrap();
    let users: Vec<&UserId> = open.iter().map(Finding::user).collect();
    assert_eq!(users, [&UserId::new(member, "erin")]);
    assert!(open[0].confirmed, "the member's keys were listed");
}

#[tokio::test]
async fn accounts_that_the_sweep_does_not_reach_are_named() {
    let organization = Organization::new().await;
    let (world, member) = (&organization.central, &organization.member);
    // Closed accounts stay listed for 90 days and cannot be entered.
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let closed = new_account(&world.config, "closed").await;
    let close = organizations.close_account().account_id(&closed);
    close.send().await.expect("an account can be closed");
    world.proxy.pages_of(1);
    world.sweep().await;
    let said = run(world.doctor(&JSON)).await;
    let accounts = said.check("organization: accounts");
    assert_eq!(accounts["found"], "all 2 were swept in the last 2 hours");

    let fresh = new_account(&world.config, "fresh").await;
    world.proxy.set(Fault {
        part: "Action=AssumeRole",
        status: 403,
        body: DENIED,
        times: u32::MAX,
    });
    world.sweep().await;
    let events = aws_sdk_eventbridge::Client::new(&world.config);
    let removed = events
        .remove_permission()
        .event_bus_name(world.id("EventBus"))
        .remove_all_permissions(true);
    removed.send().await.expect("a policy can be removed");
    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.code, 1);
    let accounts = said.check("organization: accounts");
    let found = accounts["found"].as_str().unwrap();
    assert!(found.starts_with("2 of 3 are not covered"), "{found}");
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 2);
    for account in [member, &fresh] {
        let unreachable = said.check(&format!("account {account}"));
        assert_eq!(unreachable["state"], "failed");
        let fix = unreachable["mend"].as_str().unwrap();
        assert!(fix.contains("infra/member.yaml"), "{fix}");
        assert!(
            accounts.to_string().contains(account.as_str()),
            "{accounts}"
        );
    }
    assert_eq!(said.state("EventBus: policy"), "failed");
}
