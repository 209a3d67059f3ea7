//! A small deployment of secondkey: its own table, queues, topic, bus and rule on the shared
//! servers, the release binary in the emulator, and its own IAM user.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use chrono::Utc;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::trail::audit::{AuditKind, verify_trail};
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::{Value, json};

use crate::stack::clients::config;
use crate::stack::emulator::Emulator;
use crate::stack::pump::{Turn, pump_once};
use crate::stack::server::Server;
pub use crate::stack::wiring::ACCOUNT;
use crate::stack::wiring::{
    MessageCounts, Wiring, cloudtrail_record, message_counts, take_all, wire,
};
use crate::stack::{build, stack};
use crate::table::create_table;

/// The consistency window of the function under test, in seconds.
const SETTLE_SECONDS: &str = "2";

/// How long a case waits for an expected result.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often a message is tried before it goes to the dead-letter queue.
const TRIES: u32 = 3;

/// Differences from the default deployment.
#[derive(Default)]
pub struct Setup {
    /// Additional environment variables of the functions.
    pub environment: Vec<(&'static str, String)>,
    /// Additional parameters of the template.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// Whether the table already exists.
    pub adopts_table: bool,
    /// A separate moto server for the deployment: a sweep checks every user it finds.
    pub moto: Option<Server>,
}

/// One deployment and its user.
pub struct World {
    pub iam: aws_sdk_iam::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub store: DynamoDbStore,
    pub table: String,
    pub function: Emulator,
    pub user: String,
    pub wiring: Wiring,
    /// The configuration for all services.
    pub config: SdkConfig,
    overrides: Vec<(String, String)>,
    _moto: Option<Server>,
}

impl World {
    /// A default deployment for the case called `name`.
    pub async fn new(name: &str) -> Self {
        Self::with(name, Setup::default()).await
    }

    pub async fn with(name: &str, setup: Setup) -> Self {
        let stack = stack().await;
        let moto_url = setup
            .moto
            .as_ref()
            .map_or(&stack.moto_url, |moto| &moto.url);
        let config = config(moto_url).await;
        let iam = aws_sdk_iam::Client::new(&config);
        let sqs = aws_sdk_sqs::Client::new(&config);
        let wiring = wire(&config, name, TRIES, &setup.parameters).await;
        let dynamodb = crate::table::client(&stack.dynamodb_url);
        if !setup.adopts_table {
            create_table(&dynamodb, name).await;
        }

        let user = format!("User-{name}");
        if !setup.adopts_table {
            let made = iam.create_user().user_name(&user).send().await;
            made.expect("a user can be created");
        }

        let mut overrides = vec![
            ("AWS_ENDPOINT_URL", moto_url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamodb_url.clone()),
            ("SETTLE_SECONDS", SETTLE_SECONDS.to_owned()),
        ];
        overrides.extend(setup.environment);
        let overrides: Vec<(String, String)> = overrides
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let function = start(&wiring, "Detector", &overrides).await;
        Self {
            iam,
            sqs,
            store: DynamoDbStore::new(dynamodb, name.to_owned()),
            table: name.to_owned(),
            function,
            user,
            wiring,
            config,
            overrides,
            _moto: setup.moto,
        }
    }

    /// Starts another function of the deployment, by its logical ID.
    pub async fn start(&self, function: &str) -> Emulator {
        start(&self.wiring, function, &self.overrides).await
    }

    /// Creates a key in IAM without an event.
    pub async fn create_key(&self) -> String {
        let made = self
            .iam
            .create_access_key()
            .user_name(&self.user)
            .send()
            .await;
        made.expect("a key can be created")
            .access_key
            .expect("it is returned")
            .access_key_id
    }

    /// Sets a key's status in IAM without an event.
    pub async fn update_key(&self, key: &str, status: &str) {
        self.iam
            .update_access_key()
            .user_name(&self.user)
            .access_key_id(key)
            .status(status.into())
            .send()
            .await
            .expect("a key can be updated");
    }

    /// Deletes a key in IAM without an event.
    pub async fn delete_key(&self, key: &str) {
        let deleted = self
            .iam
            .delete_access_key()
            .user_name(&self.user)
            .access_key_id(key)
            .send()
            .await;
        deleted.expect("a key can be deleted");
    }

    /// Creates two keys, with an event for the second one.
    pub async fn open(&self) -> [String; 2] {
        let first = self.create_key().await;
        let second = self.create_key().await;
        self.tell(self.created(&second)).await;
        self.until("the finding is open", async || self.is_open().await)
            .await;
        [first, second]
    }

    pub fn created(&self, key: &str) -> Value {
        let mut record = Self::record("CreateAccessKey", &json!({"userName": self.user}));
        record["responseElements"] = json!({"accessKey": {"userName": self.user, "accessKeyId": key, "status": "Active",
            "createDate": "Mar 2, 2026 9:12:44 AM"}});
        record
    }

    pub fn updated(&self, key: &str, status: &str) -> Value {
        Self::record(
            "UpdateAccessKey",
            &json!({"userName": self.user, "accessKeyId": key, "status": status}),
        )
    }

    pub fn deleted(&self, key: &str) -> Value {
        Self::record(
            "DeleteAccessKey",
            &json!({"userName": self.user, "accessKeyId": key}),
        )
    }

    /// A CloudTrail record with the current time.
    pub fn record(event: &str, parameters: &Value) -> Value {
        cloudtrail_record(event, parameters, Utc::now())
    }

    /// Puts `record` on the bus. The rule sends it to the changes queue.
    pub async fn tell(&self, record: Value) {
        self.wiring.put_event(&record).await;
    }

    /// Puts `body` directly into the changes queue.
    pub async fn send(&self, body: &str) {
        let sent = self
            .sqs
            .send_message()
            .queue_url(&self.wiring.changes_url)
            .message_body(body)
            .send()
            .await;
        sent.expect("a message can be sent");
    }

    /// Runs the function once.
    pub async fn turn(&self) -> Turn {
        pump_once(&self.sqs, &self.wiring.changes_url, &self.function).await
    }

    /// Runs the function until `holds`. Fails with its log if that takes too long.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !holds().await {
            assert!(
                began.elapsed() < PATIENCE,
                "waited in vain until {what}:\n{}",
                self.function.log()
            );
            self.turn().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs the function until no re-check is queued.
    pub async fn until_quiet(&self) {
        self.until("no re-check is on its way", async || {
            let counts = message_counts(&self.sqs, &self.wiring.changes_url).await;
            counts == MessageCounts::default()
        })
        .await;
    }

    pub fn user_id(&self) -> UserId {
        UserId::new(ACCOUNT, &self.user)
    }

    pub async fn store_record(&self) -> UserRecord {
        self.store
            .record(&self.user_id())
            .await
            .expect("the table can be read")
    }

    /// The sinks with pending alerts.
    pub async fn store_owed(&self) -> Vec<String> {
        let owed = self
            .store
            .pending_alerts(&self.user_id())
            .await
            .expect("the table can be read");
        owed.into_iter().map(|owed| owed.sink).collect()
    }

    pub async fn findings(&self, status: FindingStatus) -> Vec<Finding> {
        self.store
            .findings(status)
            .await
            .expect("the table can be read")
    }

    pub async fn is_open(&self) -> bool {
        !self.findings(FindingStatus::Open).await.is_empty()
    }

    pub async fn is_closed(&self) -> bool {
        !self.is_open().await && !self.findings(FindingStatus::Closed).await.is_empty()
    }

    /// The kinds of the audit trail's entries. Verifies the trail first.
    pub async fn trail(&self, user: &UserId) -> Vec<AuditKind> {
        let entries = self
            .store
            .history(user)
            .await
            .expect("the table can be read");
        let head = self
            .store
            .record(user)
            .await
            .expect("the table can be read")
            .audit;
        assert_eq!(verify_trail(user, &entries, &head), Ok(()));
        entries.iter().map(|entry| entry.draft.kind).collect()
    }

    /// Takes the alerts from the queue behind the topic, sorted by sequence number.
    pub async fn alerts(&self) -> Vec<Value> {
        let mut alerts = self.drain(&self.wiring.alerts_url).await;
        alerts.sort_by_key(|alert| alert["sequence"].as_u64());
        alerts
    }

    /// Takes the alerts from the queue behind the event bus.
    pub async fn bus_events(&self) -> Vec<Value> {
        self.drain(&self.wiring.bus_events_url).await
    }

    /// Takes the messages from the queue at `url`, as JSON if they are JSON.
    pub async fn drain(&self, url: &str) -> Vec<Value> {
        take_all(&self.sqs, url).await
    }
}

/// Starts `function` with the settings from the template, changed by `overrides`.
async fn start(wiring: &Wiring, function: &str, overrides: &[(String, String)]) -> Emulator {
    let deployed = wiring.environment(function);
    let environment: Vec<(&str, &str)> = deployed
        .iter()
        .chain(overrides)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let bootstrap = build::function(&function.to_lowercase()).await;
    Emulator::start(&bootstrap, &environment).await
}

/// The kinds of `alerts`.
pub fn kinds(alerts: &[Value]) -> Vec<&str> {
    alerts
        .iter()
        .map(|alert| alert["kind"].as_str().expect("an alert has a kind"))
        .collect()
}
