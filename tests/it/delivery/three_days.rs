//! Every sink refuses for three days of virtual time: the pipeline on SQLite, its metrics, and the
//! template's alarms.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use secondkey::aws::metrics::Metrics;
use secondkey::detect::Timestamp;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::situation::Sweep;
use secondkey::detect::findings::alert::{Alert, AlertKind};
use secondkey::detect::findings::digest::Digest;
use secondkey::detect::keys::listing::{
    AccessKey, KeyListing, KeyStatus, PageResult, PartialListing,
};
use secondkey::detect::usage::last_use::LastUses;
use secondkey::detect::user::UserId;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::alert_sink::AlertSink;
use secondkey::pipeline::batch::{ReceivedMessage, recheck_each, recheck_users};
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::key_source::KeySource;
use secondkey::pipeline::message::{read_message, recheck_body};
use secondkey::pipeline::recheck::{Dependencies, RecheckOutcome, RecheckRequest};
use serde_json::{Value, json};

use super::alarm::{Alarm, minutes_between, points};
use crate::stack::cloudformation::Template;
use crate::stack::wiring::{ACCOUNT, cloudtrail_record};

/// How long the sinks refuse everything.
const REFUSED_FOR: TimeDelta = TimeDelta::days(3);

/// The longest delay of an SQS message.
const MAX_DELAY_CHARS: TimeDelta = TimeDelta::seconds(900);

/// The names of the sinks, and whether a refusal of each is temporary.
const SINKS: [(&str, bool); 2] = [("eventbridge", false), ("sns", true)];

fn begin() -> Timestamp {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn alice() -> UserId {
    UserId::new(ACCOUNT, "alice")
}

/// The state that the parts of the world share.
#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

struct State {
    now: Timestamp,
    keys: BTreeMap<String, AccessKey>,
    refuses: bool,
    /// What the sinks accepted: the sink, the audit sequence number and the kind of alert.
    taken: Vec<(&'static str, u64, AlertKind)>,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn now(&self) -> Timestamp {
        self.change(|state| state.now)
    }
}

#[async_trait]
impl KeySource for Shared {
    async fn list(&self, user: &UserId, _: &str) -> Result<KeyListing, ServiceError> {
        let (now, keys) = self.change(|state| (state.now, state.keys.clone()));
        let name = user.name().to_owned();
        match PartialListing::requested(now).page(Some(name), keys, false) {
            PageResult::Complete(listing) => Ok(listing),
            PageResult::More(_) => unreachable!("the last page completes a listing"),
        }
    }

    async fn owner(&self, _: &str, _: &str) -> Result<Option<String>, ServiceError> {
        unreachable!("AWS reports no leak here")
    }

    async fn last_used(&self, _: &UserId, _: &[String]) -> LastUses {
        LastUses::new()
    }
}

struct Sink {
    name: &'static str,
    may_pass: bool,
    shared: Shared,
}

#[async_trait]
impl AlertSink for Sink {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn send(&self, alert: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        self.shared.change(|state| {
            if state.refuses && self.may_pass {
                return Err(ServiceError::retryable("the service is down"));
            }
            if state.refuses {
                return Err(ServiceError::permanent("access denied"));
            }
            state
                .taken
                .push((self.name, alert.sequence, alert.kind.clone()));
            Ok(())
        })
    }

    async fn send_digest(&self, _: &Digest) -> Result<(), ServiceError> {
        unreachable!("only sweeps of an account tell digests")
    }
}

/// The deployment, without AWS.
struct World {
    shared: Shared,
    parts: Dependencies,
    /// The bodies in the changes queue, by the time at which they become visible.
    queue: Vec<(Timestamp, String)>,
    next_sweep: Timestamp,
    /// The log: metrics in the embedded format.
    log: Vec<u8>,
    messages: u32,
}

impl World {
    fn new(store: SqliteStore) -> Self {
        let shared = Shared(Arc::new(Mutex::new(State {
            now: begin(),
            keys: BTreeMap::new(),
            refuses: true,
            taken: vec![],
        })));
        let sinks = SINKS.map(|(name, may_pass)| {
            let shared = shared.clone();
            Box::new(Sink {
                name,
                may_pass,
                shared,
            }) as Box<dyn AlertSink>
        });
        Self {
            parts: Dependencies {
                store: Arc::new(store),
                keys: Arc::new(shared.clone()),
                sinks: sinks.into(),
                policy: Policy::default(),
            },
            shared,
            queue: vec![],
            next_sweep: begin() + TimeDelta::hours(1),
            log: vec![],
            messages: 0,
        }
    }

    /// Makes the call `event` about `key`, and queues the event from CloudTrail.
    fn call(&mut self, event: &str, key: &str) {
        let now = self.shared.now();
        let is_active = event == "CreateAccessKey";
        self.shared.change(|state| {
            state.keys.remove(key);
            if is_active {
                let status = KeyStatus::Active;
                let created = Some(now);
                state
                    .keys
                    .insert(key.to_owned(), AccessKey { status, created });
            }
        });
        let parameters = json!({"userName": "alice", "accessKeyId": key});
        let mut record = cloudtrail_record(event, &parameters, now);
        if is_active {
            record["responseElements"] =
                json!({"accessKey": {"userName": "alice", "accessKeyId": key, "status": "Active"}});
        }
        let event = json!({"source": "aws.iam", "account": ACCOUNT, "detail-type": "AWS API Call via CloudTrail",
            "detail": record});
        self.queue.push((now, event.to_string()));
    }

    /// Advances time to `until`, with every message and hourly sweep that is due.
    async fn pass_until(&mut self, until: Timestamp) {
        loop {
            let first = self.queue.iter().map(|(due, _)| *due).min();
            let due = first.map_or(self.next_sweep, |due| due.min(self.next_sweep));
            if due > until {
                break;
            }
            self.shared.change(|state| state.now = state.now.max(due));
            if due == self.next_sweep {
                self.next_sweep += TimeDelta::hours(1);
                self.sweep().await;
            } else {
                self.invoke(due).await;
            }
        }
        self.shared.change(|state| state.now = until);
    }

    /// What the detector does with the messages that are due.
    async fn invoke(&mut self, due: Timestamp) {
        let now = self.shared.now();
        let (taken, rest) = self.queue.drain(..).partition(|(at, _)| *at <= due);
        self.queue = rest;
        let taken: Vec<(Timestamp, String)> = taken;
        let messages = taken.iter().map(|(_, body)| {
            self.messages += 1;
            ReceivedMessage {
                id: self.messages.to_string(),
                is_retry: false,
                message: read_message(body, Some(now)).unwrap(),
            }
        });
        let results = recheck_users(&self.parts, messages.collect(), now).await;
        for result in results {
            self.after(&result.result.unwrap());
        }
    }

    /// What the sweeper does with a user who has an open finding or pending alerts.
    async fn sweep(&mut self) {
        let now = self.shared.now();
        let record = self.parts.store.record(&alice()).await.unwrap();
        let owed = self.parts.store.pending_alerts(&alice()).await.unwrap();
        if record.open_finding().is_none() && owed.is_empty() {
            return;
        }
        let request = RecheckRequest {
            sweep: Some(Sweep::Routine),
            is_retry: true,
            ..RecheckRequest::default()
        };
        let requests = BTreeMap::from([(alice(), request)]);
        for (_, result) in recheck_each(&self.parts, requests, now).await {
            self.after(&result.unwrap());
        }
    }

    /// What both functions do after a re-check.
    fn after(&mut self, rechecked: &RecheckOutcome) {
        let now = self.shared.now();
        let mut metrics = Metrics::default();
        metrics.count_recheck(rechecked, now);
        metrics.write(&mut self.log, now).unwrap();
        for delay in &rechecked.rechecks {
            let whole = delay.num_seconds() + i64::from(delay.subsec_nanos() > 0);
            let delay = TimeDelta::seconds(whole).clamp(TimeDelta::zero(), MAX_DELAY_CHARS);
            self.queue.push((now + delay, recheck_body(&alice())));
        }
    }

    async fn owed(&self) -> Vec<(String, u64)> {
        let owed = self.parts.store.pending_alerts(&alice()).await.unwrap();
        let mut owed: Vec<(String, u64)> = owed
            .into_iter()
            .map(|owed| (owed.sink, owed.alert.sequence))
            .collect();
        owed.sort();
        owed
    }
}

#[tokio::test]
async fn three_days_without_a_sink_raise_an_alarm_and_lose_no_alert() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("findings.db")).unwrap();
    let mut world = World::new(store);
    let (start, end) = (begin(), begin() + REFUSED_FOR);

    // One user opens, escalates and closes.
    world.call("CreateAccessKey", "AKIAONE");
    world.pass_until(start + TimeDelta::minutes(5)).await;
    world.call("CreateAccessKey", "AKIATWO");
    world.pass_until(start + TimeDelta::hours(48)).await;
    world.call("DeleteAccessKey", "AKIATWO");
    world.pass_until(end).await;
    let owed = world.owed().await;
    assert_eq!(world.shared.change(|state| state.taken.len()), 0);
    assert!(
        owed.len() >= 6,
        "an opening, an escalation and a closing to two sinks: {owed:?}"
    );

    // The sinks work again.
    world.shared.change(|state| state.refuses = false);
    world.pass_until(end + TimeDelta::hours(2)).await;
    let taken = world.shared.change(|state| state.taken.clone());
    for (sink, _) in SINKS {
        let to_sink = || taken.iter().filter(|(to, _, _)| *to == sink);
        assert!(
            to_sink().is_sorted_by_key(|(_, sequence, _)| sequence),
            "{taken:?}"
        );
        let kinds: Vec<&AlertKind> = to_sink().map(|(_, _, kind)| kind).collect();
        assert_eq!(kinds.first(), Some(&&AlertKind::Opened), "{kinds:?}");
        assert_eq!(kinds.last(), Some(&&AlertKind::Closed), "{kinds:?}");
        let escalated = |kind: &&&AlertKind| matches!(kind, AlertKind::Updated(_));
        assert_eq!(kinds.iter().filter(escalated).count(), kinds.len() - 2);
        assert!(kinds.len() >= 3, "{kinds:?}");
    }
    let mut delivered: Vec<(String, u64)> = taken
        .iter()
        .map(|(sink, sequence, _)| ((*sink).to_owned(), *sequence))
        .collect();
    delivered.sort();
    assert_eq!(
        delivered, owed,
        "what was owed is delivered, each alert once"
    );
    assert_eq!(world.owed().await, []);

    // The alarm.
    let log = String::from_utf8(world.log).unwrap();
    let alarm = Alarm::read("DeliveriesFailedAlarm");
    let failed = points(&log, &alarm.metric);
    let first_refusal = failed[0].at;
    let last_refusal = failed.last().unwrap().at;
    let rang = alarm.minutes_in_alarm(&failed, start, end + TimeDelta::hours(2));
    let after = (rang[0] - first_refusal).num_minutes();
    assert!(after <= 15, "after {after} min");
    let throughout: Vec<Timestamp> = minutes_between(rang[0], end).collect();
    assert_eq!(
        rang[..throughout.len()],
        throughout,
        "it does not stop while alerts are refused"
    );
    let over = end + TimeDelta::hours(1);
    assert!(*rang.last().unwrap() < over, "it stops once they are taken");
    assert!(
        last_refusal > end - TimeDelta::minutes(16),
        "tries never stop"
    );

    let alarm = Alarm::read("OldestPendingAlertAlarm");
    let pending = points(&log, &alarm.metric);
    let rang = alarm.minutes_in_alarm(&pending, start, end);
    assert!(
        rang[0] - first_refusal <= TimeDelta::minutes(20),
        "{}",
        rang[0]
    );
    assert!(rang.iter().copied().eq(minutes_between(rang[0], end)));

    let lost = owed.len() - delivered.len();
    let delivered = delivered.len();
    writeln!(
        io::stdout(),
        "delivery: 3 days refused, alarm after {after} min, {delivered} alerts delivered after, {lost} lost"
    )
    .unwrap();
}

/// A failure that stops alerts must not stop the alarm about it.
#[test]
fn the_alarms_about_alerts_share_no_topic_and_no_key_with_them() {
    for name in ["DeliveriesFailedAlarm", "OldestPendingAlertAlarm"] {
        let alarm = Alarm::read(name);
        assert_eq!(alarm.action, json!([{"Ref": "AlarmTopic"}]), "{name}");
    }
    let resources = Template::read("infra/template.yaml").0["Resources"].take();
    let key = |topic: &str| resources[topic]["Properties"]["KmsMasterKeyId"].clone();
    assert_eq!(key("AlarmTopic"), Value::Null);
    assert_ne!(key("AlertTopic"), Value::Null);
}

/// No release still knows the sink, so no worker tries it. The alarm must notice it anyway.
#[tokio::test]
async fn an_alert_to_a_removed_sink_counts_as_a_failed_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("findings.db")).unwrap();
    let mut world = World::new(store);
    world.call("CreateAccessKey", "AKIAONE");
    world.pass_until(begin() + TimeDelta::minutes(5)).await;
    world.call("CreateAccessKey", "AKIATWO");
    world.pass_until(begin() + TimeDelta::minutes(6)).await;
    world.parts.sinks.retain(|sink| sink.name() != "sns");
    world.shared.change(|state| state.refuses = false);
    world.log.clear();
    world.pass_until(begin() + TimeDelta::hours(5)).await;

    let owed = world.owed().await;
    assert!(owed.iter().all(|(sink, _)| sink == "sns"), "{owed:?}");
    assert!(!owed.is_empty());
    let log = String::from_utf8(world.log).unwrap();
    let alarm = Alarm::read("OldestPendingAlertAlarm");
    let pending = points(&log, &alarm.metric);
    assert!(alarm.rings(&pending, begin() + TimeDelta::hours(5)));
    assert!(points(&log, "DeliveriesFailed").len() >= 4);
}
