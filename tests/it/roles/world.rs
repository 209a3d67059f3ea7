//! A deployment on a moto server that enforces policies: the resources, the roles of the templates,
//! an administrator, and the functions' own code with the functions' roles.

use aws_config::SdkConfig;
use aws_sdk_iam::Client as Iam;
use secondkey::aws::dynamodb::DynamoDbStore;
use serde_json::{Value, json};

use super::policies::{
    AUDIT, CENTRAL, FUNCTIONS, MEMBER, Statement, central, member, role_name, statements,
};
use crate::stack::clients::{config, config_of};
use crate::stack::cloudformation::Known;
use crate::stack::http;
use crate::stack::server::{Server, start_moto};
use crate::stack::wiring::{queue, rule, subscribe, take_all};
use crate::table::create_table;

/// The name prefix of the test's resources.
const NAME: &str = "world";
pub const TABLE: &str = "secondkey";
pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:world";
pub const BUS: &str = "world-bus";

/// A policy that allows everything.
const EVERYTHING: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;

/// A trust policy for roles whose trust is not under test.
const ANYBODY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}"#;

/// The permissions of every role in the templates, with the test's resources in place of the
/// deployed ones.
pub fn deployed_statements() -> Vec<Statement> {
    let local = |service: &str, name: &str| format!("arn:aws:{service}:us-east-1:{CENTRAL}:{name}");
    let mut known = Known::from([("AlertTopic", TOPIC)]);
    for (name, arn) in [
        ("Table.Arn", local("dynamodb", &format!("table/{TABLE}"))),
        ("ChangesQueue.Arn", local("sqs", "world-changes")),
        ("ChangesDeadLetters.Arn", local("sqs", "world-dead")),
        ("SweepQueue.Arn", local("sqs", "world-sweep")),
        ("SecurityHubDeadLetters.Arn", local("sqs", "world-hub")),
        ("EventBus.Arn", local("events", &format!("event-bus/{BUS}"))),
        ("AlertKey.Arn", local("kms", "key/alerts")),
        ("DetectorLog.Arn", local("logs", "log-group:detector:*")),
        ("SweeperLog.Arn", local("logs", "log-group:sweeper:*")),
        ("SecurityHubLog.Arn", local("logs", "log-group:hub:*")),
    ] {
        known.0.insert(name.to_owned(), json!(arn));
    }
    let (central, member) = (central(&known), member());
    let of_functions = FUNCTIONS.iter().flat_map(|role| statements(&central, role));
    of_functions.chain(statements(&member, AUDIT)).collect()
}

/// A moto server that enforces policies.
pub async fn enforcing_moto() -> Server {
    tokio::task::spawn_blocking(|| {
        let decides = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/roles/moto");
        start_moto(&[("PYTHONPATH", decides), ("PYTHONDONTWRITEBYTECODE", "1")])
    })
    .await
    .unwrap()
}

pub struct World {
    /// Administrator in the central account.
    pub admin: SdkConfig,
    /// Administrator in the member account.
    pub member_admin: SdkConfig,
    /// The functions' roles, in the order of [`FUNCTIONS`].
    pub functions: [SdkConfig; 3],
    pub wiring: Wiring,
}

/// The queues, the topic and the bus, created directly: each of the many cases has its own, with
/// short names.
#[expect(
    clippy::struct_field_names,
    reason = "as in the deployment of the other tests"
)]
pub struct Wiring {
    pub changes_url: String,
    pub dead_url: String,
    pub sweep_url: String,
    pub hub_url: String,
    /// The queue behind the topic.
    pub alerts_url: String,
    /// The queue behind the bus.
    pub bus_events_url: String,
}

impl Wiring {
    async fn new(config: &SdkConfig) -> Self {
        let sqs = aws_sdk_sqs::Client::new(config);
        let queue = async |name: &str| queue(&sqs, &format!("{NAME}-{name}")).await;
        let (alerts_url, alerts_arn) = queue("alerts").await;
        let (bus_events_url, bus_events_arn) = queue("bus").await;
        let topic = aws_sdk_sns::Client::new(config).create_topic().name(NAME);
        topic.send().await.unwrap();
        subscribe(config, TOPIC, &alerts_arn).await;
        let events = aws_sdk_eventbridge::Client::new(config);
        let bus = events.create_event_bus().name(BUS);
        bus.send().await.unwrap();
        let findings = r#"{"source":["secondkey"]}"#;
        rule(&events, BUS, "findings", findings, &bus_events_arn).await;
        Self {
            changes_url: queue("changes").await.0,
            dead_url: queue("dead").await.0,
            sweep_url: queue("sweep").await.0,
            hub_url: queue("hub").await.0,
            alerts_url,
            bus_events_url,
        }
    }
}

impl World {
    /// A new deployment on `moto`, which replaces the previous one. Its roles have the permissions
    /// in `allowed`.
    pub async fn new(moto: &Server, allowed: &[Statement]) -> Self {
        http::post(format!("{}/moto-api/reset", moto.url), String::new()).await;
        enforce(moto, "inf").await;
        let anybody = config(&moto.url).await;
        let wiring = Wiring::new(&anybody).await;
        create_table(&aws_sdk_dynamodb::Client::new(&anybody), TABLE).await;
        let organization = aws_sdk_organizations::Client::new(&anybody);
        organization.create_organization().send().await.unwrap();

        let iam = Iam::new(&anybody);
        role(&iam, "admin", ANYBODY, EVERYTHING).await;
        let admin = config_of(&anybody, CENTRAL, "admin").await;
        let mut functions = vec![];
        for function in FUNCTIONS {
            let name = role_name(function);
            role(&iam, &name, ANYBODY, &policy(allowed, function)).await;
            functions.push(config_of(&anybody, CENTRAL, &name).await);
        }
        let member_admin = config_of(&anybody, MEMBER, "admin").await;
        let iam = Iam::new(&member_admin);
        role(&iam, "admin", ANYBODY, EVERYTHING).await;
        let audit = &member()["Resources"][AUDIT]["Properties"];
        let trust = audit["AssumeRolePolicyDocument"].to_string();
        role(&iam, &role_name(AUDIT), &trust, &policy(allowed, AUDIT)).await;
        enforce(moto, "0").await;
        Self {
            admin,
            member_admin,
            functions: functions.try_into().unwrap(),
            wiring,
        }
    }

    /// The table with full read access.
    pub fn table(&self) -> DynamoDbStore {
        let client = aws_sdk_dynamodb::Client::new(&self.admin);
        DynamoDbStore::new(client, TABLE.to_owned())
    }

    /// Creates a user of `account` with `keys` keys.
    pub async fn user(&self, account: &str, name: &str, keys: usize) -> Vec<String> {
        let iam = Iam::new(if account == MEMBER {
            &self.member_admin
        } else {
            &self.admin
        });
        iam.create_user().user_name(name).send().await.unwrap();
        let mut made = vec![];
        for _ in 0..keys {
            let key = iam.create_access_key().user_name(name).send().await;
            made.push(key.unwrap().access_key.unwrap().access_key_id);
        }
        made
    }

    /// Takes the messages from the queue at `url`.
    pub async fn take(&self, url: &str) -> Vec<Value> {
        take_all(&aws_sdk_sqs::Client::new(&self.admin), url).await
    }
}

/// Sets after how many more calls moto begins to enforce policies.
async fn enforce(moto: &Server, after: &str) {
    http::post(
        format!("{}/moto-api/reset-auth", moto.url),
        after.to_owned(),
    )
    .await;
}

/// The permissions of `role` as a policy. IAM refuses a statement without an action.
fn policy(allowed: &[Statement], role: &str) -> String {
    let statements: Vec<Value> = allowed
        .iter()
        .filter(|statement| statement.role == role && !statement.actions.is_empty())
        .map(Statement::to_json)
        .collect();
    assert!(!statements.is_empty(), "{role}");
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

async fn role(iam: &Iam, name: &str, trust: &str, policy: &str) {
    let made = iam
        .create_role()
        .role_name(name)
        .assume_role_policy_document(trust);
    made.send().await.unwrap();
    let put = iam
        .put_role_policy()
        .role_name(name)
        .policy_name("only")
        .policy_document(policy);
    put.send().await.unwrap();
}
