//! What the sweeper finds, reminds of and cannot look into.

use chrono::{TimeDelta, Utc};
use secondkey::detect::audit::AuditKind;
use secondkey::detect::exemption::Exemption;
use secondkey::detect::finding::{FindingStatus, FoundBy};
use secondkey::detect::severity::Severity;
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;

use super::world::{ACCOUNT, Setup, World, kinds};
use crate::stack::emulator::Emulator;
use crate::stack::http;
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::pump::pump_once;
use crate::stack::server::{Server, start_moto};
use crate::stack::template::expanded;
use crate::stack::wiring::{MessageCounts, message_counts};

/// A deployment with its sweeper, in an AWS of its own.
pub struct Swept {
    pub world: World,
    sweeper: Emulator,
}

impl Swept {
    pub async fn new(name: &str, setup: Setup) -> Self {
        let moto = match setup.moto {
            Some(moto) => moto,
            None => own_moto().await,
        };
        let setup = Setup {
            moto: Some(moto),
            ..setup
        };
        let world = World::with(name, setup).await;
        let sweeper = world.start("Sweeper").await;
        Self { world, sweeper }
    }

    /// A user with two active keys of whom no event tells.
    async fn pair(&self, user: &str) {
        let iam = &self.world.iam;
        let made = iam.create_user().user_name(user).send().await;
        made.expect("a user can be made");
        for _ in 0..2 {
            let made = iam.create_access_key().user_name(user).send().await;
            made.expect("a key can be made");
        }
    }

    /// What the schedule sends, and all that follows from it.
    pub async fn sweep(&self) {
        self.sweep_alone().await;
        self.world.until_quiet().await;
    }

    /// What the schedule sends, and what the sweeper does about it.
    pub async fn sweep_alone(&self) {
        let schedule = &expanded().await["Resources"]["SweepSchedule"]["Properties"];
        let input = schedule["Targets"][0]["Input"].as_str();
        let url = &self.world.wiring.sweep_url;
        let sent = self.world.sqs.send_message().queue_url(url);
        let sent = sent.message_body(input.expect("the schedule says what it sends"));
        sent.send().await.expect("a message can be sent");
        for _ in 0..200 {
            pump_once(&self.world.sqs, url, &self.sweeper).await;
            if message_counts(&self.world.sqs, url).await == MessageCounts::default() {
                return;
            }
        }
        panic!("the sweep does not come to an end:\n{}", self.sweeper.log());
    }

    pub async fn open(&self) -> Vec<String> {
        let open = self.world.findings(FindingStatus::Open).await;
        open.into_iter()
            .map(|finding| finding.display_name)
            .collect()
    }

    /// The values of a metric, one for each line that the sweeper wrote of it.
    fn metric(&self, name: &str) -> Vec<u64> {
        let lines = self.sweeper.log_lines();
        lines
            .iter()
            .filter_map(|line| line[name].as_u64())
            .collect()
    }
}

pub async fn own_moto() -> Server {
    let started = tokio::task::spawn_blocking(|| start_moto(&[])).await;
    started.expect("it starts")
}

fn digests(alerts: &[Value]) -> Vec<&Value> {
    alerts
        .iter()
        .filter(|alert| alert["kind"] == "digest")
        .collect()
}

#[tokio::test]
async fn the_first_sweep_finds_what_was_there_before_and_tells_it_once() {
    let swept = Swept::new("baseline", Setup::default()).await;
    for user in ["Alice", "bob", "carol"] {
        swept.pair(user).await;
    }
    swept.world.create_key().await;
    swept.sweep().await;
    assert_eq!(swept.open().await.len(), 3);
    let alerts = swept.world.alerts().await;
    assert_eq!(
        kinds(&alerts),
        ["digest"],
        "people read of all of them at once"
    );
    assert_eq!(alerts[0]["reason"], "baseline");
    assert_eq!(alerts[0]["open"], 3);
    // Programs get each.
    let mut events = swept.world.bus_events().await;
    events.sort_by_key(|event| event["detail-type"].to_string());
    let types: Vec<&str> = events
        .iter()
        .filter_map(|event| event["detail-type"].as_str())
        .collect();
    let opened = "Second Active Access Key Opened";
    assert_eq!(
        types,
        ["Second Active Access Key Digest", opened, opened, opened]
    );
    assert!(
        events[1..]
            .iter()
            .all(|event| event["detail"]["in_digest"] == true)
    );

    swept.sweep().await;
    assert_eq!(kinds(&swept.world.alerts().await), Vec::<&str>::new());
    assert_eq!(swept.metric("FoundBySweep"), Vec::<u64>::new());
    assert_eq!(swept.metric("Sweeps"), [1, 1]);
    assert_eq!(swept.metric("OpenFindings"), [0, 3]);
}

#[tokio::test]
async fn a_lost_event_is_healed_by_the_next_sweep_and_counted() {
    for mode in ["list", "report"] {
        let name = format!("lost-{mode}");
        let setup = Setup {
            parameters: vec![("SweepMode", mode)],
            ..Setup::default()
        };
        let swept = Swept::new(&name, setup).await;
        swept.sweep().await;
        swept.pair("Mallory").await;
        swept.sweep().await;
        let finding = swept.world.findings(FindingStatus::Open).await.remove(0);
        assert_eq!(finding.display_name, "Mallory");
        assert_eq!(finding.found_by, FoundBy::Sweep);
        assert_eq!(kinds(&swept.world.alerts().await), ["opened"]);
        assert_eq!(swept.metric("FoundBySweep"), [1]);
        let trail = swept.world.store.history(finding.user()).await.unwrap();
        let details = &trail[0].draft.details;
        assert_eq!(details["found_by"], "a sweep; no event had told of it");

        // So is a lost end.
        let keys: Vec<String> = finding.active_keys().map(ToOwned::to_owned).collect();
        let deleted = swept.world.iam.delete_access_key().user_name("Mallory");
        let deleted = deleted.access_key_id(&keys[0]).send().await;
        deleted.expect("a key can be deleted");
        swept.sweep().await;
        assert_eq!(swept.open().await, Vec::<String>::new(), "{mode}");
        assert_eq!(kinds(&swept.world.alerts().await), ["closed"]);
    }
}

#[tokio::test]
async fn a_report_of_four_hours_ago_delays_and_never_misleads() {
    let moto = own_moto().await;
    let (moto_url, proxy) = (moto.url.clone(), Proxy::start(&moto.url));
    let setup = Setup {
        parameters: vec![("SweepMode", "report")],
        environment: vec![("AWS_ENDPOINT_URL_IAM", proxy.url.clone())],
        moto: Some(moto),
        ..Setup::default()
    };
    let swept = Swept::new("frozen", setup).await;
    swept.sweep().await;
    swept.pair("cleaned-up").await;
    let report = |action: &str| {
        let asked = format!("Action={action}CredentialReport&Version=2010-05-08");
        http::post_to("iam", format!("{moto_url}/"), asked)
    };
    report("Generate").await;
    let frozen: &str = Box::leak(report("Get").await.into_boxed_str());
    assert!(frozen.contains("<Content>"), "{frozen}");
    // Since then one pair was cleaned up, and another made.
    let keys = swept
        .world
        .iam
        .list_access_keys()
        .user_name("cleaned-up")
        .send()
        .await;
    let key = keys
        .unwrap()
        .access_key_metadata
        .remove(0)
        .access_key_id
        .unwrap();
    let deleted = swept.world.iam.delete_access_key().user_name("cleaned-up");
    deleted
        .access_key_id(key)
        .send()
        .await
        .expect("a key can be deleted");
    swept.pair("new").await;
    proxy.set(Fault {
        part: "Action=GetCredentialReport",
        status: 200,
        body: frozen,
        times: u32::MAX,
    });
    swept.sweep().await;
    assert_eq!(
        swept.open().await,
        Vec::<String>::new(),
        "what is listed decides"
    );
    proxy.set(Fault {
        part: "none",
        status: 200,
        body: "",
        times: 0,
    });
    swept.sweep().await;
    assert_eq!(
        swept.open().await,
        ["new"],
        "found once the report is made anew"
    );
}

#[tokio::test]
async fn a_finding_that_outlives_its_window_is_told_again_once() {
    let swept = Swept::new("outlived", Setup::default()).await;
    swept.sweep().await;
    let window = TimeDelta::hours(24);
    let opened_at = Utc::now() - window + TimeDelta::seconds(40);
    // moto makes both keys now; their events say that they are older.
    for at in [opened_at - TimeDelta::hours(1), opened_at] {
        let key = swept.world.create_key().await;
        let mut created = swept.world.created(&key);
        created["eventTime"] = at.format("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        swept.world.tell(created).await;
    }
    swept
        .world
        .until("the finding is open", async || swept.world.is_open().await)
        .await;
    swept.world.until_quiet().await;
    let alerts = swept.world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["severity"], "MEDIUM");
    let left = (opened_at + window - Utc::now()).to_std();
    tokio::time::sleep(left.expect("the window still runs")).await;
    swept.sweep().await;
    swept.sweep().await;
    let alerts = swept.world.alerts().await;
    assert_eq!(kinds(&alerts), ["updated"], "once");
    assert_eq!(alerts[0]["updates"], serde_json::json!(["severity"]));
    assert_eq!(alerts[0]["finding"]["severity"], "HIGH");
    let finding = swept.world.findings(FindingStatus::Open).await.remove(0);
    assert_eq!(finding.severity, Severity::High);
}

#[tokio::test]
async fn an_exemption_hides_a_finding_and_what_it_hid_is_told_at_its_end() {
    let swept = Swept::new("exempt", Setup::default()).await;
    swept.sweep().await;
    let now = Utc::now();
    let exemption = Exemption {
        id: "migration".to_owned(),
        account: ACCOUNT.to_owned(),
        user_pattern: "user-*".to_owned(),
        actor_pattern: format!("arn:aws:iam::{ACCOUNT}:user/dana"),
        owner: "platform team".to_owned(),
        reason: "migration of the build farm".to_owned(),
        created_at: now,
        until: now + TimeDelta::seconds(25),
    };
    swept.world.store.put_exemption(&exemption).await.unwrap();
    swept.world.create_key().await;
    let second = swept.world.create_key().await;
    swept.world.tell(swept.world.created(&second)).await;
    swept.world.turn().await;
    swept.world.until_quiet().await;
    assert_eq!(
        swept.world.findings(FindingStatus::Suppressed).await.len(),
        1
    );
    assert_eq!(kinds(&swept.world.alerts().await), Vec::<&str>::new());

    let left = (exemption.until - Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(left).await;
    swept.sweep().await;
    let alerts = swept.world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["exemption"]["owner"], "platform team");
    assert_eq!(swept.open().await, [swept.world.user.as_str()]);
    let trail = swept.world.trail(&swept.world.user_id()).await;
    assert!(trail.contains(&AuditKind::FindingSuppressed));
    assert!(trail.contains(&AuditKind::ExemptionEnded));
}

/// The credentials by which moto acts in the member account.
async fn member_iam(world: &World, account: &str) -> aws_sdk_iam::Client {
    let sts = aws_sdk_sts::Client::new(&world.config);
    let role = format!("arn:aws:iam::{account}:role/secondkey-audit");
    let assumed = sts.assume_role().role_arn(role).role_session_name("test");
    let given = assumed
        .send()
        .await
        .expect("moto lets anybody")
        .credentials
        .expect("it gives some");
    let credentials = aws_sdk_sts::config::Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        None,
        "test",
    );
    let provider = aws_sdk_sts::config::SharedCredentialsProvider::new(credentials);
    let config = world
        .config
        .to_builder()
        .credentials_provider(provider)
        .build();
    aws_sdk_iam::Client::new(&config)
}

#[tokio::test]
async fn a_second_key_in_a_member_account_is_found_by_its_event_and_by_the_sweep() {
    let setup = Setup {
        parameters: vec![("ListAccounts", "true")],
        ..Setup::default()
    };
    let swept = Swept::new("member", setup).await;
    let world = &swept.world;
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let made = organizations.create_organization().send().await;
    made.expect("an organisation can be made");
    let made = organizations
        .create_account()
        .account_name("member")
        .email("member@example.com");
    let made = made.send().await.expect("an account can be made");
    let member = made
        .create_account_status
        .and_then(|status| status.account_id);
    let member = member.expect("moto makes it at once");

    // Told of by an event that the member's rule forwards to the bus.
    let iam = member_iam(world, &member).await;
    let made = iam.create_user().user_name("Erin").send().await;
    made.expect("a user can be made");
    let mut keys = vec![];
    for _ in 0..2 {
        let made = iam.create_access_key().user_name("Erin").send().await;
        keys.push(made.unwrap().access_key.unwrap().access_key_id);
    }
    let mut record = World::record("CreateAccessKey", &serde_json::json!({"userName": "Erin"}));
    record["recipientAccountId"] = member.as_str().into();
    record["responseElements"] = serde_json::json!({"accessKey": {"userName": "Erin", "accessKeyId": keys[1],
        "status": "Active"}});
    world.tell(record).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.until_quiet().await;
    let finding = world.findings(FindingStatus::Open).await.remove(0);
    assert_eq!(finding.user(), &UserId::new(&member, "erin"));
    assert!(
        finding.confirmed,
        "the member's keys were listed by its role"
    );
    let alerts = world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["account"], member);

    // Every account of the organisation is swept, and the one that has an open finding.
    swept.sweep().await;
    let swept_accounts: Vec<String> = world
        .store
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .filter(|record| record.swept_at.is_some())
        .map(|record| record.account)
        .collect();
    for account in [ACCOUNT, &member] {
        assert!(
            swept_accounts.iter().any(|swept| swept == account),
            "{swept_accounts:?}"
        );
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_entered_is_named_and_stops_nobody() {
    let swept = Swept::new("broken", Setup::default()).await;
    let world = &swept.world;
    // A finding in what is no account, which no role can be entered in.
    let mut record = World::record("CreateAccessKey", &serde_json::json!({"userName": "Erin"}));
    record["recipientAccountId"] = "not-an-account".into();
    record["responseElements"] = serde_json::json!({"accessKey": {"userName": "Erin", "accessKeyId": "AKIAERIN",
        "status": "Active"}});
    world.tell(record).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    let finding = world.findings(FindingStatus::Open).await.remove(0);
    assert!(
        finding
            .could_not_list
            .unwrap()
            .contains("cannot be entered")
    );
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
    swept.pair("Frank").await;
    // What cannot be listed is asked for again in a quarter of an hour, so the changes queue does not become quiet.
    swept.sweep_alone().await;
    let accounts = world.store.accounts().await.unwrap();
    let broken = accounts
        .iter()
        .find(|record| record.account == "not-an-account")
        .unwrap();
    assert!(
        broken
            .unreachable
            .as_ref()
            .unwrap()
            .reason
            .contains("cannot be entered")
    );
    assert!(swept.metric("UnreachableAccounts").contains(&1));
    assert!(
        swept.open().await.contains(&"Frank".to_owned()),
        "the rest is swept"
    );
    assert_eq!(digests(&world.alerts().await).len(), 1);
}
