//! Plans that Terraform could not be made to write here, and contents that a plan should not have.

use std::fs;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::repository;
use crate::rule::denials;

fn plan(name: &str) -> Value {
    let text = fs::read_to_string(repository("tests/guardrails/plans").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn check(plan: &Value, options: &str, expected: &Expect) {
    expected.assert_eq(&denials(&plan.to_string(), options).join("\n"));
}

/// The changes to access keys.
fn key_changes(plan: &mut Value) -> impl Iterator<Item = &mut Value> {
    let changes = plan["resource_changes"].as_array_mut().unwrap();
    changes
        .iter_mut()
        .filter(|change| change["type"] == "aws_iam_access_key")
}

#[test]
fn options_allow_rotation_by_create_before_destroy() {
    let options = r#"{"secondkey": {"allow_create_before_destroy": true}}"#;
    check(&plan("replaced-create-first.json"), options, &expect![""]);
    let false_ = r#"{"secondkey": {"allow_create_before_destroy": false}}"#;
    assert_eq!(
        denials(&plan("replaced-create-first.json").to_string(), false_).len(),
        1
    );
    assert_eq!(
        denials(&plan("two-existing-keys.json").to_string(), options).len(),
        1
    );
}

#[test]
fn an_input_that_is_not_a_plan_is_denied() {
    let no_plan = expect![
        "the input is not a Terraform plan of format 1.x, so no access key was counted; pass the output of `terraform show -json PLANFILE`"
    ];
    let mut next_format = plan("one-key.json");
    next_format["format_version"] = json!("2.0");
    check(&next_format, "{}", &no_plan);
    let state = plan("two-existing-keys.json")["prior_state"].clone();
    check(&state, "{}", &no_plan);
    check(&json!([]), "{}", &no_plan);
    check(&json!({}), "{}", &no_plan);
}

#[test]
fn an_unchanged_deposed_key_counts() {
    let mut plan = plan("replaced-destroy-first.json");
    let resources = plan["prior_state"]["values"]["root_module"]["resources"]
        .as_array_mut()
        .unwrap();
    let mut deposed = resources[0].clone();
    assert_eq!(deposed["address"], "aws_iam_access_key.one");
    deposed["deposed_key"] = json!("1a2b3c4d");
    resources.push(deposed);
    check(
        &plan,
        "{}",
        &expect![[
            r#"IAM user "deploy" would have 2 active access keys: aws_iam_access_key.one, aws_iam_access_key.one (deposed 1a2b3c4d); keep one, and remove the others or set status = "Inactive" on them"#
        ]],
    );
    let mut destroyed = key_changes(&mut plan).next().unwrap().clone();
    destroyed["deposed"] = json!("1a2b3c4d");
    destroyed["change"]["actions"] = json!(["delete"]);
    destroyed["change"]["after"] = Value::Null;
    plan["resource_changes"]
        .as_array_mut()
        .unwrap()
        .push(destroyed);
    check(&plan, "{}", &expect![""]);
}

#[test]
fn a_key_without_a_known_status_is_active() {
    let mut plan = plan("inactive-second.json");
    check(&plan, "{}", &expect![""]);
    for change in key_changes(&mut plan) {
        change["change"]["after"]
            .as_object_mut()
            .unwrap()
            .remove("status");
    }
    assert_eq!(denials(&plan.to_string(), "{}").len(), 1);
}

#[test]
fn a_long_list_of_keys_is_truncated() {
    let mut plan = plan("count-of-two.json");
    let mut more = key_changes(&mut plan).next().unwrap().clone();
    for index in 2..30 {
        more["index"] = json!(index);
        more["address"] = json!(format!("aws_iam_access_key.this[{index}]"));
        plan["resource_changes"]
            .as_array_mut()
            .unwrap()
            .push(more.clone());
    }
    let told = denials(&plan.to_string(), "{}").join("\n");
    assert!(told.contains("would have 30 active access keys"), "{told}");
    assert!(told.contains(", and 20 more; keep one"), "{told}");
}

#[test]
fn text_in_a_plan_forges_no_line() {
    let text = plan("two-keys-of-a-literal-user.json").to_string();
    let text = text.replace(
        "aws_iam_access_key.one",
        r"aws_iam_access_key.one\r\n::error::\u001b[2J\u2028\u202e",
    );
    let told = denials(&text.replace("\"deploy\"", r#""deploy\nok\u0007""#), "{}");
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .chars()
            .all(|letter| letter == ' ' || letter.is_ascii_graphic()),
        "{told:?}"
    );
}

#[test]
fn names_count_without_a_configuration() {
    let mut plan = plan("two-keys-of-a-literal-user.json");
    plan["configuration"] = json!({});
    assert_eq!(denials(&plan.to_string(), "{}").len(), 1);
}

#[test]
fn a_user_is_reported_once_even_with_a_replaced_key() {
    let mut plan = plan("replaced-create-first.json");
    let mut other = key_changes(&mut plan).next().unwrap().clone();
    other["address"] = json!("aws_iam_access_key.two");
    other["name"] = json!("two");
    other["change"]["actions"] = json!(["create"]);
    plan["resource_changes"].as_array_mut().unwrap().push(other);
    let told = denials(&plan.to_string(), "{}");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("keep one"), "{told:?}");
}

#[test]
fn an_unchanged_or_forgotten_inactive_key_does_not_count() {
    for name in [
        "forgotten-key-and-a-new-one.json",
        "target-leaves-an-existing-key.json",
    ] {
        let mut plan = plan(name);
        for change in key_changes(&mut plan) {
            if change["address"] == "aws_iam_access_key.one" {
                change["change"]["before"]["status"] = json!("Inactive");
            }
        }
        let resources = &mut plan["prior_state"]["values"]["root_module"]["resources"];
        for resource in resources.as_array_mut().unwrap() {
            resource["values"]["status"] = json!("Inactive");
        }
        check(&plan, "{}", &expect![""]);
    }
}

#[test]
fn accounts_built_from_variables_stay_separate() {
    let mut plan = plan("two-accounts.json");
    for alias in ["aws.red", "aws.blue"] {
        let expressions = &mut plan["configuration"]["provider_config"][alias]["expressions"];
        assert!(expressions["assume_role"].is_array());
        expressions["assume_role"] = json!([{"role_arn": {"references": ["var.role"]}}]);
    }
    check(&plan, "{}", &expect![""]);
    for alias in ["aws.red", "aws.blue"] {
        let expressions = &mut plan["configuration"]["provider_config"][alias]["expressions"];
        expressions["assume_role"] =
            json!([{"role_arn": {"constant_value": "arn:aws:iam::111111111111:role/deploy"}}]);
    }
    assert_eq!(denials(&plan.to_string(), "{}").len(), 1);
}
