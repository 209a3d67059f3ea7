//! Runs the guardrail on a Terraform plan. The built-in rule is the same Rego file that Conftest
//! and OPA run.

use regorus::{Engine, Value};
use serde::Deserialize;
use thiserror::Error;

const RULE: &str = include_str!("../../infra/guardrails/iam_keys.rego");

/// Why a plan cannot be checked.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The input is not JSON.
    #[error("the input is not JSON: {0}; pass the output of `terraform show -json PLANFILE`")]
    NotJson(String),
    /// The input is JSON but not a plan, or a plan of a format that the rule does not support.
    #[error(
        "the input is not a Terraform plan of format 1.x, so no access key was counted; pass the output of `terraform show \
         -json PLANFILE`"
    )]
    NotAPlan,
    /// Terraform failed while it made the plan.
    #[error(
        "Terraform did not finish this plan because of an error (`errored`), so access keys may be missing from it; fix the \
         error and plan again"
    )]
    Unfinished,
    /// The options are not JSON, or the rule does not have them.
    #[error(
        "the options cannot be used: {0}; write them as `{{\"secondkey\": {{\"allow_create_before_destroy\": true}}}}`"
    )]
    BadOptions(String),
    /// The rule itself failed.
    #[error("the rule failed on this plan, so the plan does not pass: {0}")]
    RuleFailed(String),
}

/// The options that the rule has. A misspelled option would change nothing without a word.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(rename = "secondkey", default)]
    _rule: RuleOptions,
}

/// The options of this rule.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOptions {
    #[serde(rename = "allow_create_before_destroy", default)]
    _allows_create_before_destroy: bool,
}

/// The rule's denials of `plan`, in order, if it is a plan. Both arguments are JSON; `options` is
/// what Conftest receives as `--data`.
pub(crate) fn denials(plan: &str, options: &str) -> Result<Vec<String>, PlanError> {
    let mut engine = engine(plan, options)?;
    let is_plan = engine
        .eval_rule("data.main.is_plan".to_owned())
        .map_err(|error| PlanError::RuleFailed(error.to_string()))?;
    if is_plan != Value::from(true) {
        return Err(PlanError::NotAPlan);
    }
    let is_errored = engine
        .eval_rule("data.main.is_errored".to_owned())
        .map_err(|error| PlanError::RuleFailed(error.to_string()))?;
    if is_errored == Value::from(true) {
        return Err(PlanError::Unfinished);
    }
    deny(&mut engine)
}

/// What Conftest would print for `plan`, which may be any JSON. If it is not a plan, the rule
/// itself reports that.
pub fn as_conftest(plan: &str, options: &str) -> Result<Vec<String>, PlanError> {
    deny(&mut engine(plan, options)?)
}

fn engine(plan: &str, options: &str) -> Result<Engine, PlanError> {
    let failed = |error: &dyn ToString| PlanError::RuleFailed(error.to_string());
    let plan = Value::from_json_str(plan).map_err(|error| PlanError::NotJson(error.to_string()))?;
    let bad = |error: &dyn ToString| PlanError::BadOptions(error.to_string());
    serde_json::from_str::<Options>(options).map_err(|error| bad(&error))?;
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
