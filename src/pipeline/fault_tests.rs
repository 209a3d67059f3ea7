
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::alert::Alert;
use crate::detect::digest::Digest;
use crate::detect::exemption::Exemption;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{AccessKey, AfterPage, KeyListing, KeyStatus, PartialListing};
use crate::detect::policy::Policy;
use crate::detect::retire::LastUses;
use crate::detect::testing::{actor, at};
use crate::detect::user::UserId;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::batch::{Received, recheck_users};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::key_source::KeySource;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::{Parts, Rechecked};

const ACCOUNT: &str = "111122223333";

#[derive(Clone, Default)]
struct Iam(Arc<Mutex<(Option<Timestamp>, BTreeMap<String, Vec<(String, i64)>>, bool)>>);

impl Iam {
    fn set(&self, second: i64, users: &[(&str, &[(&str, i64)])]) {
        let mut state = self.0.lock().unwrap();
        state.0 = Some(at(second));
        state.1 = users
            .iter()
            .map(|(name, keys)| ((*name).to_owned(), keys.iter().map(|(k, c)| ((*k).to_owned(), *c)).collect()))
            .collect();
    }
    fn throttle(&self, on: bool) {
        self.0.lock().unwrap().2 = on;
    }
}

#[async_trait]
impl KeySource for Iam {
    async fn list(&self, user: &UserId, _: &str) -> Result<KeyListing, ServiceError> {
        let state = self.0.lock().unwrap();
        if state.2 {
            return Err(ServiceError::retryable("iam:ListAccessKeys failed: AWS throttles the calls (Throttling); try again"));
        }
        let now = state.0.unwrap();
        let Some(keys) = state.1.get(user.name()) else {
            return Ok(KeyListing::no_such_user(now));
        };
        let keys = keys.iter().map(|(key, created)| {
            (key.clone(), AccessKey { status: KeyStatus::Active, created: Some(at(*created)) })
        });
        match PartialListing::requested(now).page(Some(user.name().to_owned()), keys, false) {
            AfterPage::Complete(listing) => Ok(listing),
            AfterPage::More(_) => unreachable!(),
        }
    }
    async fn last_used(&self, _: &UserId, _: &[String]) -> LastUses {
        LastUses::new()
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl AlertSink for Told {
    fn name(&self) -> &'static str {
        "sns"
    }
    async fn send(&self, alert: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        self.0.lock().unwrap().push(format!("{} {:?} {:?}", alert.finding.id, alert.kind, alert.finding.closing.as_ref().map(|c| c.reason)));
        Ok(())
    }
    async fn send_digest(&self, _: &Digest) -> Result<(), ServiceError> {
        Ok(())
    }
}

struct World {
    _folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    iam: Iam,
    told: Told,
    parts: Parts,
    number: u32,
}

fn user(name: &str) -> UserId {
    UserId::new(ACCOUNT, name)
}

fn change(id: &str, name: &str, kind: ChangeKind, second: i64, by: &str) -> KeyChange {
    KeyChange {
        id: id.to_owned(),
        event_id: Some(id.to_owned()),
        corrects: None,
        at: at(second),
        user: user(name),
        user_name: name.to_owned(),
        kind,
        actor: actor(by),
        region: None,
    }
}

fn created(id: &str, name: &str, key: &str, second: i64, by: &str) -> KeyChange {
    change(id, name, ChangeKind::KeyCreated { key: key.to_owned(), status: KeyStatus::Active }, second, by)
}

fn renamed(id: &str, name: &str, to: &str, second: i64) -> KeyChange {
    change(id, name, ChangeKind::UserRenamed { to: user(to), to_name: to.to_owned() }, second, "mallory")
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("f.db")).unwrap());
        let (iam, told) = (Iam::default(), Told::default());
        let parts = Parts {
            store: store.clone(),
            keys: Arc::new(iam.clone()),
            sinks: vec![Box::new(told.clone())],
            policy: Policy::default(),
        };
        Self { _folder: folder, store, iam, told, parts, number: 0 }
    }
    async fn batch(&mut self, second: i64, messages: Vec<Message>) -> Vec<(String, Result<Rechecked, ServiceError>)> {
        let received = messages
            .into_iter()
            .map(|message| {
                self.number += 1;
                Received { id: self.number.to_string(), is_retry: false, message }
            })
            .collect();
        recheck_users(&self.parts, received, at(second))
            .await
            .into_iter()
            .map(|done| (done.user.name().to_owned(), done.result))
            .collect()
    }
    async fn events(&mut self, second: i64, changes: Vec<KeyChange>) -> Vec<(String, Result<Rechecked, ServiceError>)> {
        let messages = changes.into_iter().map(|change| Message::Change(Box::new(change))).collect();
        self.batch(second, messages).await
    }
    async fn look(&mut self, second: i64, names: &[&str]) {
        let messages = names.iter().map(|name| Message::Recheck(user(name))).collect();
        self.batch(second, messages).await;
    }
    async fn show(&self, title: &str, names: &[&str]) {
        eprintln!("seen: {title}");
        for name in names {
            let record = self.store.record(&user(name)).await.unwrap();
            match record.finding {
                None => eprintln!("   {name}: no finding; renamed_from {:?}", record.renamed_from.map(|u| u.name().to_owned())),
                Some(f) => eprintln!(
                    "   {name}: {} {:?} opened_at +{} by {:?} severity {:?} continues {:?} closing {:?} told {} exemption {:?}",
                    f.id, f.status, (f.opened_at - at(0)).num_seconds(),
                    f.opener.as_ref().map(|o| o.actor.name.clone().unwrap()), f.severity, f.continues.map(|c| c.to_string()),
                    f.closing.map(|c| c.reason), f.told, f.exemption.map(|e| e.id),
                ),
            }
        }
        eprintln!("   alerts: {:?}", self.told.0.lock().unwrap());
    }
}

#[tokio::test]
async fn fault_rename_chain_in_one_batch() {
    let mut w = World::new();
    w.iam.set(100, &[("a", &[("K1", -99), ("K2", 95)])]);
    w.events(100, vec![created("e1", "a", "K2", 95, "bob")]).await;
    w.iam.set(80_000, &[("c", &[("K1", -99), ("K2", 95)])]);
    w.events(80_000, vec![renamed("e2", "a", "b", 79_990), renamed("e3", "b", "c", 79_992)]).await;
    w.show("chain a->b->c in one batch, 22 h after the opening", &["a", "b", "c"]).await;
    let c = w.store.record(&user("c")).await.unwrap().finding.unwrap();
    assert!(c.continues.is_some(), "the chain is lost");
}

#[tokio::test]
async fn fault_rename_chain_in_two_messages() {
    let mut w = World::new();
    w.iam.set(100, &[("a", &[("K1", -99), ("K2", 95)])]);
    w.events(100, vec![created("e1", "a", "K2", 95, "bob")]).await;
    // By the time the first event comes the user has its third name already.
    w.iam.set(80_000, &[("c", &[("K1", -99), ("K2", 95)])]);
    w.events(80_000, vec![renamed("e2", "a", "b", 79_990)]).await;
    w.iam.set(80_003, &[("c", &[("K1", -99), ("K2", 95)])]);
    w.events(80_003, vec![renamed("e3", "b", "c", 79_992)]).await;
    for second in [80_070, 80_140] {
        w.iam.set(second, &[("c", &[("K1", -99), ("K2", 95)])]);
        w.look(second, &["a", "b", "c"]).await;
    }
    w.show("chain a->b->c in two messages", &["a", "b", "c"]).await;
    let c = w.store.record(&user("c")).await.unwrap().finding.unwrap();
    assert!(c.continues.is_some(), "the chain is lost");
}

#[tokio::test]
async fn fault_reused_name_blames_the_actor_of_long_ago() {
    let mut w = World::new();
    // Long ago: bob gave svc a second key; svc was renamed to old, and cleaned up there.
    w.iam.set(100, &[("svc", &[("K1", -99), ("K2", 95)])]);
    w.events(100, vec![created("e1", "svc", "K2", 95, "bob")]).await;
    w.iam.set(1_000, &[("old", &[("K1", -99), ("K2", 95)])]);
    w.events(1_000, vec![renamed("e2", "svc", "old", 990)]).await;
    // Ninety days later a new svc with one key gets a second one, by carol, and is renamed. Both events come together.
    let later = 90 * 86_400;
    w.iam.set(later, &[("svc2", &[("K3", later - 80_000), ("K4", later - 20)])]);
    w.events(later, vec![created("e3", "svc", "K4", later - 20, "carol"), renamed("e4", "svc", "svc2", later - 10)]).await;
    w.show("a name that was used again", &["svc", "old", "svc2"]).await;
    let finding = w.store.record(&user("svc2")).await.unwrap().finding.unwrap();
    assert_ne!(finding.opener.and_then(|o| o.actor.name), Some("bob".to_owned()), "bob is blamed for carol's key");
}

#[tokio::test]
async fn fault_look_before_the_rename_event() {
    let mut w = World::new();
    w.iam.set(100, &[("a", &[("K1", -99), ("K2", 95)])]);
    w.events(100, vec![created("e1", "a", "K2", 95, "bob")]).await;
    // Renamed at 80 000; a sweep looks at 80 010; the event comes after 3 minutes.
    for second in [80_010, 80_075] {
        w.iam.set(second, &[("b", &[("K1", -99), ("K2", 95)])]);
        w.look(second, &["a"]).await;
    }
    w.show("a sweep before the rename event", &["a", "b"]).await;
    w.iam.set(80_180, &[("b", &[("K1", -99), ("K2", 95)])]);
    w.events(80_180, vec![renamed("e2", "a", "b", 80_000)]).await;
    w.show("the rename event came", &["a", "b"]).await;
    let b = w.store.record(&user("b")).await.unwrap().finding.unwrap();
    assert!(b.continues.is_some());
}

#[tokio::test]
async fn fault_rename_into_an_exemption() {
    let mut w = World::new();
    w.store
        .put_exemption(&Exemption {
            id: "build-farm".to_owned(),
            account: ACCOUNT.to_owned(),
            user_pattern: "build-*".to_owned(),
            actor_pattern: "*".to_owned(),
            owner: "platform".to_owned(),
            reason: "moves".to_owned(),
            created_at: at(0),
            until: at(0) + TimeDelta::days(300),
        })
        .await
        .unwrap();
    w.iam.set(100, &[("alice", &[("K1", -99), ("K2", 95)])]);
    w.events(100, vec![created("e1", "alice", "K2", 95, "mallory")]).await;
    w.iam.set(300, &[("build-7", &[("K1", -99), ("K2", 95)])]);
    w.events(300, vec![renamed("e2", "alice", "build-7", 290)]).await;
    w.show("renamed into an exemption", &["alice", "build-7"]).await;
}

#[tokio::test]
async fn fault_throttled_listing_tells_nobody() {
    let mut w = World::new();
    w.iam.set(0, &[("alice", &[("K1", -99)])]);
    w.look(0, &["alice"]).await;
    w.iam.throttle(true);
    let event = created("e1", "alice", "K2", 95, "mallory");
    for receive in 0..10 {
        let results = w.events(100 + 90 * receive, vec![event.clone()]).await;
        assert!(results[0].1.is_err());
    }
    w.show("ten receives while IAM throttles; then the message is a dead letter", &["alice"]).await;
    assert!(!w.told.0.lock().unwrap().is_empty(), "nobody was told in 15 minutes, though the last listing and the event say two keys");
}

struct Refusing;

#[async_trait]
impl AlertSink for Refusing {
    fn name(&self) -> &'static str {
        "sns"
    }
    async fn send(&self, _: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        Err(ServiceError::permanent("sns:Publish to topic `x` failed: NotFound: Topic does not exist"))
    }
    async fn send_digest(&self, _: &Digest) -> Result<(), ServiceError> {
        Ok(())
    }
}

#[tokio::test]
async fn fault_an_alert_that_no_sink_takes() {
    let mut w = World::new();
    w.parts.sinks = vec![Box::new(Refusing)];
    w.iam.set(100, &[("alice", &[("K1", -99), ("K2", 95)])]);
    let results = w.events(100, vec![created("e1", "alice", "K2", 95, "mallory")]).await;
    for (name, result) in results {
        let rechecked = result.unwrap();
        eprintln!("seen: undelivered {name}: outcomes {:?} told {} rechecks {:?}: the message is given up", rechecked.outcomes, rechecked.told.len(), rechecked.rechecks);
    }
    for hour in 1..72 {
        let second = 100 + hour * 3_600;
        w.iam.set(second, &[("alice", &[("K1", -99), ("K2", 95)])]);
        let results = w.batch(second, vec![Message::Recheck(user("alice"))]).await;
        assert!(results[0].1.is_ok(), "no failure is ever reported");
    }
    eprintln!("seen: undelivered after 3 days: {} owed", w.store.owed(&user("alice")).await.unwrap().len());
}

#[tokio::test]
async fn fault_blame_moves_to_the_victim() {
    let mut w = World::new();
    w.parts.policy.trusted_actors = vec!["arn:aws:iam::111122223333:user/iam-bot".to_owned()];
    w.iam.set(0, &[("alice", &[("K1", -99)])]);
    w.look(0, &["alice"]).await;
    w.iam.set(104, &[("alice", &[("K1", -99), ("K2", 100)])]);
    // Mallory makes K2 for alice, and at once, with alice's own rights, switches on K1, which is on. Both events come together.
    let noop = change("e2", "alice", ChangeKind::KeyUpdated { key: "K1".to_owned(), status: KeyStatus::Active }, 101, "alice");
    w.events(104, vec![created("e1", "alice", "K2", 100, "mallory"), noop]).await;
    w.show("blame: mallory made K2; alice's no-op on K1 a second later", &["alice"]).await;
    let mut w = World::new();
    w.parts.policy.trusted_actors = vec!["arn:aws:iam::111122223333:user/iam-bot".to_owned()];
    w.iam.set(104, &[("alice", &[("K1", -99), ("K2", 100)])]);
    w.events(104, vec![created("e1", "alice", "K2", 100, "mallory")]).await;
    w.show("blame without the no-op", &["alice"]).await;
}
