//! What the guardrail says of a Terraform plan. The rule is Rego and the same that Conftest and OPA run; it is built in.

use regorus::{Engine, Value};
use thiserror::Error;

/// The rule.
const RULE: &str = include_str!("../../infra/guardrails/iam_keys.rego");

/// Why nothing can be said of a plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// It is no JSON.
    #[error("this is no JSON: {0}; give it the output of `terraform show -json PLANFILE`")]
    NotJson(String),
    /// It is JSON and no plan, or one of a format that the rule does not know.
    #[error(
        "this is no Terraform plan of format 1.x, so no access key was counted; give it the output of `terraform show \
         -json PLANFILE`"
    )]
    NotAPlan,
    /// The options are no JSON object.
    #[error(
        "the options are no JSON object: {0}; write them as `{{\"secondkey\": {{\"allow_create_before_destroy\": true}}}}`"
    )]
    BadOptions(String),
    /// The rule fails on it.
    #[error("the rule fails on this plan, so it passes nothing: {0}")]
    RuleFailed(String),
}

/// What the rule says of `plan`, in order, if it is a plan. Both are JSON; `options` is what Conftest would take as
/// `--data`.
pub fn denials(plan: &str, options: &str) -> Result<Vec<String>, PlanError> {
    let mut engine = engine(plan, options)?;
    let is_plan = engine
        .eval_rule("data.main.is_plan".to_owned())
        .map_err(|error| PlanError::RuleFailed(error.to_string()))?;
    if is_plan != Value::from(true) {
        return Err(PlanError::NotAPlan);
    }
    deny(&mut engine)
}

/// What Conftest would print of `plan`, which may be any JSON: of one that is no plan the rule says so.
pub fn as_conftest(plan: &str, options: &str) -> Result<Vec<String>, PlanError> {
    deny(&mut engine(plan, options)?)
}

fn engine(plan: &str, options: &str) -> Result<Engine, PlanError> {
    let failed = |error: &dyn ToString| PlanError::RuleFailed(error.to_string());
    let plan = Value::from_json_str(plan).map_err(|error| PlanError::NotJson(error.to_string()))?;
    let bad = |error: &dyn ToString| PlanError::BadOptions(error.to_string());
    let options = Value::from_json_str(options).map_err(|error| bad(&error))?;
    let mut engine = Engine::new();
    engine
        .add_policy("iam_keys.rego".to_owned(), RULE.to_owned())
        .map_err(|error| failed(&error))?;
    engine.add_data(options).map_err(|error| bad(&error))?;
    engine.set_input(plan);
    Ok(engine)
}

fn deny(engine: &mut Engine) -> Result<Vec<String>, PlanError> {
    let failed = |error: &dyn ToString| PlanError::RuleFailed(error.to_string());
    let said = engine
        .eval_rule("data.main.deny".to_owned())
        .map_err(|error| failed(&error))?;
    let messages = said.as_set().map_err(|error| failed(&error))?;
    messages
        .iter()
        .map(|message| {
            let message = message.as_string().map_err(|error| failed(&error))?;
            Ok(message.to_string())
        })
        .collect()
}
