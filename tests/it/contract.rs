//! What AWS refuses and no emulator checks: each rule with the document that states it, checked on the
//! templates with several sets of parameters.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::stack::cloudformation::{Known, Template};

const TEMPLATES: [&str; 3] = [
    "infra/template.yaml",
    "infra/member.yaml",
    "infra/channels.yaml",
];

/// One deployment: its template, its parameters, and the resources that result.
struct Deployment {
    name: String,
    resources: Map<String, Value>,
}

const CENTRAL: &str = "111122223333";

/// Every template as different users deploy it.
static DEPLOYMENTS: LazyLock<Vec<Deployment>> = LazyLock::new(deployments);

fn deployments() -> Vec<Deployment> {
    let everything = [
        ("AlertEmail", "security@example.com"),
        ("AlarmEmail", "ops@example.com"),
        ("OrganizationId", "o-abcdefghij"),
        ("MemberExternalId", "0123456789abcdef"),
        ("ListAccounts", "true"),
        ("SecurityHubImport", "members"),
        ("CreateTrail", "true"),
        ("AWS::AccountId", CENTRAL),
        ("CentralAccountId", CENTRAL),
        ("SlackChannel", "C0123456789"),
        ("WebhookUrl", "https://example.com/hook"),
        ("ChatWorkspaceId", "T0123456789"),
    ];
    let sets: [(&str, Vec<(&str, &str)>); 4] = [
        (
            "the defaults",
            vec![("AWS::AccountId", CENTRAL), ("CentralAccountId", CENTRAL)],
        ),
        ("everything", everything.to_vec()),
        (
            "a member",
            vec![
                ("AWS::AccountId", "444455556666"),
                ("CentralAccountId", CENTRAL),
                ("MemberExternalId", "0123456789abcdef"),
                ("SecurityHubImport", "true"),
            ],
        ),
        (
            "a home region",
            [
                everything.to_vec(),
                vec![
                    ("IamEventsRegion", "us-east-1"),
                    ("HomeRegion", "eu-central-1"),
                ],
            ]
            .concat(),
        ),
    ];
    let mut all = vec![];
    for template in TEMPLATES {
        for (of, parameters) in &sets {
            let mut known = Known::from([("AWS::Region", "us-east-1"), ("AWS::Partition", "aws")]);
            for (name, value) in parameters {
                known.0.insert((*name).to_owned(), json!(value));
            }
            let resources = Template::read(template).resolve(&known)["Resources"].take();
            all.push(Deployment {
                name: format!("{template}, {of}"),
                resources: resources.as_object().unwrap().clone(),
            });
        }
    }
    all
}

/// Checks every resource of `kind` in every deployment, and that there is one.
fn each(kind: &str, check: impl Fn(&str, &Value, &Deployment)) {
    let mut checked = 0;
    for deployment in DEPLOYMENTS.iter() {
        for (name, resource) in &deployment.resources {
            if resource["Type"] == kind {
                let place = format!("{}: {name}", deployment.name);
                check(&place, &resource["Properties"], deployment);
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "no template has a {kind}");
}

fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// AWS CDK API reference, `aws_events_targets.EventBusProps`: a target that is an event bus supports
/// a dead-letter queue, but no retry policy. EventBridge user guide, *Sending and receiving events
/// between accounts*: access by organization needs a role on the target.
#[test]
fn a_target_that_is_a_bus_has_a_role_and_no_retry_policy() {
    let mut buses = 0;
    for deployment in DEPLOYMENTS.iter() {
        for (name, resource) in &deployment.resources {
            for target in list(&resource["Properties"]["Targets"]) {
                let is_bus = target["Arn"]
                    .as_str()
                    .is_some_and(|arn| arn.contains(":event-bus/"));
                if is_bus {
                    buses += 1;
                    let place = format!("{}: {name}: {target}", deployment.name);
                    assert_eq!(target["RetryPolicy"], Value::Null, "{place}");
                    assert!(target["RoleArn"].is_string(), "{place}");
                    assert!(target["DeadLetterConfig"]["Arn"].is_string(), "{place}");
                }
            }
        }
    }
    assert!(buses > 0);
}

/// EventBridge API reference: `PutTargets` takes five targets of a rule, `RetryPolicy` 60 to 86,400
/// seconds and 0 to 185 attempts; `PutRule` takes a description of 512 characters. EventBridge user
/// guide, quotas: an event pattern has up to 2,048 characters.
#[test]
fn rules_and_targets_are_within_their_limits() {
    each("AWS::Events::Rule", |place, rule, _| {
        let targets = list(&rule["Targets"]);
        assert!((1..=5).contains(&targets.len()), "{place}");
        for retries in targets
            .iter()
            .filter_map(|target| target.get("RetryPolicy"))
        {
            let age = number(&retries["MaximumEventAgeInSeconds"]).unwrap();
            let attempts = number(&retries["MaximumRetryAttempts"]).unwrap();
            assert!((60..=86_400).contains(&age), "{place}: {age}");
            assert!((0..=185).contains(&attempts), "{place}: {attempts}");
        }
        let description = rule["Description"].as_str().unwrap_or_default();
        assert!(description.len() <= 512, "{place}");
        if let Some(pattern) = rule.get("EventPattern") {
            assert!(pattern.to_string().len() <= 2_048, "{place}");
        }
    });
}

/// EventBridge user guide, *Using dead-letter queues*: a standard queue in the region of the rule.
#[test]
fn dead_letters_of_a_rule_stay_in_its_region() {
    each("AWS::Events::Rule", |place, rule, _| {
        for target in list(&rule["Targets"]) {
            let dead = target["DeadLetterConfig"]["Arn"].as_str().unwrap();
            let is_here = dead.starts_with("arn:aws:sqs:us-east-1:") || dead.starts_with("${");
            assert!(is_here, "{place}: {dead}");
            assert!(!dead.contains(".fifo"), "{place}: {dead}");
        }
    });
}

/// SQS API reference, `SetQueueAttributes`. Lambda developer guide, *Using Lambda with Amazon SQS*:
/// an event source is refused if the visibility timeout is shorter than the function's timeout.
#[test]
fn queues_are_within_their_limits() {
    each("AWS::SQS::Queue", |place, queue, _| {
        let within = |name: &str, least: i64, most: i64| {
            if let Some(value) = number(&queue[name]) {
                assert!((least..=most).contains(&value), "{place}: {name} {value}");
            }
        };
        within("VisibilityTimeout", 0, 43_200);
        within("MessageRetentionPeriod", 60, 1_209_600);
        within("DelaySeconds", 0, 900);
        let tries = number(&queue["RedrivePolicy"]["maxReceiveCount"]).unwrap_or(1);
        assert!((1..=1_000).contains(&tries), "{place}: {tries}");
    });
    each(
        "AWS::Serverless::Function",
        |place, function, deployment| {
            let timeout = number(&function["Timeout"]).unwrap();
            let events = function["Events"].as_object();
            for event in events.into_iter().flat_map(Map::values) {
                let arn = event["Properties"]["Queue"].as_str().unwrap();
                let queue = arn.trim_start_matches("${").trim_end_matches(".Arn}");
                let properties = &deployment.resources[queue]["Properties"];
                let visible = number(&properties["VisibilityTimeout"]).unwrap();
                assert!(visible >= timeout, "{place}: {queue}: {visible} s");
            }
        },
    );
}

/// Lambda API reference, `ScalingConfig`: 2 to 1,000.
#[test]
fn the_concurrency_of_an_event_source_is_within_its_limits() {
    let parameters = Template::read("infra/template.yaml").0["Parameters"].take();
    let sweeps = &parameters["SweepConcurrency"];
    assert!(number(&sweeps["MinValue"]).unwrap() >= 2);
    assert!(number(&sweeps["MaxValue"]).unwrap() <= 1_000);
    // SNS quotas: ten messages a second to email endpoints; SNS deactivates the subscription above
    // that. Each of the concurrent sweeps sends at most one a second; the rest is left to the
    // detector.
    assert!(number(&sweeps["Default"]).unwrap() <= 5);
}

/// Lambda developer guide, quotas: all environment variables of a function have 4 KB together.
#[test]
fn the_environment_fits_with_the_longest_parameters() {
    let template = Template::read("infra/template.yaml");
    let mut known = Known::from([("AWS::Region", "us-east-1"), ("AWS::AccountId", CENTRAL)]);
    for (name, parameter) in template.0["Parameters"].as_object().unwrap() {
        if let Some(length) = number(&parameter["MaxLength"]) {
            let longest = "x".repeat(usize::try_from(length).unwrap());
            known.0.insert(name.clone(), json!(longest));
        }
    }
    // The longest that its pattern accepts.
    known
        .0
        .insert("MemberExternalId".to_owned(), json!("x".repeat(128)));
    known
        .0
        .insert("OrganizationId".to_owned(), json!("o-abcdefghij"));
    let resolved = template.resolve(&known);
    let shared = &resolved["Globals"]["Function"]["Environment"]["Variables"];
    for function in ["Detector", "Sweeper"] {
        let own = &resolved["Resources"][function]["Properties"]["Environment"]["Variables"];
        let bytes: usize = [shared, own]
            .into_iter()
            .flat_map(|variables| variables.as_object().unwrap())
            .map(|(name, value)| name.len() + value.to_string().len())
            .sum();
        assert!(bytes < 4_096, "{function}: {bytes} bytes");
    }
}

/// CloudWatch API reference, `PutMetricAlarm`: a period is 10, 20, 30 or a multiple of 60 seconds;
/// all periods together have at most a day, or a week if each has at least an hour; a description
/// has 1,024 characters.
#[test]
fn alarms_are_within_their_limits() {
    each("AWS::CloudWatch::Alarm", |place, alarm, _| {
        let periods = number(&alarm["EvaluationPeriods"]).unwrap();
        let metrics = list(&alarm["Metrics"]).iter();
        let lengths = metrics
            .map(|metric| &metric["MetricStat"]["Period"])
            .chain([&alarm["Period"]]);
        for seconds in lengths.filter_map(number) {
            assert!(
                seconds % 60 == 0 || [10, 20, 30].contains(&seconds),
                "{place}"
            );
            let most = if seconds >= 3_600 { 604_800 } else { 86_400 };
            assert!(periods * seconds <= most, "{place}");
        }
        let wanted = number(&alarm["DatapointsToAlarm"]).unwrap_or(periods);
        assert!(wanted <= periods, "{place}");
        let description = alarm["AlarmDescription"].as_str().unwrap();
        assert!(description.len() <= 1_024, "{place}");
    });
}

/// IAM and STS quotas: the inline policies of a role have 10,240 characters together, its trust
/// policy 2,048; its description has 1,000, its name 64.
#[test]
fn roles_are_within_their_limits() {
    each("AWS::IAM::Role", |place, role, _| {
        let policies: usize = list(&role["Policies"])
            .iter()
            .map(|policy| policy["PolicyDocument"].to_string().len())
            .sum();
        assert!(policies <= 10_240, "{place}: {policies}");
        let trust = role["AssumeRolePolicyDocument"].to_string().len();
        assert!(trust <= 2_048, "{place}: {trust}");
        let description = role["Description"].as_str().unwrap();
        assert!(description.len() <= 1_000, "{place}");
    });
}

/// CloudFormation user guide, quotas: a template in S3 has 1 MB, its description 1,024 characters, a
/// parameter's description 4,000, and 200 parameters and outputs; a member's template is passed as
/// text, which has 51,200 bytes.
#[test]
fn templates_are_within_their_limits() {
    for path in TEMPLATES {
        let template = Template::read(path).0;
        assert!(template["Description"].as_str().unwrap().len() <= 1_024);
        let parameters = template["Parameters"].as_object().unwrap();
        assert!(parameters.len() <= 200, "{path}");
        for (name, parameter) in parameters {
            let description = parameter["Description"].as_str().unwrap();
            assert!(description.len() <= 4_000, "{path}: {name}");
        }
        let outputs = template["Outputs"].as_object().map_or(0, Map::len);
        assert!(outputs <= 200, "{path}");
    }
    for text in [
        include_str!("../../infra/member.yaml"),
        include_str!("../../infra/channels.yaml"),
    ] {
        assert!(text.len() <= 51_200);
    }
}

/// SAM CLI, `samcli/commands/deploy/guided_config.py`: the answer to a parameter with `NoEcho` is
/// not saved. The configuration file is tracked by version control.
#[test]
fn the_external_id_is_not_saved_with_the_answers() {
    for path in ["infra/template.yaml", "infra/member.yaml"] {
        let template = Template::read(path).0;
        assert_eq!(
            template["Parameters"]["MemberExternalId"]["NoEcho"], true,
            "{path}"
        );
    }
}

/// `sam build` does not know what `sam deploy --guided` will ask, so a parameter would let the two
/// differ, and a function for the other architecture fails at its start.
#[test]
fn the_architecture_is_stated_once() {
    let template = Template::read("infra/template.yaml").0;
    assert_eq!(template["Parameters"]["Architecture"], Value::Null);
    let stated = &template["Globals"]["Function"]["Architectures"];
    assert_eq!(*stated, json!(["arm64"]));
    for (name, resource) in template["Resources"].as_object().unwrap() {
        assert_eq!(
            resource["Properties"]["Architectures"],
            Value::Null,
            "{name}"
        );
    }
}

/// CloudTrail user guide, *Amazon S3 bucket policy for CloudTrail*: CloudTrail reads the bucket's
/// ACL and writes under `AWSLogs/<account>/` with full control for the bucket's owner. The condition
/// on the trail keeps other accounts' trails out.
#[test]
fn only_the_own_trail_writes_to_its_bucket_and_only_over_tls() {
    let template = Template::read("infra/template.yaml").0;
    let policy = &template["Resources"]["TrailBucketPolicy"]["Properties"]["PolicyDocument"];
    let (mut granted, mut denied) = (vec![], 0);
    for statement in list(&policy["Statement"]) {
        if statement["Effect"] == "Allow" {
            granted.push(statement["Action"].as_str().unwrap());
            assert_eq!(
                statement["Principal"],
                json!({"Service": "cloudtrail.amazonaws.com"})
            );
            let trail = &statement["Condition"]["StringEquals"]["aws:SourceArn"]["Fn::Sub"];
            assert!(
                trail
                    .as_str()
                    .unwrap()
                    .ends_with(":trail/${AWS::StackName}"),
                "{statement}"
            );
        } else {
            denied += 1;
            let condition = json!({"Bool": {"aws:SecureTransport": "false"}});
            assert_eq!(
                (&statement["Action"], &statement["Condition"]),
                (&json!("s3:*"), &condition)
            );
        }
    }
    assert_eq!(granted, ["s3:GetBucketAcl", "s3:PutObject"]);
    assert_eq!(denied, 1);
    // CloudTrail checks the policy when the trail is created.
    assert_eq!(
        template["Resources"]["Trail"]["DependsOn"],
        "TrailBucketPolicy"
    );
}

/// KMS developer guide, *Key policies*: without the account's own statement, no IAM policy can grant
/// access to the key, and the key becomes unmanageable.
#[test]
fn the_accounts_policies_govern_the_key_of_the_alerts() {
    let template = Template::read("infra/template.yaml").0;
    let key = &template["Resources"]["AlertKey"]["Properties"];
    assert_eq!(key["EnableKeyRotation"], true);
    let statements = list(&key["KeyPolicy"]["Statement"]);
    let own = json!({"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}});
    let is_own = |statement: &&Value| {
        statement["Effect"] == "Allow"
            && statement["Principal"] == own
            && statement["Action"] == "kms:*"
    };
    assert_eq!(statements.iter().filter(is_own).count(), 1);
    for statement in statements.iter().filter(|statement| !is_own(statement)) {
        let context = "kms:EncryptionContext:aws:sns:topicArn";
        assert!(
            statement["Condition"]["StringEquals"][context].is_object(),
            "{statement}"
        );
    }
}

/// EventBridge user guide, *Dead-letter queues*: the queue's policy must allow `events.amazonaws.com`
/// to send. IAM user guide, global condition keys: `aws:SourceOrgID` limits that to rules of the
/// organization.
#[test]
fn only_rules_of_the_organization_reach_the_members_dead_letters() {
    let mut found = 0;
    for deployment in DEPLOYMENTS.iter() {
        let Some(policy) = deployment.resources.get("MemberDeadLettersPolicy") else {
            continue;
        };
        found += 1;
        let queue = &deployment.resources["MemberDeadLetters"]["Properties"];
        let name = queue["QueueName"].as_str().unwrap();
        assert!(name.ends_with("-member-dead-letters"), "{name}");
        for statement in list(&policy["Properties"]["PolicyDocument"]["Statement"]) {
            assert_eq!(
                statement["Principal"],
                json!({"Service": "events.amazonaws.com"})
            );
            let condition = &statement["Condition"];
            let is_own = condition["ArnEquals"]["aws:SourceArn"].is_string();
            let is_organization =
                condition["StringEquals"]["aws:SourceOrgID"] == json!("o-abcdefghij");
            assert!(is_own || is_organization, "{statement}");
        }
        assert!(
            deployment.resources.contains_key("MemberDeadLettersAlarm"),
            "{}",
            deployment.name
        );
    }
    // The central stack in the region of the events, and member.yaml if it stands elsewhere.
    assert_eq!(found, 2);
}

/// EventBridge user guide, *Sending and receiving events between Regions*: a rule may send to a bus
/// in another region, with a role.
#[test]
fn events_reach_a_home_region_through_one_rule() {
    let home = |template: &str| {
        let name = format!("{template}, a home region");
        let found = DEPLOYMENTS
            .iter()
            .find(|deployment| deployment.name == name);
        &found.unwrap().resources
    };
    let central = home("infra/template.yaml");
    // IAM's events never arrive on the default bus of the home region.
    assert!(!central.contains_key("ChangesRule"));
    assert!(central.contains_key("MemberChangesRule"));
    let forwarding = home("infra/member.yaml");
    let target = &forwarding["ChangesRule"]["Properties"]["Targets"][0];
    let bus = "arn:aws:events:eu-central-1:111122223333:event-bus/secondkey";
    assert_eq!(target["Arn"], bus);
    let allowed =
        &forwarding["ForwardRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0];
    assert_eq!(allowed["Resource"], bus);
    // The central account's functions need no role of their own account.
    assert!(!forwarding.contains_key("AuditRole"));
}
