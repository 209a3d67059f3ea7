//! The checks of one rule.

use serde_json::{Map, Value, json};

use crate::cli::doctor::check_result::CheckResult;
use crate::cli::doctor::resource_policy::{Allowance, policy_for};
use crate::output::shell::quoted;

/// How a rule should be configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// Its logical id, or another name of it.
    pub(super) rule: &'a str,
    /// The logical id of its bus; `None` for the default bus.
    pub(super) bus: Option<&'static str>,
    /// Its event pattern; `None` for a schedule.
    pub(super) pattern: Option<&'static str>,
    /// The logical id of its target, or another name of it.
    pub(super) target: &'a str,
    /// The id of that target within the rule.
    pub(super) target_id: &'static str,
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
    /// Its region, if that is not the one of the stack.
    pub(super) region: Option<String>,
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
    /// Its id within the rule.
    pub(super) id: String,
    /// Its ARN.
    pub(super) arn: String,
    /// The ARN of the role with which EventBridge sends to it.
    pub(super) role_arn: Option<String>,
    /// The input that is sent instead of the event.
    pub(super) input: Option<String>,
    /// Whether an input path or transformer replaces the event.
    pub(super) is_transformed: bool,
    /// The ARN of its dead-letter queue.
    pub(super) dead_letters_arn: Option<String>,
}

/// Where a rule should send its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetArns {
    /// The ARN of the target.
    pub(super) arn: String,
    /// The ARN of the queue for events that cannot be delivered.
    pub(super) dead_letters_arn: Option<String>,
    /// Whether EventBridge needs a role to send to the target.
    pub(super) needs_role: bool,
}

/// The options that name `rule`.
fn named(rule: &RuleFacts) -> String {
    let option = |name: &str, value: &Option<String>| {
        let value = value.as_deref().map(quoted);
        value.map_or(String::new(), |value| format!(" {name} {value}"))
    };
    format!(
        "{}{}{}",
        quoted(&rule.name),
        option("--event-bus-name", &rule.bus),
        option("--region", &rule.region)
    )
}

/// Checks that `rule` is enabled.
#[must_use]
pub(super) fn judge_state(expected: &Expected, rule: &RuleFacts) -> CheckResult {
    let found = format!("{} is {}", rule.name, rule.state.to_lowercase());
    if rule.state.starts_with("ENABLED") {
        return CheckResult::ok(expected.rule, found);
    }
    let fix = format!("aws events enable-rule --name {}", named(rule));
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
            "aws events put-rule --name {} --state ENABLED --event-pattern file://infra/event-pattern.json",
            named(rule)
        ),
    )
}

/// Checks that `rule` has the target, with the right input, a role if EventBridge needs one, and a
/// dead-letter queue.
#[must_use]
pub(super) fn judge_targets(
    expected: &Expected,
    rule: &RuleFacts,
    wanted: &TargetArns,
    targets: &[TargetFacts],
) -> CheckResult {
    let what = format!("{}: target", expected.rule);
    let target = targets.iter().find(|target| target.arn == wanted.arn);
    let fix = put_target(expected, rule, wanted, target);
    let Some(target) = target else {
        let found = format!("{} is not a target of the rule", expected.target);
        return CheckResult::failed(what, found, fix);
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let is_input_ours = target.input.as_deref().and_then(read) == expected.input.and_then(read);
    if target.is_transformed || !is_input_ours {
        let found = format!("{} receives the wrong input", expected.target);
        return CheckResult::failed(what, found, fix);
    }
    if wanted.needs_role && target.role_arn.is_none() {
        let found = format!(
            "{}, without the role that EventBridge needs to send there",
            expected.target
        );
        return CheckResult::failed(what, found, fix);
    }
    if target.dead_letters_arn.is_none() {
        return CheckResult::warning(
            what,
            format!(
                "{}, without a dead-letter queue: undeliverable events are lost",
                expected.target
            ),
            fix,
        );
    }
    CheckResult::ok(what, expected.target)
}

/// The command that sets the target as the template has it. `target` is what the rule has instead: a
/// target with the same id is replaced, one with another id would be added.
fn put_target(
    expected: &Expected,
    rule: &RuleFacts,
    wanted: &TargetArns,
    target: Option<&TargetFacts>,
) -> String {
    let id = target.map_or(expected.target_id, |target| &target.id);
    let dead_letters = target
        .and_then(|target| target.dead_letters_arn.as_ref())
        .or(wanted.dead_letters_arn.as_ref());
    let known_role = target.and_then(|target| target.role_arn.as_deref());
    let role_arn = wanted.needs_role.then(|| known_role.unwrap_or("ROLE_ARN"));
    let hint = if wanted.needs_role && known_role.is_none() {
        "; ROLE_ARN is the ARN of ForwardRole, which infra/member.yaml creates"
    } else {
        ""
    };
    let fields = [
        ("Id", Some(id.into())),
        ("Arn", Some(wanted.arn.as_str().into())),
        ("RoleArn", role_arn.map(Value::from)),
        ("Input", expected.input.map(Value::from)),
        (
            "DeadLetterConfig",
            dead_letters.map(|arn| json!({"Arn": arn})),
        ),
    ];
    let fields: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    format!(
        "aws events put-targets --rule {} --targets {}{hint}",
        named(rule),
        quoted(&json!([fields]).to_string())
    )
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
    let attributes = json!({"Policy": policy_for(queue_arn, senders)}).to_string();
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
