//! `secondkey doctor` on the deployed templates in moto: whole, broken link by link, and probed.

mod cloudwatch;
mod home_region;
mod metrics;
mod organization;
mod orphans;
mod probes;
pub mod world;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secondkey::detect::records::account_record::{AccountRecord, Unreachable};

use crate::stack::clients::REGION;
use crate::stack::proxy::Fault;
use crate::stack::wiring::ACCOUNT;
use cloudwatch::Measured;
use metrics::assert_asked_like_alarms;
use world::{STACK, World, run};

const JSON: [&str; 2] = ["--format", "json"];

#[tokio::test]
async fn a_healthy_deployment_passes_every_check() {
    let world = World::new().await;
    let said = run(world.doctor(&[])).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    for line in [
        "ok           region: us-east-1, where IAM's events arrive",
        "ok           ChangesRule: pattern: equal to infra/event-pattern.json",
        "ok           ChangesRule: policy of ChangesQueue: allows the rule to send",
        "ok           Detector: event source: enabled, with ReportBatchItemFailures",
        "ok           AlertTopic: subscriptions: 1 confirmed",
        "ok           AlertTopic: unsubscribing: requires AWS credentials",
        "ok           AlarmTopic: encryption: without a KMS key",
        "ok           AlarmTopic: subscriptions: 1 confirmed",
        "ok           pending alerts: 0, none of them late",
        "ok           Table: indexes: findings and due",
        "ok           Table: orphans: none with records",
    ] {
        assert!(said.stdout.contains(line), "{line}\n{}", said.stdout);
    }
    let summary = said.stdout.lines().last().unwrap_or_default();
    assert!(
        summary.ends_with("0 with a warning, 0 failed, 0 not checked"),
        "{summary}"
    );
    assert_asked_like_alarms(&world, &["Detector", "Sweeper"]);
}

#[tokio::test]
async fn each_broken_link_is_named_with_its_fix() {
    let world = World::new().await;
    break_it(&world).await;
    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    let unreachable = "account 444455556666";
    for (what, state, mend) in [
        (
            "trail",
            "failed",
            "aws cloudtrail start-logging --name arn:aws:cloudtrail",
        ),
        ("ChangesRule", "failed", "aws events enable-rule --name"),
        (
            "ChangesRule: pattern",
            "failed",
            "--event-pattern file://infra/event-pattern.json",
        ),
        (
            "ChangesRule: target",
            "failed",
            "aws events put-targets --rule",
        ),
        (
            "ChangesRule: policy of ChangesQueue",
            "failed",
            "aws sqs set-queue-attributes",
        ),
        ("SweepSchedule: target", "ok", ""),
        (
            "ChangesDeadLetters",
            "failed",
            "aws sqs start-message-move-task --source-arn arn:",
        ),
        (
            "AlarmTopic: subscriptions",
            "failed",
            "aws sns subscribe --topic-arn",
        ),
        (
            "pending alerts",
            "failed",
            "deploy the release or the configuration that has this sink",
        ),
        ("SweepDeadLetters", "ok", ""),
        ("Detector", "ok", ""),
        ("Detector: errors", "warning", "aws logs tail"),
        ("ChangesQueue", "failed", "see its log"),
        (
            "Detector: event source",
            "failed",
            "aws lambda update-event-source-mapping --uuid",
        ),
        ("Sweeper", "ok", ""),
        ("Table", "ok", ""),
        (
            "Table: recovery",
            "failed",
            "aws dynamodb update-continuous-backups",
        ),
        (
            "Table: expiry",
            "failed",
            "aws dynamodb update-time-to-live",
        ),
        (
            "AlertTopic: subscriptions",
            "failed",
            "aws sns subscribe --topic-arn",
        ),
        ("sweep of this account", "failed", "secondkey_sweep"),
        (unreachable, "failed", "infra/member.yaml"),
    ] {
        assert_eq!(said.state(what), state, "{what}: {}", said.check(what));
        let found = said.check(what)["mend"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let command = found.replace(&format!(" --region {REGION}"), "");
        assert!(command.contains(mend), "{what}: {found}");
        // This run had a region option; another account has its own credentials.
        if found.contains("aws ") && what != unreachable {
            let option = format!(" --region {REGION} ");
            assert!(found.contains(&option), "{what}: {found}");
        }
    }
    let found = said.check(unreachable)["found"].to_string();
    assert!(found.contains("no such role"), "{found}");
    let found = said.check("pending alerts")["found"].to_string();
    let expected = "1 for over 15 min (1 to pager), the oldest for 5 h";
    assert!(found.contains(expected), "{found}");

    let table = run(world.doctor(&[])).await;
    assert!(
        table.stdout.contains(r"no such role \u{1b}[2J"),
        "{}",
        table.stdout
    );
}

async fn break_it(world: &World) {
    let config = &world.config;
    let trails = aws_sdk_cloudtrail::Client::new(config);
    trails.stop_logging().name(STACK).send().await.unwrap();
    let events = aws_sdk_eventbridge::Client::new(config);
    let rule = world.id("ChangesRule");
    let put = events
        .put_rule()
        .name(rule)
        .event_pattern(r#"{"source":["aws.s3"]}"#);
    put.send().await.unwrap();
    events.disable_rule().name(rule).send().await.unwrap();
    let removed = events.remove_targets().rule(rule).ids("changes").send();
    removed.await.unwrap();
    world.allow("ChangesQueue", "SweepSchedule").await;
    let dead = aws_sdk_sqs::Client::new(config)
        .send_message()
        .queue_url(world.id("ChangesDeadLetters"))
        .message_body("given up");
    dead.send().await.unwrap();
    let lambda = aws_sdk_lambda::Client::new(config);
    let update = lambda
        .update_event_source_mapping()
        .uuid(world.id("DetectorChanges"))
        .enabled(false);
    update.send().await.unwrap();
    world.cloudwatch.set(Measured {
        errors: 3.0,
        age: 900.0,
    });
    let waiting = aws_sdk_sqs::Client::new(config)
        .send_message()
        .queue_url(world.id("ChangesQueue"))
        .message_body("not read");
    waiting.send().await.unwrap();
    world.unprotect_table().await;
    let sns = aws_sdk_sns::Client::new(config);
    let listed = sns.list_subscriptions().send().await.unwrap();
    for one in listed.subscriptions() {
        let arn = one.subscription_arn().unwrap();
        sns.unsubscribe()
            .subscription_arn(arn)
            .send()
            .await
            .unwrap();
    }
    let long_ago = Utc::now() - TimeDelta::hours(5);
    owe_to_a_sink_that_is_gone(world, long_ago).await;
    let store = world.store();
    let own = store.account(ACCOUNT).await.unwrap();
    let swept = AccountRecord {
        version: own.version + 1,
        swept_at: Some(long_ago),
        ..own
    };
    assert_eq!(store.put_account(&swept).await, Ok(true));
    let unreachable = AccountRecord {
        version: 1,
        baseline_at: Some(long_ago),
        swept_at: Some(long_ago),
        unreachable: Some(Unreachable {
            since: long_ago,
            reason: "no such role \u{1b}[2J".to_owned(),
        }),
        ..AccountRecord::new("444455556666")
    };
    assert_eq!(store.put_account(&unreachable).await, Ok(true));
}

/// A pending alert from an earlier release, for a sink that this release does not have.
async fn owe_to_a_sink_that_is_gone(world: &World, since: DateTime<Utc>) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let since = since.to_rfc3339_opts(SecondsFormat::Millis, true);
    let put = aws_sdk_dynamodb::Client::new(&world.config)
        .put_item()
        .table_name(world.id("Table"))
        .item("PK", text("OWED#111122223333#alice"))
        .item("SK", text("00000000000000000002#pager"))
        .item("due", text("due"))
        .item("due_at", text(&since))
        .item("at", text(&since))
        .item("sink", text("pager"));
    put.send().await.unwrap();
}

#[tokio::test]
async fn denied_checks_are_skipped_and_the_others_run() {
    let world = World::new().await;
    world.proxy.set(Fault {
        part: "GetEventSelectors",
        status: 400,
        body: r#"{"__type": "AccessDeniedException", "message": "not authorized"}"#,
        times: 1_000,
    });
    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.code, 1, "{}", said.stdout);
    let trail = said.check("trail");
    assert_eq!(trail["state"], "not_checked");
    assert!(
        trail["mend"]
            .to_string()
            .contains("cloudtrail:GetEventSelectors"),
        "{trail}"
    );
    for what in [
        "ChangesRule",
        "Detector",
        "AlertTopic: subscriptions",
        "sweep of this account",
    ] {
        assert_eq!(said.state(what), "ok", "{what}");
    }

    // An account that cannot be read must not hide the others.
    world.proxy.set_all(vec![]);
    let client = aws_sdk_dynamodb::Client::new(&world.config);
    let broken = client
        .put_item()
        .table_name(world.id("Table"))
        .item("PK", AttributeValue::S("ACCOUNT".to_owned()))
        .item("SK", AttributeValue::S("broken".to_owned()));
    broken.send().await.unwrap();
    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.state("sweep of this account"), "not_checked");
    assert_eq!(said.state("trail"), "ok");
}

#[tokio::test]
async fn a_missing_stack_is_named_with_its_account_and_region() {
    let world = World::new().await;
    let mut command = world.doctor(&["--region", "eu-west-1"]);
    command.arg("--probe");
    let said = run(command).await;
    assert_eq!(said.code, 2, "given twice: {}", said.stderr);

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_secondkey"));
    command
        .args([
            "doctor",
            "--stack",
            "another",
            "--region",
            "eu-west-1",
            "--probe-live",
            "--yes",
        ])
        .env("AWS_ENDPOINT_URL", &world.proxy.url)
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    let said = run(command).await;
    assert_eq!(said.code, 1);
    for line in [
        "FAILED       region: eu-west-1; IAM's events never arrive here",
        "FAILED       stack another: does not exist in region eu-west-1",
    ] {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
}
