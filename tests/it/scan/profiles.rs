//! The profiles of the AWS CLI: keys, a role, a process, and one that is missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::world::{World, changes};
use crate::stack::clients::{REGION, iam_of};

/// The account that the profiles lead to. The keys in the environment belong to another one.
const OTHER: &str = "444455556666";

/// Creates a user with two keys in [`OTHER`], and writes `profiles` into the AWS configuration.
async fn world(profiles: &str) -> World {
    let world = World::new().await;
    let iam = iam_of(&world.config, OTHER, "Audit").await;
    let made = iam.create_user().user_name("erin").send().await;
    made.expect("a user can be created");
    for _ in 0..2 {
        let made = iam.create_access_key().user_name("erin").send().await;
        made.expect("a key can be created");
    }
    fs::create_dir(world.path(".aws")).unwrap();
    fs::write(world.path(".aws/config"), profiles).unwrap();
    world.take_calls();
    world
}

/// Scans with the profile `name`. Asserts that it finds the user of [`OTHER`].
async fn check(world: &World, name: &str) {
    let db = format!("{name}.db");
    let (said, document) = world.scan(&["--profile", name, "--db", &db]).await;
    assert_eq!(said.code, 10, "{name}: {}", said.stderr);
    let account = &document["scan"]["accounts"][0]["account"];
    assert_eq!(account, &Value::from(OTHER), "{name}");
    assert_eq!(changes(&document), ["erin: new"], "{name}");
    // The suggested commands use the same profile.
    let option = format!("--profile {name}");
    assert!(said.stderr.contains(&option), "{name}: {}", said.stderr);
}

#[tokio::test]
async fn a_profile_may_be_a_role_with_a_source_profile() {
    let world = world(&format!(
        "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret\n\n\
         [profile audit]\nrole_arn = arn:aws:iam::{OTHER}:role/Audit\nsource_profile = base\n\
         external_id = agreed\nregion = {REGION}\n"
    ))
    .await;
    check(&world, "audit").await;
    let requests = world.proxy.take_requests();
    let mut assumed = requests
        .iter()
        .filter(|request| request.text().contains("Action=AssumeRole&"));
    let assumed = assumed.next().expect("the role was assumed");
    assert!(assumed.text().contains("ExternalId=agreed"), "{assumed:?}");
    assert!(assumed.head.contains("Credential=AKIABASE/"), "{assumed:?}");
}

#[tokio::test]
async fn a_profile_may_be_a_process_that_prints_credentials() {
    let world =
        world("[profile tool]\ncredential_process = ./print-credentials \"one argument\"\n").await;
    let sts = aws_sdk_sts::Client::new(&world.config);
    let role = format!("arn:aws:iam::{OTHER}:role/Audit");
    let assumed = sts.assume_role().role_arn(role).role_session_name("tool");
    let given = assumed.send().await.unwrap().credentials.unwrap();
    let printed = json!({"Version": 1, "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key, "SessionToken": given.session_token});
    let script = format!("#!/bin/sh\ncat <<'END'\n{printed}\nEND\n");
    let path = world.path("print-credentials");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    check(&world, "tool").await;

    // What the process says about a failure is shown.
    fs::write(&path, "#!/bin/sh\necho 'the vault is locked' >&2\nexit 1\n").unwrap();
    let said = world.run(&["scan", "--profile", "tool"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("credential"), "{}", said.stderr);
}

#[tokio::test]
async fn a_missing_profile_is_named_and_no_other_account_is_called() {
    let world =
        world("[profile audit]\naws_access_key_id = AKIAAUDIT\naws_secret_access_key = secret\n")
            .await;
    let missing = "profile `region-x` is not in the AWS configuration; name another with --profile, or create it with \
        `aws configure --profile NAME`";
    let commands = [
        &["scan"][..],
        &["check", "erin"],
        &["doctor", "--region", REGION],
        &["rotate", "status", "erin"],
        &["exempt", "list", "--table", "secondkey"],
        &["findings", "--table", "secondkey"],
        &["usage", "AKIAIOSFODNN7EXAMPLE", "--live"],
    ];
    let no_file = |command: &mut std::process::Command| {
        command.env("AWS_CONFIG_FILE", world.path("none"));
    };
    for arguments in commands {
        for has_file in [true, false] {
            let mut command = world.command(&[arguments, &["--profile", "region-x"]].concat());
            if !has_file {
                no_file(&mut command);
            }
            let said = crate::doctor::world::run(command).await;
            assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{arguments:?}");
            assert!(
                said.stderr.contains(missing),
                "{arguments:?}: {}",
                said.stderr
            );
        }
    }
    assert_eq!(world.take_calls().len(), 0, "no other account is asked");
}
