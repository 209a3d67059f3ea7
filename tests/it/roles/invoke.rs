//! Runs the functions' own code with the functions' roles.

use aws_config::SdkConfig;
use chrono::TimeDelta;
use secondkey::aws::accounts::{Accounts, MemberRole};
use secondkey::aws::deployment::Deployment;
use secondkey::aws::detector;
use secondkey::aws::securityhub::settings::Import;
use secondkey::aws::securityhub::{self, Forwarder};
use secondkey::aws::settings::Settings;
use secondkey::aws::suspects::SweepMode;
use secondkey::aws::sweeper::{self, Sweeper};
use serde_json::{Value, json};

use super::policies::{CENTRAL, EXTERNAL_ID};
use super::world::{BUS, TABLE, TOPIC, World};

const MEMBER_ROLE: &str = "arn:aws:iam::{account}:role/secondkey-audit";

/// A topic that the functions must not publish to.
pub const OTHER_TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:other";

impl World {
    /// Passes `body` to the detector.
    pub async fn detect(&self, body: &Value) -> Result<(), String> {
        self.detect_as(&self.functions[0], TOPIC, body).await
    }

    /// The same with other credentials or another topic.
    pub async fn detect_as(
        &self,
        config: &SdkConfig,
        topic: &str,
        body: &Value,
    ) -> Result<(), String> {
        let deployment = self.deployment(config, topic);
        let answer = detector::handle(&deployment, batch(body), &mut vec![]).await;
        nothing_failed(answer)
    }

    /// Passes `body` to the sweeper.
    pub async fn sweep(&self, mode: SweepMode, topic: &str, body: &Value) -> Result<(), String> {
        let config = &self.functions[1];
        let sweeper = Sweeper {
            deployment: self.deployment(config, topic),
            account: CENTRAL.to_owned(),
            mode,
            lists_accounts: true,
            remind_every: TimeDelta::hours(24),
            sqs: aws_sdk_sqs::Client::new(config),
            queue_url: self.wiring.sweep_url.clone(),
            config: config.clone(),
        };
        nothing_failed(sweeper::handle(&sweeper, batch(body), &mut vec![]).await)
    }

    /// Passes `event` to the forwarder.
    pub async fn forward(&self, event: Value) -> Result<(), String> {
        let forwarder = Forwarder {
            accounts: Accounts::new(
                self.functions[2].clone(),
                CENTRAL.to_owned(),
                Some(MemberRole {
                    arn: MEMBER_ROLE.to_owned(),
                    external_id: Some(EXTERNAL_ID.to_owned()),
                }),
                aws_sdk_securityhub::Client::new,
            ),
            account: CENTRAL.to_owned(),
            region: "us-east-1".to_owned(),
            import: Import::Members,
        };
        let handled = securityhub::handle(&forwarder, event).await;
        handled.map(drop).map_err(|error| error.to_string())
    }

    fn deployment(&self, config: &SdkConfig, topic: &str) -> Deployment {
        let settings = Settings::from_lookup(|name| {
            let value = match name {
                "ACCOUNT_ID" => CENTRAL,
                "TABLE_NAME" => TABLE,
                "CHANGES_QUEUE_URL" => &self.wiring.changes_url,
                "DEAD_LETTER_QUEUE_URL" => &self.wiring.dead_url,
                "ALERT_TOPIC_ARN" => topic,
                "EVENT_BUS_NAME" => BUS,
                "MEMBER_ROLE_ARN" => MEMBER_ROLE,
                "MEMBER_EXTERNAL_ID" => EXTERNAL_ID,
                _ => return None,
            };
            Some(value.to_owned())
        });
        Deployment::new(settings.unwrap(), config)
    }
}

/// A batch with one message, as SQS passes it to a function.
fn batch(body: &Value) -> Value {
    json!({"Records": [{
        "messageId": "1", "receiptHandle": "1", "body": body.to_string(), "messageAttributes": {},
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": chrono::Utc::now().timestamp_millis().to_string()},
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:world-changes", "awsRegion": "us-east-1",
    }]})
}

fn nothing_failed(answer: anyhow::Result<Value>) -> Result<(), String> {
    let answer = answer.map_err(|error| error.to_string())?;
    match answer["batchItemFailures"].as_array() {
        Some(failures) if failures.is_empty() => Ok(()),
        _ => Err(format!("messages failed: {answer}")),
    }
}
