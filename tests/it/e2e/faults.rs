//! Failures of single parts.

use secondkey::detect::findings::finding::FindingStatus;
use serde_json::json;

use super::world::{ACCOUNT, Setup, World, kinds};
use crate::stack::clients::config;
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::{http, server, stack};

#[tokio::test]
async fn an_unreadable_message_does_not_block_the_others() {
    let world = World::new("poison").await;
    let first = world.create_key().await;
    for _ in 0..8 {
        world.tell(world.updated(&first, "Active")).await;
    }
    let second = world.create_key().await;
    world.send("{\"source\": \"aws.iam\", \"detail\"").await;
    world.tell(world.created(&second)).await;
    let turn = world.turn().await;
    // The unreadable message leaves the queue at once too: the function has set it aside.
    assert_eq!((turn.done.len(), turn.failed.len()), (10, 0));
    assert!(world.is_open().await);
    assert_eq!(kinds(&world.alerts().await), ["opened"]);

    let dead = world.drain(&world.wiring.dead_letters_url).await;
    assert_eq!(dead, [json!("{\"source\": \"aws.iam\", \"detail\"")]);
    let said = world.function.log_lines();
    assert!(
        said.iter()
            .any(|line| line.to_string().contains("message cannot be read")),
        "the log says why:\n{}",
        world.function.log()
    );
}

#[tokio::test]
async fn a_refused_alert_is_delivered_later_and_only_to_its_sink() {
    let proxy = Proxy::start(&stack().await.moto_url);
    // More than the SDK's own three attempts.
    proxy.set(Fault {
        part: "Action=Publish",
        status: 503,
        body: "",
        times: 3,
    });
    let setup = Setup {
        environment: vec![("AWS_ENDPOINT_URL_SNS", proxy.url.clone())],
        ..Setup::default()
    };
    let world = World::with("sns-down", setup).await;
    world.open().await;
    assert_eq!(proxy.refused(), 3);
    assert_eq!(kinds(&world.alerts().await), Vec::<&str>::new());
    assert_eq!(world.store_owed().await, ["sns"]);

    world
        .until("the alert is no longer owed", async || {
            world.store_owed().await.is_empty()
        })
        .await;
    world.until_quiet().await;
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
    assert_eq!(world.bus_events().await.len(), 1);
}

#[tokio::test]
async fn a_throttled_table_delays_the_finding() {
    let proxy = Proxy::start(&stack().await.dynamodb_url);
    proxy.set(Fault {
        part: "TransactWriteItems",
        status: 400,
        body: r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"too fast"}"#,
        times: 4,
    });
    let setup = Setup {
        environment: vec![("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.clone())],
        ..Setup::default()
    };
    let world = World::with("throttled", setup).await;
    world.create_key().await;
    let second = world.create_key().await;
    world.tell(world.created(&second)).await;
    let turn = world.turn().await;
    assert_eq!(
        (turn.done.len(), turn.failed.len()),
        (0, 1),
        "{}",
        world.function.log()
    );
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.until_quiet().await;
    assert_eq!(proxy.refused(), 4);
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
    world.trail(&world.user_id()).await;
}

#[tokio::test]
async fn keys_that_cannot_be_listed_are_news() {
    // A separate server, because it enforces policies on everyone.
    let moto = tokio::task::spawn_blocking(|| server::start_moto(&[]))
        .await
        .expect("it starts");
    let iam = aws_sdk_iam::Client::new(&config(&moto.url).await);
    let (key, secret) = user_without_rights(&iam).await;
    http::post(format!("{}/moto-api/reset-auth", moto.url), "0".to_owned()).await;
    let setup = Setup {
        environment: vec![
            ("AWS_ENDPOINT_URL_IAM", moto.url.clone()),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ],
        ..Setup::default()
    };
    let world = World::with("blind", setup).await;
    let only = world.create_key().await;
    world.tell(world.created(&only)).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    let finding = world.findings(FindingStatus::Open).await.remove(0);
    assert!(!finding.confirmed);
    let reason = finding.listing_refusal.expect("it says why");
    assert!(
        reason.contains("iam:ListAccessKeys") && reason.contains("access denied"),
        "{reason}"
    );
    let alerts = world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["could_not_list"], reason);
    assert_eq!(alerts[0]["finding"]["account"], ACCOUNT);
}

async fn user_without_rights(iam: &aws_sdk_iam::Client) -> (String, String) {
    let name = "blind";
    let made = iam.create_user().user_name(name).send().await;
    made.expect("a user can be created");
    let made = iam.create_access_key().user_name(name).send().await;
    let key = made
        .expect("a key can be created")
        .access_key
        .expect("it is returned");
    (key.access_key_id, key.secret_access_key)
}
