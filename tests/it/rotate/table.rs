//! Rotations with a deployed table: steps are added to the trail, and nothing is decided.

use chrono::{TimeDelta, Utc};
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::key_change::{ChangeKind, KeyChange};
use secondkey::detect::trail::audit::AuditKind::{self, KeyCreated, KeyUpdated};
use secondkey::pipeline::finding_store::FindingStore;
use secondkey::pipeline::record_change::record_change;

use super::world::{World, next_second, whole_trail};
use crate::stack::wiring::ACCOUNT;
use crate::table::new_table;

#[tokio::test]
async fn each_step_is_one_entry_and_no_alert_is_pending() {
    let (client, table) = new_table().await;
    let store = DynamoDbStore::new(client, table.clone());
    let (world, keys) = World::with_keys(1).await;
    let user = world.user_id();
    let run = |step: &'static str, options: &'static [&'static str]| {
        let (world, table) = (&world, &table);
        let arguments = [&["rotate", step, &world.user, "--table", table], options].concat();
        let typed = keys[0].clone();
        async move { world.run_typing(&arguments, &typed).await }
    };
    run("start", &["--show-once", "--apply"]).await.succeeded();
    let new = world.keys().await.into_keys().find(|key| *key != keys[0]);
    world.front.last_used(&new.unwrap(), Utc::now());
    let finished = run("finish", &["--apply"]).await;
    finished
        .succeeded()
        .prints("The detector receives it from CloudTrail");
    run("undo", &["--apply"]).await.succeeded();
    // Entries of the same second would contradict each other.
    next_second().await;
    run("finish", &["--apply"]).await.succeeded();
    run("cleanup", &["--apply"])
        .await
        .refused("run cleanup in 47 h");

    let kinds: Vec<AuditKind> = whole_trail(&store, &user)
        .await
        .iter()
        .map(|entry| entry.draft.kind)
        .collect();
    assert_eq!(kinds, [KeyCreated, KeyUpdated, KeyUpdated, KeyUpdated]);
    assert_eq!(store.pending_alerts(&user).await.unwrap(), []);
    let record = store.record(&user).await.unwrap();
    assert_eq!((record.version, record.finding), (4, None));
    assert_eq!(record.last_listing, None, "the detector decides");
    let exemptions = store.exemptions(ACCOUNT).await.unwrap();
    let of_user: Vec<_> = exemptions
        .iter()
        .filter(|one| one.user_pattern == world.user)
        .collect();
    assert_eq!(of_user.len(), 1);
    assert!(of_user[0].until > Utc::now() + TimeDelta::hours(23));
}

#[tokio::test]
async fn a_step_and_concurrent_commits_are_both_kept() {
    let (client, table) = new_table().await;
    let store = DynamoDbStore::new(client, table);
    let world = World::new().await;
    let user = world.user_id();
    let change = |number: u32| KeyChange {
        id: format!("change-{number}"),
        event_id: None,
        corrects: None,
        at: Utc::now(),
        user: user.clone(),
        user_name: world.user.clone(),
        kind: ChangeKind::KeyDeleted {
            key: format!("AKIA{number}"),
        },
        actor: Actor::default(),
        region: None,
    };
    let changes: Vec<KeyChange> = (0..6).map(change).collect();
    let noted = changes
        .iter()
        .map(|change| record_change(&store, change, Utc::now()));
    for result in futures::future::join_all(noted).await {
        result.unwrap();
    }
    record_change(&store, &changes[0], Utc::now())
        .await
        .unwrap();
    assert_eq!(whole_trail(&store, &user).await.len(), 6, "each once");
}
