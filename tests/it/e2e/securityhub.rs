//! Findings in Security Hub: the forwarder with events as the bus delivers them, and moto's
//! Security Hub in two accounts.

use aws_config::SdkConfig;
use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::types::{AwsSecurityFinding, RecordState};
use secondkey::aws::accounts::{Accounts, MemberRole};
use secondkey::aws::securityhub::settings::Import;
use secondkey::aws::securityhub::{Forwarder, handle};
use serde_json::{Value, json};

use super::world::{Setup, World};
use crate::stack::clients::{REGION, config};
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::server::{Server, start_moto};
use crate::stack::wiring::ACCOUNT;

const MEMBER: &str = "444455556666";

/// The stack that the unoptimized SDK needs to read the details of a resource: they take 30 KB, and
/// are copied for each kind of resource. Writing them fits into a thread's default stack.
const STACK_TO_READ: usize = 32 * 1024 * 1024;

/// A separate Security Hub for each test, because moto's can neither be filtered by account nor be
/// emptied.
struct Hubs {
    proxy: Proxy,
    config: SdkConfig,
    accounts: Accounts<Client>,
    _moto: Server,
}

impl Hubs {
    async fn new() -> Self {
        let moto = tokio::task::spawn_blocking(|| start_moto(&[]))
            .await
            .unwrap();
        let config = config(&moto.url).await;
        Self {
            proxy: Proxy::start(&moto.url),
            accounts: accounts(config.clone()),
            config,
            _moto: moto,
        }
    }

    async fn forwarder(&self, import: Import) -> Forwarder {
        Forwarder {
            accounts: accounts(config(&self.proxy.url).await),
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            import,
        }
    }

    /// The findings in the Security Hub of `account`.
    async fn of(&self, account: &str) -> Vec<AwsSecurityFinding> {
        let client = match account {
            ACCOUNT => Client::new(&self.config),
            other => self.accounts.client(other).await.unwrap(),
        };
        findings(client)
    }
}

/// The findings in the Security Hub of `client`.
pub fn findings(client: Client) -> Vec<AwsSecurityFinding> {
    let read = std::thread::Builder::new()
        .stack_size(STACK_TO_READ)
        .spawn(move || asked(&client));
    read.unwrap().join().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn asked(client: &Client) -> Vec<AwsSecurityFinding> {
    let answer = client.get_findings().send().await.unwrap();
    answer.findings.unwrap_or_default()
}

/// The accounts that a forwarder can enter.
pub fn accounts(config: SdkConfig) -> Accounts<Client> {
    let role = MemberRole {
        arn: "arn:aws:iam::{account}:role/secondkey-audit".to_owned(),
        external_id: Some("external".to_owned()),
    };
    Accounts::new(config, ACCOUNT.to_owned(), Some(role), Client::new)
}

/// An event about the finding of `user` in `account`, as EventBridge delivers it.
fn event(kind: &str, account: &str, user: &str, sequence: u64) -> Value {
    let (status, second_key) = match kind {
        "Closed" => ("closed", "Inactive"),
        _ => ("open", "Active"),
    };
    json!({
        "version": "0", "id": "c2b9a8f0", "source": "secondkey", "account": ACCOUNT, "region": REGION, "resources": [],
        "detail-type": format!("Second Active Access Key {kind}"), "time": "2026-01-01T00:00:00Z",
        "detail": {
            "version": "1", "kind": kind.to_lowercase(), "sequence": sequence, "audit_hash": "5e7a",
            "at": format!("2026-01-01T00:{sequence:02}:00Z"), "rotation_window_ends_at": "2026-01-02T00:00:00Z",
            "finding": {"id": format!("{account}/{user}/1"), "account": account, "user": user, "is_root": false,
                "status": status, "confirmed": true, "severity": "MEDIUM", "severity_reasons": [],
                "opened_at": "2026-01-01T00:00:00Z", "detected_at": "2026-01-01T00:00:30Z",
                "keys": [{"id": "AKIAOLD", "status": "Active", "created": null},
                    {"id": "AKIANEW", "status": second_key, "created": "2026-01-01T00:00:00Z"}]},
        },
    })
}

fn state(finding: &AwsSecurityFinding) -> (Option<&str>, Option<&RecordState>) {
    (finding.id(), finding.record_state())
}

#[tokio::test]
async fn a_members_finding_goes_to_its_own_security_hub() {
    let hubs = Hubs::new().await;
    let forwarder = hubs.forwarder(Import::Members).await;
    for (kind, sequence) in [("Opened", 1), ("Updated", 2)] {
        let event = event(kind, MEMBER, "alice", sequence);
        handle(&forwarder, event).await.unwrap();
    }
    let product = format!("arn:aws:securityhub:{REGION}:{MEMBER}:product/{MEMBER}/default");
    let id = format!("{product}/secondkey/{MEMBER}/alice/1");
    let findings = hubs.of(MEMBER).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = &findings[0];
    assert_eq!(state(finding), (Some(&*id), Some(&RecordState::Active)));
    assert_eq!(finding.product_arn(), Some(&*product));
    assert_eq!(finding.aws_account_id(), Some(MEMBER));
    assert_eq!(finding.created_at(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(finding.updated_at(), Some("2026-01-01T00:02:00.002Z"));
    assert!(finding.workflow().is_none());
    let key = finding.resources()[2].details().unwrap();
    let key = key.aws_iam_access_key().unwrap();
    assert_eq!(key.access_key_id(), Some("AKIANEW"));

    // Another user's finding in the same Security Hub is not changed.
    let other = event("Opened", MEMBER, "bob", 1);
    handle(&forwarder, other).await.unwrap();
    let closed = event("Closed", MEMBER, "alice", 3);
    handle(&forwarder, closed).await.unwrap();
    let findings = hubs.of(MEMBER).await;
    let states: Vec<_> = findings.iter().map(state).collect();
    let other = format!("{product}/secondkey/{MEMBER}/bob/1");
    assert_eq!(
        states,
        [
            (Some(&*id), Some(&RecordState::Archived)),
            (Some(&*other), Some(&RecordState::Active))
        ]
    );
    assert_eq!(
        findings[0].compliance().unwrap().status().unwrap().as_str(),
        "PASSED"
    );
    assert_eq!(hubs.of(ACCOUNT).await, []);
}

#[tokio::test]
async fn a_centrally_imported_finding_names_the_member() {
    let hubs = Hubs::new().await;
    let forwarder = hubs.forwarder(Import::Central).await;
    let opened = event("Opened", MEMBER, "alice", 1);
    handle(&forwarder, opened).await.unwrap();
    let findings = hubs.of(ACCOUNT).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = &findings[0];
    assert_eq!(finding.aws_account_id(), Some(ACCOUNT));
    let product = format!("arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default");
    assert_eq!(finding.product_arn(), Some(&*product));
    let account = format!("AWS::::Account:{MEMBER}");
    let named = finding.resources().last().unwrap().id();
    assert_eq!(named, Some(&*account));
    assert_eq!(
        finding.product_fields().unwrap()["secondkey/account"],
        MEMBER
    );
    assert_eq!(hubs.of(MEMBER).await, []);
}

#[tokio::test]
async fn a_refused_finding_is_an_error_until_it_is_accepted() {
    let hubs = Hubs::new().await;
    let forwarder = hubs.forwarder(Import::Members).await;
    let refused = r#"{"FailedCount": 1, "SuccessCount": 0, "FailedFindings": [{"Id": "1", "ErrorCode": "InvalidAccess",
        "ErrorMessage": "not enabled"}]}"#;
    let denied = r#"{"Code": "AccessDeniedException", "Message": "no"}"#;
    for (status, body, expected) in [
        (200, refused, "enable Security Hub there"),
        (403, denied, "access denied"),
    ] {
        hubs.proxy.set(Fault {
            part: "/findings/import",
            status,
            body,
            times: 1,
        });
        let error = handle(&forwarder, event("Opened", ACCOUNT, "alice", 1)).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("could not be imported"), "{error}");
        assert!(error.contains(expected), "{error}");
        assert_eq!(hubs.of(ACCOUNT).await, []);
    }
    assert_eq!(hubs.proxy.refused(), 2);
    handle(&forwarder, event("Opened", ACCOUNT, "alice", 1))
        .await
        .unwrap();
    assert_eq!(hubs.of(ACCOUNT).await.len(), 1);
}

#[tokio::test]
async fn an_invalid_account_id_reaches_no_service() {
    let hubs = Hubs::new().await;
    let forwarder = hubs.forwarder(Import::Members).await;
    let event = event("Opened", "444455556666:role/x", "alice", 1);
    handle(&forwarder, event).await.unwrap_err();
    assert_eq!(hubs.proxy.take_bodies(), [] as [String; 0]);
}

/// Detaches the function from the rule on the bus `bus`. Returns the rule's pattern.
async fn take_target(config: &SdkConfig, bus: &str) -> Value {
    let events = aws_sdk_eventbridge::Client::new(config);
    let rules = events
        .list_rules()
        .event_bus_name(bus)
        .send()
        .await
        .unwrap();
    for rule in rules.rules.unwrap_or_default() {
        let name = rule.name.unwrap();
        let targets = events
            .list_targets_by_rule()
            .event_bus_name(bus)
            .rule(&name);
        let targets = targets.send().await.unwrap().targets.unwrap_or_default();
        if targets
            .iter()
            .any(|target| target.arn.contains(":function:"))
        {
            let removed = events.remove_targets().event_bus_name(bus).rule(&name);
            removed.ids(&targets[0].id).send().await.unwrap();
            return serde_json::from_str(&rule.event_pattern.unwrap()).unwrap();
        }
    }
    panic!("no rule leads to the function");
}

#[tokio::test]
async fn the_deployed_forwarder_imports_the_detectors_findings() {
    let moto = tokio::task::spawn_blocking(|| start_moto(&[]))
        .await
        .unwrap();
    let setup = Setup {
        parameters: vec![("SecurityHubImport", "central")],
        moto: Some(moto),
        ..Setup::default()
    };
    let world = World::with("hub", setup).await;
    let forwarder = world.start("SecurityHub").await;
    // moto would call the rule's target, which it cannot run, so the test passes on what the rule
    // matches.
    let pattern = take_target(&world.config, "hub").await;
    let forward = async || {
        for event in world.bus_events().await {
            let types = pattern["detail-type"].as_array().unwrap();
            assert!(types.contains(&event["detail-type"]), "{event}");
            let answer = forwarder.invoke(&event).await;
            assert_eq!(answer["errorMessage"], Value::Null, "{}", forwarder.log());
        }
        findings(Client::new(&world.config))
    };
    let [first, _] = world.open().await;
    world.until_quiet().await;
    let imported = forward().await;
    assert_eq!(imported.len(), 1);
    assert_eq!(imported[0].record_state(), Some(&RecordState::Active));
    assert!(
        imported[0].title().unwrap().contains(&world.user),
        "{imported:?}"
    );
    world.update_key(&first, "Inactive").await;
    world.tell(world.updated(&first, "Inactive")).await;
    world
        .until("the finding is closed", async || world.is_closed().await)
        .await;
    let archived = forward().await;
    assert_eq!(archived.len(), 1, "the same finding");
    assert_eq!(archived[0].record_state(), Some(&RecordState::Archived));
}
