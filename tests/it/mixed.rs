//! One file and all commands that write findings into it, in several orders: none opens or closes a
//! finding of a user whom its source does not know.

use std::collections::BTreeSet;

use chrono::Utc;
use futures::future::join_all;
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::json;

use crate::rotate::world::{Said, World, next_second};
use crate::stack::server::start_moto;
use crate::stack::wiring::ACCOUNT;

/// A user whom only the scan checks.
const BYSTANDER: &str = "bystander";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Checks all users.
    Scan,
    /// Checks the rotated user.
    Check,
    /// Replays a log of another user, and of one change that leaves the rotated user's second key
    /// active.
    Replay,
    /// Deactivates the rotated user's first key.
    Rotate,
}

#[tokio::test]
async fn no_command_decides_on_users_its_source_does_not_know() {
    use Step::{Check, Replay, Rotate, Scan};
    let orders = [
        [Scan, Check, Replay, Rotate, Replay, Scan],
        [Replay, Scan, Replay, Check, Replay, Scan],
        [Check, Replay, Scan, Replay, Rotate, Check],
        [Rotate, Replay, Scan, Replay, Check, Replay],
    ];
    join_all(orders.iter().map(|order| check(order))).await;
}

async fn check(order: &[Step]) {
    let moto = tokio::task::spawn_blocking(|| start_moto(&[])).await;
    let moto = moto.expect("moto starts");
    let world = World::on(&moto.url).await;
    let keys = [world.make_key().await, world.make_key().await];
    let made = world.iam.create_user().user_name(BYSTANDER).send().await;
    made.expect("a user can be created");
    for _ in 0..2 {
        let made = world.iam.create_access_key().user_name(BYSTANDER).send();
        made.await.expect("a key can be created");
    }
    for done in 1..=order.len() {
        let done = &order[..done];
        next_second().await;
        let said = run(&world, &keys, done).await;
        assert!(said.code == 0 || said.code == 10, "{done:?}: {said:?}");
        assert_eq!(
            open(&world).await,
            expected(&world, done),
            "{done:?}: {said:?}"
        );
    }
}

/// Runs the last of the steps `done`.
async fn run(world: &World, keys: &[String; 2], done: &[Step]) -> Said {
    let path = world.db();
    let db = path.to_str().expect("it is UTF-8");
    match done[done.len() - 1] {
        Step::Scan => world.run(&["scan", "--db", db]).await,
        Step::Check => world.run(&["check", &world.user, "--db", db]).await,
        Step::Rotate => {
            world
                .rotate("finish", &["--key", &keys[0], "--apply"])
                .await
        }
        Step::Replay => {
            let log = world.path("log.json");
            std::fs::write(&log, records(world, &keys[1], done.len())).expect("it is written");
            let log = log.to_str().expect("it is UTF-8");
            world.run(&["replay", log, "--db", db]).await
        }
    }
}

fn records(world: &World, key: &str, number: usize) -> String {
    let record = |event: &str, user: &str, key: &str| {
        json!({
            "eventVersion": "1.11", "eventSource": "iam.amazonaws.com", "eventName": event,
            "eventTime": Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "eventID": format!("{event}-{user}-{number}"), "recipientAccountId": ACCOUNT,
            "userIdentity": {"type": "Root", "arn": format!("arn:aws:iam::{ACCOUNT}:root")},
            "requestParameters": {"userName": user, "accessKeyId": key, "status": "Active"},
            "responseElements": {"accessKey": {"userName": user, "accessKeyId": key}},
        })
    };
    json!({"Records": [
        record("CreateAccessKey", &format!("other-{number}"), &format!("AKIAOTHER{number}")),
        record("UpdateAccessKey", &world.user, key),
    ]})
    .to_string()
}

async fn open(world: &World) -> BTreeSet<String> {
    let open = world.store().findings(FindingStatus::Open).await;
    let open = open.expect("they can be read");
    open.iter()
        .map(|finding| finding.user().name().to_owned())
        .collect()
}

/// The users whose finding is open after the steps `done`.
fn expected(world: &World, done: &[Step]) -> BTreeSet<String> {
    let is_seen = done.contains(&Step::Scan) || done.contains(&Step::Check);
    let is_open = is_seen && !done.contains(&Step::Rotate);
    let rotated = is_open.then(|| world.user.to_lowercase());
    let bystander = done.contains(&Step::Scan).then(|| BYSTANDER.to_owned());
    rotated.into_iter().chain(bystander).collect()
}
