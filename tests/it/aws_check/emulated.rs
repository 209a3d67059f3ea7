//! Whole runs against moto.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_config::SdkConfig;

use super::code_and_text;
use super::world::{MEMBER, World};
use crate::stack::clients::iam_of;

/// The names of what is left in the central account, except for IAM's own roles of the emulator.
async fn left(config: &SdkConfig) -> Vec<String> {
    let mut left = vec![];
    let iam = aws_sdk_iam::Client::new(config);
    for iam in [iam, iam_of(config, MEMBER, "administrator").await] {
        let users = iam.list_users().send().await.unwrap().users;
        left.extend(users.into_iter().map(|user| user.user_name));
    }
    let cloudformation = aws_sdk_cloudformation::Client::new(config);
    let stacks = cloudformation.describe_stacks().send().await.unwrap();
    let stacks = stacks.stacks.unwrap_or_default();
    left.extend(stacks.into_iter().filter_map(|stack| stack.stack_name));
    let dynamodb = aws_sdk_dynamodb::Client::new(config);
    let tables = dynamodb.list_tables().send().await.unwrap();
    left.extend(tables.table_names.unwrap_or_default());
    let sqs = aws_sdk_sqs::Client::new(config);
    let queues = sqs.list_queues().send().await.unwrap();
    left.extend(queues.queue_urls.unwrap_or_default());
    left
}

#[tokio::test]
async fn a_run_with_a_member_passes_and_leaves_nothing() {
    let world = World::new().await;
    let config = world.config().await;
    let mut script = world.script(&[
        "--profile",
        "central",
        "--member-profile",
        "member",
        "--organization-id",
        "o-abcdefghij",
        "--security-hub",
        "--email",
        "a@example.com",
        "--yes",
    ]);
    let output = tokio::task::spawn_blocking(move || script.output().unwrap());
    let output = output.await.unwrap();
    let (code, text) = code_and_text(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code, 0, "{text}\n{errors}\n{}", world.calls());
    assert!(!text.contains("FAILED"), "{text}");
    assert!(
        text.lines().filter(|line| line.starts_with("ok: ")).count() > 50,
        "{text}"
    );
    assert!(text.ends_with("every check is ok\n"), "{text}");
    assert_eq!(left(&config).await, Vec::<String>::new());
    // The trail's bucket and the bucket of the functions' code.
    let calls = world.calls();
    let buckets = calls.lines().filter(|call| call.contains("s3 rb")).count();
    assert_eq!(buckets, 2, "{calls}");
}

#[tokio::test]
async fn an_interrupted_run_removes_everything_and_exits_with_130() {
    let world = World::new().await;
    let config = world.config().await;
    let folder = tempfile::tempdir().unwrap();
    let printed = folder.path().join("printed");
    let file = File::create(&printed).unwrap();
    let mut child = world
        .script(&["--profile", "central", "--yes"])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        // As in a terminal, the signal goes to every program of the script.
        .process_group(0)
        .spawn()
        .unwrap();
    let group = format!("-{}", child.id());
    let text = || std::fs::read_to_string(&printed).unwrap();
    while !text().contains("ok: a second key can be created") {
        assert!(child.try_wait().unwrap().is_none(), "{}", text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(left(&config).await.len() > 3, "{:?}", left(&config).await);
    let interrupted = Command::new("kill").args(["-INT", "--", &group]).status();
    assert!(interrupted.unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(status.await.unwrap().code(), Some(130), "{}", text());
    assert!(text().contains("interrupted; wait until"), "{}", text());
    assert!(!text().contains("FAILED"), "{}", text());
    assert!(!text().contains("the alarm"), "{}", text());
    assert_eq!(left(&config).await, Vec::<String>::new());
}
