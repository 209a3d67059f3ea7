//! A scan that cannot check, print or enter something: it reports that, and never counts it as
//! clean or as announced.

use std::fs::OpenOptions;

use super::world::{ACCOUNT, World, changes};
use crate::doctor::world::run;
use crate::stack::proxy::Fault;

const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error>\
    <RequestId>1</RequestId></ErrorResponse>";

/// An error that is neither a refusal nor retryable.
const WRONG: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>no such thing</Message></Error>\
    <RequestId>1</RequestId></ErrorResponse>";

fn always(part: &'static str, status: u16, body: &'static str) -> Fault {
    Fault {
        part,
        status,
        body,
        times: u32::MAX,
    }
}

#[tokio::test]
async fn a_user_whose_keys_cannot_be_listed_is_not_clean() {
    let world = World::new().await;
    world
        .users([("alice".to_owned(), 1), ("bob".to_owned(), 2)])
        .await;
    world
        .proxy
        .set(always("Action=ListAccessKeys", 403, DENIED));
    let said = world.run(&["scan"]).await;
    assert_eq!(said.code, 1, "{}\n{}", said.stdout, said.stderr);
    for user in ["alice", "bob"] {
        let line =
            format!("user {user} could not be checked: iam:ListAccessKeys failed: access denied");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
    world
        .proxy
        .set(always("Action=GenerateCredentialReport", 403, DENIED));
    let (said, document) = world.scan(&[]).await;
    assert_eq!(said.code, 1, "root was not checked");
    assert_eq!(changes(&document), ["bob: new"]);
}

#[tokio::test]
async fn one_failing_user_does_not_stop_checks_of_others() {
    let world = World::new().await;
    let users = [("alice", 1), ("bob", 2), ("carol", 2)];
    world
        .users(users.map(|(name, keys)| (name.to_owned(), keys)))
        .await;
    for (status, body) in [(403, DENIED), (400, WRONG)] {
        world.proxy.set(always("UserName=carol", status, body));
        let (said, _) = world.scan(&["--db", &format!("{status}.db")]).await;
        assert_eq!(said.code, 1, "{}", said.stderr);
    }
    world.create_key("alice").await;
    for (status, body) in [(403, DENIED), (400, WRONG)] {
        world.proxy.set(always("UserName=carol", status, body));
        let (said, document) = world.scan(&["--db", &format!("{status}.db")]).await;
        assert_eq!(said.code, 1, "{}", said.stderr);
        assert_eq!(changes(&document), ["bob: open", "alice: new"]);
    }
}

#[tokio::test]
async fn findings_that_were_not_printed_are_new_next_time() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let mut command = world.command(&["scan"]);
    command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let said = run(command).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    let (said, document) = world.scan(&[]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert_eq!(changes(&document), ["bob: new"]);
    let (_, document) = world.scan(&[]).await;
    assert_eq!(changes(&document), ["bob: open"]);
}

#[tokio::test]
async fn known_findings_of_an_inaccessible_account_are_shown() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    world.scan(&[]).await;
    for (status, body) in [(403, DENIED), (400, WRONG)] {
        world.proxy.set(always("Action=ListUsers", status, body));
        let (said, document) = world.scan(&[]).await;
        assert_eq!(said.code, 1, "{}", said.stderr);
        assert_eq!(changes(&document), ["bob: open"], "{}", said.stderr);
        let line = format!("account {ACCOUNT} could not be scanned: iam:ListUsers failed");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
}

#[tokio::test]
async fn the_next_command_can_be_pasted() {
    let world = World::new().await;
    world.users([("-bob".to_owned(), 2)]).await;
    let said = world.run(&["scan", "--db", "its own.db"]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    for line in [
        "  secondkey check --db 'its own.db' -- -bob\n",
        "  secondkey rotate status --db 'its own.db' -- -bob\n",
    ] {
        assert!(said.stderr.contains(line), "{}", said.stderr);
    }
}
