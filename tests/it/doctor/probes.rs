//! The probes, with the detector in the test's own process.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use secondkey::aws::detector::handle;
use secondkey::detect::user::UserId;
use secondkey::pipeline::message::recheck_body;
use serde_json::Value;

use super::JSON;
use super::world::{Organization, Said, World, run};
use crate::stack::clients::REGION;
use crate::stack::proxy::Fault;
use crate::stack::wiring::{ACCOUNT, take_all};

const PREFIX: &str = "secondkey-probe-";

/// The existing throw-away users.
async fn throwaways(world: &World) -> Vec<String> {
    let listed = aws_sdk_iam::Client::new(&world.config)
        .list_users()
        .send()
        .await;
    let users = listed.unwrap().users;
    let names = users.into_iter().map(|user| user.user_name);
    names.filter(|name| name.starts_with(PREFIX)).collect()
}

/// Plays the queues and rules forever: passes the messages in the changes queue, and every
/// throw-away user seen so far, to the detector.
async fn play(world: &World) {
    let detector = world.detector();
    let sqs = aws_sdk_sqs::Client::new(&world.config);
    let mut seen = BTreeSet::new();
    loop {
        for message in take_all(&sqs, world.id("ChangesQueue")).await {
            handle(&detector, message, &mut std::io::sink())
                .await
                .unwrap();
        }
        seen.extend(throwaways(world).await);
        for name in &seen {
            let body: Value =
                serde_json::from_str(&recheck_body(&UserId::new(ACCOUNT, name))).unwrap();
            handle(&detector, body, &mut std::io::sink()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Runs `command` while the detector works.
async fn run_beside_detector(world: &World, command: Command) -> Said {
    tokio::select! {
        said = run(command) => said,
        () = play(world) => unreachable!("it is played for ever"),
    }
}

#[tokio::test]
async fn a_probe_sees_whether_messages_are_read() {
    let world = World::new().await;
    let command = world.doctor(&["--probe", "--format", "json"]);
    let said = run_beside_detector(&world, command).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let found = said.check("probe")["found"].to_string();
    assert!(found.contains("the rule was not exercised"), "{found}");

    let said = run(world.doctor(&["--probe", "--wait", "1", "--format", "json"])).await;
    assert_eq!((said.code, said.state("probe").as_str()), (1, "failed"));
}

#[tokio::test]
async fn a_live_probe_opens_and_closes_a_finding() {
    probe_live(&World::new().await).await;
    probe_live(&Organization::new().await.central).await;
}

async fn probe_live(world: &World) {
    let command = world.doctor(&["--probe-live", "--yes", "--format", "json"]);
    let said = run_beside_detector(world, command).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    for step in ["opening", "alert", "clean-up", "closing"] {
        assert_eq!(said.state(&format!("live probe: {step}")), "ok");
    }
    assert_eq!(throwaways(world).await, Vec::<String>::new());
    let shown = said.stdout + &said.stderr;
    assert!(shown.contains(PREFIX), "{shown}");
    assert!(!shown.to_lowercase().contains("secretaccesskey"), "{shown}");
}

#[tokio::test]
async fn an_unanswered_live_probe_removes_its_user() {
    let world = World::new().await;
    let said =
        run(world.doctor(&[&["--probe-live", "--yes", "--wait", "1"][..], &JSON].concat())).await;
    assert_eq!(said.code, 1);
    assert_eq!(said.state("live probe: opening"), "failed");
    assert_eq!(said.state("live probe: clean-up"), "ok");
    assert_eq!(throwaways(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn keys_that_cannot_be_removed_are_named_with_commands() {
    let world = World::new().await;
    world.proxy.set(Fault {
        part: "Action=DeleteAccessKey",
        status: 403,
        body: "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error>\
            <RequestId>1</RequestId></ErrorResponse>",
        times: 1_000,
    });
    let arguments = [&["--probe-live", "--yes", "--wait", "1"][..], &JSON].concat();
    let said = run(world.doctor(&arguments)).await;
    assert_eq!(said.code, 1);
    let check = said.check("live probe: clean-up");
    assert_eq!(check["state"], "failed");
    let left = throwaways(&world).await;
    let keys = aws_sdk_iam::Client::new(&world.config)
        .list_access_keys()
        .user_name(&left[0])
        .send()
        .await
        .unwrap()
        .access_key_metadata;
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert_eq!(key.status.unwrap().as_str(), "Inactive");
        let command = format!(
            "aws iam delete-access-key --region {REGION} --user-name {} --access-key-id {}",
            left[0],
            key.access_key_id.unwrap()
        );
        assert!(check["mend"].to_string().contains(&command), "{check}");
    }
    let last = format!(
        "aws iam delete-user --region {REGION} --user-name {}",
        left[0]
    );
    assert!(check["mend"].to_string().contains(&last), "{check}");
}

#[tokio::test]
async fn a_live_probe_needs_confirmation() {
    let world = World::new().await;
    let said = run(world.doctor(&["--probe-live"])).await;
    assert_eq!(said.code, 1);
    assert!(
        said.stderr
            .contains("not confirmed, so nothing was created"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains(PREFIX), "{}", said.stderr);
    let without = run(world.doctor(&["--yes"])).await;
    assert_eq!(without.code, 2);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupted_live_probe_removes_its_user() {
    let world = World::new().await;
    let mut command = world.doctor(&["--probe-live", "--yes", "--format", "json"]);
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    while throwaways(&world).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let number = child.id().to_string();
    let sent = Command::new("kill")
        .args(["-INT", &number])
        .status()
        .unwrap();
    assert!(sent.success());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output());
    let said = Said::of(&output.await.unwrap().unwrap());
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert_eq!(said.state("live probe: opening"), "not_checked");
    assert_eq!(said.state("live probe: clean-up"), "ok");
    assert_eq!(throwaways(&world).await, Vec::<String>::new());
}
