//! The queues, the topic, the bus and the rules between IAM's events, the detector and whoever gets its alerts.

use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::clients::REGION;

/// moto's account.
pub const ACCOUNT: &str = "123456789012";

/// One deployment's wiring.
pub struct Wiring {
    pub changes_url: String,
    pub dead_letters_url: String,
    /// The queue behind the alert topic.
    pub alerts_url: String,
    /// The queue behind the rule for alerts on the bus.
    pub bus_events_url: String,
    topic_arn: String,
    bus: String,
    events: aws_sdk_eventbridge::Client,
}

/// Makes everything for the deployment called `name`; a message is tried `tries` times before it is a dead letter.
pub async fn wire(config: &SdkConfig, name: &str, tries: u32) -> Wiring {
    let sqs = aws_sdk_sqs::Client::new(config);
    let sns = aws_sdk_sns::Client::new(config);
    let events = aws_sdk_eventbridge::Client::new(config);
    let (dead_letters_url, dead_letters_arn) = queue(&sqs, &format!("{name}-dead"), &[]).await;
    let redrive =
        json!({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": tries}).to_string();
    let redrive = [("RedrivePolicy", redrive.as_str())];
    let (changes_url, changes_arn) = queue(&sqs, &format!("{name}-changes"), &redrive).await;
    let (alerts_url, alerts_arn) = queue(&sqs, &format!("{name}-alerts"), &[]).await;
    let (bus_events_url, bus_events_arn) = queue(&sqs, &format!("{name}-bus"), &[]).await;

    let topic = sns
        .create_topic()
        .name(name)
        .send()
        .await
        .expect("a topic can be made");
    let topic_arn = topic.topic_arn.expect("a topic has an ARN");
    sns.subscribe()
        .topic_arn(&topic_arn)
        .protocol("sqs")
        .endpoint(alerts_arn)
        .attributes("RawMessageDelivery", "true")
        .send()
        .await
        .expect("a queue can subscribe");

    let bus = format!("{name}-bus");
    events
        .create_event_bus()
        .name(&bus)
        .send()
        .await
        .expect("a bus can be made");
    let changes = include_str!("../../../infra/event-pattern.json");
    rule(&events, &bus, "changes", changes, &changes_arn).await;
    let findings = r#"{"source":["secondkey"]}"#;
    rule(&events, &bus, "findings", findings, &bus_events_arn).await;
    Wiring {
        changes_url,
        dead_letters_url,
        alerts_url,
        bus_events_url,
        topic_arn,
        bus,
        events,
    }
}

impl Wiring {
    /// The detector's settings that say what is where.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("ACCOUNT_ID", ACCOUNT.to_owned()),
            ("CHANGES_QUEUE_URL", self.changes_url.clone()),
            ("ALERT_TOPIC_ARN", self.topic_arn.clone()),
            ("EVENT_BUS_NAME", self.bus.clone()),
        ]
    }

    /// Puts a CloudTrail record on the bus, from where the rule leads it into the changes queue.
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

/// The CloudTrail record of a call that was done at `at`.
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

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageCounts {
    pub visible: usize,
    pub delayed: usize,
    pub in_flight: usize,
}

/// How many messages the queue at `url` holds.
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
        .expect("the queue can be looked at");
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

/// Takes what is in the queue at `url`, as JSON where it is any.
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

/// A new queue: its URL and its ARN.
async fn queue(
    sqs: &aws_sdk_sqs::Client,
    name: &str,
    attributes: &[(&str, &str)],
) -> (String, String) {
    let mut request = sqs
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::VisibilityTimeout, "60");
    for (attribute, value) in attributes {
        request = request.attributes((*attribute).into(), *value);
    }
    let made = request.send().await.expect("a queue can be made");
    (
        made.queue_url.expect("a queue has a URL"),
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
    )
}

/// A rule on `bus` that leads what `pattern` describes to the target.
async fn rule(
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
        .expect("a rule can be made");
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
