//! Fails every effect of every scenario in each of four ways, one at a time, and checks the result
//! like any other history. The queue delivers the messages again, like SQS.

use futures::stream::{self, StreamExt};

use super::accounts::Accounts;
use super::effects::Way;
use super::scenarios::scenarios;
use super::story::History;

/// How many scenarios run on DynamoDB Local, which is slow.
const ON_DYNAMODB: usize = 4;

/// How many worlds run in parallel. Waiting for an answer about last uses that never arrives takes
/// real time.
const SIDE_BY_SIDE: usize = 32;

#[tokio::test]
async fn no_failed_effect_loses_anything_on_sqlite() {
    let mut effects = 0;
    for (scenario, history) in scenarios() {
        effects += fail_each_effect(scenario, &history, &Accounts::on_sqlite()).await;
    }
    report("sqlite", effects);
}

#[tokio::test]
async fn no_failed_effect_loses_anything_on_dynamodb() {
    let mut effects = 0;
    for (scenario, history) in scenarios().into_iter().take(ON_DYNAMODB) {
        let accounts = Accounts::on_dynamodb().await;
        effects += fail_each_effect(scenario, &history, &accounts).await;
    }
    report("dynamodb", effects);
}

/// Fails each effect of `history` in each way. Returns how many effects there are.
async fn fail_each_effect(scenario: &str, history: &History, accounts: &Accounts) -> u64 {
    let effects = effects_of(scenario, history, accounts).await;
    let wrong = stream::iter(0..effects)
        .map(|place| fail_effect(scenario, history, place, accounts))
        .buffer_unordered(SIDE_BY_SIDE)
        .collect::<Vec<_>>()
        .await
        .concat();
    assert!(
        wrong.is_empty(),
        "{scenario}, {} failures:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    effects
}

/// Runs `history` without failures and counts its effects.
async fn effects_of(scenario: &str, history: &History, accounts: &Accounts) -> u64 {
    let mut world = accounts.world(history);
    let lived = world.live_through(history).await;
    assert_eq!(lived, Ok(()), "{scenario}, with no failure");
    world.effects.begun()
}

/// Fails the effect at `place` in each way, and reports what went wrong.
async fn fail_effect(
    scenario: &str,
    history: &History,
    place: u64,
    accounts: &Accounts,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for way in Way::FAILURES {
        let mut world = accounts.world(history);
        world.effects.fail(place, way);
        let lived = world.live_through(history).await;
        let failed = world.effects.failed();
        assert_eq!(failed.len(), 1, "{scenario}: effect {place} is not reached");
        let words = |why| format!("effect {place}, {}: {why}", failed.concat());
        wrong.extend(lived.err().map(words));
    }
    wrong
}

fn report(name: &str, effects: u64) {
    super::print(&format!(
        "faults: {effects} effects failed in 4 ways on {name}, 0 lost, 0 wrong, 0 gaps"
    ));
}
