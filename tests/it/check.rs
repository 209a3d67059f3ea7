//! `secondkey check USER`: both keys, who created them, what to do and why; with a file and with a
//! deployed table.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::key_change::{ChangeKind, KeyChange};
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use secondkey::pipeline::record_change::record_change;
use serde_json::Value;

use crate::rotate::world::{Said, World};
use crate::stack::wiring::ACCOUNT;

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
async fn check_shows_both_keys_their_creators_and_the_commands() {
    let (world, keys) = World::with_keys(2).await;
    // The key's own creation time, which is the time of the event.
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
            "Deactivate {} now: an unfamiliar actor, who is not the user, created it.",
            keys[1]
        ))
        .prints(&format!(
            "{} created by arn:aws:iam::123456789012:user/dana from 198.51.100.7",
            keys[1]
        ))
        .prints(&format!(
            "secondkey rotate finish {} --key {} --db",
            world.user, keys[1]
        ));
    world.assert_only_read();

    // After two checks, the trail contains what CloudTrail reported only once.
    let before = world.trail().await.len();
    assert_eq!(check(&world, &[]).await.code, 10);
    assert_eq!(world.trail().await.len(), before);
    let open = world.store().findings(FindingStatus::Open).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].opened_at.timestamp(), made_at.timestamp());
}

#[tokio::test]
async fn one_key_is_clean_and_a_missing_user_is_reported() {
    let (world, keys) = World::with_keys(1).await;
    let said = check(&world, &[]).await;
    said.succeeded()
        .prints("[OK]")
        .prints("one active access key")
        .prints(&keys[0]);
    said.prints("CloudTrail's event history (90 days) has no changes of these keys");
    let said = world.run(&["check", "nobody-of-this-name"]).await;
    said.refused("there is no IAM user `nobody-of-this-name` in account `123456789012`");
}

#[tokio::test]
async fn a_user_may_be_named_with_the_own_account_only() {
    let (world, _) = World::with_keys(1).await;
    let named = format!("{ACCOUNT}/{}", world.user);
    let said = world.run(&["check", &named]).await;
    said.succeeded().prints("one active access key");
    let steps: [&[&str]; 2] = [&["check"], &["rotate", "status"]];
    for step in steps {
        let other = format!("444455556666/{}", world.user);
        let said = world.run(&[step, &[other.as_str()]].concat()).await;
        said.refused("is in account `444455556666`, but your credentials are for account");
    }
    let said = world.run(&["rotate", "status", &named]).await;
    said.succeeded().prints("one active key");
}

#[tokio::test]
async fn denied_calls_are_reported_and_the_rest_is_shown() {
    let (world, _) = World::with_keys(2).await;
    world.history.deny();
    world.front.deny(&["Action=GetAccessKeyLastUsed"]);
    let said = check(&world, &[]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    said.prints("CloudTrail's event history is not available: cloudtrail:LookupEvents failed: access denied")
        .prints("last used     not known");
    world.front.deny(&["Action=ListAccessKeys"]);
    let said = check(&world, &[]).await;
    said.prints("The keys could not be listed: iam:ListAccessKeys failed: access denied");

    // A user without earlier records is not reported as clean either.
    let (world, _) = World::with_keys(2).await;
    world.front.deny(&["Action=ListAccessKeys"]);
    let said = check(&world, &[]).await;
    assert_eq!(said.code, 1, "{}", said.stdout);
    said.prints("[NOT KNOWN]")
        .prints("the keys could not be listed");
    assert!(!said.stdout.contains("[OK]"), "{}", said.stdout);
}

#[tokio::test]
async fn a_user_who_cannot_be_checked_is_not_clean() {
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
    let verdict = &document["open"]["verdict"];
    assert_eq!(verdict["code"], "rotation_in_progress");
    assert_eq!(verdict["old_key"], keys[0].as_str());
    assert_eq!(document["open"]["retire"], Value::Null, "nothing goes yet");
    assert_eq!(document["open"]["change"], "open", "only a scan compares");
    assert_eq!(document["keys"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["settled"], true);
    assert!(
        document["next"][0]["command"]
            .as_str()
            .unwrap()
            .starts_with("secondkey rotate status")
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

/// The user's record in the file.
async fn record(world: &World) -> UserRecord {
    world.store().record(&world.user_id()).await.unwrap()
}

#[tokio::test]
async fn a_name_in_another_case_finds_the_user_and_closes_nothing() {
    let (world, keys) = World::with_keys(2).await;
    assert_eq!(check(&world, &[]).await.code, 10);
    let db = world.db();
    let db = db.to_str().unwrap();
    for typed in [world.user.to_uppercase(), world.user.to_lowercase()] {
        let said = world.run(&["check", &typed, "--db", db]).await;
        assert_eq!(said.code, 10, "{typed}: {}\n{}", said.stdout, said.stderr);
        said.prints(&format!("Second active access key: {}", world.user))
            .prints(&format!("secondkey rotate status {} --db", world.user));
    }
    let record = record(&world).await;
    assert_eq!(record.display_name, world.user);
    assert_eq!(record.no_such_user_since, None);
    let listed = record.last_listing.expect("it was listed").keys;
    assert_eq!(
        listed.into_keys().collect::<Vec<_>>(),
        BTreeSet::from_iter(keys).into_iter().collect::<Vec<_>>()
    );
    assert_eq!(
        world
            .store()
            .findings(FindingStatus::Open)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_unknown_name_is_reported_and_stores_nothing() {
    let (world, _) = World::with_keys(2).await;
    let typed = world.user.to_uppercase();
    let db = world.db();
    let arguments = ["check", &typed, "--db", db.to_str().unwrap()];
    let said = world.run(&arguments).await;
    said.refused(&format!(
        "there is no IAM user `{typed}` in account `123456789012`; tried `{typed}`"
    ));
    assert_eq!(world.store().users().await.unwrap(), []);
    // A record without a listing that contained keys does not have IAM's spelling.
    let (world, _) = World::with_keys(0).await;
    check(&world, &[]).await.succeeded();
    for _ in 0..2 {
        world.make_key().await;
    }
    let typed = world.user.to_uppercase();
    let db = world.db();
    let said = world
        .run(&["check", &typed, "--db", db.to_str().unwrap()])
        .await;
    said.refused(&format!("tried `{}`, `{typed}`", world.user.to_lowercase()));
    assert!(!said.stdout.contains("[OK]"), "{}", said.stdout);
    let record = record(&world).await;
    assert_eq!((record.version, record.no_such_user_since), (1, None));
    assert_eq!(check(&world, &[]).await.code, 10);
}

#[tokio::test]
async fn a_user_recreated_in_another_case_is_found_by_the_typed_name() {
    let (world, keys) = World::with_keys(2).await;
    assert_eq!(check(&world, &[]).await.code, 10);
    world.remove_user(&keys).await;
    let again = World {
        user: world.user.to_lowercase(),
        ..world
    };
    again.make_user().await;
    for _ in 0..2 {
        again.make_key().await;
    }
    let said = check(&again, &[]).await;
    assert_eq!(said.code, 10, "{}\n{}", said.stdout, said.stderr);
    assert_eq!(record(&again).await.no_such_user_since, None);
    assert_eq!(record(&again).await.display_name, again.user);
}

#[tokio::test]
async fn a_deleted_user_is_reported_under_the_recorded_name() {
    let (world, keys) = World::with_keys(2).await;
    assert_eq!(check(&world, &[]).await.code, 10);
    world.remove_user(&keys).await;
    let db = world.db();
    let typed = world.user.to_uppercase();
    let said = world
        .run(&["check", &typed, "--db", db.to_str().unwrap()])
        .await;
    // IAM's listing may lag, so nothing is closed yet.
    assert_eq!(said.code, 10, "{}\n{}", said.stdout, said.stderr);
    said.prints(&format!(
        "that there is no such user; tried `{}`, `{typed}`",
        world.user
    ));
    assert!(record(&world).await.no_such_user_since.is_some());
}

#[tokio::test]
async fn a_name_in_another_case_is_looked_up_in_a_deployed_table_too() {
    let (world, keys) = World::with_keys(2).await;
    let (client, table) = crate::table::new_table().await;
    let store = DynamoDbStore::new(client, table.clone());
    let change = KeyChange {
        id: "made".to_owned(),
        event_id: Some("made".to_owned()),
        corrects: None,
        at: Utc::now() - TimeDelta::minutes(5),
        user: world.user_id(),
        user_name: world.user.clone(),
        kind: ChangeKind::KeyCreated {
            key: keys[1].clone(),
            status: KeyStatus::Active,
        },
        actor: Actor::default(),
        region: None,
    };
    record_change(&store, &change, Utc::now()).await.unwrap();
    let typed = world.user.to_uppercase();
    for step in [&["check"][..], &["rotate", "status"]] {
        let arguments = [step, &[typed.as_str(), "--table", &table]].concat();
        let said = world.run(&arguments).await;
        assert!([0, 10].contains(&said.code), "{}", said.stderr);
        said.prints(&keys[1]).prints(&world.user);
    }
}
