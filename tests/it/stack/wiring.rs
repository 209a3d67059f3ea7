//! The parts of a deployment other than the functions: the template's rules, queues, topic and bus,
//! created by moto's CloudFormation; and queues in which the tests see the results.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::clients::REGION;
use super::http;
use super::template::expanded;

/// moto's account.
pub const ACCOUNT: &str = "123456789012";

/// The organization of the tests. With one, events can be put on the deployment's own bus, where no
/// other test's rule sees them.
pub const ORGANIZATION: &str = "o-abcdefghij";

/// The external ID of the members' roles.
pub const EXTERNAL_ID: &str = "external";

/// The wiring of one deployment.
pub struct Wiring {
    pub changes_url: String,
    pub sweep_url: String,
    pub dead_letters_url: String,
    /// The queue behind the alert topic.
    pub alerts_url: String,
    /// The queue behind the rule for alerts on the bus.
    pub bus_events_url: String,
    /// The settings of each function by its logical ID, as set by the template.
    pub environments: BTreeMap<String, Vec<(String, String)>>,
    bus: String,
    events: aws_sdk_eventbridge::Client,
}

/// Deploys the template as the stack `name`, with `parameters` in addition to those that every test
/// needs. A message is tried `tries` times before it becomes a dead letter.
pub async fn wire(
    config: &SdkConfig,
    name: &str,
    tries: u32,
    parameters: &[(&str, &str)],
) -> Wiring {
    let always = [
        ("TableName", name),
        ("OrganizationId", ORGANIZATION),
        ("MemberExternalId", EXTERNAL_ID),
    ];
    let parameters: Vec<(&str, &str)> = always.iter().chain(parameters).copied().collect();
    let outputs = deploy(config, name, &parameters).await;
    let output = |key: &str| outputs[key].clone();
    let sqs = aws_sdk_sqs::Client::new(config);
    let redrive =
        json!({"deadLetterTargetArn": output("ChangesDeadLettersArn"), "maxReceiveCount": tries});
    sqs.set_queue_attributes()
        .queue_url(output("ChangesQueueUrl"))
        .attributes(QueueAttributeName::RedrivePolicy, redrive.to_string())
        .send()
        .await
        .expect("a queue can be changed");

    let (alerts_url, alerts_arn) = queue(&sqs, &format!("{name}-alerts")).await;
    subscribe(config, &output("AlertTopicArn"), &alerts_arn).await;
    let (bus_events_url, bus_events_arn) = queue(&sqs, &format!("{name}-bus")).await;
    let events = aws_sdk_eventbridge::Client::new(config);
    let bus = output("EventBusName");
    let findings = r#"{"source":["secondkey"]}"#;
    rule(&events, &bus, "seen-by-the-test", findings, &bus_events_arn).await;
    Wiring {
        changes_url: output("ChangesQueueUrl"),
        sweep_url: output("SweepQueueUrl"),
        dead_letters_url: output("ChangesDeadLettersUrl"),
        alerts_url,
        bus_events_url,
        environments: environments(config, name).await,
        bus,
        events,
    }
}

/// Deploys the template as the stack `name` and returns its outputs.
pub async fn deploy(
    config: &SdkConfig,
    name: &str,
    parameters: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let cloudformation = aws_sdk_cloudformation::Client::new(config);
    let parameters = parameters.iter().map(|(key, value)| {
        Parameter::builder()
            .parameter_key(*key)
            .parameter_value(*value)
            .build()
    });
    cloudformation
        .create_stack()
        .stack_name(name)
        .template_body(expanded().await.to_string())
        .capabilities(Capability::CapabilityNamedIam)
        .set_parameters(Some(parameters.collect()))
        .send()
        .await
        .unwrap_or_else(|error| panic!("the template cannot be deployed: {error:?}"));
    let stacks = cloudformation.describe_stacks().stack_name(name).send();
    let stacks = stacks.await.expect("the stack can be described");
    let outputs = stacks.stacks.expect("there is one").remove(0).outputs;
    outputs
        .unwrap_or_default()
        .into_iter()
        .map(|output| {
            let told = (output.output_key, output.output_value);
            (told.0.expect("it has a key"), told.1.unwrap_or_default())
        })
        .collect()
}

/// The settings of each function in the stack `name`. Not through the SDK: moto keeps numeric
/// parameters as numbers, even among the strings of an environment.
pub async fn environments(
    config: &SdkConfig,
    name: &str,
) -> BTreeMap<String, Vec<(String, String)>> {
    let moto = config.endpoint_url().expect("the tests ask moto");
    let region = config.region().expect("it has one").as_ref();
    let mut environments = BTreeMap::new();
    for function in ["Detector", "Sweeper", "SecurityHub"] {
        let deployed = format!("{name}-{}", function.to_lowercase());
        let url = format!("{moto}/2015-03-31/functions/{deployed}/configuration");
        // If it is deployed at all.
        if let Some(deployed) = http::try_get_from("lambda", region, url).await
            && let Some(variables) = deployed["Environment"]["Variables"].as_object()
        {
            let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            let variables = variables
                .iter()
                .map(|(name, value)| (name.clone(), text(value)));
            environments.insert(function.to_owned(), variables.collect());
        }
    }
    environments
}

impl Wiring {
    /// The settings of the deployed `function`.
    pub fn environment(&self, function: &str) -> Vec<(String, String)> {
        self.environments[function].clone()
    }

    /// Puts a CloudTrail record on the bus. The rule sends it to the changes queue.
    pub async fn put_event(&self, record: &Value) {
        let entry = aws_sdk_eventbridge::types::PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source("aws.iam")
            .detail_type("AWS API Call via CloudTrail")
            .detail(record.to_string())
            .build();
        let put = self.events.put_events().entries(entry).send().await;
        let put = put.expect("events can be put");
        assert_eq!(put.failed_entry_count, 0);
    }
}

/// The CloudTrail record of a call at `at`.
pub fn cloudtrail_record(event: &str, parameters: &Value, at: DateTime<Utc>) -> Value {
    json!({
        "eventVersion": "1.11",
        "eventID": format!("{:032x}", fastrand::u128(..)),
        "eventTime": at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "eventSource": "iam.amazonaws.com",
        "eventName": event,
        "awsRegion": REGION,
        "sourceIPAddress": "198.51.100.24",
        "userAgent": "aws-cli/2.27.0",
        "recipientAccountId": ACCOUNT,
        "requestParameters": parameters,
        "responseElements": null,
        "userIdentity": {"type": "IAMUser", "accountId": ACCOUNT, "userName": "dana",
            "arn": format!("arn:aws:iam::{ACCOUNT}:user/dana")},
    })
}

/// The number of messages in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageCounts {
    pub visible: usize,
    pub delayed: usize,
    pub in_flight: usize,
}

/// The number of messages in the queue at `url`.
pub async fn message_counts(sqs: &aws_sdk_sqs::Client, url: &str) -> MessageCounts {
    let wanted = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let got = sqs
        .get_queue_attributes()
        .queue_url(url)
        .set_attribute_names(Some(wanted.to_vec()))
        .send()
        .await
        .expect("the queue can be described");
    let attributes = got.attributes.unwrap_or_default();
    let [visible, delayed, in_flight] = wanted.map(|name| {
        let count = attributes.get(&name).and_then(|count| count.parse().ok());
        count.expect("a queue tells what it holds")
    });
    MessageCounts {
        visible,
        delayed,
        in_flight,
    }
}

/// Takes the messages from the queue at `url`, as JSON if they are JSON.
pub async fn take_all(sqs: &aws_sdk_sqs::Client, url: &str) -> Vec<Value> {
    let mut all = vec![];
    loop {
        let received = sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .send()
            .await;
        let messages = received
            .expect("the queue can be read")
            .messages
            .unwrap_or_default();
        if messages.is_empty() {
            return all;
        }
        for message in messages {
            let body = message.body.unwrap_or_default();
            all.push(serde_json::from_str(&body).unwrap_or(Value::String(body)));
            let handle = message.receipt_handle.unwrap_or_default();
            let deleted = sqs
                .delete_message()
                .queue_url(url)
                .receipt_handle(handle)
                .send()
                .await;
            deleted.expect("a message can be deleted");
        }
    }
}

/// Subscribes the queue to the topic.
pub async fn subscribe(config: &SdkConfig, topic_arn: &str, queue_arn: &str) {
    aws_sdk_sns::Client::new(config)
        .subscribe()
        .topic_arn(topic_arn)
        .protocol("sqs")
        .endpoint(queue_arn)
        .attributes("RawMessageDelivery", "true")
        .send()
        .await
        .expect("a queue can subscribe");
}

/// A new queue: its URL and its ARN.
pub async fn queue(sqs: &aws_sdk_sqs::Client, name: &str) -> (String, String) {
    let made = sqs.create_queue().queue_name(name).send().await;
    let made = made.expect("a queue can be created");
    (
        made.queue_url.expect("a queue has a URL"),
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
    )
}

/// A rule on `bus` that sends events that match `pattern` to the target.
pub async fn rule(
    events: &aws_sdk_eventbridge::Client,
    bus: &str,
    name: &str,
    pattern: &str,
    target_arn: &str,
) {
    events
        .put_rule()
        .name(name)
        .event_bus_name(bus)
        .event_pattern(pattern)
        .send()
        .await
        .expect("a rule can be created");
    let target = aws_sdk_eventbridge::types::Target::builder()
        .id("queue")
        .arn(target_arn)
        .build();
    events
        .put_targets()
        .rule(name)
        .event_bus_name(bus)
        .targets(target.expect("it has an id and an ARN"))
        .send()
        .await
        .expect("a rule can have a target");
}
