//! A small world in virtual time: the IAM of the test, a queue that loses nothing and keeps no order, workers that run the
//! real pipeline on a real store, and may be cut or stalled half-way.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta};
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};

use secondkey::detect::Timestamp;
use secondkey::detect::listing::{AccessKey, KeyStatus};
use secondkey::detect::policy::Policy;
use secondkey::detect::user::UserId;
use secondkey::pipeline::batch::{Received, recheck_users};
use secondkey::pipeline::finding_store::FindingReader;
use secondkey::pipeline::message::{read_message, recheck_body};
use secondkey::pipeline::recheck::Parts;

use super::calls::{Call, calls};
use super::effects::{Effects, Halt, Hands, WatchedKeys, WatchedSink, WatchedStore};
use super::iam::{Iam, Users};
use super::journal::Journal;
use super::story::{History, Name, SINKS, Step};

/// How many messages an invocation takes at most.
const BATCH: usize = 10;

/// After how long a message that was not given up comes again; longer than a function may run.
const VISIBILITY: TimeDelta = TimeDelta::seconds(30);

/// How long a worker may stall; a function is cut after that.
const LONGEST_STALL: TimeDelta = TimeDelta::seconds(25);

/// The longest delay of an SQS message.
const LONGEST_DELAY: i64 = 900;

/// How many invocations a history may take to come to rest.
const PATIENCE: u32 = 2_000;

/// A message in the queue.
#[derive(Clone)]
struct Item {
    id: String,
    due: Timestamp,
    sent_at: Timestamp,
    times_received: u32,
    body: String,
    /// The event in it and whom that is about.
    event: Option<(String, Vec<UserId>)>,
}

/// What is in the queue and not in a worker's hands.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Vec<Item>>>);

/// An invocation under way. It gives back the ids of the messages that failed.
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
    /// Whether an event was lost, so that a sweep has to heal what came of it.
    pub has_lost: bool,
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
            queue: Queue::default(),
            stalled: vec![],
            keys_made: 0,
            messages: 0,
        }
    }

    /// All users that there ever may be.
    pub fn names(&self) -> Vec<UserId> {
        let user = |name: Name| UserId::new(&self.account, name.text());
        Name::ALL.map(user).to_vec()
    }

    /// Lets `history` happen, comes to rest, and checks what must hold after each step that had an effect.
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
        self.check_at_rest().await
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let key = format!("AKIA{:03}", self.keys_made + 1);
        let (calls, told) = calls(step, &self.account, &self.iam.users(), &key);
        self.keys_made += 1;
        for call in calls {
            self.call(&call, told.map_or(&[][..], |told| &told.0));
        }
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
            Step::IamRefuses => self.iam.refuse(true),
            Step::IamAnswers => self.iam.refuse(false),
            Step::Fail(after, way) => self.effects.fail((*after).into(), *way),
            Step::GoOn if !self.stalled.is_empty() => {
                let stalled = self.stalled.remove(0);
                self.go_on(stalled).await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes `call`, and sends its event so that copies arrive after so many seconds.
    fn call(&mut self, call: &Call, arrive_after: &[u16]) {
        let at = self.iam.now();
        self.iam.set_users(call.changed(self.iam.users(), at));
        self.messages += 1;
        let event_id = format!("event-{}", self.messages);
        self.has_lost |= arrive_after.is_empty();
        for after in arrive_after {
            let due = at + TimeDelta::seconds((*after).into());
            let event = Some((event_id.clone(), call.users()));
            self.send(due, due, call.event(&event_id, at), event);
        }
        self.iam.pass_until(at + TimeDelta::milliseconds(200));
    }

    fn look_at(&mut self, user: &UserId) {
        let now = self.iam.now();
        self.send(now, now, recheck_body(user), None);
    }

    fn send(
        &mut self,
        due: Timestamp,
        sent_at: Timestamp,
        body: String,
        event: Option<(String, Vec<UserId>)>,
    ) {
        self.messages += 1;
        let id = format!("message-{}", self.messages);
        self.queue.0.lock().unwrap().push(Item {
            id,
            due,
            sent_at,
            times_received: 0,
            body,
            event,
        });
    }

    /// Lets time pass until `until`, and does what falls due in between.
    async fn work_until(&mut self, until: Timestamp) -> Result<(), String> {
        for _ in 0..PATIENCE {
            let Some(due) = self.next_due().filter(|due| *due <= until) else {
                return Ok(());
            };
            self.iam.pass_until(due);
            self.work().await;
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
        let parts = Parts {
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
        let messages = items.iter().map(Item::received).collect();
        let (iam, queue) = (self.iam.clone(), self.queue.clone());
        let now = iam.now();
        let run = Box::pin(async move {
            let mut failed = BTreeSet::new();
            for done in recheck_users(&parts, messages, now).await {
                let Ok(rechecked) = done.result else {
                    failed.extend(done.message_ids);
                    continue;
                };
                for delay in rechecked.rechecks {
                    let queued = async {
                        queue.put_recheck(&done.user, iam.now(), delay);
                        Ok(())
                    };
                    if hands
                        .carry_out("queueing a re-check", queued)
                        .await
                        .is_err()
                    {
                        failed.extend(done.message_ids.clone());
                    }
                }
            }
            failed
        });
        Worker { run, halted, items }
    }

    /// Runs `worker` until it is done, cut or stalled.
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
                let until = self.iam.now() + LONGEST_STALL;
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
        // Nobody waits any more where an effect beside it failed meanwhile; the worker goes on all the same.
        let _ = stalled.go_on.send(());
        self.drive(stalled.worker).await;
    }

    fn come_again(&self, items: Vec<Item>) {
        let now = self.iam.now();
        let again = items.into_iter().map(|item| Item {
            due: now + VISIBILITY,
            ..item
        });
        self.queue.0.lock().unwrap().extend(again);
    }

    /// Mends the sinks and IAM and works until nothing is left to do; after a loss, looks at everybody once more.
    pub async fn come_to_rest(&mut self) -> Result<(), String> {
        self.journal.entries().down.clear();
        self.iam.refuse(false);
        self.work_until(Timestamp::MAX_UTC).await?;
        if self.has_lost {
            let settled = self.iam.now() + Policy::default().settle + TimeDelta::seconds(1);
            self.iam.pass_until(settled);
            for user in self.names() {
                self.look_at(&user);
            }
            self.work_until(Timestamp::MAX_UTC).await?;
        }
        Ok(())
    }
}

impl Item {
    fn received(&self) -> Received {
        Received {
            id: self.id.clone(),
            is_retry: self.times_received > 1,
            message: read_message(&self.body, Some(self.sent_at)).unwrap(),
        }
    }
}

impl Queue {
    /// Takes what is due, the oldest first.
    fn take_due(&self, now: Timestamp) -> Vec<Item> {
        let mut items = self.0.lock().unwrap();
        items.sort_by_key(|item| item.due);
        let due = items.iter().take_while(|item| item.due <= now).count();
        let mut taken: Vec<Item> = items.drain(..due.min(BATCH)).collect();
        for item in &mut taken {
            item.times_received += 1;
        }
        taken
    }

    /// Queues a re-check as the detector does: a part of a second more, never less.
    fn put_recheck(&self, user: &UserId, now: Timestamp, delay: TimeDelta) {
        let seconds = delay.num_seconds() + i64::from(delay.subsec_nanos() > 0);
        let due = now + TimeDelta::seconds(seconds.clamp(0, LONGEST_DELAY));
        let mut items = self.0.lock().unwrap();
        let id = format!("re-check of {} at {due}, {}", user.name(), items.len());
        items.push(Item {
            id,
            due,
            sent_at: now,
            times_received: 0,
            body: recheck_body(user),
            event: None,
        });
    }
}
