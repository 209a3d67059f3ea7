//! `finish` and `undo`.

use std::process::Command;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::trail::audit::AuditKind;
use secondkey::pipeline::finding_store::FindingReader;

use super::world::{World, next_second};
use crate::stack::wiring::ACCOUNT;

const APPLY: [&str; 1] = ["--apply"];

#[tokio::test]
async fn a_rotation_can_be_finished_and_undone() {
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
        .prints("it was used less recently than the other key")
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
    undone
        .succeeded()
        .prints("Activated")
        .prints("is suppressed until");
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
async fn an_old_key_still_in_use_is_not_deactivated() {
    let (world, keys) = World::with_keys(2).await;
    let [old, new] = &keys[..] else { panic!() };
    world.front.last_used(old, Utc::now() - TimeDelta::hours(5));
    let said = world.rotate("finish", &APPLY).await;
    said.refused("there is no key to retire. Nothing to deactivate yet")
        .refused(&format!("{new} has not been used yet"));
    assert_eq!(world.keys().await[old], "Active");
    // The old key by name, with its ID typed wrongly, not at all, and correctly.
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
        .prints("WARNING: the new key has never been used");
    assert_eq!(world.keys().await[old], "Inactive");
    assert_eq!(world.keys().await[new], "Active");
}

#[tokio::test]
async fn an_unused_key_of_a_forgotten_rotation_needs_no_name() {
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
async fn indistinguishable_keys_must_be_chosen_and_typed() {
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
async fn a_recently_used_key_is_deactivated_only_if_named() {
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
        .prints("WARNING: the old key is still in use");
}

#[tokio::test]
async fn the_only_active_key_stays() {
    let (world, keys) = World::with_keys(2).await;
    world.deactivate(&keys[0]).await;
    for options in [&APPLY[..], &["--key", &keys[1], "--apply"]] {
        world
            .rotate_typing("finish", options, &keys[1])
            .await
            .refused("never deactivates the only one");
    }
    world
        .rotate("finish", &["--key", &keys[0], "--apply"])
        .await
        .refused("already inactive");
    world.assert_only_read();
    assert_eq!(world.keys().await[&keys[1]], "Active");
    world.deactivate(&keys[1]).await;
    world
        .rotate("undo", &APPLY)
        .await
        .refused("several inactive keys; choose");
}

#[tokio::test]
async fn a_step_that_could_not_be_recorded_is_reported() {
    let (world, keys) = World::with_keys(2).await;
    drop(world.store());
    // A file that can be read but not written.
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

/// Locks the file for writing, so that others can only read it.
fn locked(world: &World) -> secondkey::local::sqlite::SqliteStore {
    let store = world.store();
    store.begin().unwrap();
    store
}

#[tokio::test]
async fn an_interrupted_step_is_finished_first() {
    let (world, keys) = World::with_keys(2).await;
    // IAM is slow, and the operator interrupts the command.
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
    assert!(stderr.contains("finishing this step first"), "{stderr}");
    assert_eq!(world.keys().await[&keys[1]], "Inactive");
    let trail = world.trail().await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0].draft.kind, AuditKind::KeyUpdated);
}

#[tokio::test]
async fn a_concurrent_deactivation_leaves_the_other_key_active() {
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
    // It waits for the ID to be typed, after it has seen both keys active.
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
        stderr.contains("fewer than two keys are active now"),
        "{stderr}"
    );
    world.assert_only_read();
    assert_eq!(world.keys().await[&keys[0]], "Active");
}
