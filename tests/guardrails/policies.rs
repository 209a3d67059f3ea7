//! The service control policies: their form and whom they deny.

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
fn each_policy_has_the_form_that_organizations_accepts() {
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
fn only_the_stack_sets_role_is_exempt_by_a_wildcard() {
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
fn only_exempt_roles_can_create_or_change_exempt_roles() {
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
fn only_the_break_glass_role_with_mfa_creates_access_keys() {
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
fn deactivating_and_deleting_keys_stays_allowed() {
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
fn only_stack_sets_change_secondkeys_member_resources() {
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

#[test]
fn the_central_account_may_update_and_remove_its_own_stack() {
    // A stack's changes are made with the permissions of the person or pipeline that deploys it.
    let (central, member) = ("000000000000", "111111111111");
    for (action, resource) in [
        (
            "events:PutRule",
            "arn:aws:events:us-east-1:ACCOUNT:rule/secondkey-ChangesRule-1A2B",
        ),
        (
            "sqs:SetQueueAttributes",
            "arn:aws:sqs:us-east-1:ACCOUNT:secondkey-ChangesQueue-1A2B",
        ),
        (
            "iam:PutRolePolicy",
            "arn:aws:iam::ACCOUNT:role/secondkey-detector",
        ),
        (
            "iam:DeleteRole",
            "arn:aws:iam::ACCOUNT:role/secondkey-sweeper",
        ),
        (
            "cloudtrail:UpdateTrail",
            "arn:aws:cloudtrail:us-east-1:ACCOUNT:trail/secondkey-trail",
        ),
    ] {
        let denied = |account: &str| {
            let principal = format!("arn:aws:iam::{account}:role/deployer");
            let resource = resource.replace("ACCOUNT", account);
            is_denied(PROTECT, &principal, Some(true), action, &resource)
        };
        assert!(!denied(central), "{action}");
        assert!(denied(member), "{action}");
    }
}

/// A name in the template: given directly, or built from the default of a parameter.
fn resolved(template: &str, value: &str) -> String {
    if let Some((parameter, rest)) = value
        .strip_prefix("!Sub ${")
        .and_then(|text| text.split_once('}'))
    {
        return resolved(template, &format!("!Ref {parameter}")) + rest;
    }
    let Some(parameter) = value.strip_prefix("!Ref ") else {
        return value.to_owned();
    };
    let (_, declared) = template.split_once(&format!("\n  {parameter}:\n")).unwrap();
    let (_, default) = declared.split_once("Default: ").unwrap();
    default.lines().next().unwrap().to_owned()
}

#[test]
fn every_name_in_the_member_template_is_protected() {
    // Resources without a name begin with `StackSet-secondkey-`, because the README names the stack
    // set that way.
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
