//! The checks of one rule.

use serde_json::Value;

use crate::cli::doctor::check_result::CheckResult;
use crate::cli::doctor::resource_policy::{Allowance, policy_for};
use crate::output::shell::quoted;

/// How a rule should be configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Its logical id.
    pub(super) rule: &'static str,
    /// The logical id of its bus; `None` for the default bus.
    pub(super) bus: Option<&'static str>,
    /// Its event pattern; `None` for a schedule.
    pub(super) pattern: Option<&'static str>,
    /// The logical id of its target.
    pub(super) target: &'static str,
    /// The input that it sends instead of the event.
    pub(super) input: Option<&'static str>,
}

/// The facts about one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleFacts {
    /// Its name.
    pub(super) name: String,
    /// Its ARN.
    pub(super) arn: String,
    /// The name of its bus; `None` for the default bus.
    pub(super) bus: Option<String>,
    /// `ENABLED` or another word.
    pub(super) state: String,
    /// Its event pattern.
    pub(super) pattern: Option<String>,
    /// Its schedule expression.
    pub(super) schedule: Option<String>,
}

/// The facts about one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetFacts {
    /// Its ARN.
    pub(super) arn: String,
    /// The input that is sent instead of the event.
    pub(super) input: Option<String>,
    /// Whether an input path or transformer replaces the event.
    pub(super) is_transformed: bool,
    /// Whether it has a dead-letter queue.
    pub(super) has_dead_letters: bool,
}

fn on_bus(rule: &RuleFacts) -> String {
    rule.bus
        .as_ref()
        .map(|bus| format!(" --event-bus-name {}", quoted(bus)))
        .unwrap_or_default()
}

/// Checks that `rule` is enabled.
#[must_use]
pub(super) fn judge_state(expected: &Expected, rule: &RuleFacts) -> CheckResult {
    let found = format!("{} is {}", rule.name, rule.state.to_lowercase());
    if rule.state.starts_with("ENABLED") {
        return CheckResult::ok(expected.rule, found);
    }
    let fix = format!(
        "aws events enable-rule --name {}{}",
        quoted(&rule.name),
        on_bus(rule)
    );
    CheckResult::failed(expected.rule, found, fix)
}

/// Checks that `rule` has our pattern or our schedule.
#[must_use]
pub(super) fn judge_what_it_lets_through(expected: &Expected, rule: &RuleFacts) -> CheckResult {
    let Some(pattern) = expected.pattern else {
        let what = format!("{}: schedule", expected.rule);
        return match rule.schedule.as_deref() {
            Some(schedule) if schedule == "rate(1 hour)" => CheckResult::ok(what, schedule),
            other => CheckResult::failed(
                what,
                format!("{} instead of rate(1 hour)", other.unwrap_or("none")),
                format!(
                    "aws events put-rule --name {} --schedule-expression 'rate(1 hour)' --state ENABLED",
                    quoted(&rule.name)
                ),
            ),
        };
    };
    let what = format!("{}: pattern", expected.rule);
    let read = |text: &str| serde_json::from_str::<Value>(text).ok().map(in_one_order);
    let deployed = rule.pattern.as_deref().and_then(read);
    if deployed.is_some() && deployed == read(pattern) {
        return CheckResult::ok(what, "equal to infra/event-pattern.json");
    }
    CheckResult::failed(
        what,
        format!(
            "differs from infra/event-pattern.json: {}",
            rule.pattern.as_deref().unwrap_or("the rule has no pattern")
        ),
        format!(
            "aws events put-rule --name {}{} --state ENABLED --event-pattern file://infra/event-pattern.json",
            quoted(&rule.name),
            on_bus(rule)
        ),
    )
}

/// Checks that the queue is a target of `rule` and receives the right input.
#[must_use]
pub(super) fn judge_targets(
    expected: &Expected,
    rule: &RuleFacts,
    queue_arn: &str,
    targets: &[TargetFacts],
) -> CheckResult {
    let what = format!("{}: target", expected.rule);
    let input = expected
        .input
        .map(|input| format!(", \"Input\": {}", Value::from(input)));
    let target = format!(
        r#"[{{"Id": "secondkey", "Arn": "{queue_arn}"{}}}]"#,
        input.unwrap_or_default()
    );
    let fix = format!(
        "aws events put-targets --rule {}{} --targets {}",
        quoted(&rule.name),
        on_bus(rule),
        quoted(&target)
    );
    let Some(target) = targets.iter().find(|target| target.arn == queue_arn) else {
        let found = format!("{} is not a target of the rule", expected.target);
        return CheckResult::failed(what, found, fix);
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let is_input_ours = target.input.as_deref().and_then(read) == expected.input.and_then(read);
    if target.is_transformed || !is_input_ours {
        let found = format!("{} receives the wrong input", expected.target);
        return CheckResult::failed(what, found, fix);
    }
    if !target.has_dead_letters {
        return CheckResult::warning(
            what,
            format!(
                "{}, without a dead-letter queue: undeliverable events are lost",
                expected.target
            ),
            "add the dead-letter queue RuleDeadLetters to the target again, with aws events put-targets",
        );
    }
    CheckResult::ok(what, expected.target)
}

/// Checks that the rule may send to its queue. `senders` are all rules that should be able to.
#[must_use]
pub(super) fn judge_policy(
    what: &str,
    allowance: &Allowance,
    queue_url: &str,
    queue_arn: &str,
    senders: &[String],
) -> CheckResult {
    let attributes = serde_json::json!({"Policy": policy_for(queue_arn, senders)}).to_string();
    let fix = format!(
        "aws sqs set-queue-attributes --queue-url {} --attributes {}",
        quoted(queue_url),
        quoted(&attributes)
    );
    match allowance {
        Allowance::Allowed => CheckResult::ok(what, "allows the rule to send"),
        Allowance::Refused(why) => {
            CheckResult::failed(what, format!("the rule may not send: {why}"), fix)
        }
        Allowance::Unclear(why) => CheckResult::warning(what, why, fix),
    }
}

/// Sorts the lists in `pattern`. EventBridge ignores their order.
fn in_one_order(pattern: Value) -> Value {
    match pattern {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.into_iter().map(in_one_order).collect();
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, in_one_order(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
#[path = "event_rule_checks_tests.rs"]
mod tests;
