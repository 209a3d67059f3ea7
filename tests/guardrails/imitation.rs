//! Evaluates a service control policy like AWS, for the few operators that ours use. Any other
//! operator is an error.

use std::fs;

use serde_json::Value;
use wildmatch::WildMatch;

use crate::repository;

/// A policy in `infra/guardrails/`.
pub(crate) fn policy(name: &str) -> Value {
    let text = fs::read_to_string(repository("infra/guardrails").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Its statements.
pub(crate) fn statements(name: &str) -> Vec<Value> {
    policy(name)["Statement"].as_array().unwrap().clone()
}

/// A string or a list of strings.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().map(|text| text.as_str().unwrap()).collect(),
        other => panic!("neither a text nor a list of texts: {other}"),
    }
}

/// Each of an ARN's six parts is compared separately, as IAM does.
fn arn_fits(pattern: &str, arn: &str) -> bool {
    let mut parts = pattern.splitn(6, ':').zip(arn.splitn(6, ':'));
    parts.all(|(pattern, part)| WildMatch::new(pattern).matches(part))
}

fn condition_holds(
    operator: &str,
    key: &str,
    wanted: &[&str],
    principal: &str,
    mfa: Option<bool>,
) -> bool {
    match (operator, key) {
        ("ArnNotEquals" | "ArnNotLike", "aws:PrincipalArn") => {
            !wanted.iter().any(|arn| arn_fits(arn, principal))
        }
        ("StringNotEquals", "aws:PrincipalAccount") => {
            let account = principal.split(':').nth(4);
            !account.is_some_and(|account| wanted.contains(&account))
        }
        // `IfExists`: a request without the key meets the condition.
        ("BoolIfExists", "aws:MultiFactorAuthPresent") => {
            mfa.is_none_or(|mfa| wanted == [mfa.to_string()])
        }
        other => panic!("no imitation of {other:?}"),
    }
}

/// Whether a policy denies a call. `mfa` is the request's `aws:MultiFactorAuthPresent`, if it has
/// one.
pub(crate) fn is_denied(
    name: &str,
    principal: &str,
    mfa: Option<bool>,
    action: &str,
    resource: &str,
) -> bool {
    statements(name).iter().any(|statement| {
        texts(&statement["Action"]).contains(&action)
            && texts(&statement["Resource"])
                .iter()
                .any(|pattern| *pattern == "*" || arn_fits(pattern, resource))
            && statement["Condition"]
                .as_object()
                .unwrap()
                .iter()
                .all(|(operator, keys)| {
                    let mut keys = keys.as_object().unwrap().iter();
                    keys.all(|(key, wanted)| {
                        condition_holds(operator, key, &texts(wanted), principal, mfa)
                    })
                })
    })
}
