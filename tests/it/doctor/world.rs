//! Deployments of `infra/template.yaml` and `infra/member.yaml` in their own moto server, intact
//! until a test breaks them.

use std::process::{Command, Output, Stdio};

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_sqs::types::QueueAttributeName;
use secondkey::aws::deployment::Deployment;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::aws::settings::{Settings, SweepSettings};
use secondkey::aws::sweeper::{self, Sweeper};
use serde_json::{Value, json};

use super::cloudwatch::CloudWatch;
use crate::stack::clients::{ACCESS_KEY, REGION, config, config_of};
use crate::stack::cloudformation::{Known, Template};
use crate::stack::left_out::{Deployed, complete};
use crate::stack::proxy::Proxy;
use crate::stack::server::{self, Server};
use crate::stack::wiring::{ACCOUNT, deploy, take_all};

/// The name of the stack.
pub const STACK: &str = "secondkey-doctor";

/// The parameters of both shapes.
const ALWAYS: [(&str, &str); 4] = [
    ("TableName", STACK),
    ("AlertEmail", "security@example.com"),
    ("CreateTrail", "true"),
    ("SettleSeconds", "0"),
];

/// The region of a deployment to which IAM's events are forwarded from `REGION`.
pub const HOME_REGION: &str = "eu-central-1";

/// The deployment.
pub struct World {
    pub config: SdkConfig,
    pub deployed: Deployed,
    pub cloudwatch: CloudWatch,
    /// Between moto and everything else. It adds root to the credential report, as AWS does.
    pub proxy: Proxy,
    _server: Server,
}

/// A deployment for an organization.
pub struct Organization {
    pub central: World,
    /// The organization's ID.
    pub id: String,
    /// The member account's ID.
    pub member: String,
    /// An administrator in the member account.
    pub member_config: SdkConfig,
}

impl World {
    /// A deployment for one account.
    pub async fn new() -> Self {
        let world = Self::deploy(start().await, &[]).await;
        world.sweep().await;
        world.enable_mappings().await;
        world
    }

    /// A deployment for one account in a home region. Nothing forwards to it yet.
    pub async fn in_home_region() -> Self {
        let (server, proxy, config) = start().await;
        let parts = (server, proxy, in_region(&config, HOME_REGION));
        let world = Self::deploy(parts, &[("IamEventsRegion", REGION)]).await;
        world.sweep().await;
        world.enable_mappings().await;
        world
    }

    async fn deploy(
        (server, proxy, config): (Server, Proxy, SdkConfig),
        parameters: &[(&str, &str)],
    ) -> Self {
        let parameters = [&ALWAYS, parameters].concat();
        deploy(&config, STACK, &parameters).await;
        let deployed = complete(&config, STACK, &parameters).await;
        if let Some(rule) = deployed.resources.get("SecurityHubRule") {
            // moto cannot invoke a function, and then rejects the events themselves.
            let removed = aws_sdk_eventbridge::Client::new(&config)
                .remove_targets()
                .event_bus_name(STACK)
                .rule(rule)
                .ids("securityhub");
            removed.send().await.expect("a target can be removed");
        }
        Self {
            deployed,
            config,
            cloudwatch: CloudWatch::start(),
            proxy,
            _server: server,
        }
    }

    /// The physical id of `logical`.
    pub fn id(&self, logical: &str) -> &str {
        &self.deployed.resources[logical]
    }

    /// Lets only `rule` send to `queue`.
    pub async fn allow(&self, queue: &str, rule: &str) {
        let (url, rule) = (self.id(queue), self.id(rule));
        let name = url.rsplit('/').next().unwrap();
        let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            "Condition": {"ArnEquals": {"aws:SourceArn": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}")]}}}]});
        let set = aws_sdk_sqs::Client::new(&self.config)
            .set_queue_attributes()
            .queue_url(url)
            .attributes(QueueAttributeName::Policy, policy.to_string());
        set.send().await.expect("a policy can be set");
    }

    /// Turns point-in-time recovery and expiry of the table off.
    pub async fn unprotect_table(&self) {
        use aws_sdk_dynamodb::types::{PointInTimeRecoverySpecification, TimeToLiveSpecification};
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.config);
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(false)
            .build()
            .unwrap();
        let set = dynamodb
            .update_continuous_backups()
            .table_name(self.id("Table"))
            .point_in_time_recovery_specification(recovery);
        set.send().await.expect("recovery can be set");
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name("expires_at")
            .enabled(false)
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

    /// The detector in this process, with the settings of the deployed one.
    pub fn detector(&self) -> Deployment {
        let settings = Settings::from_lookup(|name| self.setting("Detector", name));
        Deployment::new(settings.expect("they are all there"), &self.config)
    }

    /// The sweeper in this process, with the settings of the deployed one.
    fn sweeper(&self) -> Sweeper {
        let lookup = |name: &str| self.setting("Sweeper", name);
        let settings = Settings::from_lookup(lookup).expect("they are all there");
        let sweeps = SweepSettings::from_lookup(lookup).expect("they are all there");
        Sweeper {
            account: settings.account.clone(),
            deployment: Deployment::new(settings, &self.config),
            mode: sweeps.mode,
            lists_accounts: sweeps.lists_accounts,
            remind_every: sweeps.remind_every,
            sqs: aws_sdk_sqs::Client::new(&self.config),
            queue_url: sweeps.queue_url,
            config: self.config.clone(),
        }
    }

    fn setting(&self, function: &str, name: &str) -> Option<String> {
        let mut settings = self.deployed.environments[function].iter();
        let found = settings.find(|(setting, _)| setting == name);
        found.map(|(_, value)| value.clone())
    }

    /// Passes the schedule's message to the sweeper, and then every message that follows from it.
    pub async fn sweep(&self) {
        let sweeper = self.sweeper();
        let schedule = &self.deployed.template["Resources"]["SweepSchedule"]["Properties"];
        let input = schedule["Targets"][0]["Input"].as_str();
        let mut messages = vec![serde_json::from_str(input.unwrap()).expect("it is JSON")];
        let sqs = aws_sdk_sqs::Client::new(&self.config);
        while !messages.is_empty() {
            for message in messages {
                let swept = sweeper::handle(&sweeper, message, &mut std::io::sink()).await;
                swept.expect("the sweeper works");
            }
            messages = take_all(&sqs, self.id("SweepQueue")).await;
        }
    }

    /// Enables the event sources, which the tests' template disables: moto would take each sent
    /// message for a function that it cannot run.
    async fn enable_mappings(&self) {
        let client = aws_sdk_lambda::Client::new(&self.config);
        let listed = client.list_event_source_mappings().send().await;
        for mapping in listed.unwrap().event_source_mappings.unwrap_or_default() {
            let update = client.update_event_source_mapping().enabled(true);
            let update = update.uuid(mapping.uuid.unwrap());
            update.send().await.expect("a mapping can be enabled");
        }
    }

    /// The command `secondkey doctor` for this deployment.
    pub fn doctor(&self, arguments: &[&str]) -> Command {
        let region = self.config.region().expect("it has one").as_ref();
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
        command
            .args(["doctor", "--stack", STACK, "--region", region])
            .args(arguments)
            .env("AWS_ENDPOINT_URL", &self.proxy.url)
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", &self.cloudwatch.url)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.1)
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Organization {
    /// An organization with a member account and both templates deployed. The central account is
    /// its management account.
    pub async fn new() -> Self {
        let parts = start().await;
        let config = parts.2.clone();
        let organizations = aws_sdk_organizations::Client::new(&config);
        let made = organizations.create_organization().send().await;
        let made = made.expect("an organization can be created").organization;
        let id = made.unwrap().id.expect("it has an ID");
        let member = new_account(&config, "member").await;
        let parameters = [
            ("OrganizationId", id.as_str()),
            ("ListAccounts", "true"),
            ("SecurityHubImport", "members"),
        ];
        let central = World::deploy(parts, &parameters).await;
        let member_config = config_of(&config, &member, "OrganizationAccountAccessRole").await;
        let external_id = central.setting("Sweeper", "MEMBER_EXTERNAL_ID");
        deploy_member(&member_config, &member, &external_id.unwrap()).await;
        central.sweep().await;
        central.enable_mappings().await;
        Self {
            central,
            id,
            member,
            member_config,
        }
    }
}

/// `config` for another region.
pub fn in_region(config: &SdkConfig, region: &'static str) -> SdkConfig {
    config.to_builder().region(Region::new(region)).build()
}

async fn start() -> (Server, Proxy, SdkConfig) {
    let server = tokio::task::spawn_blocking(|| server::start_moto(&[]));
    let server = server.await.expect("moto starts");
    let proxy = Proxy::start(&server.url);
    let config = config(&proxy.url).await;
    (server, proxy, config)
}

/// Creates an account in the organization and returns its ID.
pub async fn new_account(config: &SdkConfig, name: &str) -> String {
    let made = aws_sdk_organizations::Client::new(config)
        .create_account()
        .account_name(name)
        .email(format!("{name}@example.com"));
    let made = made.send().await.expect("an account can be created");
    let status = made.create_account_status.expect("moto says how it went");
    status.account_id.expect("moto creates it at once")
}

/// Deploys `infra/member.yaml` in the account `member`, which is that of `config`.
async fn deploy_member(config: &SdkConfig, member: &str, external_id: &str) {
    let parameters = [
        ("CentralAccountId", ACCOUNT),
        ("CentralStackName", STACK),
        ("MemberExternalId", external_id),
        ("SecurityHubImport", "true"),
    ];
    let mut known = Known::from(parameters);
    for (name, value) in [("AWS::AccountId", member), ("AWS::Region", REGION)] {
        known.0.insert(name.to_owned(), json!(value));
    }
    // moto takes conditions on mappings and on other conditions for false.
    let template = Template::read("infra/member.yaml").with_decided_conditions(&known);
    let parameters = parameters.map(|(key, value)| {
        let parameter = Parameter::builder().parameter_key(key);
        parameter.parameter_value(value).build()
    });
    let created = aws_sdk_cloudformation::Client::new(config)
        .create_stack()
        .stack_name("secondkey-member")
        .template_body(template.to_string())
        .capabilities(Capability::CapabilityNamedIam)
        .set_parameters(Some(parameters.to_vec()));
    created.send().await.expect("a member can be deployed");
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
