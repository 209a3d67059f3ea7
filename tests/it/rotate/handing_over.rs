//! Where the secret goes, and where it does not.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use secondkey::detect::trail::audit::AuditKind;
use secondkey::pipeline::finding_store::FindingStore;
use serde_json::Value;

use super::world::{Said, World};
use crate::stack::wiring::ACCOUNT;

const BEFORE: &str = "# mine\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = d\r\n[b]\nregion = é";

/// Returns every file below the directory that contains `secret`, apart from `allowed`. Fails if
/// the output contains it.
#[track_caller]
fn assert_nowhere_else(world: &World, secret: &str, allowed: &str, said: &[&Said]) {
    assert!(secret.len() > 20, "{secret}");
    for said in said {
        assert!(!said.stdout.contains(secret) && !said.stderr.contains(secret));
    }
    let mut folders = vec![world.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let holds = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!holds || path.ends_with(allowed), "{}", path.display());
        }
    }
}

/// The value of `name` in the last profile of a credentials file.
fn value(contents: &str, name: &str) -> String {
    let line = contents.lines().rev().find(|line| line.starts_with(name));
    line.unwrap().split(" = ").nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_profile_is_added_to_a_private_file() {
    let (world, keys) = World::with_keys(1).await;
    let path = world.path("aws/credentials");
    std::fs::create_dir(world.path("aws")).unwrap();
    std::fs::write(&path, BEFORE).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = path.metadata().unwrap().ino();
    let open = std::fs::File::open(&path).unwrap();
    let said = world
        .rotate("start", &["--to-profile", "new", "--apply"])
        .await;
    said.succeeded();
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(
        after.starts_with(&format!("{BEFORE}\n\n[new]\n")),
        "{after}"
    );
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Another file replaced it, so a process that had it open reads the old file to its end.
    assert_ne!(path.metadata().unwrap().ino(), before);
    assert_eq!(std::io::read_to_string(&open).unwrap(), BEFORE);
    assert_eq!(std::fs::read_dir(world.path("aws")).unwrap().count(), 1);
    let id = value(&after, "aws_access_key_id");
    assert!(world.keys().await.contains_key(&id) && id != keys[0]);
    let secret = value(&after, "aws_secret_access_key");
    assert_nowhere_else(&world, &secret, "aws/credentials", &[&said]);
}

#[tokio::test]
async fn an_existing_profile_is_replaced_only_on_request() {
    let (world, _) = World::with_keys(1).await;
    let path = world.path("aws/credentials");
    std::fs::create_dir(world.path("aws")).unwrap();
    std::fs::write(&path, BEFORE).unwrap();
    let to = ["--to-profile", "default", "--apply"];
    world
        .rotate("start", &to)
        .await
        .refused("already has a profile `default`");
    world.assert_only_read();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), BEFORE);
    world
        .rotate("start", &[&to[..], &["--replace"]].concat())
        .await
        .succeeded();
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(!after.contains("AKIADEFAULT"), "{after}");
    assert!(
        after.starts_with("# mine\n[default]\naws_access_key_id = "),
        "{after}"
    );
    assert!(after.ends_with("\n[b]\nregion = é"), "{after}");
}

#[tokio::test]
async fn a_missing_credentials_file_is_created() {
    let (world, _) = World::with_keys(1).await;
    world
        .rotate("start", &["--to-profile", "new", "--apply"])
        .await
        .succeeded();
    let mode = |name: &str| world.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("aws"), mode("aws/credentials")), (0o700, 0o600));
}

#[tokio::test]
async fn a_secret_is_created_or_updated() {
    let (world, keys) = World::with_keys(1).await;
    let name = format!("team/{}", world.user);
    let to = ["--to-secret", &name, "--apply"];
    let said = world.rotate("start", &to).await;
    said.succeeded();
    let kept = world
        .secrets
        .get_secret_value()
        .secret_id(&name)
        .send()
        .await;
    let document: Value =
        serde_json::from_str(kept.unwrap().secret_string.as_deref().unwrap()).unwrap();
    assert_eq!(document["UserName"], world.user);
    let secret = document["SecretAccessKey"].as_str().unwrap();
    assert_nowhere_else(&world, secret, "nowhere", &[&said]);

    world.deactivate(&keys[0]).await;
    let gone = world.iam.delete_access_key().user_name(&world.user);
    gone.access_key_id(&keys[0]).send().await.unwrap();
    world
        .rotate("start", &to[..2])
        .await
        .succeeded()
        .prints("as its new value");
    world.rotate("start", &to).await.succeeded();
    let kept = world
        .secrets
        .get_secret_value()
        .secret_id(&name)
        .send()
        .await;
    let newer: Value =
        serde_json::from_str(kept.unwrap().secret_string.as_deref().unwrap()).unwrap();
    assert_ne!(newer["AccessKeyId"], document["AccessKeyId"]);
}

#[tokio::test]
async fn a_shown_secret_is_the_only_output_on_stdout() {
    let (world, _) = World::with_keys(1).await;
    let said = world.rotate("start", &["--show-once", "--apply"]).await;
    said.succeeded();
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let id = document["AccessKeyId"].as_str().unwrap();
    assert!(world.keys().await.contains_key(id));
    let secret = document["SecretAccessKey"].as_str().unwrap();
    assert!(!said.stderr.contains(secret), "{}", said.stderr);
    assert_nowhere_else(&world, secret, "nowhere", &[]);
}

#[tokio::test]
async fn an_unwritable_place_fails_before_a_key_is_created() {
    let (world, _) = World::with_keys(1).await;
    std::fs::write(world.path("aws"), "a file where the folder belongs").unwrap();
    let said = world
        .rotate("start", &["--to-profile", "new", "--apply"])
        .await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    world.front.answer(
        &["secretsmanager.DescribeSecret"],
        400,
        r#"{"__type":"AccessDeniedException","Message":"no"}"#,
    );
    world
        .rotate("start", &["--to-secret", "x", "--apply"])
        .await
        .refused("secretsmanager:DescribeSecret failed: access denied");
    world.assert_only_read();
    assert_eq!(world.keys().await.len(), 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_handed_over_is_deleted() {
    let (world, keys) = World::with_keys(1).await;
    world.front.answer(
        &["secretsmanager.CreateSecret"],
        400,
        r#"{"__type":"AccessDeniedException","Message":"no"}"#,
    );
    let said = world
        .rotate("start", &["--to-secret", "x", "--apply"])
        .await;
    said.refused("could not be stored (secretsmanager:CreateSecret failed: access denied");
    said.refused("was deleted again");
    assert_eq!(world.keys().await.into_keys().collect::<Vec<_>>(), keys);
    assert_eq!(world.store().exemptions(ACCOUNT).await.unwrap(), []);
    let trail = world.trail().await;
    let kinds: Vec<AuditKind> = trail.iter().map(|entry| entry.draft.kind).collect();
    assert_eq!(kinds, [AuditKind::KeyCreated, AuditKind::KeyDeleted]);
}

#[tokio::test]
async fn a_key_that_cannot_be_deleted_is_reported() {
    let (world, _) = World::with_keys(1).await;
    let denied = r#"{"__type":"AccessDeniedException","Message":"no"}"#;
    world
        .front
        .answer(&["secretsmanager.CreateSecret"], 400, denied);
    world.front.deny(&["Action=DeleteAccessKey"]);
    let said = world
        .rotate("start", &["--to-secret", "x", "--apply"])
        .await;
    said.refused("IS STILL ACTIVE").refused(&format!(
        "aws iam delete-access-key --user-name {} --access-key-id AKIA",
        world.user
    ));
    assert_eq!(world.keys().await.len(), 2);
    // No rotation of this key is in progress, so nothing is suppressed.
    assert_eq!(world.store().exemptions(ACCOUNT).await.unwrap(), []);
    assert!(said.stderr.contains("[HIGH]"), "{}", said.stderr);
}

#[tokio::test]
async fn a_key_that_is_not_read_from_stdout_is_deleted() {
    let (world, keys) = World::with_keys(1).await;
    let db = world.db();
    let arguments = ["rotate", "start", &world.user, "--show-once", "--apply"];
    let arguments = [&arguments[..], &["--db", db.to_str().unwrap()]].concat();
    let mut process = world.command(&arguments).await.spawn().unwrap();
    drop(process.stdout.take());
    let output = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
    let output = output.await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the key could not be printed"), "{stderr}");
    assert!(stderr.contains("was deleted again"), "{stderr}");
    assert_eq!(world.keys().await.into_keys().collect::<Vec<_>>(), keys);
}
