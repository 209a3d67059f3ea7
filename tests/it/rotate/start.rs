//! What `start` refuses and what it does.

use chrono::{TimeDelta, Utc};
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::trail::audit::AuditKind;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};

use super::world::World;
use crate::stack::wiring::ACCOUNT;

const TO: [&str; 2] = ["--to-profile", "new one"];
const APPLY: [&str; 3] = ["--to-profile", "new", "--apply"];

#[tokio::test]
async fn a_user_without_room_or_without_a_key_is_refused() {
    let world = World::new().await;
    world
        .rotate("start", &APPLY)
        .await
        .refused("has no access key, so there is nothing to rotate");
    let one = world.make_key().await;
    world.deactivate(&one).await;
    world
        .rotate("start", &APPLY)
        .await
        .refused("has no active key")
        .refused(&format!("{one} inactive"));
    let two = world.make_key().await;
    let said = world.rotate("start", &APPLY).await;
    said.refused("already has two keys")
        .refused("rotate cleanup");
    assert!(said.stderr.contains(&one) && said.stderr.contains(&two));
    let nobody = world.run(&[
        "rotate",
        "start",
        "nobody-of-this-name",
        "--show-once",
        "--apply",
    ]);
    nobody
        .await
        .refused("there is no IAM user `nobody-of-this-name`");
    world.assert_only_read();
    assert_eq!(world.keys().await.len(), 2);
    assert!(!world.db().exists() && !world.path("aws").exists());

    let (world, _) = World::with_keys(2).await;
    world.rotate("start", &APPLY).await.refused("rotate finish");
}

#[tokio::test]
async fn the_destination_of_the_secret_must_be_chosen() {
    let (world, _) = World::with_keys(1).await;
    assert_eq!(world.rotate("start", &["--apply"]).await.code, 2);
    let both = ["--show-once", "--to-profile", "x"];
    assert_eq!(world.rotate("start", &both).await.code, 2);
    world
        .rotate("start", &TO)
        .await
        .refused("`new one` is not a valid profile name");
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_shows_the_command() {
    let (world, keys) = World::with_keys(1).await;
    let before = world.keys().await;
    for options in [["--to-profile", "new"], ["--to-secret", "team/new"]] {
        let options = [&options[..], &["--rotation-window-hours", "48"]].concat();
        let said = world.rotate("start", &options).await;
        said.succeeded()
            .prints(&keys[0])
            .prints("Nothing was changed");
        world.assert_only_read();
        assert_eq!(world.keys().await, before);
        assert!(!world.db().exists() && !world.path("aws").exists());
        let command = said.shown_command();
        assert_eq!(command[..3], ["rotate", "start", world.user.as_str()]);
        assert!(
            command.ends_with(&[world.db().to_str().unwrap().to_owned()]),
            "{command:?}"
        );
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        world.run(&words).await.succeeded();
        world.front.take_asked();
        assert_eq!(world.keys().await.len(), 2);
        let new: Vec<String> = world.keys().await.into_keys().collect();
        for key in new.iter().filter(|key| !before.contains_key(*key)) {
            let gone = world.iam.delete_access_key().user_name(&world.user);
            gone.access_key_id(key).send().await.unwrap();
        }
        std::fs::remove_file(world.db()).unwrap();
        let _ = std::fs::remove_dir_all(world.path("aws"));
    }
}

#[tokio::test]
async fn a_started_rotation_is_recorded_and_suppressed() {
    let (world, _) = World::with_keys(1).await;
    world.rotate("start", &APPLY).await.succeeded();
    let store = world.store();
    let exemptions = store.exemptions(ACCOUNT).await.unwrap();
    assert_eq!(exemptions.len(), 1);
    let one = &exemptions[0];
    assert_eq!(one.check(), Ok(()));
    assert_eq!(one.user_pattern, world.user);
    assert_eq!(one.actor_pattern, one.owner);
    assert!(
        one.owner.starts_with(&format!("arn:aws:sts::{ACCOUNT}:")),
        "{one:?}"
    );
    assert!(one.until - Utc::now() <= TimeDelta::hours(24));
    let trail = world.trail().await;
    let kinds: Vec<AuditKind> = trail.iter().map(|entry| entry.draft.kind).collect();
    assert_eq!(
        kinds,
        [
            AuditKind::KeyCreated,
            AuditKind::FindingOpened,
            AuditKind::FindingSuppressed
        ]
    );
    let made = &trail[0].draft;
    assert_eq!(made.actor.as_deref(), Some(one.owner.as_str()));
    assert_eq!(made.details["user_agent"], "secondkey rotate start");
    assert_eq!(made.event_id, None);
    assert_eq!(made.at.timestamp_subsec_nanos(), 0);
    assert_eq!(
        store
            .findings(FindingStatus::Suppressed)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.findings(FindingStatus::Open).await.unwrap(), []);
}

#[tokio::test]
async fn a_failed_key_creation_leaves_no_exemption() {
    let (world, keys) = World::with_keys(1).await;
    world.front.deny(&["Action=CreateAccessKey"]);
    world
        .rotate("start", &APPLY)
        .await
        .refused("no key was created: iam:CreateAccessKey failed: access denied");
    assert_eq!(world.store().exemptions(ACCOUNT).await.unwrap(), []);
    assert_eq!(world.keys().await.len(), keys.len());
    assert_eq!(world.trail().await, []);
    assert!(!world.path("aws/credentials").exists());
}

#[tokio::test]
async fn an_unanswered_creation_is_not_repeated_but_checked() {
    let (world, _) = World::with_keys(1).await;
    world.front.answer(&["Action=CreateAccessKey"], 503, "busy");
    let said = world.rotate("start", &APPLY).await;
    said.refused("no key was created");
    let asked = world.front.take_asked();
    let made = asked
        .iter()
        .filter(|action| *action == "CreateAccessKey")
        .count();
    assert_eq!(made, 1, "a second try could make a second key: {asked:?}");
    assert_eq!(world.store().exemptions(ACCOUNT).await.unwrap(), []);
}
