//! Runs the rule as Conftest does: every message of `data.main.deny`.

use regorus::{Engine, Value};

use crate::repository;

/// What the rule says of a plan, in order. `options` is what `--data` would load.
pub(crate) fn denials(plan: &str, options: &str) -> Vec<String> {
    let mut engine = Engine::new();
    engine
        .add_policy_from_file(repository("infra/guardrails/iam_keys.rego"))
        .expect("the rule is read");
    engine
        .add_data(Value::from_json_str(options).expect("options are JSON"))
        .expect("options are taken");
    engine.set_input(Value::from_json_str(plan).expect("a plan is JSON"));
    let denials = engine
        .eval_rule("data.main.deny".to_owned())
        .expect("the rule runs");
    let denials = denials.as_set().expect("the rule gives a set");
    denials
        .iter()
        .map(|message| message.as_string().expect("a message is text").to_string())
        .collect()
}
