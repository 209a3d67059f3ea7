//! Open findings in Security Hub, kept from being dropped: the sweeper, the events that it puts on
//! the bus, the rule of the template, and the forwarder with moto's Security Hub.

use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::types::{AwsSecurityFinding, RecordState, Workflow, WorkflowStatus};
use chrono::{DateTime, Utc};
use secondkey::aws::securityhub::settings::Import;
use secondkey::aws::securityhub::{Forwarder, handle};

use super::*;
use crate::e2e::securityhub::{accounts, findings};
use crate::stack::clients::REGION;
use crate::stack::cloudformation::Template;
use crate::stack::wiring::ACCOUNT;

const WEEK: TimeDelta = TimeDelta::days(7);

/// The sweeper of a deployment, a member account with one pair of keys, and the forwarder.
struct Imported {
    world: World,
    account: String,
    forwarder: Forwarder,
}

impl Imported {
    async fn new(name: &str) -> Self {
        let world = World::new(name, SweepMode::List).await;
        let account = new_account();
        world.user(&account, "has-two", 2).await;
        let forwarder = Forwarder {
            accounts: accounts(world.direct.clone()),
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            import: Import::Members,
        };
        Self {
            world,
            account,
            forwarder,
        }
    }

    fn import(&mut self, is_on: bool) {
        let policy = &mut self.world.sweeper.deployment.dependencies.policy;
        policy.refresh_every = is_on.then_some(WEEK);
    }

    /// Sweeps the account and passes the forwarder what the rule matches. Returns the source and
    /// the kind of each event.
    async fn sweep(&self) -> Vec<(String, String)> {
        self.world.aws.take_bodies();
        // The fan-out names the users with an open finding.
        let turn = json!({"account": self.account, "users": ["has-two"]});
        let swept = self.world.sweep(&turn).await;
        assert!(swept.failed.is_empty(), "{swept:?}");
        let mut sent = vec![];
        for body in self.world.aws.take_bodies() {
            let Ok(body) = serde_json::from_str::<serde_json::Value>(&body) else {
                continue;
            };
            for entry in body["Entries"].as_array().into_iter().flatten() {
                let detail: serde_json::Value =
                    serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
                let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
                let event = json!({"version": "0", "id": "1", "source": entry["Source"], "account": ACCOUNT,
                    "region": REGION, "time": "2026-01-01T00:00:00Z", "resources": [],
                    "detail-type": entry["DetailType"], "detail": detail});
                if self.is_on()
                    && matched_by(&rule("infra/template.yaml", "SecurityHubRule"), &event)
                {
                    handle(&self.forwarder, event).await.unwrap();
                }
                sent.push((text(&entry["Source"]), text(&detail["kind"])));
            }
        }
        sent.sort();
        sent
    }

    fn is_on(&self) -> bool {
        let policy = &self.world.sweeper.deployment.dependencies.policy;
        policy.refresh_every.is_some()
    }

    async fn hub(&self) -> Client {
        accounts(self.world.direct.clone())
            .client(&self.account)
            .await
            .unwrap()
    }

    async fn imported(&self) -> Vec<AwsSecurityFinding> {
        findings(self.hub().await)
    }

    /// Moves the last refresh into the past.
    async fn age(&self, by: TimeDelta) {
        let user = UserId::new(&self.account, "has-two");
        let last = self.world.table.record(&user).await.unwrap().refreshed_at;
        let at = last.expect("it was refreshed") - by;
        self.world.set_time(&user, "refreshed_at", at).await;
    }
}

/// The pattern of a rule in a template.
fn rule(path: &str, name: &str) -> serde_json::Value {
    let template = Template::read(path).0;
    template["Resources"][name]["Properties"]["EventPattern"].clone()
}

/// Whether `pattern` matches the source and the detail type of `event`.
fn matched_by(pattern: &serde_json::Value, event: &serde_json::Value) -> bool {
    ["source", "detail-type"].iter().all(|field| {
        let values = pattern[field].as_array();
        values.is_none_or(|values| values.contains(&event[field]))
    })
}

fn pairs(sent: &[(String, String)]) -> Vec<(&str, &str)> {
    sent.iter()
        .map(|(source, kind)| (source.as_str(), kind.as_str()))
        .collect()
}

fn updated_at(finding: &AwsSecurityFinding) -> DateTime<Utc> {
    finding.updated_at().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_open_finding_is_imported_again_every_week_until_it_closes() {
    let mut hub = Imported::new("hub-refresh").await;
    // Opened while nothing is imported.
    let sent = hub.sweep().await;
    assert_eq!(
        pairs(&sent),
        [("secondkey", "digest"), ("secondkey", "opened")]
    );
    assert_eq!(hub.imported().await, []);

    hub.import(true);
    let refresh = [("secondkey.refresh", "updated")];
    assert_eq!(pairs(&hub.sweep().await), refresh);
    let first = hub.imported().await.remove(0);
    assert_eq!(first.record_state(), Some(&RecordState::Active));
    assert_eq!(pairs(&hub.sweep().await), [], "at once, nothing is due");

    // As the customer does with BatchUpdateFindings, which moto does not have.
    let suppressed = Workflow::builder().status(WorkflowStatus::Suppressed);
    let mut edited = first.clone();
    edited.workflow = Some(suppressed.build());
    let edit = hub.hub().await.batch_import_findings().findings(edited);
    edit.send().await.unwrap();

    hub.age(WEEK - TimeDelta::hours(1)).await;
    assert_eq!(pairs(&hub.sweep().await), []);
    hub.age(TimeDelta::hours(1)).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(pairs(&hub.sweep().await), refresh);
    let again = hub.imported().await;
    assert_eq!(again.len(), 1, "the same finding: {again:?}");
    assert_eq!(
        (again[0].id(), again[0].created_at()),
        (first.id(), first.created_at())
    );
    assert!(updated_at(&again[0]) > updated_at(&first));
    let workflow = again[0].workflow().unwrap();
    assert_eq!(workflow.status(), Some(&WorkflowStatus::Suppressed));

    let user = UserId::new(&hub.account, "has-two");
    let record = hub.world.table.record(&user).await.unwrap();
    let key = record.finding.unwrap().keys.remove(0).id;
    hub.world.deactivate(&hub.account, "has-two", &key).await;
    assert_eq!(pairs(&hub.sweep().await), [("secondkey", "closed")]);
    let archived = hub.imported().await.remove(0);
    assert_eq!(archived.record_state(), Some(&RecordState::Archived));
    assert_eq!(
        hub.world.table.record(&user).await.unwrap().refreshed_at,
        None
    );
    assert_eq!(pairs(&hub.sweep().await), []);
}

#[tokio::test]
async fn a_refused_refresh_is_pending_until_the_bus_accepts_it() {
    let mut hub = Imported::new("hub-refused").await;
    hub.sweep().await;
    hub.import(true);
    hub.world.aws.set(Fault {
        times: 1,
        ..down("secondkey.refresh")
    });
    hub.sweep().await;
    let user = UserId::new(&hub.account, "has-two");
    let pending = hub.world.table.pending_alerts(&user).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].sink, "securityhub");
    assert_eq!(hub.imported().await, []);

    // Even if nothing is imported any more, it must not stay pending.
    hub.import(false);
    hub.world
        .table
        .reschedule(&pending[0], Utc::now() - TimeDelta::seconds(1))
        .await
        .unwrap();
    assert_eq!(
        pairs(&hub.sweep().await),
        [("secondkey.refresh", "updated")]
    );
    assert_eq!(hub.world.table.pending_alerts(&user).await, Ok(vec![]));
}

#[test]
fn only_the_rule_for_security_hub_matches_refreshes() {
    let refresh =
        json!({"source": "secondkey.refresh", "detail-type": "Second Active Access Key Updated"});
    let mut matching = vec![];
    for path in ["infra/template.yaml", "infra/channels.yaml"] {
        for (name, resource) in Template::read(path).0["Resources"].as_object().unwrap() {
            let pattern = &resource["Properties"]["EventPattern"];
            if resource["Type"] == "AWS::Events::Rule"
                && !pattern.is_null()
                && matched_by(pattern, &refresh)
            {
                matching.push(name.clone());
            }
        }
    }
    assert_eq!(matching, ["SecurityHubRule"]);
}
