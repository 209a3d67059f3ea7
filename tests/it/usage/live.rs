//! The uses of keys in CloudTrail's event history.

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::call;
use crate::rotate::world::World;
use crate::stack::wiring::ACCOUNT;

/// A call of `key` so many hours ago.
fn used(world: &World, key: &str, source: &str, hours: i64) -> Value {
    let at = Utc::now() - TimeDelta::hours(hours);
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut record = call(&world.user, key, &at, source, "Boto3/1.34");
    record["userIdentity"]["accountId"] = ACCOUNT.into();
    record["recipientAccountId"] = ACCOUNT.into();
    record
}

#[tokio::test]
async fn the_event_history_of_each_region_is_read_page_by_page() {
    let (world, keys) = World::with_keys(2).await;
    for hours in 1..=120 {
        let record = used(&world, &keys[0], "192.0.2.1", hours);
        world.history.add_use("us-east-1", &keys[0], record);
    }
    let record = used(&world, &keys[1], "192.0.2.2", 3);
    world.history.add_use("eu-central-1", &keys[1], record);
    let user = world.user.to_uppercase();
    // moto requires the exact name of a user.
    assert!(world.run(&["usage", &user, "--live"]).await.code != 0);

    let regions = ["--region", "us-east-1", "--region", "eu-central-1"];
    let arguments = [
        &["usage", &world.user, "--live", "--format", "json"],
        &regions[..],
    ]
    .concat();
    let said = world.run(&arguments).await;
    said.succeeded();
    world.assert_only_read();
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let of_keys = document["users"][0]["keys"].as_array().unwrap();
    let calls: Vec<(&Value, &Value)> = of_keys
        .iter()
        .map(|key| (&key["id"], &key["calls"]))
        .collect();
    assert_eq!(
        calls,
        [(&json!(keys[0]), &json!(120)), (&json!(keys[1]), &json!(1))]
    );
    assert_eq!(document["looked_at"]["has_data_events"], false);
    let asked: Vec<(&Value, &Value)> = document["looked_at"]["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asked| (&asked["region"], &asked["events"]))
        .collect();
    assert_eq!(
        asked,
        [
            (&json!("eu-central-1"), &json!(1)),
            (&json!("us-east-1"), &json!(120))
        ]
    );
    // Three pages and one in one region, two in the other.
    assert_eq!(world.history.asked_for_uses(), 6);

    let since = ["--since", "30h", "--max-events", "20"];
    let arguments = [&["usage", &keys[0], "--live"], &since[..]].concat();
    let said = world.run(&arguments).await;
    assert_eq!(said.code, 1, "not all was read: {}", said.stderr);
    said.prints("The event history has no data events")
        .prints("20 events in us-east-1.")
        .prints(&format!("{} reached the limit of --max-events", keys[0]))
        .prints("bucket-1");
}

#[tokio::test]
async fn a_region_that_cannot_be_queried_is_named() {
    let (world, keys) = World::with_keys(1).await;
    world.history.disable("ap-east-1");
    let record = used(&world, &keys[0], "192.0.2.1", 1);
    world.history.add_use("us-east-1", &keys[0], record);
    let said = world
        .run(&["usage", &world.user, "--live", "--all-regions"])
        .await;
    said.succeeded()
        .prints("192.0.2.1")
        .prints("ap-east-1 is not enabled in the account.")
        .prints("1 event in us-east-1; no events in af-south-1, ap-east-2, ");
    world.history.deny();
    let said = world.run(&["usage", &keys[0], "--live"]).await;
    assert_eq!(said.code, 1);
    said.prints("us-east-1 could not be queried: cloudtrail:LookupEvents failed: access denied")
        .prints("The key may still be in use.");
    let other = format!("444455556666/{}", world.user);
    let said = world.run(&["usage", &other, "--live"]).await;
    said.refused("your credentials are for account `123456789012`");
    let said = world.run(&["usage", "root", "--live"]).await;
    said.refused("IAM does not list root's keys");
}

#[tokio::test]
async fn check_and_rotate_status_say_which_consumers_have_switched() {
    let (world, keys) = World::with_keys(2).await;
    for (key, source, hours) in [
        (0, "192.0.2.1", -1),
        (0, "192.0.2.2", -1),
        (1, "192.0.2.1", -2),
    ] {
        // After both keys were created.
        let record = used(&world, &keys[key], source, hours);
        world.history.add_use("us-east-1", &keys[key], record);
    }
    let switched = format!(
        "1 of 2 consumers has switched from {} to {}.",
        keys[0], keys[1]
    );
    let still = "Still on the old key: 192.0.2.2 with Boto3/1.x, last ";
    let said = world.rotate("status", &["--usage"]).await;
    said.succeeded().prints(&switched).prints(still);
    let db = world.db();
    let check = ["check", &world.user, "--db", db.to_str().unwrap()];
    let said = world.run(&[&check[..], &["--usage"]].concat()).await;
    said.prints("Who uses the keys")
        .prints(&switched)
        .prints(still);
    let said = world
        .rotate("status", &["--usage", "--format", "json"])
        .await;
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["usage"]["users"][0]["switch"]["switched"], 1);
    let said = world.rotate("status", &["--format", "json"]).await;
    assert!(
        !said.stdout.contains("\"usage\""),
        "only where it is asked for"
    );

    let record = used(&world, &keys[1], "192.0.2.2", -3);
    std::fs::write(world.path("log.json"), record.to_string()).unwrap();
    let log = world.path("log.json");
    let said = world
        .rotate("status", &["--logs", log.to_str().unwrap()])
        .await;
    said.succeeded()
        .prints(&format!("{}: 1 call by 1 consumer", keys[1]));
    said.prints(&format!("No consumer of the old key {} was seen.", keys[0]));
}
