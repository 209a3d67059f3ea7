//! The detector as a Lambda function: settings, clients, the runtime's loop.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use secondkey::aws::detector::{Detector, handle};
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::aws::eventbridge::EventBridgeSink;
use secondkey::aws::iam::IamKeySource;
use secondkey::aws::log;
use secondkey::aws::recheck_queue::RecheckQueue;
use secondkey::aws::settings::Settings;
use secondkey::aws::sns::SnsSink;
use secondkey::pipeline::alert_sink::AlertSink;
use secondkey::pipeline::recheck::Parts;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    log::init();
    let settings = Settings::from_env()?;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;

    let mut sinks: Vec<Box<dyn AlertSink>> = vec![];
    if let Some(topic_arn) = settings.alert_topic_arn {
        let client = aws_sdk_sns::Client::new(&config);
        sinks.push(Box::new(SnsSink::new(client, topic_arn)));
    }
    if let Some(bus_name) = settings.event_bus_name {
        let client = aws_sdk_eventbridge::Client::new(&config);
        sinks.push(Box::new(EventBridgeSink::new(client, bus_name)));
    }
    let detector = Detector {
        parts: Parts {
            store: Arc::new(DynamoDbStore::new(
                aws_sdk_dynamodb::Client::new(&config),
                settings.table,
            )),
            keys: Arc::new(IamKeySource::new(aws_sdk_iam::Client::new(&config))),
            sinks,
            policy: settings.policy,
        },
        queue: RecheckQueue::new(
            aws_sdk_sqs::Client::new(&config),
            settings.changes_queue_url,
        ),
    };

    let detector = &detector;
    run(service_fn(|event: LambdaEvent<Value>| {
        handle(detector, event.payload)
    }))
    .await
}
