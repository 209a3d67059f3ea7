//! Completes a deployment of `infra/template.yaml` in moto: creates by API, with the properties in
//! the template, what moto's CloudFormation leaves out.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_cloudtrail::types::{EventSelector, ReadWriteType};
use aws_sdk_dynamodb::types::{PointInTimeRecoverySpecification, TimeToLiveSpecification};
use aws_sdk_lambda::types::Environment;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::cloudformation::{Known, Template};
use super::wiring::{ACCOUNT, environments};

/// A complete deployment.
pub struct Deployed {
    /// The physical IDs by logical ID.
    pub resources: BTreeMap<String, String>,
    /// The template with all names and conditions resolved.
    pub template: Value,
    /// The settings of each function by its logical ID.
    pub environments: BTreeMap<String, Vec<(String, String)>>,
}

/// Creates what moto left out of the stack `name`, which was deployed with `parameters`.
///
/// Still missing afterwards: the alarms, because the SDK speaks CBOR with CloudWatch and moto does
/// not; the policy of the trail's bucket, because secondkey has no client for S3; and the retries
/// of asynchronous invocations. `deployment.rs` and `contract.rs` check those on the template.
pub async fn complete(config: &SdkConfig, name: &str, parameters: &[(&str, &str)]) -> Deployed {
    let resources = physical_ids(config, name).await;
    let region = config.region().expect("it has one").as_ref();
    let template = resolved(name, region, parameters, &resources);
    let environments = environments(config, name).await;
    for (function, environment) in &environments {
        set_environment(config, &resources[function], environment).await;
    }
    let created = template["Resources"].as_object();
    for (logical, resource) in created.expect("a template has resources") {
        let properties = &resource["Properties"];
        match resource["Type"].as_str() {
            Some("AWS::CloudTrail::Trail") => trail(config, properties).await,
            Some("AWS::DynamoDB::Table") => protect_table(config, properties).await,
            Some("AWS::Events::EventBusPolicy") => bus_policy(config, properties).await,
            Some("AWS::SNS::Subscription") => subscription(config, properties).await,
            Some("AWS::SNS::TopicPolicy") => topic_policy(config, properties).await,
            Some("AWS::SQS::QueuePolicy") => queue_policy(config, properties).await,
            _ => {
                let is_left_out = !resources.contains_key(logical);
                assert!(!is_left_out || is_checked_elsewhere(resource), "{logical}");
            }
        }
    }
    Deployed {
        resources,
        template,
        environments,
    }
}

/// Whether [`complete`] leaves `resource` to other tests.
fn is_checked_elsewhere(resource: &Value) -> bool {
    let kinds = [
        "AWS::CloudWatch::Alarm",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::S3::BucketPolicy",
    ];
    kinds.iter().any(|kind| resource["Type"] == *kind)
}

async fn physical_ids(config: &SdkConfig, name: &str) -> BTreeMap<String, String> {
    let client = aws_sdk_cloudformation::Client::new(config);
    let listed = client.list_stack_resources().stack_name(name).send().await;
    let listed = listed.expect("its resources can be listed");
    let mut ids: BTreeMap<String, String> = listed
        .stack_resource_summaries
        .unwrap_or_default()
        .into_iter()
        .filter_map(|one| Some((one.logical_resource_id?, one.physical_resource_id?)))
        .collect();
    // moto has no physical ID for a bus, which is its name. Ours is named after the stack.
    ids.insert("EventBus".to_owned(), name.to_owned());
    ids
}

fn resolved(
    name: &str,
    region: &str,
    parameters: &[(&str, &str)],
    resources: &BTreeMap<String, String>,
) -> Value {
    let template = Template::read("infra/template.yaml");
    let mut known = Known::from([
        ("AWS::AccountId", ACCOUNT),
        ("AWS::Partition", "aws"),
        ("AWS::Region", region),
        ("AWS::StackId", "arn:aws:cloudformation:::stack/name/id"),
        ("AWS::StackName", name),
        ("AWS::URLSuffix", "amazonaws.com"),
    ]);
    for (parameter, value) in parameters {
        known.0.insert((*parameter).to_owned(), json!(value));
    }
    for (logical, physical) in resources {
        let resource = &template.0["Resources"][logical];
        known.0.insert(logical.clone(), json!(physical));
        for (attribute, value) in attributes(name, region, resource, physical) {
            known
                .0
                .insert(format!("{logical}.{attribute}"), json!(value));
        }
    }
    template.resolve(&known)
}

/// The attributes of a resource that the template uses. Source: CloudFormation template reference,
/// return values.
fn attributes(
    stack: &str,
    region: &str,
    resource: &Value,
    physical: &str,
) -> Vec<(&'static str, String)> {
    let arn = |service: &str, path: &str| format!("arn:aws:{service}:{region}:{ACCOUNT}:{path}");
    match resource["Type"].as_str().unwrap_or_default() {
        "AWS::Events::EventBus" => vec![
            ("Name", physical.to_owned()),
            ("Arn", arn("events", &format!("event-bus/{physical}"))),
        ],
        "AWS::Events::Rule" => {
            // The only bus with rules besides the default one is named after the stack.
            let is_on_default = resource["Properties"]["EventBusName"].is_null();
            let bus = if is_on_default {
                ""
            } else {
                &format!("{stack}/")
            };
            vec![("Arn", arn("events", &format!("rule/{bus}{physical}")))]
        }
        "AWS::S3::Bucket" => vec![("Arn", format!("arn:aws:s3:::{physical}"))],
        "AWS::SNS::Topic" => {
            let name = physical.rsplit(':').next().unwrap_or_default();
            vec![("TopicName", name.to_owned())]
        }
        "AWS::SQS::Queue" => {
            let name = physical.rsplit('/').next().unwrap_or_default();
            vec![("QueueName", name.to_owned()), ("Arn", arn("sqs", name))]
        }
        _ => vec![],
    }
}

/// Sets the environment of a function. moto keeps numeric parameters in it as numbers, with which
/// the SDK cannot read a function's configuration.
async fn set_environment(config: &SdkConfig, function: &str, environment: &[(String, String)]) {
    let variables = environment.iter().cloned().collect();
    let environment = Environment::builder().set_variables(Some(variables));
    let set = aws_sdk_lambda::Client::new(config)
        .update_function_configuration()
        .function_name(function)
        .environment(environment.build());
    set.send().await.expect("an environment can be set");
}

async fn trail(config: &SdkConfig, properties: &Value) {
    let client = aws_sdk_cloudtrail::Client::new(config);
    let name = text(&properties["TrailName"]);
    let made = client
        .create_trail()
        .name(name)
        .s3_bucket_name(text(&properties["S3BucketName"]))
        .is_multi_region_trail(properties["IsMultiRegionTrail"] == true)
        .include_global_service_events(properties["IncludeGlobalServiceEvents"] == true)
        .enable_log_file_validation(properties["EnableLogFileValidation"] == true);
    made.send().await.expect("a trail can be created");
    let selectors = properties["EventSelectors"].as_array();
    let selectors = selectors.expect("the trail selects events").iter();
    let selectors = selectors.map(|selector| {
        EventSelector::builder()
            .read_write_type(ReadWriteType::from(text(&selector["ReadWriteType"])))
            .include_management_events(selector["IncludeManagementEvents"] == true)
            .build()
    });
    let put = client.put_event_selectors().trail_name(name);
    let put = put.set_event_selectors(Some(selectors.collect()));
    put.send().await.expect("a trail can select events");
    if properties["IsLogging"] == true {
        let started = client.start_logging().name(name).send().await;
        started.expect("a trail can be started");
    }
}

async fn protect_table(config: &SdkConfig, properties: &Value) {
    let client = aws_sdk_dynamodb::Client::new(config);
    let table = text(&properties["TableName"]);
    let recovery = &properties["PointInTimeRecoverySpecification"];
    let recovery = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(recovery["PointInTimeRecoveryEnabled"] == true)
        .build();
    let set = client
        .update_continuous_backups()
        .table_name(table)
        .point_in_time_recovery_specification(recovery.expect("it says whether"));
    set.send().await.expect("recovery can be set");
    let expiry = &properties["TimeToLiveSpecification"];
    let expiry = TimeToLiveSpecification::builder()
        .attribute_name(text(&expiry["AttributeName"]))
        .enabled(expiry["Enabled"] == true)
        .build();
    let set = client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry.expect("it names an attribute"));
    set.send().await.expect("expiry can be set");
}

async fn bus_policy(config: &SdkConfig, properties: &Value) {
    let mut statement = properties["Statement"].clone();
    statement["Sid"] = properties["StatementId"].clone();
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]});
    let put = aws_sdk_eventbridge::Client::new(config)
        .put_permission()
        .event_bus_name(text(&properties["EventBusName"]))
        .policy(policy.to_string());
    put.send().await.expect("a bus can have a policy");
}

async fn subscription(config: &SdkConfig, properties: &Value) {
    let subscribed = aws_sdk_sns::Client::new(config)
        .subscribe()
        .topic_arn(text(&properties["TopicArn"]))
        .protocol(text(&properties["Protocol"]))
        .endpoint(text(&properties["Endpoint"]));
    let subscribed = subscribed.send().await;
    subscribed.expect("the topic accepts subscriptions");
}

async fn topic_policy(config: &SdkConfig, properties: &Value) {
    let client = aws_sdk_sns::Client::new(config);
    for topic in properties["Topics"].as_array().expect("it names topics") {
        let set = client
            .set_topic_attributes()
            .topic_arn(text(topic))
            .attribute_name("Policy")
            .attribute_value(properties["PolicyDocument"].to_string());
        set.send().await.expect("a topic can have a policy");
    }
}

async fn queue_policy(config: &SdkConfig, properties: &Value) {
    let client = aws_sdk_sqs::Client::new(config);
    for queue in properties["Queues"].as_array().expect("it names queues") {
        let policy = properties["PolicyDocument"].to_string();
        let set = client
            .set_queue_attributes()
            .queue_url(text(queue))
            .attributes(QueueAttributeName::Policy, policy);
        set.send().await.expect("a queue can have a policy");
    }
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().expect("the template has a text here")
}
