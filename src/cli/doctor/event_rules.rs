//! Checks the rules: enabled, with our pattern or schedule, and with their queue as target.

use aws_config::SdkConfig;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::Target;

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryResult, evaluate};
use crate::cli::doctor::event_rule_checks::{
    Expected, RuleFacts, TargetArns, TargetFacts, judge_policy, judge_state, judge_targets,
    judge_what_it_lets_through,
};
use crate::cli::doctor::resource_policy::allowance;
use crate::cli::doctor::stack::DeployedStack;
use crate::cli::doctor::{forwarding, queues};

/// The event pattern in the template.
pub(super) const EVENT_PATTERN: &str = include_str!("../../../infra/event-pattern.json");

/// The input that starts a sweep.
const SWEEP_INPUT: &str = r#"{"secondkey_sweep":{"version":1}}"#;

pub(super) const CHANGES: Expected = Expected {
    rule: "ChangesRule",
    bus: None,
    pattern: Some(EVENT_PATTERN),
    target: "ChangesQueue",
    target_id: "changes",
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
    target_id: "sweep",
    input: Some(SWEEP_INPUT),
};

/// Checks the rules.
pub(super) async fn check(config: &SdkConfig, stack: &DeployedStack) -> Vec<CheckResult> {
    let from = stack.forwarded_from();
    let mut expected = vec![];
    if from.is_none() {
        expected.push(CHANGES);
    }
    if from.is_some() || stack.organization().is_some() {
        expected.push(MEMBER_CHANGES);
    }
    expected.push(SWEEPS);
    let client = Client::new(config);
    let checked = expected
        .iter()
        .map(|expected| one(config, &client, stack, expected));
    let mut checks = futures::future::join_all(checked).await.concat();
    if let Some(from) = from {
        checks.extend(forwarding::check(config, stack, from).await);
    }
    checks
}

async fn one(
    config: &SdkConfig,
    client: &Client,
    stack: &DeployedStack,
    expected: &Expected<'_>,
) -> Vec<CheckResult> {
    let found = stack.physical(expected.rule).and_then(|rule| {
        let bus = expected.bus.map(|bus| stack.physical(bus)).transpose()?;
        // The physical id of a rule on another bus is `bus|rule`.
        let name = rule.rsplit('|').next().unwrap_or(rule);
        Ok((name, bus, stack.physical(expected.target)?))
    });
    let (name, bus, queue_url) = match found {
        Ok(found) => found,
        Err(missing) => return vec![missing],
    };
    let rule = match describe(client, name, bus).await {
        Ok(rule) => rule,
        Err(error) => return vec![error.check(expected.rule)],
    };
    let queue_arn = stack.queue_arn(expected.target).unwrap_or_default();
    let targets = targets(client, name, bus).await;
    let policy = queues::policy(config, queue_url).await;
    let mut checks = vec![
        judge_state(expected, &rule),
        judge_what_it_lets_through(expected, &rule),
    ];
    let what = format!("{}: target", expected.rule);
    checks.push(evaluate(&what, targets, |targets| {
        let wanted = TargetArns {
            arn: queue_arn.clone(),
            dead_letters_arn: stack.queue_arn("RuleDeadLetters"),
            needs_role: false,
        };
        judge_targets(expected, &rule, &wanted, &targets)
    }));
    let what = format!("{}: policy of {}", expected.rule, expected.target);
    checks.push(evaluate(&what, policy, |policy| {
        let allowance = allowance(
            policy.as_deref(),
            &queue_arn,
            &rule.arn,
            &stack.location.account,
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

/// The rule `name` on `bus`, or on the default bus.
pub(super) async fn describe(
    client: &Client,
    name: &str,
    bus: Option<&str>,
) -> QueryResult<RuleFacts> {
    let rule = client
        .describe_rule()
        .name(name)
        .set_event_bus_name(bus.map(str::to_owned))
        .send()
        .await
        .map_err(|error| QueryError::of("events:DescribeRule", &error))?;
    Ok(RuleFacts {
        name: name.to_owned(),
        arn: rule.arn.unwrap_or_default(),
        bus: bus.map(str::to_owned),
        region: None,
        state: rule
            .state
            .map(|state| state.as_str().to_owned())
            .unwrap_or_default(),
        pattern: rule.event_pattern,
        schedule: rule.schedule_expression,
    })
}

/// The targets of the rule `name` on `bus`, or on the default bus.
pub(super) async fn targets(
    client: &Client,
    name: &str,
    bus: Option<&str>,
) -> QueryResult<Vec<TargetFacts>> {
    // A rule has at most five targets, so one page is enough.
    let listed = client
        .list_targets_by_rule()
        .rule(name)
        .set_event_bus_name(bus.map(str::to_owned))
        .send()
        .await
        .map_err(|error| QueryError::of("events:ListTargetsByRule", &error))?;
    let facts = |target: Target| TargetFacts {
        id: target.id,
        arn: target.arn,
        role_arn: target.role_arn,
        input: target.input,
        is_transformed: target.input_path.is_some() || target.input_transformer.is_some(),
        dead_letters_arn: target.dead_letter_config.and_then(|config| config.arn),
    };
    Ok(listed
        .targets
        .unwrap_or_default()
        .into_iter()
        .map(facts)
        .collect())
}

/// The rules that may send to the target of `expected`.
fn senders(stack: &DeployedStack, expected: &Expected, rule: &RuleFacts) -> Vec<String> {
    let others = [CHANGES, MEMBER_CHANGES, SWEEPS];
    let arn = |other: &Expected| {
        let name = stack.resources.get(other.rule)?.rsplit('|').next()?;
        let bus = match other.bus {
            Some(bus) => format!("{}/", stack.resources.get(bus)?),
            None => String::new(),
        };
        let place = &stack.location;
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
