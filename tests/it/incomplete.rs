//! An incomplete event, handled by the detector with a table, a queue and IAM in moto.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use secondkey::aws::deployment::Deployment;
use secondkey::aws::detector::handle;
use secondkey::aws::settings::Settings;
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::{Value, json};

use crate::stack::clients::config;
use crate::stack::stack;
use crate::stack::wiring::ACCOUNT;

/// A user with two active keys, of whom the detector has received no event.
struct World {
    user: String,
    detector: Deployment,
    config: SdkConfig,
    queue_url: String,
}

impl World {
    async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("incomplete-{}-{count}", std::process::id());
        let url = &stack().await.moto_url;
        let config = config(url).await;
        crate::table::create_table(&crate::table::client(url), &name).await;
        let queue = aws_sdk_sqs::Client::new(&config)
            .create_queue()
            .queue_name(&name);
        let queue_url = queue.send().await.unwrap().queue_url.unwrap();
        let iam = aws_sdk_iam::Client::new(&config);
        iam.create_user().user_name(&name).send().await.unwrap();
        for _ in 0..2 {
            let made = iam.create_access_key().user_name(&name).send().await;
            made.unwrap();
        }
        let settings = Settings::from_lookup(|setting| match setting {
            "ACCOUNT_ID" => Some(ACCOUNT.to_owned()),
            "TABLE_NAME" => Some(name.clone()),
            "CHANGES_QUEUE_URL" => Some(queue_url.clone()),
            "EVENT_BUS_NAME" => Some("default".to_owned()),
            _ => None,
        });
        Self {
            detector: Deployment::new(settings.unwrap(), &config),
            user: name,
            config,
            queue_url,
        }
    }

    /// The event of a second key for the user, with `fields` in place of the record's own.
    fn created(&self, fields: &Value) -> Value {
        let sample = include_str!("../../events/samples/create-access-key.json");
        let mut event: Value = serde_json::from_str(sample).unwrap();
        event["account"] = json!(ACCOUNT);
        let record = &mut event["detail"];
        record["requestParameters"]["userName"] = json!(self.user);
        record["responseElements"]["accessKey"]["userName"] = json!(self.user);
        for (name, value) in fields.as_object().unwrap() {
            record[name] = value.clone();
        }
        event
    }

    /// The detector's response to `event`, and its metrics.
    async fn detect(&self, event: &Value, receives: u32) -> (Value, Vec<Value>) {
        let now = chrono::Utc::now().timestamp_millis().to_string();
        let attributes =
            json!({"ApproximateReceiveCount": receives.to_string(), "SentTimestamp": now});
        let batch = json!({"Records": [{"messageId": "m1", "body": event.to_string(),
            "eventSource": "aws:sqs", "attributes": attributes}]});
        let mut written = vec![];
        let answer = handle(&self.detector, batch, &mut written).await.unwrap();
        let lines = String::from_utf8(written).unwrap();
        let metrics = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        (answer, metrics.collect())
    }

    async fn open_findings(&self) -> usize {
        let open = self.detector.table.findings(FindingStatus::Open).await;
        open.unwrap().len()
    }

    /// How many delayed re-checks are in the queue.
    async fn later_rechecks(&self) -> String {
        let delayed = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
        let asked = aws_sdk_sqs::Client::new(&self.config)
            .get_queue_attributes()
            .queue_url(&self.queue_url)
            .attribute_names(delayed.clone());
        let told = asked.send().await.unwrap().attributes.unwrap();
        told[&delayed].clone()
    }
}

#[tokio::test]
async fn an_incomplete_event_opens_the_finding_and_fails() {
    for fields in [
        json!({"responseElements": null}),
        json!({"responseElements": {"accessKey": {"status": "Active"}}}),
        json!({"eventTime": null}),
    ] {
        let world = World::new().await;
        let event = world.created(&fields);
        let (answer, metrics) = world.detect(&event, 1).await;
        assert_eq!(world.open_findings().await, 1, "{fields}");
        let failures = json!({"batchItemFailures": [{"itemIdentifier": "m1"}]});
        assert_eq!(answer, failures, "the message is kept: {fields}");
        let malformed = metrics
            .iter()
            .find(|line| line["Outcome"] == "malformed")
            .map(|line| &line["Events"]);
        assert_eq!(malformed, Some(&json!(1)), "{fields}");
    }
}

#[tokio::test]
async fn an_incomplete_event_is_followed_by_later_rechecks_once() {
    let world = World::new().await;
    let event = world.created(&json!({"responseElements": null}));
    // A listing that lags behind IAM: the new key is not visible yet.
    let iam = aws_sdk_iam::Client::new(&world.config);
    let keys = iam.list_access_keys().user_name(&world.user).send().await;
    let newest = keys.unwrap().access_key_metadata.pop().unwrap();
    iam.delete_access_key()
        .user_name(&world.user)
        .access_key_id(newest.access_key_id.unwrap())
        .send()
        .await
        .unwrap();
    world.detect(&event, 1).await;
    assert_eq!(world.open_findings().await, 0);
    assert_eq!(world.later_rechecks().await, "2");
    world.detect(&event, 2).await;
    assert_eq!(world.later_rechecks().await, "2");
}
