//! The template itself: what it deploys, which regions it refuses, and that its alarms and
//! dashboard refer to existing metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use aws_config::Region;
use aws_sdk_cloudformation::types::{Capability, Parameter};
use chrono::Utc;
use secondkey::aws::metrics::{Metrics, NAMES};
use serde_json::{Value, json};

use crate::stack::clients::config;
use crate::stack::cloudformation::{Known, Template};
use crate::stack::fetch::{moto, sam_python};
use crate::stack::server::start_moto;
use crate::stack::template::expanded;
use crate::stack::wiring::{EXTERNAL_ID, ORGANIZATION, deploy};

/// The types that moto creates.
const MADE: [&str; 14] = [
    "AWS::CloudWatch::Dashboard",
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
];

/// The types that moto silently skips, and what tests them instead.
const PASSED_OVER: [(&str, &str); 8] = [
    ("AWS::CloudTrail::Trail", "cfn-lint"),
    (
        "AWS::CloudWatch::Alarm",
        "every_alarm_has_an_existing_metric_and_a_recipient",
    ),
    ("AWS::Events::EventBusPolicy", "the tests of the roles"),
    ("AWS::Lambda::EventInvokeConfig", "cfn-lint"),
    ("AWS::S3::BucketPolicy", "cfn-lint"),
    ("AWS::SNS::Subscription", "cfn-lint"),
    ("AWS::SNS::TopicPolicy", "cfn-lint"),
    ("AWS::SQS::QueuePolicy", "the tests of the roles"),
];

async fn own_moto() -> crate::stack::server::Server {
    let started = tokio::task::spawn_blocking(|| start_moto(&[])).await;
    started.expect("it starts")
}

async fn resources() -> Vec<(&'static str, &'static str, &'static Value)> {
    let resources = expanded().await["Resources"].as_object();
    resources
        .expect("a template has resources")
        .iter()
        .map(|(name, resource)| {
            let kind = resource["Type"].as_str().expect("a resource has a type");
            (name.as_str(), kind, &resource["Properties"])
        })
        .collect()
}

#[tokio::test]
async fn every_resource_is_created_here_or_covered_by_another_test() {
    let moto = own_moto().await;
    let config = config(&moto.url).await;
    let everything = [
        ("AlertEmail", "security@example.com"),
        ("OrganizationId", ORGANIZATION),
        ("MemberExternalId", EXTERNAL_ID),
        ("ListAccounts", "true"),
        ("SecurityHubImport", "members"),
        ("CreateTrail", "true"),
    ];
    deploy(&config, "everything", &everything).await;
    let cloudformation = aws_sdk_cloudformation::Client::new(&config);
    let described = cloudformation
        .describe_stack_resources()
        .stack_name("everything")
        .send();
    let made: BTreeSet<String> = described
        .await
        .expect("the stack can be described")
        .stack_resources
        .unwrap_or_default()
        .into_iter()
        .filter_map(|resource| resource.logical_resource_id)
        .collect();
    for (name, kind, _) in resources().await {
        if MADE.contains(&kind) {
            assert!(made.contains(name), "{name} was not made");
        } else {
            let known = PASSED_OVER.iter().any(|(known, _)| *known == kind);
            assert!(
                known,
                "{kind} is unknown to this test: is it created, or covered by another test?"
            );
        }
    }
}

/// CloudFormation checks `Rules` before it creates anything (CloudFormation user guide, *Rules*);
/// the emulator does not evaluate them.
#[test]
fn the_central_stack_is_refused_where_no_iam_events_arrive() {
    let template = Template::read("infra/template.yaml");
    let is_accepted = |region: &str, from: &str| {
        let known = Known::from([("AWS::Region", region), ("IamEventsRegion", from)]);
        let rules = template.resolve(&known)["Rules"].take();
        rules.as_object().unwrap().values().all(|rule| {
            let assertions = rule["Assertions"].as_array().unwrap();
            rule["RuleCondition"] == false || assertions.iter().all(|one| one["Assert"] == true)
        })
    };
    for (region, is_right) in [
        ("eu-west-1", false),
        ("cn-northwest-1", false),
        ("us-gov-east-1", false),
        ("us-east-1", true),
        ("us-gov-west-1", true),
        ("cn-north-1", true),
        ("eusc-de-east-1", true),
    ] {
        assert_eq!(is_accepted(region, "here"), is_right, "{region}");
    }
    assert!(is_accepted("eu-west-1", "us-east-1"));
    assert!(!is_accepted("us-east-1", "us-east-1"));
    let rule = &template.0["Rules"]["IamEventsArriveHere"]["Assertions"][0];
    let told = rule["AssertDescription"].as_str().unwrap();
    for right in ["us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"] {
        assert!(told.contains(right), "{told}");
    }
}

#[tokio::test]
async fn a_member_stack_is_refused_where_no_iam_events_arrive() {
    let moto = own_moto().await;
    let member = include_str!("../../infra/member.yaml");
    for (region, is_right) in [("eu-west-1", false), ("us-east-1", true)] {
        let parameter = |key: &str, value: &str| {
            let parameter = Parameter::builder().parameter_key(key);
            parameter.parameter_value(value).build()
        };
        let config = config(&moto.url)
            .await
            .to_builder()
            .region(Region::new(region))
            .build();
        let created = aws_sdk_cloudformation::Client::new(&config)
            .create_stack()
            .stack_name("secondkey-member")
            .template_body(member)
            .capabilities(Capability::CapabilityNamedIam)
            .parameters(parameter("CentralAccountId", "111122223333"))
            .parameters(parameter("MemberExternalId", EXTERNAL_ID))
            .send()
            .await;
        assert_eq!(created.is_ok(), is_right, "{region}: {created:?}");
    }
}

#[tokio::test]
async fn the_rules_contain_the_published_pattern() {
    let pattern: Value =
        serde_json::from_str(include_str!("../../infra/event-pattern.json")).expect("it is JSON");
    let member = Template::read("infra/member.yaml");
    let of_member = &member.0["Resources"]["ChangesRule"]["Properties"]["EventPattern"];
    assert_eq!(of_member, &pattern);
    let rules: Vec<&Value> = resources()
        .await
        .into_iter()
        .filter(|(name, _, _)| ["ChangesRule", "MemberChangesRule"].contains(name))
        .map(|(_, _, properties)| &properties["EventPattern"])
        .collect();
    assert_eq!(rules, [&pattern, &pattern]);
}

/// The resources of a template, as written.
fn written(path: &str) -> Vec<(String, String, Value)> {
    let template = Template::read(path);
    let resources = template.0["Resources"].as_object().unwrap().clone();
    resources
        .into_iter()
        .map(|(name, mut resource)| {
            let kind = resource["Type"].as_str().unwrap().to_owned();
            (name, kind, resource["Properties"].take())
        })
        .collect()
}

/// The namespace, name and dimensions of each metric that a function writes, from the metrics
/// themselves: CloudWatch keeps each combination of dimensions as a metric of its own.
fn written_metrics() -> BTreeSet<(String, String, Vec<String>)> {
    let counted = |name| BTreeMap::from([(name, 1)]);
    let metrics = Metrics {
        events_by_outcome: counted("opened"),
        ignored_by_reason: counted("failed call"),
        seconds_to_alert: vec![1.0],
        alerts_delivered: 1,
        deliveries_failed: BTreeMap::from([("sns".to_owned(), 1)]),
        oldest_pending_alert_seconds: Some(1.0),
        failed_rechecks: 1,
        conflicts: 1,
        duplicates: 1,
        stale_listings: 1,
        refused_listings: 1,
        sweeps: 1,
        found_by_sweep: 1,
        iam_calls: 1,
        unchecked_users: 1,
        overdue_accounts: Some(1),
        open_findings: Some(1),
        unreachable_accounts: Some(1),
    };
    let mut out = vec![];
    metrics.write(&mut out, Utc::now()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let dimensions = directive["Dimensions"][0].as_array().unwrap();
            (
                text(&directive["Namespace"]),
                text(&directive["Metrics"][0]["Name"]),
                dimensions.iter().map(text).collect(),
            )
        })
        .collect()
}

#[test]
fn alarms_and_dashboard_use_metrics_with_the_dimensions_that_are_written() {
    let written_metrics = written_metrics();
    let is_written = |name: &str, dimensions: &[&str]| {
        let dimensions = dimensions.iter().map(|name| (*name).to_owned()).collect();
        written_metrics.contains(&("secondkey".to_owned(), name.to_owned(), dimensions))
    };
    for (alarm, kind, properties) in written("infra/template.yaml") {
        if kind == "AWS::CloudWatch::Alarm" && properties["Namespace"] == "secondkey" {
            assert_eq!(properties["Dimensions"], Value::Null, "{alarm}");
            let name = properties["MetricName"].as_str().unwrap();
            assert!(is_written(name, &[]), "{alarm}: {name}");
        }
        if kind == "AWS::CloudWatch::Dashboard" {
            let body = properties["DashboardBody"].to_string().replace('\\', "");
            let searched = body.split("{secondkey,").skip(1).map(|rest| {
                let dimension = rest.split('}').next().unwrap();
                let name = rest.split("MetricName=\"").nth(1).unwrap();
                (dimension, name.split('"').next().unwrap())
            });
            let searched: Vec<(&str, &str)> = searched.collect();
            assert_eq!(searched.len(), 2, "{body}");
            for (dimension, name) in searched {
                assert!(is_written(name, &[dimension]), "{name} by {dimension}");
            }
        }
    }
}

#[test]
fn every_alarm_has_an_existing_metric_and_a_recipient() {
    let mut ours = BTreeSet::new();
    let mut queues = BTreeSet::new();
    for (name, kind, alarm) in written("infra/template.yaml") {
        if kind != "AWS::CloudWatch::Alarm" {
            continue;
        }
        assert_eq!(
            alarm["AlarmActions"],
            json!([{"Ref": "AlarmTopic"}]),
            "{name}"
        );
        if alarm["Namespace"] == "secondkey" {
            ours.insert(
                alarm["MetricName"]
                    .as_str()
                    .expect("it names a metric")
                    .to_owned(),
            );
        }
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible" {
            let queue = alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0].as_str();
            queues.insert(queue.expect("it names a queue").to_owned());
            assert_eq!(alarm["Threshold"], 0, "{name}: any message");
        }
    }
    let expected = [
        "DeliveriesFailed",
        "FailedRechecks",
        "FoundBySweep",
        "OldestPendingAlertSeconds",
        "Sweeps",
        "UnreachableAccounts",
    ];
    assert_eq!(ours, expected.map(str::to_owned).into());
    // Every dead-letter queue has one.
    let dead: BTreeSet<String> = written("infra/template.yaml")
        .into_iter()
        .filter(|(name, kind, _)| *kind == "AWS::SQS::Queue" && name.ends_with("DeadLetters"))
        .map(|(name, _, _)| name)
        .collect();
    assert_eq!(queues, dead);
    assert!(ours.iter().all(|name| NAMES.contains(&name.as_str())));

    for (name, kind, alarm) in written("infra/channels.yaml") {
        if kind == "AWS::CloudWatch::Alarm" {
            let action = json!([{"Ref": "AlarmTopicArn"}]);
            assert_eq!(alarm["AlarmActions"], action, "{name}");
        }
    }
}

/// Alarms cannot publish to a topic with the AWS managed key, and no emulator checks that. Source:
/// SNS developer guide, *Enable compatibility between event sources from AWS services and encrypted
/// topics*.
#[test]
fn alarms_have_a_topic_without_a_key_for_this_accounts_alarms_only() {
    let resources = Template::read("infra/template.yaml").0["Resources"].take();
    let alarm_topic = &resources["AlarmTopic"]["Properties"];
    assert_eq!(alarm_topic["KmsMasterKeyId"], Value::Null);
    let alert_topic = &resources["AlertTopic"]["Properties"];
    assert_ne!(alert_topic["KmsMasterKeyId"], Value::Null);

    let policies: Vec<(String, Value)> = written("infra/template.yaml")
        .into_iter()
        .filter(|(_, kind, policy)| {
            kind == "AWS::SNS::TopicPolicy" && policy["Topics"] == json!([{"Ref": "AlarmTopic"}])
        })
        .map(|(name, _, mut policy)| (name, policy["PolicyDocument"]["Statement"].take()))
        .collect();
    let alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*";
    let statement = json!([{
        "Sid": "OnlyAlarmsOfThisAccount", "Effect": "Allow", "Action": "sns:Publish",
        "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Resource": {"Ref": "AlarmTopic"},
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnLike": {"aws:SourceArn": {"Fn::Sub": alarms}},
        },
    }]);
    assert_eq!(policies, [("AlarmTopicPolicy".to_owned(), statement)]);
}

#[test]
fn alarms_go_to_their_own_address_or_to_that_of_the_alerts() {
    let subscriber = |alert: &str, alarm: &str| {
        let known = Known::from([
            ("AWS::Region", "us-east-1"),
            ("AlertEmail", alert),
            ("AlarmEmail", alarm),
        ]);
        let resolved = Template::read("infra/template.yaml").resolve(&known);
        resolved["Resources"]["AlarmSubscription"]["Properties"]["Endpoint"].clone()
    };
    assert_eq!(
        subscriber("alerts@example.com", ""),
        json!("alerts@example.com")
    );
    assert_eq!(
        subscriber("alerts@example.com", "ops@example.com"),
        json!("ops@example.com")
    );
    assert_eq!(subscriber("", "ops@example.com"), json!("ops@example.com"));
    assert_eq!(subscriber("", ""), Value::Null);
}

/// SQS allows 1 to 1,000 receives. A message whose retention ends before its retries is deleted
/// without a dead letter. No emulator checks either rule. Sources: SQS API reference,
/// `SetQueueAttributes`; SQS developer guide, dead-letter queues, which also recommends a longer
/// retention for the dead-letter queue; Lambda developer guide, using SQS: at least 5 receives.
#[test]
fn failures_are_retried_for_hours_and_then_become_dead_letters() {
    let resources = Template::read("infra/template.yaml").0["Resources"].take();
    let number = |value: &Value| value.as_u64().unwrap();
    for (queue, at_least_hours) in [("ChangesQueue", 24), ("SweepQueue", 5)] {
        let properties = &resources[queue]["Properties"];
        let redrive = &properties["RedrivePolicy"];
        let tries = number(&redrive["maxReceiveCount"]);
        assert!((5..=1_000).contains(&tries), "{queue}: {tries}");
        let tried_for = tries * number(&properties["VisibilityTimeout"]);
        assert!(tried_for >= at_least_hours * 3_600, "{queue}: {tried_for}");
        let kept_for = number(&properties["MessageRetentionPeriod"]);
        assert!(tried_for < kept_for, "{queue}: {kept_for}");
        let dead = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
            .as_str()
            .unwrap();
        let dead_kept_for = number(&resources[dead]["Properties"]["MessageRetentionPeriod"]);
        assert!(kept_for < dead_kept_for, "{dead}: {dead_kept_for}");
    }
}

#[tokio::test]
async fn the_dashboard_shows_existing_metrics() {
    let resources = resources().await;
    let (_, _, dashboard) = resources
        .iter()
        .find(|(name, _, _)| *name == "Dashboard")
        .unwrap();
    let body = dashboard["DashboardBody"]["Fn::Sub"][0].as_str().unwrap();
    let body = body.replace("\\\"", "\"");
    for wanted in ["OpenFindings", "SecondsToAlert", "Events", "Ignored"] {
        assert!(body.contains(&format!("\"{wanted}\"")), "{wanted}: {body}");
    }
    let metrics = body.split("[\"secondkey\", \"").skip(1);
    let searched = body.split("MetricName=\"").skip(1);
    let named: Vec<&str> = metrics
        .chain(searched)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(named.len() >= 5, "{named:?}");
    assert!(named.iter().all(|name| NAMES.contains(name)), "{named:?}");
}

#[tokio::test]
async fn the_templates_pass_cfn_lint() {
    // Its tools exist once something was built and fetched.
    expanded().await;
    let cfn_lint = moto().with_file_name("cfn-lint");
    assert!(sam_python().exists());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/infra");
    let templates = ["template.yaml", "member.yaml", "channels.yaml"];
    let release = tempfile::tempdir().expect("a folder can be created");
    let packaged = release.path().join("packaged.yaml");
    std::fs::write(&packaged, crate::packaging::packaged()).expect("it can be written");
    let output = Command::new(cfn_lint)
        .args(templates.map(|name| format!("{folder}/{name}")))
        .arg(packaged)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn no_function_of_the_templates_stays_unevaluated() {
    let known = Known::from([("AWS::Region", "us-east-1")]);
    for template in ["template", "member", "channels"] {
        let path = format!("infra/{template}.yaml");
        let resolved = Template::read(&path).resolve(&known);
        for section in ["Resources", "Outputs"] {
            check_evaluated(&path, &resolved[section]);
        }
    }
}

fn check_evaluated(path: &str, value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| check_evaluated(path, item)),
        Value::Object(entries) => {
            for (name, value) in entries {
                assert!(
                    name != "Ref" && !name.starts_with("Fn::"),
                    "{path}: {name}: {value}"
                );
                check_evaluated(path, value);
            }
        }
        _ => {}
    }
}
