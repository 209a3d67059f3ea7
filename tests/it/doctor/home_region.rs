//! `secondkey doctor` on a stack in a home region, to which a rule elsewhere forwards IAM's events.

use aws_config::SdkConfig;
use aws_sdk_eventbridge::types::{DeadLetterConfig, Target};

use super::JSON;
use super::world::{HOME_REGION, STACK, World, in_region, run};
use crate::stack::clients::REGION;
use crate::stack::wiring::ACCOUNT;

const RULE: &str = "secondkey-forward-ChangesRule";
const FORWARDING: &str = "forwarding from us-east-1";

/// The rule, its target and the queue that `infra/member.yaml` creates. Returns the queue's URL.
async fn forward(there: &SdkConfig, role: Option<&str>, queue: Option<&str>) {
    let events = aws_sdk_eventbridge::Client::new(there);
    let put = events
        .put_rule()
        .name(RULE)
        .event_pattern(include_str!("../../../infra/event-pattern.json"));
    put.send().await.unwrap();
    let queue = queue.map(|arn| DeadLetterConfig::builder().arn(arn).build());
    let target = Target::builder()
        .id("central")
        .arn(format!(
            "arn:aws:events:{HOME_REGION}:{ACCOUNT}:event-bus/{STACK}"
        ))
        .set_role_arn(role.map(str::to_owned))
        .set_dead_letter_config(queue)
        .build()
        .unwrap();
    let put = events.put_targets().rule(RULE).targets(target);
    put.send().await.unwrap();
}

#[tokio::test]
async fn what_forwards_to_a_home_region_is_checked_where_it_is() {
    let world = World::in_home_region().await;
    let there = in_region(&world.config, REGION);
    let name = format!("{STACK}-member-dead-letters");
    // moto does not know the selectors of a trail of another region. This one records IAM's events
    // where they arrive.
    let trails = aws_sdk_cloudtrail::Client::new(&there);
    let elsewhere = aws_sdk_cloudtrail::Client::new(&world.config);
    elsewhere.delete_trail().name(STACK).send().await.unwrap();
    let made = trails
        .create_trail()
        .name("all")
        .s3_bucket_name(world.id("TrailBucket"));
    made.send().await.unwrap();
    trails.start_logging().name("all").send().await.unwrap();

    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.state("region"), "ok");
    assert_eq!(said.state("trail"), "ok", "{}", said.check("trail"));
    assert_eq!(said.state(FORWARDING), "failed");
    let fix = said.check(FORWARDING)["mend"].to_string();
    for part in [
        "deploy --stack-name secondkey-forward ",
        " --region us-east-1 ",
        " HomeRegion=eu-central-1",
    ] {
        assert!(fix.contains(part), "{part}: {fix}");
    }
    assert!(!fix.contains("--region eu-central-1"), "{fix}");

    let role = Some("arn:aws:iam::123456789012:role/forward");
    let sqs = aws_sdk_sqs::Client::new(&there);
    let created = sqs.create_queue().queue_name(&name).send().await.unwrap();
    let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
    forward(&there, role, Some(&queue)).await;
    let said = run(world.doctor(&[])).await;
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    for line in [
        "ok           region: eu-central-1, the home region; IAM's events are forwarded from us-east-1",
        "ok           MemberChangesRule: policy of ChangesQueue: allows the rule to send",
        "ok           forwarding from us-east-1: secondkey-forward-ChangesRule is enabled",
        "ok           forwarding from us-east-1: pattern: equal to infra/event-pattern.json",
        "ok           forwarding from us-east-1: target: the bus secondkey-doctor in eu-central-1",
        "ok           MemberDeadLetters in us-east-1: empty",
    ] {
        assert!(said.stdout.contains(line), "{line}\n{}", said.stdout);
    }

    let events = aws_sdk_eventbridge::Client::new(&there);
    forward(&there, None, None).await;
    let narrow = events
        .put_rule()
        .name(RULE)
        .event_pattern(r#"{"source":["aws.s3"]}"#);
    narrow.send().await.unwrap();
    events.disable_rule().name(RULE).send().await.unwrap();
    let dead = sqs
        .send_message()
        .queue_url(created.queue_url().unwrap())
        .message_body("not forwarded");
    dead.send().await.unwrap();
    trails.stop_logging().name("all").send().await.unwrap();
    let said = run(world.doctor(&JSON)).await;
    for (what, command) in [
        (FORWARDING.to_owned(), "aws events enable-rule"),
        (format!("{FORWARDING}: pattern"), "aws events put-rule"),
        (format!("{FORWARDING}: target"), "aws events put-targets"),
        (
            "MemberDeadLetters in us-east-1".to_owned(),
            "aws sqs receive-message",
        ),
        ("trail".to_owned(), "aws cloudtrail start-logging"),
    ] {
        assert_eq!(said.state(&what), "failed", "{}", said.check(&what));
        let fix = said.check(&what)["mend"].as_str().unwrap().to_owned();
        assert!(fix.starts_with(command), "{fix}");
        let regions: Vec<&str> = fix.split("--region ").skip(1).collect();
        assert!(
            matches!(regions.as_slice(), [region] if region.starts_with(REGION)),
            "{fix}"
        );
    }
}
