//! The statements of the roles and their conditions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::policies::{
    AUDIT, CENTRAL, FUNCTIONS, MEMBER, ORGANIZATION, Statement, central, member, roles, statements,
};
use crate::stack::cloudformation::{Known, Template};

/// The only actions on `*`, and why.
const ON_EVERYTHING: [(&str, &str); 4] = [
    ("iam:ListUsers", "IAM knows no resource for it"),
    (
        "iam:GenerateCredentialReport",
        "IAM knows no resource for it",
    ),
    ("iam:GetCredentialReport", "IAM knows no resource for it"),
    (
        "organizations:ListAccounts",
        "Organizations knows no resource for it",
    ),
];

/// The only other resources with a wildcard, and why.
const OPEN_RESOURCES: [(&str, &str, &str); 3] = [
    (
        "iam:ListAccessKeys",
        "arn:aws:iam::123456789012:user/*",
        "any user",
    ),
    (
        "iam:GetAccessKeyLastUsed",
        "arn:aws:iam::123456789012:user/*",
        "any user",
    ),
    (
        "sts:AssumeRole",
        "arn:aws:iam::*:role/secondkey-audit",
        "the condition names the organization",
    ),
];

/// Every statement of every role, in both templates.
fn all_statements() -> Vec<Statement> {
    let (central, member) = (central(&Known::default()), member());
    assert_eq!(
        roles(&central),
        ["DetectorRole", "SecurityHubRole", "SweeperRole"]
    );
    assert_eq!(roles(&member), [AUDIT, "ForwardRole"]);
    let both = [central, member];
    both.iter()
        .flat_map(|template| {
            roles(template)
                .into_iter()
                .flat_map(|role| statements(template, &role))
        })
        .collect()
}

#[test]
fn wildcards_are_limited_to_the_listed_resources() {
    for statement in all_statements() {
        for action in &statement.actions {
            assert!(!action.contains(['*', '?']), "{statement:?}");
            for resource in &statement.resources {
                let is_named = match resource.as_str() {
                    "*" => ON_EVERYTHING.iter().any(|(named, _)| named == action),
                    open if open.contains(['*', '?']) => {
                        let open = open.replace(MEMBER, CENTRAL);
                        OPEN_RESOURCES
                            .iter()
                            .any(|(named, resource, _)| named == action && *resource == open)
                    }
                    _ => true,
                };
                assert!(is_named, "{action} on {resource}: {statement:?}");
            }
        }
    }
}

#[test]
fn table_statements_name_partitions_and_require_them() {
    // Role, actions and partitions, exactly.
    let expected = [
        (
            "DetectorRole",
            "GetItem Query",
            "EXEMPTION#* FAMILIAR#* OWED#* USER#*",
        ),
        (
            "DetectorRole",
            "PutItem",
            "ACCOUNT AUDIT#* EVENT#* FAMILIAR#* OWED#* PROBE#* USER#*",
        ),
        ("DetectorRole", "DeleteItem UpdateItem", "OWED#*"),
        (
            "SweeperRole",
            "GetItem Query",
            "ACCOUNT EXEMPTION#* FAMILIAR#* OWED#* USER#*",
        ),
        (
            "SweeperRole",
            "PutItem",
            "ACCOUNT AUDIT#* FAMILIAR#* OWED#* USER#*",
        ),
        ("SweeperRole", "DeleteItem UpdateItem", "OWED#*"),
    ];
    let mut found = BTreeSet::new();
    for statement in all_statements() {
        if statement.resources != ["${Table.Arn}"] {
            continue;
        }
        let keys = statement.leading_keys().unwrap_or_default();
        let condition = json!({
            "ForAllValues:StringLike": {
                "dynamodb:LeadingKeys": statement.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"],
            },
            "Null": {"dynamodb:LeadingKeys": "false"},
        });
        assert_eq!(statement.condition, condition, "{statement:?}");
        let actions = statement.actions.iter();
        let actions: Vec<&str> = actions
            .map(|action| action.trim_start_matches("dynamodb:"))
            .collect();
        let keys: Vec<String> = keys.into_iter().collect();
        let is_new = found.insert((statement.role.clone(), actions.join(" "), keys.join(" ")));
        assert!(is_new, "{statement:?}");
    }
    let expected = expected
        .map(|(role, actions, keys)| (role.to_owned(), actions.to_owned(), keys.to_owned()));
    assert_eq!(found, expected.into());
}

#[test]
fn no_role_changes_audit_items_or_bypasses_conditions() {
    let known = ["GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem"]
        .map(|action| format!("dynamodb:{action}"));
    for statement in all_statements() {
        let of_table = statement
            .actions
            .iter()
            .filter(|action| action.starts_with("dynamodb:"));
        for action in of_table {
            assert!(known.contains(action), "{statement:?}");
            let on_index = ["${Table.Arn}/index/findings", "${Table.Arn}/index/due"];
            if statement.resources == on_index {
                assert_eq!(action, "dynamodb:Query");
            } else {
                assert_eq!(statement.resources, ["${Table.Arn}"]);
                let reaches_audit = statement.leading_keys().is_none_or(|keys| {
                    keys.iter()
                        .any(|key| key.starts_with(['*', '?']) || key.starts_with("AUDIT"))
                });
                assert!(
                    !reaches_audit || action == "dynamodb:PutItem",
                    "{statement:?}"
                );
            }
        }
    }
}

/// The condition under which the roles in `template.yaml` have `action`, the same in every
/// statement with it.
#[track_caller]
fn check_condition(action: &str, expected: &Value) {
    let all = all_statements();
    let of_action: Vec<&Statement> = all
        .iter()
        .filter(|statement| FUNCTIONS.contains(&statement.role.as_str()))
        .filter(|statement| statement.actions.contains(action))
        .collect();
    assert!(!of_action.is_empty(), "{action}");
    for statement in of_action {
        assert_eq!(statement.condition, *expected, "{statement:?}");
    }
}

#[test]
fn cross_account_actions_have_a_condition() {
    check_condition(
        "events:PutEvents",
        &json!({"StringEquals": {"events:source": ["secondkey", "secondkey.refresh"]}}),
    );
    check_condition(
        "sts:AssumeRole",
        &json!({"StringEquals": {"aws:ResourceOrgID": ORGANIZATION}}),
    );
    check_condition(
        "kms:GenerateDataKey",
        &json!({"StringEquals": {"kms:ViaService": "sns.us-east-1.amazonaws.com"}}),
    );
}

#[test]
fn the_tables_key_opens_this_table_only() {
    for role in ["DetectorRole", "SweeperRole"] {
        let statements = statements(&central(&Known::default()), role);
        let of_key = statements
            .iter()
            .find(|statement| statement.sid == "ReadTheTableUnderItsKey");
        let of_key = of_key.unwrap();
        assert_eq!(of_key.actions, ["kms:Decrypt".to_owned()].into());
        assert_eq!(
            of_key.condition,
            json!({"StringEquals": {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com",
                "kms:EncryptionContext:aws:dynamodb:tableName": "secondkey"}})
        );
    }
}

#[test]
fn disabled_options_grant_nothing() {
    let one_account = Known::from([("AWS::Region", "us-east-1")]);
    let central = Template::read("infra/template.yaml").resolve(&one_account);
    assert_eq!(roles(&central), ["DetectorRole", "SweeperRole"]);
    for role in roles(&central) {
        for statement in statements(&central, &role) {
            for optional in ["sts:AssumeRole", "organizations:ListAccounts"] {
                assert!(!statement.actions.contains(optional), "{statement:?}");
            }
            let is_of_table_key = statement.sid == "ReadTheTableUnderItsKey";
            assert!(!is_of_table_key, "{statement:?}");
        }
    }
}
