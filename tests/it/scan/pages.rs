//! Users and keys on several pages, and the number of users from which on the report is read.

use serde_json::Value;

use super::world::{World, changes};

#[tokio::test]
async fn no_page_of_users_or_keys_is_lost() {
    let world = World::new().await;
    let users = [("alice", 1), ("bob", 2), ("carol", 0), ("dave", 2)];
    world
        .users(users.map(|(name, keys)| (name.to_owned(), keys)))
        .await;
    world.proxy.pages_of(1);
    let (said, document) = world.scan(&["--mode", "list"]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    let mut told = changes(&document);
    told.sort();
    assert_eq!(told, ["bob: new", "dave: new"]);
    for finding in document["findings"].as_array().unwrap() {
        let keys = finding["keys"].as_array();
        assert_eq!(keys.map(Vec::len), Some(2), "{finding:#}");
    }
}

/// Up to 500 users are listed one by one, and a page of `ListUsers` has up to 1,000.
#[tokio::test]
async fn accounts_of_500_501_and_1001_users_are_scanned_completely() {
    let world = World::new().await;
    // As large as AWS's pages, which moto does not have.
    world.proxy.pages_of(1_000);
    let users = |numbers: std::ops::Range<usize>| {
        numbers.map(|number| (format!("user-{number}"), 2 * usize::from(number % 250 == 0)))
    };
    let mut pairs = vec!["user-0: new", "user-250: new"];
    let scanned = async |options: &[&str]| {
        let (said, document) = world.scan(options).await;
        assert_eq!(said.code, 10, "{}", said.stderr);
        let account = &document["scan"]["accounts"][0];
        let mut told = changes(&document);
        told.sort();
        (told, account["mode"].clone(), account["users"].clone())
    };
    let list = Value::from("list");

    world.users(users(0..500)).await;
    let (told, mode, count) = scanned(&["--db", "500.db"]).await;
    // Root is one of those who were checked.
    assert_eq!((mode, count), (list.clone(), Value::from(501)));
    assert_eq!(told, pairs);

    world.users(users(500..501)).await;
    pairs.push("user-500: new");
    let (told, mode, _) = scanned(&["--db", "501.db"]).await;
    assert_eq!(mode, "report");
    assert_eq!(told, pairs);

    world.users(users(501..1_001)).await;
    pairs.insert(1, "user-1000: new");
    pairs.push("user-750: new");
    let (told, mode, count) = scanned(&["--mode", "list", "--db", "1001.db"]).await;
    assert_eq!((mode, count), (list, Value::from(1_002)));
    assert_eq!(told, pairs);
}
