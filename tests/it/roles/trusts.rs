//! Who may take on the roles, and who may reach the bus and the queues.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::policies::{
    AUDIT, CENTRAL, EXTERNAL_ID, FUNCTIONS, ORGANIZATION, STACK, central, list, member, statements,
};
use crate::stack::cloudformation::Known;

#[test]
fn the_functions_roles_are_lambdas_alone() {
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
fn the_members_role_reads_only_and_opens_to_the_three_functions_with_the_external_id() {
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
    // The names that the trust relies on.
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
    // Making the report changes nothing that anybody relies on; importing a finding is an option.
    assert_eq!(
        others,
        [
            "iam:GenerateCredentialReport",
            "securityhub:BatchImportFindings"
        ]
    );
}

#[test]
fn the_bus_takes_the_events_of_the_organisation_and_nothing_put_by_hand() {
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
fn a_queue_takes_messages_of_our_own_rules_only() {
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
