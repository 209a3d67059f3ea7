//! `secondkey check USER`: both keys, who made them, what follows and why; on a file and on a deployed table.

use chrono::{TimeDelta, Utc};
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::finding::FindingStatus;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;

use crate::rotate::world::{Said, World};

async fn check(world: &World, options: &[&str]) -> Said {
    let db = world.db();
    let arguments = [
        &["check", &world.user, "--db", db.to_str().unwrap()],
        options,
    ]
    .concat();
    world.run(&arguments).await
}

#[tokio::test]
async fn two_active_keys_are_told_with_who_made_them_which_one_goes_and_the_commands() {
    let (world, keys) = World::with_keys(2).await;
    // The key's own time of creation, which is the event's.
    let made_at = Utc::now() - TimeDelta::seconds(2);
    world.history.add_created(&world.user, &keys[1], made_at);
    world
        .front
        .last_used(&keys[0], Utc::now() - TimeDelta::days(40));
    world
        .front
        .last_used(&keys[1], Utc::now() - TimeDelta::minutes(10));
    let said = check(&world, &[]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    said.prints("[HIGH] Second active access key: ")
        .prints("actor           arn:aws:iam::123456789012:user/dana")
        .prints("source IP       198.51.100.7")
        .prints("last used     ")
        .prints(", by s3, in eu-west-1")
        .prints(&format!(
            "Retire {}: it was used longer ago than the other.",
            keys[0]
        ))
        .prints(&format!(
            "{} created by arn:aws:iam::123456789012:user/dana from 198.51.100.7",
            keys[1]
        ))
        .prints(&format!("secondkey rotate finish {} --db", world.user));
    world.assert_only_read();

    // Looked at twice, what CloudTrail told stands in the trail once.
    let before = world.trail().await.len();
    assert_eq!(check(&world, &[]).await.code, 10);
    assert_eq!(world.trail().await.len(), before);
    let open = world.store().findings(FindingStatus::Open).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].opened_at.timestamp(), made_at.timestamp());
}

#[tokio::test]
async fn a_user_with_one_key_is_well_and_one_that_is_not_there_is_said() {
    let (world, keys) = World::with_keys(1).await;
    let said = check(&world, &[]).await;
    said.succeeded()
        .prints("[OK]")
        .prints("one active access key")
        .prints(&keys[0]);
    said.prints("CloudTrail's event history of 90 days tells nothing of these keys");
    let said = world.run(&["check", "nobody-of-this-name"]).await;
    said.refused("there is no IAM user `nobody-of-this-name` in account `123456789012`");
}

#[tokio::test]
async fn what_may_not_be_asked_is_said_and_is_no_reason_to_tell_nothing() {
    let (world, _) = World::with_keys(2).await;
    world.history.deny();
    world.front.deny(&["Action=GetAccessKeyLastUsed"]);
    let said = check(&world, &[]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    said.prints("CloudTrail could not be asked: cloudtrail:LookupEvents failed: access denied")
        .prints("last used     not known");
    world.front.deny(&["Action=ListAccessKeys"]);
    let said = check(&world, &[]).await;
    said.prints("The keys could not be listed: iam:ListAccessKeys failed: access denied");

    // Of a user of whom nothing was known before, nothing good is said either.
    let (world, _) = World::with_keys(2).await;
    world.front.deny(&["Action=ListAccessKeys"]);
    let said = check(&world, &[]).await;
    assert_eq!(said.code, 1, "{}", said.stdout);
    said.prints("[NOT KNOWN]")
        .prints("the keys could not be listed");
    assert!(!said.stdout.contains("[OK]"), "{}", said.stdout);
}

#[tokio::test]
async fn a_user_of_whom_nothing_may_be_known_is_not_well() {
    let (world, _) = World::with_keys(2).await;
    world.front.deny(&["Action=ListAccessKeys"]);
    let said = check(&world, &[]).await;
    said.refused("the keys could not be listed");
    said.prints("The keys could not be listed: iam:ListAccessKeys failed: access denied");
    assert!(!said.stdout.contains("[OK]"), "{}", said.stdout);
    let (client, table) = crate::table::new_table().await;
    drop(client);
    let arguments = ["check", &world.user, "--table", &table, "--format", "json"];
    let said = world.run(&arguments).await;
    said.refused("the keys could not be listed");
    let document: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert_eq!(document["open"], Value::Null);
}

#[tokio::test]
async fn programs_read_the_same() {
    let (world, keys) = World::with_keys(2).await;
    let said = check(&world, &["--format", "json"]).await;
    let document: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert_eq!(document["version"], "1");
    assert_eq!(document["open"]["retire"]["key"], keys[0].as_str());
    assert_eq!(document["keys"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["settled"], true);
    assert!(
        document["next"][1]["command"]
            .as_str()
            .unwrap()
            .starts_with("secondkey rotate finish")
    );
}

#[tokio::test]
async fn a_deployed_table_is_only_read() {
    let (world, _) = World::with_keys(2).await;
    let (client, table) = crate::table::new_table().await;
    let said = world.run(&["check", &world.user, "--table", &table]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    said.prints("[MEDIUM] Second active access key: ");
    let store = DynamoDbStore::new(client, table);
    assert_eq!(
        store.users().await.unwrap(),
        [],
        "the detector decides there"
    );
}
