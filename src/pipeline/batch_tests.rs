//! Batches about renamed users and with failing services, on the embedded store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::detect::decision::policy::Policy;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::events::key_change::KeyChange;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::digest::Digest;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::keys::listing::{AccessKey, KeyListing, KeyStatus, PageResult, PartialListing};
use crate::detect::testing::{at, by, created, deleted, renamed, updated};
use crate::detect::trail::audit::{AuditKind, verify_trail};
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::batch::{ReceivedMessage, recheck_users};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::key_source::KeySource;
use crate::pipeline::message::Message;
use crate::pipeline::recheck::{Dependencies, RecheckOutcome};

mod familiar;
#[path = "leak_reports_tests.rs"]
mod owners;
mod refresh;

const ACCOUNT: &str = "111122223333";

/// The keys of each user with the second of their creation, or throttling.
#[derive(Clone, Default)]
struct Iam(Arc<Mutex<IamState>>);

#[derive(Default)]
struct IamState {
    now: i64,
    users: BTreeMap<String, Vec<(String, i64)>>,
    is_down: bool,
    /// The user whose listing panics.
    poison: Option<String>,
}

#[async_trait]
impl KeySource for Iam {
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError> {
        let state = self.0.lock().unwrap();
        if state.is_down {
            return Err(ServiceError::retryable("iam:ListAccessKeys is throttled"));
        }
        let is_poison = state.poison.as_deref() == Some(user.name());
        if is_poison {
            drop(state);
            panic!("a poisonous user");
        }
        let now = at(state.now);
        let Some(keys) = state.users.get(user.name()) else {
            return Ok(KeyListing::no_such_user(now));
        };
        let keys = keys.iter().map(|(key, second)| {
            let (status, created) = (KeyStatus::Active, Some(at(*second)));
            (key.clone(), AccessKey { status, created })
        });
        match PartialListing::requested(now).page(Some(name.to_owned()), keys, false) {
            PageResult::Complete(listing) => Ok(listing),
            PageResult::More(_) => unreachable!("the last page completes a listing"),
        }
    }

    async fn owner(&self, _: &str, key: &str) -> Result<Option<String>, ServiceError> {
        let state = self.0.lock().unwrap();
        if state.is_down {
            return Err(ServiceError::retryable(
                "iam:GetAccessKeyLastUsed is throttled",
            ));
        }
        let mut users = state.users.iter();
        let owner = users.find(|(_, keys)| keys.iter().any(|(id, _)| id == key));
        Ok(owner.map(|(name, _)| name.clone()))
    }

    async fn last_used(&self, _: &UserId, _: &[String]) -> LastUses {
        LastUses::new()
    }
}

#[derive(Clone, Default)]
struct Alerts(Arc<Mutex<Vec<Alert>>>);

#[async_trait]
impl AlertSink for Alerts {
    fn name(&self) -> &'static str {
        "sns"
    }

    async fn send(&self, alert: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        self.0.lock().unwrap().push(alert.clone());
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
    alerts: Alerts,
    parts: Dependencies,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("findings.db")).unwrap());
        let (iam, alerts) = (Iam::default(), Alerts::default());
        let parts = Dependencies {
            store: store.clone(),
            keys: Arc::new(iam.clone()),
            sinks: vec![Box::new(alerts.clone())],
            policy: Policy::default(),
        };
        Self {
            _folder: folder,
            store,
            iam,
            alerts,
            parts,
        }
    }

    fn set(&self, second: i64, users: &[(&str, &[(&str, i64)])]) {
        let mut state = self.iam.0.lock().unwrap();
        state.now = second;
        state.users = users
            .iter()
            .map(|(name, keys)| {
                let keys = keys
                    .iter()
                    .map(|(key, second)| ((*key).to_owned(), *second));
                ((*name).to_owned(), keys.collect())
            })
            .collect();
    }

    async fn batch(
        &self,
        second: i64,
        is_retry: bool,
        messages: Vec<Message>,
    ) -> Vec<Result<RecheckOutcome, ServiceError>> {
        let received = messages
            .into_iter()
            .zip(1..)
            .map(|(message, id)| ReceivedMessage {
                id: format!("{second}-{id}"),
                is_retry,
                message,
            });
        let done = recheck_users(&self.parts, received.collect(), at(second)).await;
        done.into_iter().map(|done| done.result).collect()
    }

    async fn events(&self, second: i64, changes: &[KeyChange]) {
        let messages = changes.iter().cloned().map(Box::new).map(Message::Change);
        for result in self.batch(second, false, messages.collect()).await {
            result.unwrap();
        }
    }

    /// Handles `messages`, and returns which users to check again, and when.
    async fn asked_for(&self, second: i64, messages: Vec<Message>) -> BTreeSet<(i64, UserId)> {
        let received = messages
            .into_iter()
            .zip(1..)
            .map(|(message, id)| ReceivedMessage {
                id: format!("{second}-{id}"),
                is_retry: false,
                message,
            });
        let done = recheck_users(&self.parts, received.collect(), at(second)).await;
        let asked = done.into_iter().flat_map(|done| {
            let rechecked = done.result.unwrap();
            let later = rechecked.rechecks.into_iter();
            let later = later.map(move |delay| (second + delay.num_seconds(), done.user.clone()));
            let next = rechecked.follow_ups.into_iter();
            later
                .chain(next.map(move |user| (second, user)))
                .collect::<Vec<_>>()
        });
        asked.collect()
    }

    async fn look(&self, second: i64, name: &str) {
        let messages = vec![Message::Recheck(user(name))];
        for result in self.batch(second, false, messages).await {
            result.unwrap();
        }
    }

    async fn finding(&self, name: &str) -> Finding {
        self.store
            .record(&user(name))
            .await
            .unwrap()
            .finding
            .unwrap()
    }

    fn alerts(&self) -> Vec<Alert> {
        self.alerts.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_poisonous_user_fails_alone() {
    let world = World::new();
    world.set(100, &[("alice", &[("OLD", 0), ("NEW", 50)])]);
    world.iam.0.lock().unwrap().poison = Some("bob".to_owned());
    let both = ["alice", "bob"].map(user).map(Message::Recheck);
    let results = world.batch(100, false, both.to_vec()).await;
    let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed.iter().filter(|failed| **failed).count(), 1);
    assert_eq!(world.finding("alice").await.status, FindingStatus::Open);

    // Once the cause is gone, the retry succeeds.
    world.iam.0.lock().unwrap().poison = None;
    let again = vec![Message::Recheck(user("bob"))];
    for result in world.batch(160, true, again).await {
        result.unwrap();
    }
}

fn user(name: &str) -> UserId {
    UserId::new(ACCOUNT, name)
}

fn of(name: &str, change: KeyChange) -> KeyChange {
    KeyChange {
        id: format!("{name}: {}", change.id),
        user: user(name),
        user_name: name.to_owned(),
        ..change
    }
}

const PAIR: &[(&str, i64)] = &[("K1", -1_000), ("K2", 95)];

/// Bob created a second key for `a` at second 95.
async fn open_under_a() -> World {
    let world = World::new();
    world.set(100, &[("a", PAIR)]);
    world.events(100, &[of("a", created("K2", 95))]).await;
    world
}

#[tokio::test]
async fn a_chain_of_renamings_takes_the_finding_along_in_any_batches() {
    let first = || of("a", renamed("b", 79_990));
    let second = || of("b", renamed("c", 79_992));
    for batches in [
        vec![vec![first(), second()]],
        vec![vec![first()], vec![second()]],
        vec![vec![second()], vec![first()]],
    ] {
        let world = open_under_a().await;
        let mut now = 80_000;
        for batch in batches {
            world.set(now, &[("c", PAIR)]);
            world.events(now, &batch).await;
            now += 3;
        }
        for (name, pause) in [("a", 70), ("b", 1), ("c", 1), ("a", 70), ("b", 1), ("c", 1)] {
            now += pause;
            world.set(now, &[("c", PAIR)]);
            world.look(now, name).await;
        }
        let finding = world.finding("c").await;
        assert_eq!(finding.opened_at, at(95));
        assert!(finding.opener.is_some() && finding.continues.is_some());
        assert_eq!(world.finding("a").await.status, FindingStatus::Closed);
        // The window continues through all names.
        world.set(95 + 24 * 3_600, &[("c", PAIR)]);
        world.look(95 + 24 * 3_600, "c").await;
        let reasons = world.finding("c").await.severity_reasons;
        assert!(reasons.contains(&SeverityReason::OutlivedWindow));
    }
}

#[tokio::test]
async fn check_before_the_renaming_arrives_does_not_lose_the_finding() {
    let world = open_under_a().await;
    for second in [80_010, 80_075] {
        world.set(second, &[("b", PAIR)]);
        world.look(second, "a").await;
    }
    assert_eq!(world.finding("a").await.status, FindingStatus::Closed);
    world.set(80_180, &[("b", PAIR)]);
    world.events(80_180, &[of("a", renamed("b", 80_000))]).await;
    let finding = world.finding("b").await;
    assert_eq!(finding.continues, Some(world.finding("a").await.id));
    assert_eq!(finding.opened_at, at(95));
}

#[tokio::test]
async fn a_name_that_is_used_again_blames_the_actor_of_now() {
    let world = open_under_a().await;
    world.set(1_000, &[("old", PAIR)]);
    world.events(1_000, &[of("a", renamed("old", 990))]).await;
    let later = 90 * 86_400;
    let keys = [("K3", later - 80_000), ("K4", later - 20)];
    world.set(later, &[("old", PAIR), ("b", &keys)]);
    let events = [
        by("carol", of("a", created("K4", later - 20))),
        of("a", renamed("b", later - 10)),
    ];
    world.events(later, &events).await;
    let finding = world.finding("b").await;
    assert_eq!(finding.continues, None);
    let opener = finding.opener.unwrap();
    assert_eq!(opener.actor.name.as_deref(), Some("carol"));
    let of_a = world.finding("a").await;
    assert_eq!(of_a.id.episode, 1, "nothing new under the name it left");
}

#[tokio::test]
async fn a_listing_that_fails_again_lets_events_decide() {
    let world = World::new();
    world.set(0, &[("a", &[("K1", -1_000)])]);
    world.look(0, "a").await;
    world.iam.0.lock().unwrap().is_down = true;
    let event = by("mallory", of("a", created("K2", 95)));
    let message = || vec![Message::Change(Box::new(event.clone()))];
    let first = world.batch(100, false, message()).await;
    assert!(first[0].is_err(), "the message comes again");
    let second = world.batch(190, true, message()).await;
    let rechecked = second[0].as_ref().unwrap();
    assert!(!rechecked.rechecks.is_empty(), "until a listing decides");
    let alerts = world.alerts();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].kind, AlertKind::Opened);
    assert!(!alerts[0].finding.confirmed);
    assert_eq!(
        alerts[0].finding.listing_refusal.as_deref(),
        Some("iam:ListAccessKeys is throttled")
    );
    world.iam.0.lock().unwrap().is_down = false;
    world.set(1_100, &[("a", PAIR)]);
    world.look(1_100, "a").await;
    assert!(world.finding("a").await.confirmed);
}

#[tokio::test]
async fn a_forged_entry_stops_no_alert_and_is_named() {
    let world = open_under_a().await;
    let head = world.store.record(&user("a")).await.unwrap().audit;
    for place in [1, 2, 4] {
        let sequence = i64::try_from(head.sequence).unwrap() + place;
        world
            .store
            .write(|connection| {
                connection.execute(
                    "INSERT INTO audit SELECT account, user, ?1, schema, body FROM audit LIMIT 1",
                    [sequence],
                )
            })
            .unwrap();
    }
    world.set(300, &[("a", &[("K1", -1_000)])]);
    world.events(300, &[of("a", deleted("K2", 290))]).await;
    let alerts = world.alerts();
    assert_eq!(alerts.last().unwrap().kind, AlertKind::Closed);
    let record = world.store.record(&user("a")).await.unwrap();
    let trail = world.store.history(&user("a")).await.unwrap();
    let passed = |kind| trail.iter().any(|entry| entry.draft.kind == kind);
    assert!(passed(AuditKind::ForeignEntry) && passed(AuditKind::FindingClosed));
    assert!(verify_trail(&user("a"), &trail, &record.audit).is_err());
}

#[tokio::test]
async fn a_lost_record_before_a_long_trail_stops_no_alert() {
    let world = open_under_a().await;
    for round in 0..60 {
        let second = 300 + 10 * round;
        world.set(second, &[("a", PAIR)]);
        let changes: Vec<KeyChange> = (0..9)
            .map(|place| of("a", updated("K2", KeyStatus::Active, second - 9 + place)))
            .collect();
        world.events(second, &changes).await;
    }
    let trail = world.store.history(&user("a")).await.unwrap();
    assert!(trail.len() > 500);
    world
        .store
        .write(|connection| connection.execute("DELETE FROM records", []))
        .unwrap();
    let before = world.alerts().len();
    world.set(2_000, &[("a", PAIR)]);
    world.look(2_000, "a").await;
    assert_eq!(world.alerts().len(), before + 1);
}

/// Every order of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![vec![]], |orders, next| {
        let with_next = |order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut longer = order.clone();
                longer.insert(place, next);
                longer
            })
        };
        orders.into_iter().flat_map(with_next).collect()
    })
}

/// `a` got a second key and was renamed to `b`, then `c`. After all of that, the events arrive in
/// `batches`, `pause` seconds apart. Then every name is checked until nothing can change any more.
async fn renamed_twice(batches: &[Vec<KeyChange>], pause: i64, reused: &[(&str, i64)]) -> World {
    let world = World::new();
    world.set(0, &[("a", &[("K1", -1_000)])]);
    world.look(0, "a").await;
    let mut users = vec![("c", PAIR)];
    if !reused.is_empty() {
        users.push(("a", reused));
    }
    let mut now = 200;
    for batch in batches {
        world.set(now, &users);
        world.events(now, batch).await;
        now += pause;
    }
    for name in ["a", "b", "c"].repeat(3) {
        now += 35;
        world.set(now, &users);
        world.look(now, name).await;
    }
    world
}

#[tokio::test]
async fn renamings_in_every_order_and_batching_keep_one_finding() {
    let events = [
        of("a", created("K2", 95)),
        of("a", renamed("b", 110)),
        of("b", renamed("c", 130)),
    ];
    // Another user may have taken the first name; its keys are different.
    let others: &[(&str, i64)] = &[("K3", -500), ("K4", 150)];
    for order in orders(events.len()) {
        let ordered: Vec<KeyChange> = order.iter().map(|place| events[*place].clone()).collect();
        let [first, second, third] = ordered.as_slice() else {
            unreachable!("there are three events")
        };
        let (first, second, third) = (first.clone(), second.clone(), third.clone());
        for batches in [
            vec![vec![first.clone(), second.clone(), third.clone()]],
            vec![vec![first.clone()], vec![second.clone(), third.clone()]],
            vec![vec![first.clone(), second.clone()], vec![third.clone()]],
            vec![vec![first], vec![second], vec![third]],
        ] {
            for (pause, reused) in [(3, &[][..]), (100, &[]), (3, others), (100, others)] {
                let world = renamed_twice(&batches, pause, reused).await;
                let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
                let label = format!("{order:?} in {sizes:?}, {pause} s, {reused:?}");
                let finding = world.finding("c").await;
                assert_eq!(finding.status, FindingStatus::Open, "{label}");
                assert_eq!(finding.opened_at, at(95), "{label}");
                let open = world.store.findings(FindingStatus::Open).await.unwrap();
                assert_eq!(open.len(), 1 + reused.len() / 2, "{label}");
                if !reused.is_empty() {
                    let other = world.finding("a").await;
                    assert_eq!(other.continues, None, "{label}");
                    assert!(other.active_keys().eq(["K3", "K4"]), "{label}");
                }
            }
        }
    }
}

/// `a` got a second key from mallory, was renamed to the last of `names`, and lost its first key.
/// After all of that, the events arrive in `order`, one at a time; in between, everything that the
/// detector requested is checked.
async fn renamed_before_the_events(
    names: &[&str],
    events: &[KeyChange],
    order: &[usize],
    reused: &[(&str, i64)],
) -> World {
    let world = World::new();
    world.set(0, &[("a", &[("K1", -1_000)])]);
    world.look(0, "a").await;
    let last = names.last().copied().unwrap_or("a");
    let mut users: Vec<(&str, &[(&str, i64)])> = vec![(last, &[("K2", 95)])];
    if !reused.is_empty() {
        users.push(("a", reused));
    }
    let mut now = 200;
    for place in order {
        world.set(now, &users);
        let change = Message::Change(Box::new(events[*place].clone()));
        let mut due: BTreeSet<(i64, UserId)> = world.asked_for(now, vec![change]).await;
        while let Some((second, user)) = due.pop_first() {
            now = second;
            world.set(now, &users);
            let next = world.asked_for(now, vec![Message::Recheck(user)]).await;
            due.extend(next);
        }
        now += 100;
    }
    world
}

#[tokio::test]
async fn late_event_under_a_former_name_counts_under_the_latest() {
    let made = || by("mallory", of("a", created("K2", 95)));
    let once = [
        made(),
        of("a", renamed("b", 110)),
        of("b", deleted("K1", 150)),
    ];
    let twice = [
        made(),
        of("a", renamed("b", 110)),
        of("b", renamed("c", 130)),
        of("c", deleted("K1", 150)),
    ];
    let others: &[(&str, i64)] = &[("K3", -500), ("K4", 140)];
    for (names, events) in [(&["b"][..], &once[..]), (&["b", "c"], &twice)] {
        for order in orders(events.len()) {
            let place = |event| order.iter().position(|place| *place == event);
            // Until the renaming arrives, an event under that name is about its new owner.
            let is_late = place(0) > place(1);
            for reused in [&[][..], if is_late { others } else { &[] }] {
                let label = format!("{names:?} {order:?} {reused:?}");
                let world = renamed_before_the_events(names, events, &order, reused).await;
                let last = names[names.len() - 1];
                let record = world.store.record(&user(last)).await.unwrap();
                let finding = record.finding.unwrap_or_else(|| panic!("none: {label}"));
                let opener = finding.opener.as_ref();
                let maker = opener.and_then(|opener| opener.actor.name.as_deref());
                assert_eq!(maker, Some("mallory"), "{label}");
                assert_eq!(finding.status, FindingStatus::Closed, "{label}");
                let alerts = world.alerts();
                let told = |is_announced: fn(&AlertKind) -> bool| {
                    let mut of_pair = alerts.iter().filter(|alert| is_announced(&alert.kind));
                    of_pair.any(|alert| {
                        let opener = alert.finding.opener.as_ref();
                        opener.is_some_and(|opener| opener.key == "K2")
                    })
                };
                assert!(told(|kind| *kind != AlertKind::Closed), "{label}");
                assert!(told(|kind| *kind == AlertKind::Closed), "{label}");
                let open = world.store.findings(FindingStatus::Open).await.unwrap();
                assert_eq!(open.len(), reused.len() / 2, "{label}");
                if !reused.is_empty() {
                    let other = world.finding("a").await;
                    assert!(other.active_keys().eq(["K3", "K4"]), "{label}");
                    assert_eq!(other.opener, None, "{label}");
                }
            }
        }
    }
}
