//! Unreadable messages, and alerts that a sink refuses, in the real detector, with queues and a
//! table in moto.

use aws_config::SdkConfig;
use chrono::{TimeDelta, Utc};
use secondkey::aws::deployment::Deployment;
use secondkey::aws::detector;
use secondkey::aws::settings::Settings;
use secondkey::aws::suspects::SweepMode;
use secondkey::aws::sweeper::{self, Sweeper};
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::FindingStore;
use serde_json::{Value, json};

use super::alarm::points;
use crate::stack::clients::config;
use crate::stack::server::{Server, start_moto};
use crate::stack::wiring::{ACCOUNT, cloudtrail_record, queue, take_all};
use crate::table::create_table;

const TABLE: &str = "secondkey";

/// Neither an event nor JSON.
const POISON: &str = "{\"source\": \"aws.iam\", \"detail\"";

struct World {
    config: SdkConfig,
    sqs: aws_sdk_sqs::Client,
    changes_url: String,
    dead_url: String,
    topic_arn: String,
    _moto: Server,
}

/// The result of an invocation.
struct Handled {
    /// The IDs of the messages to retry, or an error if the event was bare.
    failed: Result<Vec<String>, String>,
    metrics: String,
}

impl Handled {
    fn count(&self, metric: &str) -> i64 {
        let points = points(&self.metrics, metric);
        whole(points.iter().map(|point| point.value).sum())
    }
}

impl World {
    async fn new() -> Self {
        let moto = tokio::task::spawn_blocking(|| start_moto(&[])).await;
        let moto = moto.unwrap();
        let config = config(&moto.url).await;
        let sqs = aws_sdk_sqs::Client::new(&config);
        let (changes_url, _) = queue(&sqs, "changes").await;
        let (dead_url, _) = queue(&sqs, "dead").await;
        create_table(&aws_sdk_dynamodb::Client::new(&config), TABLE).await;
        let topic = aws_sdk_sns::Client::new(&config).create_topic();
        let topic = topic.name("alerts").send().await.unwrap();
        Self {
            config,
            sqs,
            changes_url,
            dead_url,
            topic_arn: topic.topic_arn.unwrap(),
            _moto: moto,
        }
    }

    fn detector(&self, dead_url: &str, topic_arn: &str) -> Deployment {
        let settings = Settings::from_lookup(|name| {
            let value = match name {
                "ACCOUNT_ID" => ACCOUNT,
                "TABLE_NAME" => TABLE,
                "CHANGES_QUEUE_URL" => &self.changes_url,
                "DEAD_LETTER_QUEUE_URL" => dead_url,
                "ALERT_TOPIC_ARN" => topic_arn,
                _ => return None,
            };
            Some(value.to_owned())
        });
        Deployment::new(settings.unwrap(), &self.config)
    }

    async fn detect(&self, detector: &Deployment, payload: Value) -> Handled {
        let mut metrics = vec![];
        let answer = detector::handle(detector, payload, &mut metrics).await;
        let ids = |answer: Value| {
            let failures = answer["batchItemFailures"].as_array().unwrap().clone();
            let id = |failure: Value| failure["itemIdentifier"].as_str().unwrap().to_owned();
            failures.into_iter().map(id).collect()
        };
        Handled {
            failed: answer.map(ids).map_err(|error| error.to_string()),
            metrics: String::from_utf8(metrics).unwrap(),
        }
    }

    /// A user with two active keys, and the event of the second one.
    async fn second_key(&self, name: &str) -> String {
        let iam = aws_sdk_iam::Client::new(&self.config);
        iam.create_user().user_name(name).send().await.unwrap();
        let mut last = String::new();
        for _ in 0..2 {
            let made = iam.create_access_key().user_name(name).send().await;
            last = made.unwrap().access_key.unwrap().access_key_id;
        }
        let parameters = json!({"userName": name});
        let mut record = cloudtrail_record("CreateAccessKey", &parameters, Utc::now());
        record["responseElements"] =
            json!({"accessKey": {"userName": name, "accessKeyId": last, "status": "Active"}});
        json!({"source": "aws.iam", "account": ACCOUNT, "detail-type": "AWS API Call via CloudTrail", "detail": record})
            .to_string()
    }

    async fn is_open(&self, detector: &Deployment, name: &str) -> bool {
        let record = detector.table.record(&UserId::new(ACCOUNT, name)).await;
        record.unwrap().open_finding().is_some()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "counts and ages are small")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// A batch of `bodies`. The message IDs are their indexes.
fn batch(bodies: &[&str]) -> Value {
    let message = |(place, body): (usize, &&str)| {
        json!({"messageId": place.to_string(), "receiptHandle": "1", "body": body, "messageAttributes": {},
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": Utc::now().timestamp_millis().to_string()},
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:changes", "awsRegion": "us-east-1"})
    };
    let messages: Vec<Value> = bodies.iter().enumerate().map(message).collect();
    json!({ "Records": messages })
}

#[tokio::test]
async fn an_unreadable_message_goes_to_the_dead_letters_with_its_error() {
    let world = World::new().await;
    let detector = world.detector(&world.dead_url, &world.topic_arn);
    let good = world.second_key("alice").await;
    let shapeless = r#"{"hello": "\u001b[2J"}"#;
    let handled = world
        .detect(&detector, batch(&[POISON, &good, shapeless]))
        .await;
    assert_eq!(handled.failed, Ok(vec![]));
    assert!(world.is_open(&detector, "alice").await);
    assert_eq!(handled.count("FailedRechecks"), 0);

    let received = world
        .sqs
        .receive_message()
        .queue_url(&world.dead_url)
        .max_number_of_messages(10)
        .message_attribute_names("All")
        .send();
    let mut dead: Vec<(String, String, String)> = received
        .await
        .unwrap()
        .messages
        .unwrap_or_default()
        .into_iter()
        .map(|message| {
            let attributes = message.message_attributes.unwrap();
            let text = |name: &str| attributes[name].string_value.clone().unwrap();
            (text("message_id"), message.body.unwrap(), text("error"))
        })
        .collect();
    dead.sort();
    let [(first, body, error), (third, other_body, other_error)] = dead.try_into().unwrap();
    assert_eq!((first.as_str(), body.as_str()), ("0", POISON));
    assert!(error.contains("not JSON"), "{error}");
    assert_eq!((third.as_str(), other_body.as_str()), ("2", shapeless));
    assert!(
        other_error.contains("neither an EventBridge event"),
        "{other_error}"
    );
}

#[tokio::test]
async fn an_unreadable_message_that_cannot_be_set_aside_is_retried() {
    let world = World::new().await;
    let gone = world.dead_url.replace("dead", "gone");
    for (dead_url, topic) in [
        (gone.as_str(), "with a queue that is gone"),
        ("", "with none"),
    ] {
        let detector = world.detector(dead_url, &world.topic_arn);
        let name = topic.replace(' ', "-");
        let good = world.second_key(&name).await;
        let handled = world.detect(&detector, batch(&[&good, POISON])).await;
        assert_eq!(handled.failed, Ok(vec!["1".to_owned()]), "{topic}");
        assert!(world.is_open(&detector, &name).await, "{topic}");
        assert_eq!(handled.count("FailedRechecks"), 1, "{topic}");
    }
}

#[tokio::test]
async fn a_message_of_a_newer_release_stays() {
    let world = World::new().await;
    let detector = world.detector(&world.dead_url, &world.topic_arn);
    let newer = r#"{"secondkey_recheck":{"version":2,"users":["alice"]}}"#;
    let handled = world.detect(&detector, batch(&[newer])).await;
    assert_eq!(handled.failed, Ok(vec!["0".to_owned()]));
    assert_eq!(handled.count("FailedRechecks"), 1);
    assert_eq!(
        take_all(&world.sqs, &world.dead_url).await,
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn a_bare_event_that_cannot_be_read_is_an_error() {
    let world = World::new().await;
    let detector = world.detector(&world.dead_url, &world.topic_arn);
    let handled = world.detect(&detector, json!({"source": "aws.iam"})).await;
    assert!(handled.failed.is_err());
    assert_eq!(
        take_all(&world.sqs, &world.dead_url).await,
        Vec::<Value>::new()
    );
}

#[tokio::test]
async fn a_refused_alert_is_counted_and_the_sweeper_measures_its_age() {
    let world = World::new().await;
    let no_topic = world.topic_arn.replace("alerts", "gone");
    let detector = world.detector(&world.dead_url, &no_topic);
    let age_in_milliseconds = async || {
        let sweeper = Sweeper {
            deployment: world.detector("", &no_topic),
            account: ACCOUNT.to_owned(),
            mode: SweepMode::List,
            lists_accounts: false,
            remind_every: TimeDelta::hours(24),
            sqs: world.sqs.clone(),
            queue_url: world.changes_url.clone(),
            config: world.config.clone(),
        };
        let mut metrics = vec![];
        let all = r#"{"secondkey_sweep":{"version":1}}"#;
        let swept = sweeper::handle(&sweeper, batch(&[all]), &mut metrics).await;
        assert_eq!(swept.unwrap(), json!({"batchItemFailures": []}));
        let metrics = String::from_utf8(metrics).unwrap();
        let [age] = points(&metrics, "OldestPendingAlertSeconds")[..] else {
            panic!("{metrics}");
        };
        whole(age.value * 1_000.0)
    };
    assert_eq!(age_in_milliseconds().await, 0);

    let second = world.second_key("alice").await;
    let handled = world.detect(&detector, batch(&[&second])).await;
    assert_eq!(handled.failed, Ok(vec![]));
    assert_eq!(handled.count("DeliveriesFailed"), 1);
    assert!(
        handled.metrics.contains(r#""Sink":"sns""#),
        "{}",
        handled.metrics
    );

    let [pending] = &detector.table.pending_deliveries().await.unwrap()[..] else {
        panic!("one alert is pending");
    };
    assert_eq!(pending.sink, "sns");
    let owed = detector
        .table
        .pending_alerts(&UserId::new(ACCOUNT, "alice"))
        .await;
    assert_eq!(pending.pending_since, owed.unwrap()[0].alert.at);
    assert!(age_in_milliseconds().await > 0);
}
