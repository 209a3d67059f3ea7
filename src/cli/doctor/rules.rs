//! The rules: enabled, with our pattern or schedule, and leading to their queue.

use aws_config::SdkConfig;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::Target;

use crate::cli::doctor::check::{Asked, Check, Unasked, judged};
use crate::cli::doctor::policy::allowance;
use crate::cli::doctor::queues;
use crate::cli::doctor::rule::{
    Expected, RuleFacts, TargetFacts, judge_policy, judge_state, judge_targets,
    judge_what_it_lets_through,
};
use crate::cli::doctor::stack::Deployed;

/// The pattern that the rules are deployed with.
pub(super) const EVENT_PATTERN: &str = include_str!("../../../infra/event-pattern.json");

/// What starts a sweep.
const SWEEP_INPUT: &str = r#"{"secondkey_sweep":{"version":1}}"#;

pub(super) const CHANGES: Expected = Expected {
    rule: "ChangesRule",
    bus: None,
    pattern: Some(EVENT_PATTERN),
    target: "ChangesQueue",
    input: None,
};

pub(super) const MEMBER_CHANGES: Expected = Expected {
    rule: "MemberChangesRule",
    bus: Some("EventBus"),
    ..CHANGES
};

pub(super) const SWEEPS: Expected = Expected {
    rule: "SweepSchedule",
    bus: None,
    pattern: None,
    target: "SweepQueue",
    input: Some(SWEEP_INPUT),
};

/// Looks at the rules.
pub(super) async fn check(config: &SdkConfig, stack: &Deployed) -> Vec<Check> {
    let mut expected = vec![CHANGES];
    if stack.organization().is_some() {
        expected.push(MEMBER_CHANGES);
    }
    expected.push(SWEEPS);
    let client = Client::new(config);
    let checked = expected
        .iter()
        .map(|expected| one(config, &client, stack, expected));
    futures::future::join_all(checked).await.concat()
}

async fn one(
    config: &SdkConfig,
    client: &Client,
    stack: &Deployed,
    expected: &Expected,
) -> Vec<Check> {
    let found = stack.physical(expected.rule).and_then(|rule| {
        let bus = expected.bus.map(|bus| stack.physical(bus)).transpose()?;
        // That of a rule on another bus is `bus|rule`.
        let name = rule.rsplit('|').next().unwrap_or(rule);
        Ok((name, bus, stack.physical(expected.target)?))
    });
    let (name, bus, queue_url) = match found {
        Ok(found) => found,
        Err(missing) => return vec![missing],
    };
    let rule = match describe(client, name, bus).await {
        Ok(rule) => rule,
        Err(unasked) => return vec![unasked.check(expected.rule)],
    };
    let queue_arn = stack.queue_arn(expected.target).unwrap_or_default();
    let targets = targets(client, name, bus).await;
    let policy = queues::policy(config, queue_url).await;
    let mut checks = vec![
        judge_state(expected, &rule),
        judge_what_it_lets_through(expected, &rule),
    ];
    let what = format!("{}: target", expected.rule);
    checks.push(judged(&what, targets, |targets| {
        judge_targets(expected, &rule, &queue_arn, &targets)
    }));
    let what = format!("{}: policy of {}", expected.rule, expected.target);
    checks.push(judged(&what, policy, |policy| {
        let allowance = allowance(
            policy.as_deref(),
            &queue_arn,
            &rule.arn,
            &stack.place.account,
        );
        judge_policy(
            &what,
            &allowance,
            queue_url,
            &queue_arn,
            &senders(stack, expected, &rule),
        )
    }));
    checks
}

async fn describe(client: &Client, name: &str, bus: Option<&str>) -> Asked<RuleFacts> {
    let rule = client
        .describe_rule()
        .name(name)
        .set_event_bus_name(bus.map(str::to_owned))
        .send()
        .await
        .map_err(|error| Unasked::of("events:DescribeRule", &error))?;
    Ok(RuleFacts {
        name: name.to_owned(),
        arn: rule.arn.unwrap_or_default(),
        bus: bus.map(str::to_owned),
        state: rule
            .state
            .map(|state| state.as_str().to_owned())
            .unwrap_or_default(),
        pattern: rule.event_pattern,
        schedule: rule.schedule_expression,
    })
}

async fn targets(client: &Client, name: &str, bus: Option<&str>) -> Asked<Vec<TargetFacts>> {
    // A rule has five targets at most, so there is one page.
    let listed = client
        .list_targets_by_rule()
        .rule(name)
        .set_event_bus_name(bus.map(str::to_owned))
        .send()
        .await
        .map_err(|error| Unasked::of("events:ListTargetsByRule", &error))?;
    let facts = |target: Target| TargetFacts {
        arn: target.arn,
        input: target.input,
        is_transformed: target.input_path.is_some() || target.input_transformer.is_some(),
        has_dead_letters: target
            .dead_letter_config
            .is_some_and(|config| config.arn.is_some()),
    };
    Ok(listed
        .targets
        .unwrap_or_default()
        .into_iter()
        .map(facts)
        .collect())
}

/// The rules that may send to the target of `expected`.
fn senders(stack: &Deployed, expected: &Expected, rule: &RuleFacts) -> Vec<String> {
    let others = [CHANGES, MEMBER_CHANGES, SWEEPS];
    let arn = |other: &Expected| {
        let name = stack.resources.get(other.rule)?.rsplit('|').next()?;
        let bus = match other.bus {
            Some(bus) => format!("{}/", stack.resources.get(bus)?),
            None => String::new(),
        };
        let place = &stack.place;
        Some(format!(
            "arn:{}:events:{}:{}:rule/{bus}{name}",
            place.partition, place.region, place.account
        ))
    };
    let mut senders: Vec<String> = others
        .iter()
        .filter(|other| other.target == expected.target && other.rule != expected.rule)
        .filter_map(arn)
        .collect();
    senders.insert(0, rule.arn.clone());
    senders
}
