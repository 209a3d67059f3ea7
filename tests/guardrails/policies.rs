//! The service control policies: their form, and whom they stop.

use std::fs;

use crate::imitation::{is_denied, policy, statements, texts};
use crate::repository;

const CREATE: &str = "deny-create-access-key.json";
const PROTECT: &str = "protect-secondkey.json";
/// AWS Organizations user guide, quotas: characters of one service control policy.
const LARGEST: usize = 5_120;

const BREAK_GLASS: &str = "arn:aws:iam::000000000000:role/replace-me/break-glass-create-access-key";
const ADMINISTRATOR: &str = "arn:aws:iam::111111111111:role/admin";
const ROOT: &str = "arn:aws:iam::111111111111:root";
const STACK_SETS: &str =
    "arn:aws:iam::111111111111:role/stacksets-exec-0123456789abcdef0123456789abcdef";
const SOME_USER: &str = "arn:aws:iam::111111111111:user/deploy";

#[test]
fn each_policy_is_of_the_form_that_organizations_takes() {
    for name in [CREATE, PROTECT] {
        let policy = policy(name);
        assert_eq!(policy["Version"], "2012-10-17", "{name}");
        assert!(policy.to_string().len() < LARGEST, "{name} is too large");
        for statement in statements(name) {
            assert_eq!(statement["Effect"], "Deny", "{name}: {statement}");
            assert!(
                statement["Sid"]
                    .as_str()
                    .unwrap()
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric())
            );
            assert!(
                !statement["Condition"].as_object().unwrap().is_empty(),
                "{name}: {statement}"
            );
            for unwanted in ["Principal", "NotPrincipal", "NotAction", "NotResource"] {
                assert!(statement.get(unwanted).is_none(), "{name}: {unwanted}");
            }
        }
    }
}

#[test]
fn each_action_is_written_out() {
    for name in [CREATE, PROTECT] {
        for statement in statements(name) {
            for action in texts(&statement["Action"]) {
                let (service, call) = action.split_once(':').unwrap();
                assert!(
                    service.chars().all(|letter| letter.is_ascii_lowercase()),
                    "{action}"
                );
                assert!(
                    call.starts_with(|letter: char| letter.is_ascii_uppercase()),
                    "{action}"
                );
                assert!(
                    call.chars().all(|letter| letter.is_ascii_alphanumeric()),
                    "{action}"
                );
            }
        }
    }
}

#[test]
fn nobody_is_exempt_by_a_wildcard_but_the_role_that_stack_sets_name_themselves() {
    for name in [CREATE, PROTECT] {
        for statement in statements(name) {
            for (_, keys) in statement["Condition"].as_object().unwrap() {
                let Some(exempt) = keys.get("aws:PrincipalArn") else {
                    continue;
                };
                for arn in texts(exempt) {
                    let stack_sets = arn == "arn:aws:iam::*:role/stacksets-exec-*";
                    assert!(
                        stack_sets || !arn.contains(['*', '?']),
                        "{name} exempts {arn}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_role_that_is_exempt_can_be_made_or_opened_by_nobody_who_is_not() {
    let made_up = "arn:aws:iam::111111111111:role/stacksets-exec-mine";
    for action in ["iam:CreateRole", "iam:UpdateAssumeRolePolicy"] {
        assert!(is_denied(
            CREATE,
            ADMINISTRATOR,
            Some(true),
            action,
            made_up
        ));
        assert!(is_denied(
            CREATE,
            ADMINISTRATOR,
            Some(true),
            action,
            BREAK_GLASS
        ));
        assert!(is_denied(
            CREATE,
            BREAK_GLASS,
            Some(true),
            action,
            BREAK_GLASS
        ));
        assert!(is_denied(
            PROTECT,
            ADMINISTRATOR,
            Some(true),
            action,
            made_up
        ));
        assert!(!is_denied(CREATE, STACK_SETS, None, action, BREAK_GLASS));
    }
}

#[test]
fn only_the_break_glass_role_with_mfa_makes_access_keys() {
    let may = |principal, mfa| !is_denied(CREATE, principal, mfa, "iam:CreateAccessKey", SOME_USER);
    assert!(may(BREAK_GLASS, Some(true)));
    assert!(!may(BREAK_GLASS, Some(false)));
    assert!(!may(BREAK_GLASS, None));
    let namesake = BREAK_GLASS.replace("000000000000", "111111111111");
    for other in [ADMINISTRATOR, ROOT, STACK_SETS, SOME_USER, &namesake] {
        assert!(!may(other, Some(true)), "{other}");
    }
}

#[test]
fn an_access_key_can_be_deactivated_and_deleted_by_whom_it_could_before() {
    for action in ["iam:UpdateAccessKey", "iam:DeleteAccessKey"] {
        for name in [CREATE, PROTECT] {
            assert!(
                !is_denied(name, ADMINISTRATOR, None, action, SOME_USER),
                "{name}: {action}"
            );
        }
    }
}

#[test]
fn what_secondkey_has_in_a_member_is_changed_by_stack_sets_only() {
    for (action, resource) in [
        (
            "events:DisableRule",
            "arn:aws:events:us-east-1:111111111111:rule/secondkey-changes",
        ),
        (
            "events:PutRule",
            "arn:aws:events:us-east-1:111111111111:rule/secondkey-changes",
        ),
        (
            "events:RemoveTargets",
            "arn:aws:events:us-east-1:111111111111:rule/secondkey-changes",
        ),
        (
            "sqs:SetQueueAttributes",
            "arn:aws:sqs:us-east-1:111111111111:secondkey-dead-letters",
        ),
        (
            "iam:DeleteRole",
            "arn:aws:iam::111111111111:role/secondkey-audit",
        ),
        (
            "iam:PutRolePermissionsBoundary",
            "arn:aws:iam::111111111111:role/secondkey-audit",
        ),
        (
            "cloudformation:DeleteStack",
            "arn:aws:cloudformation:us-east-1:111111111111:stack/StackSet-secondkey-member-1a2b/3c4d",
        ),
        (
            "cloudtrail:StopLogging",
            "arn:aws:cloudtrail:us-east-1:111111111111:trail/secondkey-trail",
        ),
    ] {
        assert!(
            is_denied(PROTECT, ADMINISTRATOR, Some(true), action, resource),
            "{action}"
        );
        assert!(
            is_denied(PROTECT, ROOT, Some(true), action, resource),
            "{action}"
        );
        assert!(
            !is_denied(PROTECT, STACK_SETS, None, action, resource),
            "{action}"
        );
        let others = resource.replace("secondkey-", "billing-");
        assert!(
            !is_denied(PROTECT, ADMINISTRATOR, None, action, &others),
            "{action}"
        );
    }
}

/// A name in the template: given as it is, or as the default of a parameter.
fn resolved<'a>(template: &'a str, value: &'a str) -> &'a str {
    let Some(parameter) = value.strip_prefix("!Ref ") else {
        return value;
    };
    let (_, declared) = template.split_once(&format!("\n  {parameter}:\n")).unwrap();
    let (_, default) = declared.split_once("Default: ").unwrap();
    default.lines().next().unwrap()
}

#[test]
fn each_name_that_the_members_template_gives_is_protected() {
    // What it names not at all begins with `StackSet-secondkey-`, as the README has the stack set named.
    let template = fs::read_to_string(repository("infra/member.yaml")).unwrap();
    let (parameters, resources) = template.split_once("\nResources:\n").unwrap();
    let mut roles = 0;
    for line in resources.lines() {
        let line = line.trim();
        let (action, resource) = match line.split_once(": ") {
            Some(("RoleName", name)) => {
                roles += 1;
                (
                    "iam:DeleteRole",
                    format!(
                        "arn:aws:iam::111111111111:role/{}",
                        resolved(parameters, name)
                    ),
                )
            }
            Some(("QueueName", name)) => (
                "sqs:DeleteQueue",
                format!(
                    "arn:aws:sqs:us-east-1:111111111111:{}",
                    resolved(parameters, name)
                ),
            ),
            Some(("Name", name)) => (
                "events:DeleteRule",
                format!(
                    "arn:aws:events:us-east-1:111111111111:rule/{}",
                    resolved(parameters, name)
                ),
            ),
            _ => continue,
        };
        assert!(
            is_denied(PROTECT, ADMINISTRATOR, None, action, &resource),
            "{line} is not protected"
        );
    }
    assert!(roles > 0, "the template names no role");
}
