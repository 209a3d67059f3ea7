//! `finish` and `undo`.

use std::process::Command;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use secondkey::detect::audit::AuditKind;
use secondkey::detect::exemption::Exemption;
use secondkey::detect::finding::FindingStatus;
use secondkey::pipeline::finding_store::FindingReader;

use super::world::{World, next_second};
use crate::stack::wiring::ACCOUNT;

const APPLY: [&str; 1] = ["--apply"];

#[tokio::test]
async fn a_whole_rotation_goes_from_the_second_key_to_its_end_and_back() {
    let (world, keys) = World::with_keys(1).await;
    let old = &keys[0];
    let started = world.rotate("start", &["--show-once", "--apply"]).await;
    started.succeeded();
    let new = world
        .keys()
        .await
        .into_keys()
        .find(|key| key != old)
        .unwrap();
    world.front.last_used(old, Utc::now() - TimeDelta::hours(5));
    world
        .front
        .last_used(&new, Utc::now() - TimeDelta::minutes(5));
    world.front.take_asked();

    let dry = world.rotate("finish", &[]).await;
    dry.succeeded()
        .prints("it was used longer ago than the other")
        .prints("by s3, in eu-west-1")
        .prints(&format!("Would deactivate {old}"));
    world.assert_only_read();
    assert_eq!(world.keys().await[old], "Active");
    let command = dry.shown_command();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    next_second().await;
    world
        .run(&words)
        .await
        .succeeded()
        .prints("The finding is closed.");
    assert_eq!(world.keys().await[old], "Inactive");
    assert_eq!(world.keys().await[&new], "Active");
    let store = world.store();
    assert_eq!(
        store.findings(FindingStatus::Closed).await.unwrap().len(),
        1
    );

    world
        .rotate("undo", &[])
        .await
        .succeeded()
        .prints("Nothing was changed");
    assert_eq!(world.keys().await[old], "Inactive");
    next_second().await;
    let undone = world.rotate("undo", &APPLY).await;
    undone.succeeded().prints("Activated").prints("is open");
    assert_eq!(world.keys().await[old], "Active");
    let trail = world.trail().await;
    let told: Vec<(AuditKind, &str)> = trail
        .iter()
        .filter_map(|entry| {
            Some((
                entry.draft.kind,
                entry.draft.details.get("user_agent")?.as_str(),
            ))
        })
        .collect();
    assert_eq!(
        told,
        [
            (AuditKind::KeyCreated, "secondkey rotate start"),
            (AuditKind::KeyUpdated, "secondkey rotate finish"),
            (AuditKind::KeyUpdated, "secondkey rotate undo"),
        ]
    );
}

#[tokio::test]
async fn whoever_has_not_switched_is_not_locked_out() {
    let (world, keys) = World::with_keys(2).await;
    let [old, new] = &keys[..] else { panic!() };
    world.front.last_used(old, Utc::now() - TimeDelta::hours(5));
    let said = world.rotate("finish", &APPLY).await;
    said.refused("no key is to be retired. Nothing to deactivate yet")
        .refused(&format!("{new} has not been used yet"));
    assert_eq!(world.keys().await[old], "Active");
    // The old key by name, and its id typed wrongly, not at all, and rightly.
    let chosen = ["--key", old.as_str(), "--apply"];
    for typed in ["", "yes\n", &format!("{new}\n"), &old[..old.len() - 1]] {
        world
            .rotate_typing("finish", &chosen, typed)
            .await
            .refused("not confirmed, so nothing was done");
    }
    world.assert_only_read();
    let said = world
        .rotate_typing("finish", &chosen, &format!("{old}\n"))
        .await;
    said.succeeded()
        .prints("WARNING: the new key was never used");
    assert_eq!(world.keys().await[old], "Inactive");
    assert_eq!(world.keys().await[new], "Active");
}

#[tokio::test]
async fn the_unused_key_of_a_forgotten_rotation_goes_without_being_named() {
    let (world, keys) = World::with_keys(2).await;
    world.front.last_used(&keys[0], Utc::now());
    let now = Utc::now();
    let over = Exemption {
        id: "rotation-x".to_owned(),
        account: ACCOUNT.to_owned(),
        user_pattern: world.user.clone(),
        actor_pattern: "*".to_owned(),
        owner: "x".to_owned(),
        reason: "x".to_owned(),
        created_at: now - TimeDelta::minutes(5),
        until: now - TimeDelta::minutes(1),
    };
    world.store().put_exemption(&over).await.unwrap();
    let said = world.rotate("finish", &APPLY).await;
    said.succeeded().prints("it was never used");
    assert_eq!(world.keys().await[&keys[1]], "Inactive");
}

#[tokio::test]
async fn what_nothing_tells_apart_is_to_be_chosen_and_typed() {
    let (world, keys) = World::with_keys(2).await;
    world.front.deny(&["Action=GetAccessKeyLastUsed"]);
    let said = world.rotate("finish", &APPLY).await;
    said.refused("the last use of the keys is not known");
    let chosen = ["--key", keys[0].as_str(), "--apply"];
    world
        .rotate("finish", &chosen)
        .await
        .refused("not confirmed");
    assert_eq!(world.keys().await[&keys[0]], "Active");
    world
        .rotate_typing("finish", &chosen, &keys[0])
        .await
        .succeeded();
}

#[tokio::test]
async fn a_key_used_a_moment_ago_is_not_deactivated_unless_it_is_named() {
    let (world, keys) = World::with_keys(2).await;
    world
        .front
        .last_used(&keys[0], Utc::now() - TimeDelta::minutes(9));
    world
        .front
        .last_used(&keys[1], Utc::now() - TimeDelta::minutes(1));
    world
        .rotate("finish", &APPLY)
        .await
        .refused(&format!("{} is still in use", keys[0]));
    let chosen = ["--key", keys[0].as_str(), "--apply"];
    world
        .rotate("finish", &chosen)
        .await
        .succeeded()
        .prints("WARNING: the old key is in use still");
}

#[tokio::test]
async fn the_only_active_key_stays() {
    let (world, keys) = World::with_keys(2).await;
    world.deactivate(&keys[0]).await;
    for options in [&APPLY[..], &["--key", &keys[1], "--apply"]] {
        world
            .rotate_typing("finish", options, &keys[1])
            .await
            .refused("the only one is never deactivated");
    }
    world
        .rotate("finish", &["--key", &keys[0], "--apply"])
        .await
        .refused("inactive already");
    world.assert_only_read();
    assert_eq!(world.keys().await[&keys[1]], "Active");
    world.deactivate(&keys[1]).await;
    world
        .rotate("undo", &APPLY)
        .await
        .refused("several inactive keys; choose");
}

#[tokio::test]
async fn what_was_done_and_could_not_be_written_down_is_said_aloud() {
    let (world, keys) = World::with_keys(2).await;
    drop(world.store());
    // A file that can be read and not written to.
    let lock = locked(&world);
    let said = world
        .rotate("finish", &["--key", &keys[0], "--apply"])
        .await;
    drop(lock);
    said.refused("DONE, BUT NOT IN THE AUDIT TRAIL")
        .refused(&format!("key {} of user", keys[0]))
        .refused("was deactivated at")
        .refused("arn:aws:sts::");
    assert_eq!(world.keys().await[&keys[0]], "Inactive");
    assert_eq!(world.trail().await, []);
}

/// Holds the file for writing, so that nobody else can write to it, though everybody can read.
fn locked(world: &World) -> secondkey::local::sqlite::SqliteStore {
    let store = world.store();
    store.begin().unwrap();
    store
}

#[tokio::test]
async fn an_interrupted_step_is_finished_first() {
    let (world, keys) = World::with_keys(2).await;
    // IAM takes its time, and somebody loses patience.
    world
        .front
        .delay("Action=UpdateAccessKey", Duration::from_secs(2));
    let db = world.db();
    let arguments = [
        "rotate",
        "finish",
        &world.user,
        "--key",
        &keys[1],
        "--apply",
        "--db",
        db.to_str().unwrap(),
    ];
    let process = world.command(&arguments).await.spawn().unwrap();
    let id = process.id().to_string();
    let waited = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
    while !world.front.has_asked("UpdateAccessKey") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for signal in ["-INT", "-TERM"] {
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }
    let output = waited.await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("what was begun is finished first"),
        "{stderr}"
    );
    assert_eq!(world.keys().await[&keys[1]], "Inactive");
    let trail = world.trail().await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0].draft.kind, AuditKind::KeyUpdated);
}

#[tokio::test]
async fn a_key_that_somebody_else_deactivated_in_the_meantime_leaves_the_other_one_alone() {
    let (world, keys) = World::with_keys(2).await;
    let db = world.db();
    let arguments = [
        "rotate",
        "finish",
        &world.user,
        "--key",
        &keys[0],
        "--apply",
        "--db",
        db.to_str().unwrap(),
    ];
    world.front.last_used(&keys[0], Utc::now());
    let mut process = world.command(&arguments).await.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // It waits for the id to be typed, and has seen both keys active.
    while world.front.count("GetAccessKeyLastUsed") < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.deactivate(&keys[1]).await;
    std::io::Write::write_all(&mut stdin, keys[0].as_bytes()).unwrap();
    drop(stdin);
    let output = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("fewer than two keys are active by now"),
        "{stderr}"
    );
    world.assert_only_read();
    assert_eq!(world.keys().await[&keys[0]], "Active");
}
