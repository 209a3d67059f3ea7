//! The output of `status`.

use chrono::{TimeDelta, Utc};
use secondkey::detect::decision::exemption::Exemption;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;

use super::world::World;
use crate::stack::wiring::ACCOUNT;

async fn status(world: &World) -> Value {
    let said = world.rotate("status", &["--format", "json"]).await;
    said.succeeded();
    world.assert_only_read();
    serde_json::from_str(&said.stdout).unwrap()
}

#[tokio::test]
async fn each_stage_is_shown_with_the_next_step() {
    let world = World::new().await;
    assert_eq!(status(&world).await["stage"], "no_keys");
    let old = world.make_key().await;
    let told = status(&world).await;
    assert_eq!(told["stage"], "one_key");
    assert!(!world.db().exists(), "looking makes no file");
    world
        .rotate("start", &["--show-once", "--apply"])
        .await
        .succeeded();
    world.front.take_asked();
    let told = status(&world).await;
    assert_eq!(told["stage"], "started");
    assert_eq!(told["keys"][0]["last_use"], "never");
    let keys = world.keys().await;
    let new = keys.keys().find(|key| **key != old).unwrap();
    let now = Utc::now();
    world.front.last_used(&old, now);
    world.front.last_used(new, now);
    assert_eq!(status(&world).await["stage"], "both_in_use");
    world.front.last_used(&old, now - TimeDelta::hours(3));
    let told = status(&world).await;
    assert_eq!(told["stage"], "new_in_use");
    let next = format!("Retire {old}: it was used less recently than the other key");
    assert_eq!(told["next"], next);
    assert_eq!(told["verdict"]["code"], "retire");
    assert_eq!(told["verdict"]["key"], old.as_str());
    let ends_at = told["window_ends_at"].as_str().unwrap();
    let ends_at: chrono::DateTime<Utc> = ends_at.parse().unwrap();
    assert!((ends_at - now - TimeDelta::hours(24)).abs() < TimeDelta::minutes(5));
    world.front.deny(&["Action=GetAccessKeyLastUsed", &old]);
    let told = status(&world).await;
    assert_eq!(told["stage"], "use_unknown");
    let of_old = told["keys"].as_array().unwrap().iter();
    let of_old: Vec<&Value> = of_old.filter(|key| key["id"] == old.as_str()).collect();
    assert_eq!(of_old[0]["last_use"], "unknown", "not known is not never");
    let table = world.rotate("status", &[]).await;
    table.succeeded().prints("not known");
    table.prints("by s3, in eu-west-1");
}

#[tokio::test]
async fn a_rotation_is_forgotten_once_its_window_has_ended() {
    let (world, _) = World::with_keys(2).await;
    assert_eq!(status(&world).await["stage"], "started");
    let now = Utc::now();
    let exemption = Exemption {
        id: "rotation-x".to_owned(),
        account: ACCOUNT.to_owned(),
        user_pattern: world.user.clone(),
        actor_pattern: "*".to_owned(),
        owner: "x".to_owned(),
        reason: "x".to_owned(),
        created_at: now - TimeDelta::minutes(5),
        until: now - TimeDelta::minutes(1),
    };
    world.store().put_exemption(&exemption).await.unwrap();
    assert_eq!(status(&world).await["stage"], "forgotten");
}

#[tokio::test]
async fn a_finished_rotation_shows_when_the_key_may_be_deleted() {
    let (world, keys) = World::with_keys(2).await;
    world.deactivate(&keys[0]).await;
    let told = status(&world).await;
    assert_eq!(told["stage"], "finished");
    assert_eq!(told["inactive_since"], Value::Null, "it is unknown");
    let since = Utc::now() - TimeDelta::hours(47);
    world.history.add(&world.user, &keys[0], "Inactive", since);
    let told = status(&world).await;
    let after = told["deletable_after"].as_str().unwrap();
    let after: chrono::DateTime<Utc> = after.parse().unwrap();
    assert_eq!((after - since).num_hours(), 47);
    assert!(told["command"].as_str().unwrap().contains("rotate undo"));
    world.history.deny();
    assert_eq!(status(&world).await["inactive_since"], Value::Null);
}
