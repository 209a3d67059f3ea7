//! The detector as a Lambda function: settings, clients, the runtime's loop.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
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
#[expect(
    clippy::print_stderr,
    reason = "what is wrong with the settings is said before there is a log"
)]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detector: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let settings = Settings::from_env()?;
    log::init(settings.log_level);
    // Without these one answer that never comes would take the whole batch with it.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .load()
        .await;

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
            keys: Arc::new(IamKeySource::new(
                aws_sdk_iam::Client::new(&config),
                settings.account,
            )),
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
