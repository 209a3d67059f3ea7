//! The calls that a scan makes: as few as show who has two active keys, and when those keys were
//! last used.

use std::collections::BTreeMap;

use super::world::World;

const USERS: usize = 40;

/// One in so many users has two active keys.
const ONE_PAIR_IN: usize = 10;

const PAIRS: usize = USERS / ONE_PAIR_IN;

/// The calls of a scan in this mode, by action. The report already exists.
async fn calls(mode: &str) -> BTreeMap<String, usize> {
    let world = World::new().await;
    let keys = |number| 1 + usize::from(number % ONE_PAIR_IN == 0);
    world
        .users((0..USERS).map(|number| (format!("user-{number}"), keys(number))))
        .await;
    let report = world.iam.generate_credential_report().send().await;
    report.expect("a report can be created");
    let said = world.run(&["scan", "--mode", mode]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    let mut calls = BTreeMap::new();
    for body in world.proxy.take_bodies() {
        let action = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="))
            .expect("each call has an action");
        *calls.entry(action.to_owned()).or_default() += 1;
    }
    calls
}

fn of_each<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected
        .map(|(action, times)| (action.to_owned(), times))
        .into()
}

#[tokio::test]
async fn the_report_takes_two_calls_and_only_suspects_are_listed() {
    let expected = of_each([
        ("GenerateCredentialReport", 1),
        ("GetAccessKeyLastUsed", 2 * PAIRS),
        ("GetCallerIdentity", 1),
        ("GetCredentialReport", 1),
        ("ListAccessKeys", PAIRS),
    ]);
    assert_eq!(calls("report").await, expected);
}

#[tokio::test]
async fn listing_takes_one_call_per_user_and_the_report_for_root() {
    let expected = of_each([
        ("GenerateCredentialReport", 1),
        ("GetAccessKeyLastUsed", 2 * PAIRS),
        ("GetCallerIdentity", 1),
        ("GetCredentialReport", 1),
        ("ListAccessKeys", USERS),
        ("ListUsers", 1),
    ]);
    assert_eq!(calls("list").await, expected);
}
