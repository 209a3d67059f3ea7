//! A small world in virtual time: the IAM of the test, a queue that loses nothing and keeps no
//! order, and workers that run the real pipeline on a real store and may be stopped or stalled
//! halfway.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};

use chrono::{DateTime, TimeDelta};
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};

use secondkey::detect::Timestamp;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::situation::Sweep;
use secondkey::detect::keys::listing::{AccessKey, KeyStatus};
use secondkey::detect::user::UserId;
use secondkey::pipeline::batch::{ReceivedMessage, recheck_each, recheck_users};
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::finding_store::FindingReader;
use secondkey::pipeline::message::{read_message, recheck_body};
use secondkey::pipeline::recheck::{Dependencies, RecheckOutcome, RecheckRequest};

use super::calls::{Call, calls, has_two_active};
use super::effects::{Effects, Halt, Hands, WatchedKeys, WatchedSink, WatchedStore};
use super::iam::{Iam, Mood, Users, active_keys};
use super::journal::Journal;
use super::story::{By, History, Name, SINKS, Step, Told};
use crate::stack::cloudformation::Template;

/// The most messages per invocation.
const BATCH: usize = 10;

/// After how long an unfinished message is delivered again; longer than a function may run.
const VISIBILITY: TimeDelta = TimeDelta::seconds(30);

/// How long a worker may stall; after that the function is stopped.
const MAX_STALL_CHARS: TimeDelta = TimeDelta::seconds(25);

/// The longest delay of an SQS message.
const MAX_DELAY_CHARS: i64 = 900;

/// How many invocations a history may take to come to rest.
const PATIENCE: u32 = 2_000;

/// How often the queue delivers a message before it gives it up.
static MAX_RECEIVES: LazyLock<u32> = LazyLock::new(|| {
    let template = Template::read("infra/template.yaml");
    let queue = &template.0["Resources"]["ChangesQueue"]["Properties"];
    let max = queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap();
    u32::try_from(max).unwrap()
});

/// After how long the detector checks a user whom a sweep could not re-check.
const UNCHECKED_RECHECK: TimeDelta = TimeDelta::seconds(60);

/// How long IAM accepts a deactivated key; shorter than the consistency window.
const STILL_USABLE: TimeDelta = TimeDelta::seconds(20);

/// A completed call.
pub struct Made {
    pub at: Timestamp,
    pub event_id: String,
    pub call: Call,
    /// The ARN of the caller.
    pub by: String,
    /// Whether the call activated an inactive key.
    pub is_activation: bool,
    /// Whether its event arrives.
    pub is_told: bool,
    /// The user's key that signed the call, if the user made it.
    pub signer: Option<String>,
}

/// An exemption and when it ended.
pub struct Exempted {
    pub exemption: Exemption,
    pub ended: Option<Timestamp>,
}

/// Counts of what happened in histories.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub calls: usize,
    /// Calls in the same second as the previous one.
    pub same_second: usize,
    pub renames: usize,
    pub no_ops: usize,
    /// Calls that were signed by a key of the user itself.
    pub signed: usize,
    pub exemptions: usize,
    pub sweeps: usize,
    pub throttled: usize,
    pub long_waits: usize,
}

impl Counts {
    /// The sum of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            same_second: self.same_second + other.same_second,
            renames: self.renames + other.renames,
            no_ops: self.no_ops + other.no_ops,
            signed: self.signed + other.signed,
            exemptions: self.exemptions + other.exemptions,
            sweeps: self.sweeps + other.sweeps,
            throttled: self.throttled + other.throttled,
            long_waits: self.long_waits + other.long_waits,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} calls, {} of them in the second of the one before, {} renames, {} no-ops, \
             {} signed by the user's own key; {} exemptions, {} sweeps, \
             {} throttled spans, {} waits of over a day",
            self.calls,
            self.same_second,
            self.renames,
            self.no_ops,
            self.signed,
            self.exemptions,
            self.sweeps,
            self.throttled,
            self.long_waits,
        )
    }
}

/// A message in the queue.
#[derive(Clone)]
struct Item {
    id: String,
    due: Timestamp,
    sent_at: Timestamp,
    times_received: u32,
    ask: Ask,
    /// The event in it, and the users of the event.
    event: Option<(String, Vec<UserId>)>,
}

/// The request of a message.
#[derive(Clone)]
enum Ask {
    /// A body for the detector.
    Detector(String),
    /// A sweep, for the sweeper.
    Sweep,
}

/// The messages in the queue that no worker has received.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Vec<Item>>>);

/// A running invocation. It returns the IDs of the messages that failed.
struct Worker {
    run: Pin<Box<dyn Future<Output = BTreeSet<String>> + Send>>,
    halted: mpsc::UnboundedReceiver<Halt>,
    items: Vec<Item>,
}

struct Stalled {
    worker: Worker,
    go_on: oneshot::Sender<()>,
    until: Timestamp,
}

/// The world of one history.
pub struct World {
    pub account: String,
    pub iam: Iam,
    pub store: Arc<dyn FindingReader>,
    pub effects: Effects,
    pub journal: Journal,
    /// Whether an event was lost, so that a sweep has to find its effects.
    pub has_lost: bool,
    /// Whether an event arrived before that of an earlier call, or something failed that an event
    /// needs. Then the order becomes known late.
    pub is_out_of_order: bool,
    /// The calls, in order.
    pub made: Vec<Made>,
    /// The exemptions, in order.
    pub exempted: Vec<Exempted>,
    pub counts: Counts,
    /// A message that was received too often.
    given_up: Option<String>,
    /// When the last event arrives, counting the first copy of each.
    latest_arrival: Timestamp,
    queue: Queue,
    stalled: Vec<Stalled>,
    keys_made: u32,
    messages: u32,
}

impl World {
    /// A world in `account`, in which alice has one active key and bob has none.
    pub fn new(store: Arc<dyn FindingReader>, account: String, lags: Vec<u8>) -> Self {
        let begin = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let old = AccessKey {
            status: KeyStatus::Active,
            created: Some(begin - TimeDelta::days(3)),
        };
        let users = Users::from([
            (
                UserId::new(&account, Name::Alice.text()),
                [("AKIA000".to_owned(), old)].into(),
            ),
            (UserId::new(&account, Name::Bob.text()), [].into()),
        ]);
        Self {
            account,
            iam: Iam::new(begin, users, lags),
            store,
            effects: Effects::default(),
            journal: Journal::default(),
            has_lost: false,
            is_out_of_order: false,
            made: vec![],
            exempted: vec![],
            counts: Counts::default(),
            given_up: None,
            latest_arrival: begin,
            queue: Queue::default(),
            stalled: vec![],
            keys_made: 0,
            messages: 0,
        }
    }

    /// All possible users.
    pub fn names(&self) -> Vec<UserId> {
        let user = |name: Name| UserId::new(&self.account, name.text());
        Name::ALL.map(user).to_vec()
    }

    /// Runs `history`, comes to rest, and checks what must hold after each step that had an effect.
    pub async fn live_through(&mut self, history: &History) -> Result<(), String> {
        let mut checked_after = 0;
        for step in &history.steps {
            self.step(step).await?;
            let effects = self.effects.begun();
            if effects > checked_after {
                checked_after = effects;
                self.check_always()
                    .await
                    .map_err(|wrong| format!("after `{step:?}`: {wrong}"))?;
            }
        }
        self.come_to_rest().await?;
        self.check_always().await?;
        self.check_at_rest().await?;
        self.sweep_once().await?;
        self.check_always().await?;
        self.check_at_rest().await?;
        self.check_blame().await
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let key = format!("AKIA{:03}", self.keys_made + 1);
        let (calls, told) = calls(step, &self.account, &self.iam.users(), &key);
        self.keys_made += 1;
        for call in calls {
            self.call(call, told.unwrap_or(&Told(By::Admin, vec![])));
        }
        self.is_out_of_order |=
            matches!(step, Step::IamRefuses | Step::IamThrottles | Step::Fail(..));
        match step {
            Step::CreateUser(name) => {
                let mut users = self.iam.users();
                users
                    .entry(UserId::new(&self.account, name.text()))
                    .or_default();
                self.iam.set_users(users);
            }
            Step::LookAt(name) => {
                self.look_at(&UserId::new(&self.account, name.text()));
            }
            Step::Wait(seconds) => {
                self.counts.long_waits += usize::from(*seconds > 86_400);
                let until = self.iam.now() + TimeDelta::seconds((*seconds).into());
                self.work_until(until).await?;
                self.iam.pass_until(until);
            }
            Step::SinkDown(sink, down) => {
                self.journal.entries().down.insert(sink, *down);
            }
            Step::SinkUp(sink) => {
                self.journal.entries().down.remove(sink);
            }
            Step::IamRefuses => self.iam.set_mood(Mood::Refuses),
            Step::IamThrottles => {
                self.counts.throttled += 1;
                self.iam.set_mood(Mood::Throttles);
            }
            Step::IamAnswers => self.iam.set_mood(Mood::Answers),
            Step::Exempt(name, by, minutes) => self.exempt(*name, *by, *minutes).await?,
            Step::RemoveExemption(name) => self.remove_exemption(*name).await?,
            Step::Sweep => self.send_sweep(),
            Step::Fail(after, way) => self.effects.fail((*after).into(), *way),
            Step::GoOn if !self.stalled.is_empty() => {
                let stalled = self.stalled.remove(0);
                self.go_on(stalled).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes `call`, and sends the copies of its event so that they arrive in time.
    fn call(&mut self, call: Call, Told(by, arrive_after): &Told) {
        let at = self.iam.now();
        let before = self.iam.users();
        let users = call.changed(before.clone(), at);
        let signer = self.signer(&call, *by, at);
        self.messages += 1;
        let event_id = format!("event-{}", self.messages);
        self.has_lost |= arrive_after.is_empty();
        if let Some(first) = arrive_after.iter().min() {
            let arrives = at + TimeDelta::seconds((*first).into());
            self.is_out_of_order |= arrives < self.latest_arrival;
            self.latest_arrival = self.latest_arrival.max(arrives);
        }
        for after in arrive_after {
            let due = at + TimeDelta::seconds((*after).into());
            let event = Some((event_id.clone(), call.users()));
            let body = call.event(&event_id, at, *by, signer.as_deref());
            self.send(due, due, Ask::Detector(body), event);
        }
        let is_no_op = users == before;
        let counts = &mut self.counts;
        counts.calls += 1;
        counts.no_ops += usize::from(is_no_op);
        counts.signed += usize::from(signer.is_some());
        counts.renames += usize::from(matches!(call, Call::Rename(..)));
        counts.same_second += usize::from(
            self.made
                .last()
                .is_some_and(|last| last.at.timestamp() == at.timestamp()),
        );
        self.made.push(Made {
            at,
            event_id,
            by: by.arn(&call.users()[0]),
            is_activation: call.activates().is_some() && !is_no_op,
            is_told: !arrive_after.is_empty(),
            signer,
            call,
        });
        self.iam.set_users(users);
        self.iam.pass_until(at + TimeDelta::milliseconds(200));
    }

    /// The key with which `by` signs `call` at `at`. IAM accepts a key for a while after its
    /// deactivation.
    fn signer(&self, call: &Call, by: By, at: Timestamp) -> Option<String> {
        let usable = self.iam.users_at(at - STILL_USABLE);
        let users = call.users();
        let key = active_keys(&usable, &users[0])
            .first()
            .map(ToString::to_string);
        key.filter(|_| by == By::Owner)
    }

    fn look_at(&mut self, user: &UserId) {
        let now = self.iam.now();
        self.send(now, now, Ask::Detector(recheck_body(user)), None);
    }

    fn send_sweep(&mut self) {
        let now = self.iam.now();
        self.counts.sweeps += 1;
        self.send(now, now, Ask::Sweep, None);
    }

    fn send(
        &mut self,
        due: Timestamp,
        sent_at: Timestamp,
        ask: Ask,
        event: Option<(String, Vec<UserId>)>,
    ) {
        self.messages += 1;
        let id = format!("message-{}", self.messages);
        self.queue.0.lock().unwrap().push(Item {
            id,
            due,
            sent_at,
            times_received: 0,
            ask,
            event,
        });
    }

    async fn exempt(
        &mut self,
        name: Option<Name>,
        by: Option<By>,
        minutes: u16,
    ) -> Result<(), String> {
        self.end_exemption(name);
        let now = self.iam.now();
        let owner = UserId::new(&self.account, name.unwrap_or(Name::Alice).text());
        let exemption = Exemption {
            id: exemption_id(name),
            account: self.account.clone(),
            user_pattern: name.map_or("*", Name::text).to_owned(),
            actor_pattern: by.map_or_else(|| "*".to_owned(), |by| by.arn(&owner)),
            owner: "security".to_owned(),
            reason: "a migration".to_owned(),
            created_at: now,
            until: now + TimeDelta::minutes(minutes.into()),
        };
        self.counts.exemptions += 1;
        let put = self.store.put_exemption(&exemption).await;
        self.exempted.push(Exempted {
            exemption,
            ended: None,
        });
        put.map_err(|error| error.to_string())
    }

    async fn remove_exemption(&mut self, name: Option<Name>) -> Result<(), String> {
        self.end_exemption(name);
        let id = exemption_id(name);
        let removed = self.store.remove_exemption(&self.account, &id).await;
        removed.map(drop).map_err(|error| error.to_string())
    }

    fn end_exemption(&mut self, name: Option<Name>) {
        let now = self.iam.now();
        let id = exemption_id(name);
        let of_name = self
            .exempted
            .iter_mut()
            .filter(|known| known.exemption.id == id);
        for known in of_name {
            known.ended = known.ended.or(Some(now));
        }
    }

    /// Advances time to `until`, and does what becomes due in between.
    async fn work_until(&mut self, until: Timestamp) -> Result<(), String> {
        for _ in 0..PATIENCE {
            let Some(due) = self.next_due().filter(|due| *due <= until) else {
                return Ok(());
            };
            self.iam.pass_until(due);
            self.work().await;
            if let Some(given_up) = &self.given_up {
                return Err(format!("{given_up} was given up"));
            }
        }
        Err(format!(
            "after {PATIENCE} invocations there is still something to do"
        ))
    }

    fn next_due(&self) -> Option<Timestamp> {
        let items = self.queue.0.lock().unwrap();
        let queued = items.iter().map(|item| item.due).min();
        let stalled = self.stalled.iter().map(|stalled| stalled.until).min();
        queued.into_iter().chain(stalled).min()
    }

    /// Does one thing that is due.
    async fn work(&mut self) {
        let now = self.iam.now();
        if let Some(place) = self.stalled.iter().position(|stalled| stalled.until <= now) {
            let stalled = self.stalled.remove(place);
            self.go_on(stalled).await;
            return;
        }
        let items = self.queue.take_due(now);
        let worker = self.invoke(items);
        self.drive(worker).await;
    }

    fn invoke(&self, items: Vec<Item>) -> Worker {
        let (hands, halted) = Hands::new(&self.effects);
        let sink = |name| {
            let (hands, journal) = (hands.clone(), self.journal.clone());
            Box::new(WatchedSink {
                name,
                hands,
                journal,
            }) as Box<_>
        };
        let parts = Dependencies {
            store: Arc::new(WatchedStore {
                inner: self.store.clone(),
                hands: hands.clone(),
                journal: self.journal.clone(),
            }),
            keys: Arc::new(WatchedKeys {
                inner: self.iam.clone(),
                hands: hands.clone(),
            }),
            sinks: SINKS.map(sink).into(),
            policy: Policy::default(),
        };
        let (iam, queue) = (self.iam.clone(), self.queue.clone());
        let now = iam.now();
        let is_sweep = items.iter().any(|item| matches!(item.ask, Ask::Sweep));
        if is_sweep {
            let ids = items.iter().map(|item| item.id.clone()).collect();
            let (store, names) = (self.store.clone(), self.names());
            let run = Box::pin(async move {
                let requests = match suspects(store.as_ref(), &iam, &names).await {
                    Ok(users) => users.into_iter().map(|user| (user, sweeping())).collect(),
                    Err(_) => return ids,
                };
                let mut failed = BTreeSet::new();
                for (user, result) in recheck_each(&parts, requests, now).await {
                    let settled = match result {
                        Ok(rechecked) => queue.settle(&hands, &user, &rechecked, &iam).await,
                        Err(failure) => Err(failure),
                    };
                    // One failing user is left to the detector.
                    let left = async {
                        queue.put_recheck(&user, iam.now(), UNCHECKED_RECHECK);
                        Ok(())
                    };
                    if settled.is_err()
                        && hands.carry_out("queueing a re-check", left).await.is_err()
                    {
                        failed.clone_from(&ids);
                    }
                }
                failed
            });
            return Worker { run, halted, items };
        }
        let messages = items.iter().filter_map(Item::received).collect();
        let run = Box::pin(async move {
            let mut failed = BTreeSet::new();
            for done in recheck_users(&parts, messages, now).await {
                let settled = match done.result {
                    Ok(rechecked) => queue.settle(&hands, &done.user, &rechecked, &iam).await,
                    Err(failure) => Err(failure),
                };
                if settled.is_err() {
                    failed.extend(done.message_ids);
                }
            }
            failed
        });
        Worker { run, halted, items }
    }

    /// Runs `worker` until it is done, stopped or stalled.
    async fn drive(&mut self, mut worker: Worker) {
        let ended = select(worker.run.as_mut(), worker.halted.next()).await;
        match ended {
            Either::Left((failed, _)) => {
                let (again, done): (Vec<Item>, Vec<Item>) = worker
                    .items
                    .into_iter()
                    .partition(|item| failed.contains(&item.id));
                let events = done.into_iter().filter_map(|item| item.event);
                self.journal.entries().done.extend(events);
                self.come_again(again);
            }
            Either::Right((Some(Halt::Stalled(go_on)), _)) => {
                let until = self.iam.now() + MAX_STALL_CHARS;
                self.stalled.push(Stalled {
                    worker,
                    go_on,
                    until,
                });
            }
            Either::Right((Some(Halt::Cut) | None, _)) => self.come_again(worker.items),
        }
    }

    async fn go_on(&mut self, stalled: Stalled) {
        // If a parallel effect failed meanwhile, nothing waits for this any more; the worker
        // continues anyway.
        let _ = stalled.go_on.send(());
        self.drive(stalled.worker).await;
    }

    fn come_again(&mut self, items: Vec<Item>) {
        let now = self.iam.now();
        let given_up = items.iter().find(|item| {
            matches!(item.ask, Ask::Detector(_)) && item.times_received >= *MAX_RECEIVES
        });
        self.given_up = given_up
            .map(|item| item.id.clone())
            .or(self.given_up.take());
        let again = items.into_iter().map(|item| Item {
            due: now + VISIBILITY,
            ..item
        });
        self.queue.0.lock().unwrap().extend(again);
    }

    /// Repairs the sinks and IAM and works until nothing is left to do. After a loss, sweeps once
    /// more.
    pub async fn come_to_rest(&mut self) -> Result<(), String> {
        self.journal.entries().down.clear();
        self.iam.set_mood(Mood::Answers);
        self.work_until(Timestamp::MAX_UTC).await?;
        if self.has_lost {
            let settled =
                self.iam.now() + Policy::default().consistency_window + TimeDelta::seconds(1);
            self.iam.pass_until(settled);
            self.sweep_once().await?;
        }
        Ok(())
    }

    /// Sweeps, and works until nothing is left to do.
    async fn sweep_once(&mut self) -> Result<(), String> {
        self.send_sweep();
        self.work_until(Timestamp::MAX_UTC).await
    }
}

/// The users whom a sweep checks: those with two active keys, those with an open finding, and those
/// with due work.
async fn suspects(
    store: &dyn FindingReader,
    iam: &Iam,
    names: &[UserId],
) -> Result<Vec<UserId>, ServiceError> {
    let (users, now) = (iam.users(), iam.now());
    let mut suspects = vec![];
    for user in names {
        let record = store.record(user).await?;
        let owed = store.pending_alerts(user).await?;
        let is_due = record.recheck_at.is_some_and(|at| at <= now)
            || owed.iter().any(|owed| owed.due_at <= now);
        if is_due || record.open_finding().is_some() || has_two_active(&users, user) {
            suspects.push(user.clone());
        }
    }
    Ok(suspects)
}

fn sweeping() -> RecheckRequest {
    RecheckRequest {
        sweep: Some(Sweep::Routine),
        is_retry: true,
        ..RecheckRequest::default()
    }
}

fn exemption_id(name: Option<Name>) -> String {
    name.map_or("all", Name::text).to_owned()
}

impl Item {
    fn received(&self) -> Option<ReceivedMessage> {
        let Ask::Detector(body) = &self.ask else {
            return None;
        };
        Some(ReceivedMessage {
            id: self.id.clone(),
            is_retry: self.times_received > 1,
            message: read_message(body, Some(self.sent_at)).unwrap(),
        })
    }
}

impl Queue {
    /// Takes due messages, oldest first. A sweep comes alone, because it has its own queue.
    fn take_due(&self, now: Timestamp) -> Vec<Item> {
        let mut items = self.0.lock().unwrap();
        items.sort_by_key(|item| item.due);
        let is_sweep = |item: &Item| matches!(item.ask, Ask::Sweep);
        let is_first_a_sweep = items.first().is_some_and(is_sweep);
        let batch = if is_first_a_sweep { 1 } else { BATCH };
        let due = items
            .iter()
            .take(batch)
            .take_while(|item| item.due <= now && is_sweep(item) == is_first_a_sweep)
            .count();
        let mut taken: Vec<Item> = items.drain(..due).collect();
        for item in &mut taken {
            item.times_received += 1;
        }
        taken
    }

    /// Queues what a re-check of `user` requests.
    async fn settle(
        &self,
        hands: &Hands,
        user: &UserId,
        rechecked: &RecheckOutcome,
        iam: &Iam,
    ) -> Result<(), ServiceError> {
        let later = rechecked.rechecks.iter().map(|delay| (user, *delay));
        let next = rechecked.follow_ups.iter();
        let next = next.map(|user| (user, TimeDelta::zero()));
        let mut settled = Ok(());
        for (user, delay) in later.chain(next) {
            let queued = async {
                self.put_recheck(user, iam.now(), delay);
                Ok(())
            };
            settled = settled.and(hands.carry_out("queueing a re-check", queued).await);
        }
        settled
    }

    /// Queues a re-check like the detector, rounded up to whole seconds.
    fn put_recheck(&self, user: &UserId, now: Timestamp, delay: TimeDelta) {
        let seconds = delay.num_seconds() + i64::from(delay.subsec_nanos() > 0);
        let due = now + TimeDelta::seconds(seconds.clamp(0, MAX_DELAY_CHARS));
        let mut items = self.0.lock().unwrap();
        let id = format!("re-check of {} at {due}, {}", user.name(), items.len());
        items.push(Item {
            id,
            due,
            sent_at: now,
            times_received: 0,
            ask: Ask::Detector(recheck_body(user)),
            event: None,
        });
    }
}
