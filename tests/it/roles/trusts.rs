//! Who may assume the roles, and who may reach the bus and the queues.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::policies::{
    AUDIT, CENTRAL, EXTERNAL_ID, FUNCTIONS, ORGANIZATION, STACK, central, list, member, statements,
};
use crate::stack::cloudformation::Known;

#[test]
fn only_lambda_may_assume_the_functions_roles() {
    let central = central(&Known::default());
    for role in FUNCTIONS {
        let trust = &central["Resources"][role]["Properties"]["AssumeRolePolicyDocument"];
        assert_eq!(
            list(&trust["Statement"]),
            [
                json!({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
            ]
        );
    }
}

#[test]
fn the_members_role_is_read_only_and_trusts_three_functions() {
    let member = member();
    let trust = &member["Resources"][AUDIT]["Properties"]["AssumeRolePolicyDocument"];
    let functions = ["detector", "sweeper", "securityhub"]
        .map(|function| format!("arn:aws:iam::{CENTRAL}:role/{STACK}-{function}"));
    assert_eq!(
        list(&trust["Statement"]),
        [json!({
            "Sid": "OnlyTheCentralFunctions", "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"AWS": format!("arn:aws:iam::{CENTRAL}:root")},
            "Condition": {"ArnEquals": {"aws:PrincipalArn": functions}, "StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
        })]
    );
    // The names that the trust policy relies on.
    let central = central(&Known::default());
    let names = FUNCTIONS.map(|role| &central["Resources"][role]["Properties"]["RoleName"]);
    assert_eq!(
        names,
        [
            "secondkey-detector",
            "secondkey-sweeper",
            "secondkey-securityhub"
        ]
    );

    let all: BTreeSet<String> = statements(&member, AUDIT)
        .into_iter()
        .flat_map(|statement| statement.actions)
        .collect();
    let (reads, others): (Vec<&str>, Vec<&str>) =
        all.iter().map(String::as_str).partition(|action| {
            ["iam:List", "iam:Get"]
                .iter()
                .any(|read| action.starts_with(read))
        });
    assert_eq!(reads.len(), 4, "{reads:?}");
    // Generating the report changes nothing that others rely on; importing a finding is an option.
    assert_eq!(
        others,
        [
            "iam:GenerateCredentialReport",
            "securityhub:BatchImportFindings"
        ]
    );
}

#[test]
fn the_bus_accepts_only_events_forwarded_by_the_organization() {
    let central = central(&Known::default());
    let policy = &central["Resources"]["EventBusPolicy"]["Properties"]["Statement"];
    assert_eq!(
        *policy,
        json!({
            "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": "${EventBus.Arn}",
            "Condition": {
                "StringEquals": {"aws:PrincipalOrgID": ORGANIZATION, "events:source": ["aws.iam", "aws.health"]},
                "Bool": {"events:eventBusInvocation": "true"},
            },
        })
    );
}

#[test]
fn queues_accept_only_messages_of_our_own_rules() {
    let expected = [
        (
            "ChangesQueuePolicy",
            "${ChangesQueue",
            "ChangesRule MemberChangesRule",
        ),
        (
            "RuleDeadLettersPolicy",
            "${RuleDeadLetters",
            "ChangesRule SweepSchedule MemberChangesRule SecurityHubRule",
        ),
        ("SweepQueuePolicy", "${SweepQueue", "SweepSchedule"),
    ];
    let central = central(&Known::default());
    let resources = central["Resources"].as_object().unwrap();
    let policies: Vec<&String> = resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::SQS::QueuePolicy")
        .map(|(name, _)| name)
        // Rules of other accounts: `only_rules_of_the_organization_reach_the_members_dead_letters`.
        .filter(|name| *name != "MemberDeadLettersPolicy")
        .collect();
    assert_eq!(policies, expected.map(|(policy, ..)| policy));
    for (policy, queue, rules) in expected {
        let properties = &resources[policy]["Properties"];
        assert_eq!(properties["Queues"], json!([format!("{queue}}}")]));
        let [statement] = list(&properties["PolicyDocument"]["Statement"])
            .try_into()
            .unwrap();
        assert_eq!(statement["Effect"], "Allow");
        assert_eq!(
            statement["Principal"],
            json!({"Service": "events.amazonaws.com"})
        );
        assert_eq!(statement["Action"], "sqs:SendMessage");
        assert_eq!(statement["Resource"], format!("{queue}.Arn}}"));
        let sources = list(&statement["Condition"]["ArnEquals"]["aws:SourceArn"]);
        let rules: Vec<Value> = rules
            .split(' ')
            .map(|rule| json!(format!("${{{rule}.Arn}}")))
            .collect();
        assert_eq!(sources, rules, "{policy}");
        assert_eq!(statement["Condition"].as_object().unwrap().len(), 1);
    }
}
