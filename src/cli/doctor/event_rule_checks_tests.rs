use super::*;
use crate::cli::doctor::check_result::CheckStatus;
use crate::cli::doctor::event_rules::{CHANGES, EVENT_PATTERN, MEMBER_CHANGES, SWEEPS};
use crate::cli::doctor::resource_policy::allowance;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:changes";

fn rule() -> RuleFacts {
    RuleFacts {
        name: "secondkey-ChangesRule-1".to_owned(),
        arn: "arn:aws:events:us-east-1:111122223333:rule/secondkey-ChangesRule-1".to_owned(),
        bus: None,
        region: None,
        state: "ENABLED".to_owned(),
        pattern: Some(EVENT_PATTERN.to_owned()),
        schedule: None,
    }
}

fn target() -> TargetFacts {
    TargetFacts {
        id: "changes".to_owned(),
        arn: QUEUE.to_owned(),
        role_arn: None,
        input: None,
        is_transformed: false,
        dead_letters_arn: Some("arn:dead".to_owned()),
    }
}

fn wanted() -> TargetArns {
    TargetArns {
        arn: QUEUE.to_owned(),
        dead_letters_arn: Some("arn:dead".to_owned()),
        needs_role: false,
    }
}

/// The targets in the command of `check`.
#[track_caller]
fn targets_to_put(check: CheckResult) -> Value {
    let fix = check.fix.unwrap();
    let targets = fix.split("--targets ").nth(1).unwrap();
    serde_json::from_str(targets.split('\'').nth(1).unwrap()).unwrap()
}

#[test]
fn a_disabled_rule_fails_with_the_command_that_enables_it() {
    assert_eq!(judge_state(&CHANGES, &rule()).state, CheckStatus::Ok);
    let mut rule = rule();
    rule.state = "DISABLED".to_owned();
    rule.bus = Some("secondkey".to_owned());
    let check = judge_state(&MEMBER_CHANGES, &rule);
    assert_eq!(check.state, CheckStatus::Failed);
    assert_eq!(
        check.fix.unwrap(),
        "aws events enable-rule --name secondkey-ChangesRule-1 --event-bus-name secondkey"
    );
}

#[test]
fn the_order_inside_a_pattern_does_not_matter() {
    let of = |pattern: Option<String>| {
        let rule = RuleFacts { pattern, ..rule() };
        judge_what_it_lets_through(&CHANGES, &rule).state
    };
    let mut turned: Value = serde_json::from_str(EVENT_PATTERN).unwrap();
    turned["$or"].as_array_mut().unwrap().reverse();
    let names = &mut turned["$or"][2]["detail"]["eventName"];
    names.as_array_mut().unwrap().reverse();
    assert_eq!(of(Some(turned.to_string())), CheckStatus::Ok);
    turned["$or"][2]["detail"]["eventName"]
        .as_array_mut()
        .unwrap()
        .pop();
    assert_eq!(of(Some(turned.to_string())), CheckStatus::Failed);
    assert_eq!(of(Some("no JSON".to_owned())), CheckStatus::Failed);
    assert_eq!(of(None), CheckStatus::Failed);
    let open = EVENT_PATTERN.replace(r#""source": ["aws.iam", "aws.health"],"#, "");
    assert_eq!(
        of(Some(open)),
        CheckStatus::Failed,
        "a forged event would get through"
    );
}

#[test]
fn a_sweep_starts_every_hour() {
    let of = |schedule: &str| {
        let rule = RuleFacts {
            schedule: Some(schedule.to_owned()),
            ..rule()
        };
        judge_what_it_lets_through(&SWEEPS, &rule).state
    };
    assert_eq!(of("rate(1 hour)"), CheckStatus::Ok);
    assert_eq!(of("rate(7 days)"), CheckStatus::Failed);
}

#[test]
fn the_target_must_be_the_queue_with_the_right_input() {
    let of = |expected: &Expected, change: fn(&mut TargetFacts)| {
        let mut target = target();
        change(&mut target);
        judge_targets(expected, &rule(), &wanted(), &[target]).state
    };
    assert_eq!(of(&CHANGES, |_| ()), CheckStatus::Ok);
    assert_eq!(
        of(&CHANGES, |target| target.arn = "arn:x".to_owned()),
        CheckStatus::Failed
    );
    assert_eq!(
        of(&CHANGES, |target| target.is_transformed = true),
        CheckStatus::Failed
    );
    assert_eq!(
        of(&CHANGES, |target| target.input = Some("{}".to_owned())),
        CheckStatus::Failed
    );
    assert_eq!(
        of(&CHANGES, |target| target.dead_letters_arn = None),
        CheckStatus::Warning
    );
    assert_eq!(of(&SWEEPS, |_| ()), CheckStatus::Failed);
    let spaced = |target: &mut TargetFacts| {
        target.input = Some(r#"{"secondkey_sweep": {"version": 1}}"#.to_owned());
    };
    assert_eq!(of(&SWEEPS, spaced), CheckStatus::Ok);
    assert_eq!(
        judge_targets(&CHANGES, &rule(), &wanted(), &[]).state,
        CheckStatus::Failed
    );
}

#[test]
fn the_command_replaces_a_wrong_target_and_keeps_its_parts() {
    let mut theirs = target();
    theirs.id = "theirs".to_owned();
    theirs.is_transformed = true;
    let check = judge_targets(&CHANGES, &rule(), &wanted(), &[theirs]);
    let dead = json!({"Arn": "arn:dead"});
    assert_eq!(
        targets_to_put(check),
        json!([{"Id": "theirs", "Arn": QUEUE, "DeadLetterConfig": dead}])
    );
    let check = judge_targets(&SWEEPS, &rule(), &wanted(), &[]);
    assert_eq!(
        targets_to_put(check),
        json!([{"Id": "sweep", "Arn": QUEUE, "DeadLetterConfig": dead,
            "Input": r#"{"secondkey_sweep":{"version":1}}"#}])
    );
}

#[test]
fn a_queue_that_refuses_the_rule_fails_with_a_policy_as_fix() {
    let refused = Allowance::Refused("the queue has no policy");
    let check = judge_policy("x", &refused, "https://q", QUEUE, &[rule().arn]);
    assert_eq!(check.state, CheckStatus::Failed);
    let fix = check.fix.unwrap();
    let attributes = fix
        .split("--attributes ")
        .nth(1)
        .unwrap()
        .trim_matches('\'');
    let attributes: Value = serde_json::from_str(attributes).unwrap();
    let policy = attributes["Policy"].as_str();
    let allowed = allowance(policy, QUEUE, &rule().arn, "111122223333");
    assert_eq!(allowed, Allowance::Allowed);
}
