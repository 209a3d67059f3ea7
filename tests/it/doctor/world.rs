//! A deployment in its own moto server, intact until a test breaks it.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudformation::types::Parameter;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::Utc;
use secondkey::aws::deployment::Deployment;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::aws::settings::Settings;
use secondkey::detect::records::account_record::AccountRecord;
use serde_json::{Value, json};

use super::cloudwatch::CloudWatch;
use crate::stack::clients::{ACCESS_KEY, REGION, config};
use crate::stack::server::{self, Server};
use crate::stack::wiring::ACCOUNT;

/// The name of the stack.
pub const STACK: &str = "secondkey-doctor";

const PATTERN: &str = include_str!("../../../infra/event-pattern.json");

/// The region of a deployment to which IAM's events are forwarded from `REGION`.
pub const HOME_REGION: &str = "eu-central-1";

/// The deployment.
pub struct World {
    pub config: SdkConfig,
    pub url: String,
    region: &'static str,
    pub resources: BTreeMap<String, String>,
    pub cloudwatch: CloudWatch,
    _server: Server,
}

impl World {
    /// Deploys the small template where IAM's events arrive, and creates by API what moto omits from
    /// templates.
    pub async fn new() -> Self {
        let world = Self::deployed(REGION, "here").await;
        world.allow("ChangesQueue", world.id("ChangesRule")).await;
        world
    }

    /// The same in a home region. Nothing forwards to it yet.
    pub async fn in_home_region() -> Self {
        let world = Self::deployed(HOME_REGION, REGION).await;
        let rule = format!("{STACK}/{}", world.id("MemberChangesRule"));
        world.allow("ChangesQueue", &rule).await;
        world
    }

    async fn deployed(region: &'static str, events_region: &str) -> Self {
        let server = tokio::task::spawn_blocking(|| server::start_moto(&[]));
        let server = server.await.expect("moto starts");
        let config = in_region(&config(&server.url).await, region);
        let resources = deploy(&config, events_region).await;
        let world = Self {
            url: server.url.clone(),
            config,
            region,
            resources,
            cloudwatch: CloudWatch::start(),
            _server: server,
        };
        world.add_what_moto_leaves_out().await;
        world
    }

    /// The physical id of `logical`.
    pub fn id(&self, logical: &str) -> &str {
        &self.resources[logical]
    }

    /// Lets only `rule` send to `queue`.
    pub async fn allow(&self, queue: &str, rule: &str) {
        let region = self.region;
        let name = self.id(queue).rsplit('/').next().unwrap();
        let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": format!("arn:aws:sqs:{region}:{ACCOUNT}:{name}"),
            "Condition": {"ArnEquals": {"aws:SourceArn": [format!("arn:aws:events:{region}:{ACCOUNT}:rule/{rule}")]}}}]});
        self.set_policy(queue, &policy.to_string()).await;
    }

    /// Gives `queue` the policy.
    pub async fn set_policy(&self, queue: &str, policy: &str) {
        let set = aws_sdk_sqs::Client::new(&self.config)
            .set_queue_attributes()
            .queue_url(self.id(queue))
            .attributes(QueueAttributeName::Policy, policy);
        set.send().await.expect("a policy can be set");
    }

    /// Turns point-in-time recovery and expiry of the table on or off.
    pub async fn set_table(&self, is_on: bool) {
        use aws_sdk_dynamodb::types::{PointInTimeRecoverySpecification, TimeToLiveSpecification};
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.config);
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(is_on)
            .build()
            .unwrap();
        let set = dynamodb
            .update_continuous_backups()
            .table_name(self.id("Table"))
            .point_in_time_recovery_specification(recovery);
        set.send().await.expect("recovery can be set");
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name("expires_at")
            .enabled(is_on)
            .build()
            .unwrap();
        let set = dynamodb
            .update_time_to_live()
            .table_name(self.id("Table"))
            .time_to_live_specification(expiry);
        set.send().await.expect("expiry can be set");
    }

    /// The table.
    pub fn store(&self) -> DynamoDbStore {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        DynamoDbStore::new(client, self.id("Table").to_owned())
    }

    /// The detector, in this process.
    pub fn detector(&self) -> Deployment {
        let settings = Settings::from_lookup(|name| match name {
            "ACCOUNT_ID" => Some(ACCOUNT.to_owned()),
            "TABLE_NAME" => Some(self.id("Table").to_owned()),
            "CHANGES_QUEUE_URL" => Some(self.id("ChangesQueue").to_owned()),
            "ALERT_TOPIC_ARN" => Some(self.id("AlertTopic").to_owned()),
            "SETTLE_SECONDS" => Some("0".to_owned()),
            _ => None,
        });
        Deployment::new(settings.expect("they are all there"), &self.config)
    }

    /// The command `secondkey doctor` for this deployment.
    pub fn doctor(&self, arguments: &[&str]) -> Command {
        doctor_in(self.region, &self.url, &self.cloudwatch.url, arguments)
    }

    async fn add_what_moto_leaves_out(&self) {
        let bucket = self.id("TrailBucket");
        // A trail of this one region, which is not the home region, records IAM's events.
        let trails = aws_sdk_cloudtrail::Client::new(&in_region(&self.config, REGION));
        let made = trails.create_trail().name("all").s3_bucket_name(bucket);
        made.send().await.expect("a trail can be created");
        let started = trails.start_logging().name("all").send().await;
        started.expect("a trail can be started");
        self.allow("SweepQueue", self.id("SweepSchedule")).await;
        self.set_table(true).await;
        for topic in ["AlertTopic", "AlarmTopic"] {
            let subscribed = aws_sdk_sns::Client::new(&self.config)
                .subscribe()
                .topic_arn(self.id(topic))
                .protocol("email")
                .endpoint("security@example.com");
            subscribed
                .send()
                .await
                .expect("the topic accepts subscriptions");
        }
        let swept = AccountRecord {
            version: 1,
            baseline_at: Some(Utc::now()),
            swept_at: Some(Utc::now()),
            ..AccountRecord::new(ACCOUNT)
        };
        let kept = self.store().put_account(&swept).await;
        kept.expect("an account can be kept");
    }
}

/// `config` for another region.
pub fn in_region(config: &SdkConfig, region: &'static str) -> SdkConfig {
    config.to_builder().region(Region::new(region)).build()
}

/// The command `secondkey doctor` for the deployment at `url`, where IAM's events arrive.
pub fn doctor_at(url: &str, cloudwatch: &str, arguments: &[&str]) -> Command {
    doctor_in(REGION, url, cloudwatch, arguments)
}

fn doctor_in(region: &str, url: &str, cloudwatch: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
    command
        .args(["doctor", "--stack", STACK, "--region", region])
        .args(arguments)
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY.0)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.1)
        .env_remove("AWS_PROFILE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn deploy(config: &SdkConfig, events_region: &str) -> BTreeMap<String, String> {
    let pattern: Value = serde_json::from_str(PATTERN).unwrap();
    let template =
        include_str!("stack.yaml").replace("\"{{EVENT_PATTERN}}\"", &pattern.to_string());
    let client = aws_sdk_cloudformation::Client::new(config);
    let from = Parameter::builder()
        .parameter_key("IamEventsRegion")
        .parameter_value(events_region);
    let created = client
        .create_stack()
        .stack_name(STACK)
        .parameters(from.build())
        .template_body(template);
    created.send().await.expect("the stack can be deployed");
    let listed = client.list_stack_resources().stack_name(STACK).send().await;
    let listed = listed.expect("its resources can be listed");
    listed
        .stack_resource_summaries
        .unwrap_or_default()
        .into_iter()
        .filter_map(|one| Some((one.logical_resource_id?, one.physical_resource_id?)))
        .collect()
}

/// The output of `doctor`.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The check of `what`, from the JSON document.
    #[track_caller]
    pub fn check(&self, what: &str) -> Value {
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr));
        let checks = document["checks"].as_array().expect("there are checks");
        checks
            .iter()
            .find(|check| check["what"] == what)
            .unwrap_or_else(|| panic!("nothing about {what}: {document:#}"))
            .clone()
    }

    /// The state of `what`.
    #[track_caller]
    pub fn state(&self, what: &str) -> String {
        self.check(what)["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// Runs `command` to its end.
pub async fn run(mut command: Command) -> Said {
    let output = tokio::task::spawn_blocking(move || command.output());
    Said::of(&output.await.unwrap().expect("the command line starts"))
}
