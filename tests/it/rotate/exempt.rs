//! `secondkey exempt` on a file and on a table.

use chrono::{TimeDelta, Utc};
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::Value;

use super::world::{Said, World, next_second};
use crate::stack::wiring::ACCOUNT;
use crate::table::new_table;

/// The id that an exemption was given.
#[track_caller]
fn id(said: &Said) -> String {
    said.succeeded();
    said.stdout.split(' ').nth(1).unwrap().to_owned()
}

async fn listed(world: &World, store: &[&str]) -> Vec<Value> {
    let said = world
        .run(&[&["exempt", "list", "--format", "json"], store].concat())
        .await;
    said.succeeded();
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    document["exemptions"].as_array().unwrap().clone()
}

async fn check(world: &World, store: &dyn FindingReader, options: &[&str]) {
    let add = |more: &[&str]| {
        let arguments = [&["exempt", "add"], more, options].concat();
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        async move {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            world.run(&words).await
        }
    };
    let why = ["--reason", "moves house"];
    assert_eq!(add(&[&world.user, "--reason", "x"]).await.code, 2, "no end");
    assert_eq!(
        add(&[&world.user, "--until", "1d"]).await.code,
        2,
        "no reason"
    );
    for until in ["401d", "4000000000d"] {
        let too_long = [&[world.user.as_str(), "--until", until], &why[..]].concat();
        add(&too_long).await.refused("the longest is 400 days");
    }
    let ends_before = [&[world.user.as_str(), "--until", "2020-01-01"], &why[..]].concat();
    let said = add(&ends_before).await;
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("ends in the future"),
        "{}",
        said.stderr
    );
    let empty = [world.user.as_str(), "--until", "1d", "--reason", " "];
    add(&empty).await.refused("has no reason");
    assert_eq!(store.exemptions(ACCOUNT).await.unwrap(), []);

    let named = format!("444455556666/{}", world.user);
    let two_accounts = [named.as_str(), "--until", "1d", "--account", ACCOUNT];
    add(&[&two_accounts[..], &why[..]].concat())
        .await
        .refused("are different accounts");
    assert_eq!(store.exemptions("444455556666").await.unwrap(), []);

    let named = format!("{ACCOUNT}/{}", world.user);
    let said = add(&[&[named.as_str(), "--until", "30d"], &why[..]].concat()).await;
    let first = id(&said);
    said.prints("It suppresses no open finding at the moment.");
    let kept = store.exemptions(ACCOUNT).await.unwrap();
    assert_eq!(kept[0].id, first);
    assert!(kept[0].owner.starts_with("arn:aws:sts::"), "{kept:?}");
    assert!((kept[0].until - kept[0].created_at) == TimeDelta::days(30));
    let wide = ["*", "--until", "12h", "--actor", "arn:*", "--owner", "me"];
    let said = add(&[&wide[..], &why[..]].concat()).await;
    assert!(
        said.stderr.contains("every user in account"),
        "{}",
        said.stderr
    );
    let second = id(&said);
    let ended = Exemption {
        id: "ended".to_owned(),
        created_at: Utc::now() - TimeDelta::days(2),
        until: Utc::now() - TimeDelta::days(1),
        reason: "\u{1b}[2Jx".to_owned(),
        ..kept[0].clone()
    };
    store.put_exemption(&ended).await.unwrap();

    let states: Vec<(String, String)> = listed(world, options)
        .await
        .iter()
        .map(|one| {
            (
                one["id"].as_str().unwrap().to_owned(),
                one["state"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        ("ended", "ended"),
        (&second, "in_force"),
        (&first, "in_force"),
    ];
    assert_eq!(
        states,
        expected.map(|(id, state)| (id.to_owned(), state.to_owned()))
    );
    let table = world.run(&[&["exempt", "list"], options].concat()).await;
    table.succeeded().prints("in force");
    assert!(!table.stdout.contains('\u{1b}'), "{}", table.stdout);

    let remove = |id: &str| {
        let arguments = [&["exempt", "remove", id], options].concat();
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        async move {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            world.run(&words).await
        }
    };
    remove(&first)
        .await
        .succeeded()
        .prints("It suppressed 0 open findings.");
    remove(&first).await.refused("there is no exemption");
    assert_eq!(listed(world, options).await.len(), 2);
}

#[tokio::test]
async fn exemptions_are_added_listed_and_removed_in_a_file() {
    let world = World::new().await;
    let db = world.db();
    let store = world.store();
    check(&world, &store, &["--db", db.to_str().unwrap()]).await;
}

#[tokio::test]
async fn exemptions_are_added_listed_and_removed_in_a_table() {
    let (client, table) = new_table().await;
    let world = World::new().await;
    let store = DynamoDbStore::new(client, table.clone());
    check(&world, &store, &["--table", &table]).await;
}

#[tokio::test]
async fn exempt_on_a_file_makes_no_aws_calls() {
    let world = World::new().await;
    let db = world.db();
    let db = ["--db", db.to_str().unwrap()];
    let add = [
        "exempt",
        "add",
        "ci-*",
        "--reason",
        "x",
        "--until",
        "1d",
        "--owner",
        "me",
        "--account",
        ACCOUNT,
    ];
    world.run(&[&add[..], &db].concat()).await.succeeded();
    world
        .run(&[&["exempt", "list"], &db[..]].concat())
        .await
        .succeeded();
    assert_eq!(world.front.take_asked(), Vec::<String>::new());
}

#[tokio::test]
async fn an_exemption_takes_effect_at_the_next_check() {
    let (world, keys) = World::with_keys(1).await;
    world
        .rotate("start", &["--show-once", "--apply"])
        .await
        .succeeded();
    let store = world.store();
    let opened = store.exemptions(ACCOUNT).await.unwrap().remove(0);
    store.remove_exemption(ACCOUNT, &opened.id).await.unwrap();
    // A step that is checked again after the exemption was removed: the finding is reported.
    next_second().await;
    world
        .rotate_typing("finish", &["--key", &keys[0], "--apply"], &keys[0])
        .await
        .succeeded();
    next_second().await;
    world
        .rotate("undo", &["--apply"])
        .await
        .succeeded()
        .prints("is open.");
    let db = world.db();
    let db = ["--db", db.to_str().unwrap()];
    let add = [
        "exempt",
        "add",
        &world.user,
        "--reason",
        "x",
        "--until",
        "1d",
    ];
    let said = world.run(&[&add[..], &db].concat()).await;
    said.succeeded()
        .prints("It suppresses 1 open finding; this takes effect at the next check of the user")
        .prints(&world.user);
    let other = [
        "exempt",
        "add",
        "somebody-else",
        "--reason",
        "x",
        "--until",
        "1d",
    ];
    let said = world.run(&[&other[..], &db].concat()).await;
    said.succeeded()
        .prints("It suppresses no open finding at the moment.");
}
