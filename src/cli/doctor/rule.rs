//! What is right about one rule.

use serde_json::Value;

use crate::cli::doctor::check::Check;
use crate::cli::doctor::policy::{Allowance, policy_for};
use crate::output::shell::quoted;

/// What a rule should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Its logical id.
    pub(super) rule: &'static str,
    /// The logical id of its bus; the default bus if none.
    pub(super) bus: Option<&'static str>,
    /// The pattern of the events that it lets through; for a schedule there is none.
    pub(super) pattern: Option<&'static str>,
    /// The logical id of its target.
    pub(super) target: &'static str,
    /// What it sends in place of the event.
    pub(super) input: Option<&'static str>,
}

/// What is known of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleFacts {
    /// Its name.
    pub(super) name: String,
    /// Its ARN.
    pub(super) arn: String,
    /// The name of its bus, if that is not the default one.
    pub(super) bus: Option<String>,
    /// `ENABLED` or another word.
    pub(super) state: String,
    /// The events that it lets through.
    pub(super) pattern: Option<String>,
    /// When it fires.
    pub(super) schedule: Option<String>,
}

/// What is known of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetFacts {
    /// Its ARN.
    pub(super) arn: String,
    /// What is sent in place of the event.
    pub(super) input: Option<String>,
    /// Whether a part of the event or another text is sent in its place.
    pub(super) is_transformed: bool,
    /// Whether what cannot be delivered is kept.
    pub(super) has_dead_letters: bool,
}

fn on_bus(rule: &RuleFacts) -> String {
    rule.bus
        .as_ref()
        .map(|bus| format!(" --event-bus-name {}", quoted(bus)))
        .unwrap_or_default()
}

/// Whether `rule` is enabled.
#[must_use]
pub(super) fn judge_state(expected: &Expected, rule: &RuleFacts) -> Check {
    let found = format!("{} is {}", rule.name, rule.state.to_lowercase());
    if rule.state.starts_with("ENABLED") {
        return Check::ok(expected.rule, found);
    }
    let mend = format!(
        "aws events enable-rule --name {}{}",
        quoted(&rule.name),
        on_bus(rule)
    );
    Check::failed(expected.rule, found, mend)
}

/// Whether `rule` has our pattern, or a schedule.
#[must_use]
pub(super) fn judge_what_it_lets_through(expected: &Expected, rule: &RuleFacts) -> Check {
    let Some(pattern) = expected.pattern else {
        let what = format!("{}: schedule", expected.rule);
        return match rule.schedule.as_deref() {
            Some(schedule) if schedule == "rate(1 hour)" => Check::ok(what, schedule),
            other => Check::failed(
                what,
                format!("{} in place of rate(1 hour)", other.unwrap_or("none")),
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
        return Check::ok(what, "equal to infra/event-pattern.json");
    }
    Check::failed(
        what,
        format!(
            "differs from infra/event-pattern.json: {}",
            rule.pattern.as_deref().unwrap_or("there is none")
        ),
        format!(
            "aws events put-rule --name {}{} --state ENABLED --event-pattern file://infra/event-pattern.json",
            quoted(&rule.name),
            on_bus(rule)
        ),
    )
}

/// Whether `rule` leads to its queue, and sends what is read there.
#[must_use]
pub(super) fn judge_targets(
    expected: &Expected,
    rule: &RuleFacts,
    queue_arn: &str,
    targets: &[TargetFacts],
) -> Check {
    let what = format!("{}: target", expected.rule);
    let input = expected
        .input
        .map(|input| format!(", \"Input\": {}", Value::from(input)));
    let target = format!(
        r#"[{{"Id": "secondkey", "Arn": "{queue_arn}"{}}}]"#,
        input.unwrap_or_default()
    );
    let mend = format!(
        "aws events put-targets --rule {}{} --targets {}",
        quoted(&rule.name),
        on_bus(rule),
        quoted(&target)
    );
    let Some(target) = targets.iter().find(|target| target.arn == queue_arn) else {
        return Check::failed(what, format!("{} is none", expected.target), mend);
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let is_input_ours = target.input.as_deref().and_then(read) == expected.input.and_then(read);
    if target.is_transformed || !is_input_ours {
        let found = format!("{} gets another text than it reads", expected.target);
        return Check::failed(what, found, mend);
    }
    if !target.has_dead_letters {
        return Check::warning(
            what,
            format!("{}; what cannot be delivered is lost", expected.target),
            "give the target the dead-letter queue RuleDeadLetters again, with aws events put-targets",
        );
    }
    Check::ok(what, expected.target)
}

/// Whether the rule may send to its queue; `senders` are all the rules that should.
#[must_use]
pub(super) fn judge_policy(
    what: &str,
    allowance: &Allowance,
    queue_url: &str,
    queue_arn: &str,
    senders: &[String],
) -> Check {
    let attributes = serde_json::json!({"Policy": policy_for(queue_arn, senders)}).to_string();
    let mend = format!(
        "aws sqs set-queue-attributes --queue-url {} --attributes {}",
        quoted(queue_url),
        quoted(&attributes)
    );
    match allowance {
        Allowance::Allowed => Check::ok(what, "lets the rule send"),
        Allowance::Refused(why) => {
            Check::failed(what, format!("the rule may not send: {why}"), mend)
        }
        Allowance::Unclear(why) => Check::warning(what, why, mend),
    }
}

/// The same pattern with its lists in one order, which means the same to EventBridge.
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
#[path = "rule_tests.rs"]
mod tests;
