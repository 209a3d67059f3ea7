//! What AWS refuses and no emulator checks: each rule with the document that states it, checked on the
//! templates with several sets of parameters.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use secondkey::aws::eventbridge::{ALERT_TYPES, DIGEST_TYPE, REFRESH_SOURCE, SOURCE};
use secondkey::output::partition::Partition;

use crate::stack::cloudformation::{Known, Template};

const TEMPLATES: [&str; 3] = [
    "infra/template.yaml",
    "infra/member.yaml",
    "infra/channels.yaml",
];

/// One deployment: its template, its parameters, and what results.
struct Deployment {
    name: String,
    region: String,
    resources: Map<String, Value>,
    rules: Value,
}

const CENTRAL: &str = "111122223333";
const STACK_ID: &str =
    "arn:aws:cloudformation:us-east-1:111122223333:stack/secondkey/5f0c9a30-3e6b";

const SECRET: &str = "arn:aws:secretsmanager:us-east-1:111122223333:secret:hook-1a2b3c";

type Parameters = &'static [(&'static str, &'static str)];

const HERE: Parameters = &[("AWS::Region", "us-east-1")];
const IN_CENTRAL: Parameters = &[("AWS::AccountId", CENTRAL), ("CentralAccountId", CENTRAL)];
const MEMBER: Parameters = &[
    ("AWS::Region", "us-east-1"),
    ("AWS::AccountId", "444455556666"),
    ("CentralAccountId", CENTRAL),
    ("MemberExternalId", "0123456789abcdef"),
    ("SecurityHubImport", "true"),
    ("PermissionsBoundaryName", "team/boundary"),
    ("RolePath", "/security/"),
];
const EVERYTHING: Parameters = &[
    ("AWS::Region", "us-east-1"),
    ("AlertEmail", "security@example.com"),
    ("AlarmEmail", "ops@example.com"),
    ("OrganizationId", "o-abcdefghij"),
    ("ListAccounts", "true"),
    ("SecurityHubImport", "members"),
    ("CreateTrail", "true"),
    (
        "PermissionsBoundaryArn",
        "arn:aws:iam::111122223333:policy/team/boundary",
    ),
    ("RolePath", "/security/"),
];
const HOME: Parameters = &[
    ("AWS::Region", "eu-central-1"),
    ("IamEventsRegion", "us-east-1"),
    ("OrganizationId", "o-abcdefghij"),
    ("MemberExternalId", "0123456789abcdef"),
];
const TO_HOME: Parameters = &[("HomeRegion", "eu-central-1")];
const FORWARDER: Parameters = &[
    ("AWS::Region", "us-east-1"),
    ("HomeRegion", "eu-central-1"),
    ("ForwardsForCentralAccount", "true"),
    ("OrganizationId", "o-abcdefghij"),
    ("AlarmEmail", "ops@example.com"),
];
const ALL_CHANNELS: Parameters = &[
    ("AWS::Region", "us-east-1"),
    ("EventBusName", "secondkey"),
    ("SlackChannel", "C0123456789"),
    ("SlackTokenSecretArn", SECRET),
    ("WebhookUrl", "https://example.com/hook"),
    ("WebhookSecretArn", SECRET),
    ("ChatWorkspaceId", "T0123456789"),
    ("ChatChannelId", "C0123456789"),
    (
        "AlertTopicArn",
        "arn:aws:sns:us-east-1:111122223333:secondkey-alerts",
    ),
    (
        "AlarmTopicArn",
        "arn:aws:sns:us-east-1:111122223333:secondkey-alarms",
    ),
];

const TEMPLATE: &str = TEMPLATES[0];
const OF_MEMBER: &str = TEMPLATES[1];
const CHANNELS: &str = TEMPLATES[2];

/// Every template as different users deploy it.
static DEPLOYMENTS: LazyLock<Vec<Deployment>> = LazyLock::new(deployments);

fn deployments() -> Vec<Deployment> {
    let sets: [(&str, &str, &[Parameters]); 9] = [
        (TEMPLATE, "the defaults", &[IN_CENTRAL, HERE]),
        (TEMPLATE, "everything", &[IN_CENTRAL, EVERYTHING]),
        (TEMPLATE, "a home region", &[IN_CENTRAL, HOME]),
        (OF_MEMBER, "a member", &[MEMBER]),
        (OF_MEMBER, "a member, a home region", &[MEMBER, TO_HOME]),
        (
            OF_MEMBER,
            "in the central account",
            &[IN_CENTRAL, HERE, TO_HOME],
        ),
        (OF_MEMBER, "the forwarder", &[IN_CENTRAL, FORWARDER]),
        (CHANNELS, "the defaults", &[IN_CENTRAL, HERE]),
        (CHANNELS, "everything", &[IN_CENTRAL, ALL_CHANNELS]),
    ];
    sets.into_iter()
        .map(|(template, of, parameters)| {
            let mut known = Known::from([("AWS::Partition", "aws"), ("AWS::StackId", STACK_ID)]);
            for (name, value) in parameters.iter().copied().flatten() {
                known.0.insert((*name).to_owned(), json!(value));
            }
            let mut resolved = Template::read(template).resolve(&known);
            Deployment {
                name: format!("{template}, {of}"),
                region: known.0["AWS::Region"].as_str().unwrap().to_owned(),
                resources: resolved["Resources"].as_object().unwrap().clone(),
                rules: resolved["Rules"].take(),
            }
        })
        .collect()
}

fn deployment(name: &str) -> &'static Deployment {
    let found = DEPLOYMENTS.iter().find(|known| known.name == name);
    found.unwrap_or_else(|| panic!("no deployment is called {name}"))
}

/// What a template's `Rules` refuse, in their own words.
fn refused(rules: &Value) -> Vec<&str> {
    let rules = rules.as_object().into_iter().flat_map(Map::values);
    rules
        .filter(|rule| rule["RuleCondition"] != json!(false))
        .flat_map(|rule| list(&rule["Assertions"]))
        .filter(|assertion| assertion["Assert"] != json!(true))
        .map(|assertion| assertion["AssertDescription"].as_str().unwrap())
        .collect()
}

/// Checks every resource of `kind` in every deployment, and that there is one.
fn each(kind: &str, mut check: impl FnMut(&str, &Value, &Deployment)) {
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
    each("AWS::Events::Rule", |place, rule, deployment| {
        for target in list(&rule["Targets"]) {
            let dead = target["DeadLetterConfig"]["Arn"].as_str().unwrap();
            let here = format!("arn:aws:sqs:{}:", deployment.region);
            let is_here = dead.starts_with(&here) || dead.starts_with("${");
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
    // The longest that their patterns accept.
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

/// SAM CLI, `samcli/commands/deploy/guided_context.py`: a parameter with `NoEcho` is asked for
/// without its default, again and again until the answer is not empty. Every other answer is saved in
/// the configuration file, which version control tracks; so no one has to make up an external ID.
#[test]
fn every_question_can_be_answered_with_the_enter_key() {
    let template = Template::read("infra/template.yaml").0;
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        assert_eq!(parameter["NoEcho"], Value::Null, "{name}");
        assert!(!parameter["Default"].is_null(), "{name}");
    }
    let of = |parameters: &[(&str, &str)]| {
        let mut known = Known::from([("AWS::StackId", STACK_ID)]);
        for (name, value) in parameters {
            known.0.insert((*name).to_owned(), json!(value));
        }
        let mut resolved = Template::read("infra/template.yaml").resolve(&known);
        let outputs = resolved["Outputs"]["MemberExternalId"].take();
        let variables = &mut resolved["Globals"]["Function"]["Environment"]["Variables"];
        (
            variables["MEMBER_EXTERNAL_ID"].take(),
            outputs["Value"].clone(),
        )
    };
    let in_organization = ("OrganizationId", "o-abcdefghij");
    let given = ("MemberExternalId", "given");
    let created = json!("5f0c9a30-3e6b");
    assert_eq!(of(&[in_organization]), (created.clone(), created));
    assert_eq!(
        of(&[in_organization, given]),
        (json!("given"), json!("given"))
    );
    assert_eq!(of(&[]), (json!(""), Value::Null));
}

/// CloudFormation user guide, *Rules*: a deployment that violates an assertion is refused.
#[test]
fn the_rules_accept_what_a_user_deploys() {
    for deployment in DEPLOYMENTS.iter() {
        assert!(
            refused(&deployment.rules).is_empty(),
            "{}: {:?}",
            deployment.name,
            refused(&deployment.rules)
        );
    }
}

/// Events cross regions, but not partitions (EventBridge user guide, *Sending and receiving events
/// between Regions*). The isolated partitions are not supported.
#[test]
fn the_rules_know_where_iam_events_arrive_in_every_partition() {
    let template = Template::read("infra/template.yaml");
    let answers = &template.0["Parameters"]["IamEventsRegion"]["AllowedValues"];
    let mut accepted = vec![];
    for partition in Partition::all() {
        for region in partition.regions {
            for from in list(answers) {
                let from = from.as_str().unwrap();
                let known = Known::from([("AWS::Region", *region), ("IamEventsRegion", from)]);
                if refused(&template.resolve(&known)["Rules"]).is_empty() {
                    let arrive = if from == "here" { region } else { from };
                    assert_eq!(arrive, partition.region_of_iam, "{region}, {from}");
                    assert!(from == "here" || from != *region, "{region}, {from}");
                    accepted.push(*region);
                }
            }
        }
    }
    let known = Partition::all().filter(|known| !known.name.starts_with("aws-iso"));
    let supported: Vec<&str> = known.flat_map(|known| known.regions).copied().collect();
    assert_eq!(accepted, supported, "each region has one right answer");
}

/// CloudFormation user guide: a reference to a resource that is not created fails the deployment.
#[test]
fn every_reference_names_a_resource_that_is_created() {
    for deployment in DEPLOYMENTS.iter() {
        let text = json!(deployment.resources).to_string();
        // `Fn::Sub` writes literal text such as an IAM policy variable in this form, too.
        for after in text.split("${").skip(1) {
            let (name, _) = after.split_once('}').unwrap();
            let (resource, _) = name.split_once('.').unwrap_or((name, ""));
            let is_pseudo = resource.starts_with("AWS::") || resource.starts_with("aws:");
            assert!(
                is_pseudo || deployment.resources.contains_key(resource),
                "{}: {name}",
                deployment.name
            );
        }
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
    // The central stack in the region of the events, and the forwarder if it is elsewhere.
    assert_eq!(found, 2);
}

/// EventBridge user guide, *Sending and receiving events between Regions*: a rule may send to a bus
/// in another region, with a role.
#[test]
fn events_reach_a_home_region_through_one_rule() {
    let central = &deployment("infra/template.yaml, a home region").resources;
    // IAM's events never arrive on the default bus of the home region.
    assert!(!central.contains_key("ChangesRule"));
    assert!(central.contains_key("MemberChangesRule"));
    assert!(!central.contains_key("MemberDeadLetters"));

    let forwarder = &deployment("infra/member.yaml, the forwarder").resources;
    let bus = "arn:aws:events:eu-central-1:111122223333:event-bus/secondkey";
    let queue = &forwarder["MemberDeadLetters"]["Properties"]["QueueName"];
    let queue = format!(
        "arn:aws:sqs:us-east-1:111122223333:{}",
        queue.as_str().unwrap()
    );
    let member = &deployment("infra/member.yaml, a member, a home region").resources;
    for (of, dead_letters) in [(forwarder, "${MemberDeadLetters.Arn}"), (member, &queue)] {
        let target = &of["ChangesRule"]["Properties"]["Targets"][0];
        assert_eq!(target["Arn"], bus);
        assert_eq!(target["DeadLetterConfig"]["Arn"], dead_letters);
        let allowed = &of["ForwardRole"]["Properties"]["Policies"][0]["PolicyDocument"];
        assert_eq!(allowed["Statement"][0]["Resource"], bus);
    }
    assert!(member.contains_key("AuditRole"));
    // The central account's functions need no role of their own account.
    assert!(!forwarder.contains_key("AuditRole"));
    // A StackSet that includes the central account.
    assert!(
        deployment("infra/member.yaml, in the central account")
            .resources
            .is_empty()
    );
}

/// IAM user guide, *Permissions boundaries*: the policy belongs to the account of the role, or is one
/// of AWS's. A StackSet passes the same parameters to all accounts.
#[test]
fn a_roles_boundary_is_a_policy_of_its_account() {
    let (mut central, mut member) = (0, 0);
    each("AWS::IAM::Role", |place, role, _| {
        let boundary = role["PermissionsBoundary"].as_str();
        assert!(role["Path"].is_string(), "{place}");
        if place.starts_with("infra/template.yaml, everything") {
            central += 1;
            assert_eq!(
                boundary,
                Some("arn:aws:iam::111122223333:policy/team/boundary")
            );
        } else if place.starts_with("infra/member.yaml, a member") {
            member += 1;
            assert_eq!(
                boundary,
                Some("arn:aws:iam::444455556666:policy/team/boundary")
            );
        }
    });
    assert_eq!((central, member), (3, 4));
}

/// IAM user guide, global condition keys: `aws:PrincipalArn` of a role's session is the ARN of the
/// role, with its path.
#[test]
fn the_members_role_trusts_the_functions_roles_with_their_path() {
    let central = &deployment("infra/template.yaml, everything").resources;
    let mut roles: Vec<String> = central
        .values()
        .filter(|resource| resource["Type"] == "AWS::IAM::Role")
        .map(|role| {
            let part = |name: &str| role["Properties"][name].as_str().unwrap();
            let name = part("RoleName").replace("${AWS::StackName}", "secondkey");
            format!("arn:aws:iam::111122223333:role{}{name}", part("Path"))
        })
        .collect();
    roles.sort();
    let member = &deployment("infra/member.yaml, a member").resources;
    let trust = &member["AuditRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0];
    let mut trusted: Vec<&str> = list(&trust["Condition"]["ArnEquals"]["aws:PrincipalArn"])
        .iter()
        .map(|arn| arn.as_str().unwrap())
        .collect();
    trusted.sort_unstable();
    assert_eq!(trusted, roles);
}

/// AWS managed policy reference guide: AWS's own policies have the account `aws` and the name of the
/// partition in their ARN.
#[test]
fn the_rules_match_a_quarantine_in_every_partition() {
    let partitions: Vec<String> = Partition::all()
        .filter(|known| !known.name.starts_with("aws-iso"))
        .map(|known| {
            format!(
                "arn:{}:iam::aws:policy/AWSCompromisedKeyQuarantine",
                known.name
            )
        })
        .collect();
    let mut patterns = 0;
    each("AWS::Events::Rule", |place, rule, _| {
        for pattern in list(&rule["EventPattern"]["$or"]) {
            if let Some(arns) = pattern["detail"]["requestParameters"]["policyArn"].as_array() {
                patterns += 1;
                let prefixes: Vec<&str> = arns
                    .iter()
                    .map(|arn| arn["prefix"].as_str().unwrap())
                    .collect();
                assert_eq!(prefixes, partitions, "{place}");
            }
        }
    });
    assert!(patterns > 0);
}

/// An event that a queue of dead letters holds is lost after two weeks, unless someone is told.
#[test]
fn every_dead_letter_queue_has_an_alarm_that_reaches_a_topic() {
    for deployment in DEPLOYMENTS.iter() {
        let of_kind = |kind: &'static str| {
            let all = deployment.resources.iter();
            all.filter(move |(_, resource)| resource["Type"] == kind)
        };
        for (queue, _) in
            of_kind("AWS::SQS::Queue").filter(|(name, _)| name.ends_with("DeadLetters"))
        {
            let watched = of_kind("AWS::CloudWatch::Alarm").any(|(_, alarm)| {
                let alarm = &alarm["Properties"];
                alarm["Dimensions"][0]["Value"] == json!(format!("${{{queue}.QueueName}}"))
                    && alarm["Threshold"] == 0
                    && !list(&alarm["AlarmActions"]).is_empty()
            });
            assert!(watched, "{}: {queue}", deployment.name);
        }
    }
}

/// EventBridge user guide, *Event patterns*: a rule whose pattern matches nothing is valid, and silent.
#[test]
fn the_channels_take_the_events_that_are_sent() {
    let alerts = json!({
        "detail-type": ALERT_TYPES,
        "detail": {"in_digest": [false, {"exists": false}]},
    });
    let slack = json!({
        "source": [SOURCE],
        "$or": [alerts, {"detail-type": [DIGEST_TYPE]}],
    });
    let channels = &deployment("infra/channels.yaml, everything").resources;
    assert_eq!(channels["SlackRule"]["Properties"]["EventPattern"], slack);
    let webhook = &channels["WebhookRule"]["Properties"];
    assert_eq!(webhook["EventPattern"], json!({"source": [SOURCE]}));
    let central = &deployment("infra/template.yaml, everything").resources;
    let security_hub = &central["SecurityHubRule"]["Properties"];
    assert_eq!(
        security_hub["EventPattern"],
        json!({"source": [SOURCE, REFRESH_SOURCE], "detail-type": ALERT_TYPES})
    );
    for rule in [&channels["SlackRule"]["Properties"], webhook] {
        assert_eq!(rule["EventBusName"], "secondkey");
    }
    assert_eq!(security_hub["EventBusName"], "${EventBus.Name}");
}
