//! A sweeper and a detector in this process, in moto accounts that no other test uses.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secondkey::aws::deployment::Deployment;
use secondkey::aws::detector;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::aws::settings::Settings;
use secondkey::aws::suspects::SweepMode;
use secondkey::aws::sweeper::{self, Sweeper};
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::{Value, json};

use crate::stack::clients::{config, iam_of};
use crate::stack::proxy::Proxy;
use crate::stack::stack;
use crate::stack::wiring::{ACCOUNT, cloudtrail_record, queue, take_all};

const ROLE: &str = "secondkey-audit";

/// The parts, and the servers behind them.
pub struct World {
    pub sweeper: Sweeper,
    pub table: DynamoDbStore,
    /// All services but DynamoDB.
    pub aws: Proxy,
    pub dynamodb: Proxy,
    items: (aws_sdk_dynamodb::Client, String),
    /// The configuration without proxies.
    pub direct: SdkConfig,
}

/// The response of a function.
#[derive(Debug)]
pub struct Handled {
    /// The IDs of the messages that failed.
    pub failed: Vec<String>,
    out: String,
}

impl Handled {
    /// The value of the metric `name`, if it was written.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let lines = self.out.lines();
        let mut values = lines.filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line[name].as_u64()
        });
        values.next()
    }
}

/// An account that no other test uses.
pub fn new_account() -> String {
    format!("2{:011}", fastrand::u64(..100_000_000_000))
}

impl World {
    pub async fn new(name: &str, mode: SweepMode) -> Self {
        let stack = stack().await;
        let (aws, direct) = (Proxy::start(&stack.moto_url), config(&stack.moto_url).await);
        let config = config(&aws.url).await.to_builder();
        // A service that is down stays down.
        let config = config.retry_config(RetryConfig::disabled()).build();
        let (items, table_name) = crate::table::new_table().await;
        let dynamodb = Proxy::start(&stack.dynamodb_url);
        let table = DynamoDbStore::new(crate::table::client(&dynamodb.url), table_name.clone());
        let sqs = aws_sdk_sqs::Client::new(&config);
        let direct_sqs = aws_sdk_sqs::Client::new(&direct);
        let changes_url = queue(&direct_sqs, &format!("{name}-changes-in-process"))
            .await
            .0;
        let queue_url = queue(&direct_sqs, &format!("{name}-sweep-in-process"))
            .await
            .0;
        let settings = Settings::from_lookup(|name| {
            let value = match name {
                "ACCOUNT_ID" => ACCOUNT.to_owned(),
                "TABLE_NAME" => table_name.clone(),
                "CHANGES_QUEUE_URL" => changes_url.clone(),
                "EVENT_BUS_NAME" => "default".to_owned(),
                "MEMBER_ROLE_ARN" => format!("arn:aws:iam::{{account}}:role/{ROLE}"),
                "SETTLE_SECONDS" => "0".to_owned(),
                _ => return None,
            };
            Some(value)
        });
        let mut deployment = Deployment::new(settings.unwrap(), &config);
        deployment.table = table.clone();
        deployment.dependencies.store = Arc::new(table.clone());
        Self {
            sweeper: Sweeper {
                deployment,
                account: ACCOUNT.to_owned(),
                mode,
                lists_accounts: false,
                remind_every: TimeDelta::hours(24),
                sqs,
                queue_url,
                config,
            },
            table,
            aws,
            dynamodb,
            items: (items, table_name),
            direct,
        }
    }

    pub fn own(&self) -> String {
        self.sweeper.account.clone()
    }

    /// Creates a user of `account` with `keys` active keys, and returns their IDs.
    pub async fn user(&self, account: &str, name: &str, keys: usize) -> Vec<String> {
        let iam = iam_of(&self.direct, account, ROLE).await;
        let made = iam.create_user().user_name(name).send().await;
        made.expect("a user can be created");
        let mut ids = vec![];
        for _ in 0..keys {
            let made = iam.create_access_key().user_name(name).send().await;
            let key = made.expect("a key can be created").access_key;
            ids.push(key.expect("it is returned").access_key_id);
        }
        ids
    }

    /// Passes the sweeper a message with `sweep` and its version.
    pub async fn sweep(&self, sweep: &Value) -> Handled {
        let mut message = sweep.clone();
        message["version"] = json!(1);
        let batch = batch(&json!({"secondkey_sweep": message}));
        let mut out = vec![];
        let answer = sweeper::handle(&self.sweeper, batch, &mut out).await;
        handled(answer, out)
    }

    /// Passes the sweeper the hourly message. Returns the account messages that it queues.
    pub async fn fan_out(&self) -> Vec<Value> {
        let fanned_out = self.sweep(&json!({})).await;
        assert!(fanned_out.failed.is_empty(), "{fanned_out:?}");
        let sqs = aws_sdk_sqs::Client::new(&self.direct);
        let queued = take_all(&sqs, &self.sweeper.queue_url).await;
        let turns = queued
            .into_iter()
            .map(|body| body["secondkey_sweep"].clone());
        turns.collect()
    }

    /// Passes the detector an event: `user` just got the key `key`.
    pub async fn detect(&self, account: &str, user: &str, key: &str) -> Handled {
        let mut record =
            cloudtrail_record("CreateAccessKey", &json!({"userName": user}), Utc::now());
        record["recipientAccountId"] = json!(account);
        record["responseElements"] =
            json!({"accessKey": {"userName": user, "accessKeyId": key, "status": "Active"}});
        let event = json!({"version": "0", "id": "1", "source": "aws.iam", "account": account, "region": "us-east-1",
            "resources": [], "time": record["eventTime"], "detail-type": "AWS API Call via CloudTrail", "detail": record});
        let mut out = vec![];
        let answer = detector::handle(&self.sweeper.deployment, batch(&event), &mut out).await;
        handled(answer, out)
    }

    /// Passes the detector a queued re-check of `user`.
    pub async fn recheck(&self, user: &UserId) -> Handled {
        let message = json!({"secondkey_recheck": {"version": 1, "account": user.account(), "user": user.name()}});
        let mut out = vec![];
        let batch = batch(&message);
        let answer = detector::handle(&self.sweeper.deployment, batch, &mut out).await;
        handled(answer, out)
    }

    /// The users whose re-checks were queued since the last call, sorted by name.
    pub fn queued_rechecks(&self) -> Vec<UserId> {
        let queued: BTreeSet<UserId> = self
            .aws
            .take_bodies()
            .iter()
            .filter_map(|body| {
                let call: Value = serde_json::from_str(body).ok()?;
                let message: Value = serde_json::from_str(call["MessageBody"].as_str()?).ok()?;
                let recheck = &message["secondkey_recheck"];
                Some(UserId::new(
                    recheck["account"].as_str()?,
                    recheck["user"].as_str()?,
                ))
            })
            .collect();
        queued.into_iter().collect()
    }

    /// The users whose findings are open.
    pub async fn open_users(&self) -> Vec<String> {
        let open = self.table.findings(FindingStatus::Open).await.unwrap();
        open.into_iter()
            .map(|finding| finding.display_name)
            .collect()
    }

    /// Adds a re-check that is scheduled for `at` to the record of `user`.
    pub async fn promise_recheck(&self, user: &UserId, at: DateTime<Utc>) {
        self.record_update(user, at)
            .update_expression("SET due = :due, due_at = :at, recheck_at = :at")
            .expression_attribute_values(":due", AttributeValue::S("due".to_owned()))
            .send()
            .await
            .expect("the record is there");
    }

    /// Changes a time in the record of `user`.
    pub async fn set_time(&self, user: &UserId, attribute: &str, at: DateTime<Utc>) {
        self.record_update(user, at)
            .update_expression(format!("SET {attribute} = :at"))
            .send()
            .await
            .expect("the record is there");
    }

    /// An update of the record of `user`, in which `:at` is `at`.
    fn record_update(&self, user: &UserId, at: DateTime<Utc>) -> UpdateItemFluentBuilder {
        let (items, table) = &self.items;
        let key = format!("USER#{}#{}", user.account(), user.name());
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        items
            .update_item()
            .table_name(table)
            .key("PK", AttributeValue::S(key))
            .key("SK", AttributeValue::S("RECORD".to_owned()))
            .expression_attribute_values(":at", AttributeValue::S(at))
    }

    /// Deactivates the key `key` of `name` without an event.
    pub async fn deactivate(&self, account: &str, name: &str, key: &str) {
        let iam = iam_of(&self.direct, account, ROLE).await;
        let update = iam.update_access_key().user_name(name).access_key_id(key);
        let updated = update.status("Inactive".into()).send().await;
        updated.expect("a key can be updated");
    }

    /// Lets the sweeper list the accounts of the organization, which moto creates.
    pub async fn lists_accounts(&mut self) {
        let organizations = aws_sdk_organizations::Client::new(&self.direct);
        // Another test may have created it.
        let _ = organizations.create_organization().send().await;
        self.sweeper.lists_accounts = true;
    }
}

/// A batch with one message, as SQS passes it to a function.
fn batch(body: &Value) -> Value {
    let now = Utc::now().timestamp_millis().to_string();
    json!({"Records": [{
        "messageId": "1", "receiptHandle": "1", "body": body.to_string(), "messageAttributes": {},
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": now},
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
    }]})
}

fn handled(answer: anyhow::Result<Value>, out: Vec<u8>) -> Handled {
    let answer = answer.unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap();
    Handled {
        failed: failures
            .iter()
            .filter_map(|failure| failure["itemIdentifier"].as_str())
            .map(str::to_owned)
            .collect(),
        out: String::from_utf8(out).unwrap(),
    }
}
