//! What the sweeper finds, what it sends reminders of, and what it cannot access.

use chrono::{TimeDelta, Utc};
use secondkey::detect::decision::severity::Severity;
use secondkey::detect::findings::finding::{FindingStatus, FoundBy};
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;

use super::world::{Setup, World, kinds};
use crate::stack::emulator::Emulator;
use crate::stack::http;
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::pump::pump_once;
use crate::stack::server::{Server, start_moto};
use crate::stack::template::expanded;
use crate::stack::wiring::{MessageCounts, message_counts};

/// A deployment with its sweeper and its own moto server.
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

    /// Creates a user with two active keys without any event.
    pub async fn pair(&self, user: &str) {
        let iam = &self.world.iam;
        let made = iam.create_user().user_name(user).send().await;
        made.expect("a user can be created");
        for _ in 0..2 {
            let made = iam.create_access_key().user_name(user).send().await;
            made.expect("a key can be created");
        }
    }

    /// The message of the schedule, and everything that follows from it.
    pub async fn sweep(&self) {
        self.sweep_alone().await;
        self.world.until_quiet().await;
    }

    /// The message of the schedule, and what the sweeper does with it.
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

    /// The values of a metric, one for each line that the sweeper wrote.
    pub fn metric(&self, name: &str) -> Vec<u64> {
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

pub fn digests(alerts: &[Value]) -> Vec<&Value> {
    alerts
        .iter()
        .filter(|alert| alert["kind"] == "digest")
        .collect()
}

#[tokio::test]
async fn the_first_sweep_reports_existing_pairs_once() {
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
    crate::schema::check("digest", &alerts[0]);
    // Programs receive each finding.
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
async fn a_lost_event_is_found_by_the_next_sweep_and_counted() {
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

        // A lost end is found as well.
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
async fn an_old_credential_report_delays_but_never_misleads() {
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
    // Since then one pair was cleaned up, and another created.
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
async fn a_finding_past_its_window_is_announced_again_once() {
    let swept = Swept::new("outlived", Setup::default()).await;
    swept.sweep().await;
    let window = TimeDelta::hours(24);
    let opened_at = Utc::now() - window + TimeDelta::seconds(40);
    // moto creates both keys now; their events say that they are older.
    for at in [opened_at - TimeDelta::hours(1), opened_at] {
        let key = swept.world.create_key().await;
        let mut created = swept.world.created(&key);
        created["eventTime"] = at.format("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        // Created by the user itself, because the finding would otherwise be HIGH from the start.
        created["userIdentity"]["userName"] = swept.world.user.clone().into();
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
