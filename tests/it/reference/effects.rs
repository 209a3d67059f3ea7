//! Counts every effect of the pipeline and fails effects on request: wrappers around a real store,
//! and around the test's IAM and sinks.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::channel::{mpsc, oneshot};

use secondkey::detect::Timestamp;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::familiar::FamiliarActor;
use secondkey::detect::findings::alert::{Alert, PendingAlert};
use secondkey::detect::findings::digest::Digest;
use secondkey::detect::keys::listing::KeyListing;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::usage::last_use::LastUses;
use secondkey::detect::user::UserId;
use secondkey::pipeline::alert_sink::AlertSink;
use secondkey::pipeline::commit::{Commit, CommitResult};
use secondkey::pipeline::error::{ErrorKind, ServiceError};
use secondkey::pipeline::finding_store::FindingStore;
use secondkey::pipeline::key_source::KeySource;

use super::journal::Journal;

/// How an effect fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A permanent refusal.
    Error,
    /// A temporary refusal.
    Throttle,
    /// The effect is not carried out and never answers. The invocation is stopped, as Lambda does
    /// at its timeout.
    Timeout,
    /// The effect is carried out, and the answer is lost.
    AnswerLost,
    /// The effect waits until it is resumed, while others work.
    Stall,
}

impl Way {
    /// The four kinds of failure.
    pub const FAILURES: [Self; 4] = [Self::Error, Self::Throttle, Self::Timeout, Self::AnswerLost];
}

/// The reason why a worker stops.
pub enum Halt {
    /// It has to be stopped.
    Cut,
    /// It waits for this signal.
    Stalled(oneshot::Sender<()>),
}

/// The effects of all workers of one world, counted in the order in which they begin.
#[derive(Clone, Default)]
pub struct Effects(Arc<Mutex<Planned>>);

#[derive(Default)]
struct Planned {
    begun: u64,
    failures: Vec<(u64, Way)>,
    failed: Vec<String>,
}

impl Effects {
    /// Fails the effect that is `after` effects ahead; 0 is the next one.
    pub fn fail(&self, after: u64, way: Way) {
        let mut planned = self.0.lock().unwrap();
        let place = planned.begun + after;
        planned.failures.push((place, way));
    }

    /// How many effects have begun.
    pub fn begun(&self) -> u64 {
        self.0.lock().unwrap().begun
    }

    /// The effects that failed, as text.
    pub fn failed(&self) -> Vec<String> {
        self.0.lock().unwrap().failed.clone()
    }

    fn begin(&self, name: &str) -> Option<Way> {
        let mut planned = self.0.lock().unwrap();
        let place = planned.begun;
        planned.begun += 1;
        let found = planned.failures.iter().position(|(at, _)| *at == place)?;
        let (_, way) = planned.failures.remove(found);
        planned.failed.push(format!("{name}: {way:?}"));
        Some(way)
    }
}

/// The effects of one worker.
#[derive(Clone)]
pub struct Hands {
    effects: Effects,
    halt: mpsc::UnboundedSender<Halt>,
}

impl Hands {
    /// Creates the effects of one worker, and the channel on which they report that they stopped.
    pub fn new(effects: &Effects) -> (Self, mpsc::UnboundedReceiver<Halt>) {
        let (halt, halted) = mpsc::unbounded();
        let effects = effects.clone();
        (Self { effects, halt }, halted)
    }

    /// Carries out `effect`, unless it is the one to fail.
    pub async fn carry_out<T>(
        &self,
        name: &str,
        effect: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        // Lets the re-checks of one batch take turns, even if the storage answers at once.
        tokio::task::yield_now().await;
        match self.effects.begin(name) {
            None => effect.await,
            Some(Way::Error) => Err(ServiceError::permanent(format!("{name} was refused"))),
            Some(Way::Throttle) => Err(ServiceError::retryable(format!("{name} was throttled"))),
            Some(Way::AnswerLost) => {
                effect.await?;
                Err(ServiceError::retryable(format!(
                    "the answer to {name} was lost"
                )))
            }
            Some(Way::Timeout) => {
                self.halt.unbounded_send(Halt::Cut).unwrap();
                pending().await
            }
            Some(Way::Stall) => {
                let (go_on, told) = oneshot::channel();
                self.halt.unbounded_send(Halt::Stalled(go_on)).unwrap();
                told.await.unwrap();
                effect.await
            }
        }
    }
}

/// A store that counts its effects and records its commits in the journal.
pub struct WatchedStore {
    pub inner: Arc<dyn FindingStore>,
    pub hands: Hands,
    pub journal: Journal,
}

#[async_trait]
impl FindingStore for WatchedStore {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        let name = format!("reading the record of {}", user.name());
        self.hands.carry_out(&name, self.inner.record(user)).await
    }

    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError> {
        let name = format!("reading what is owed for {}", user.name());
        self.hands
            .carry_out(&name, self.inner.pending_alerts(user))
            .await
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        let read = self.inner.exemptions(account);
        self.hands.carry_out("reading the exemptions", read).await
    }

    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError> {
        let read = self.inner.familiar(account);
        self.hands.carry_out("reading who is familiar", read).await
    }

    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError> {
        let written = self.inner.put_familiar(familiar);
        self.hands
            .carry_out("keeping who is familiar", written)
            .await
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError> {
        let name = format!("a commit of {}", commit.record.user.name());
        let written = async {
            self.journal.began(&commit.record.user);
            let committed = self.inner.commit(commit).await?;
            self.journal.ended(&commit.record.user);
            if committed == CommitResult::Written {
                self.journal.committed(commit);
            }
            Ok(committed)
        };
        self.hands.carry_out(&name, written).await
    }

    async fn reschedule(
        &self,
        owed: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        let name = format!("postponing an alert to {}", owed.sink);
        let postponed = self.inner.reschedule(owed, until);
        self.hands.carry_out(&name, postponed).await
    }

    async fn mark_delivered(&self, owed: &PendingAlert) -> Result<(), ServiceError> {
        let name = format!("ticking off an alert to {}", owed.sink);
        self.hands
            .carry_out(&name, self.inner.mark_delivered(owed))
            .await
    }
}

/// A key source that counts its effects.
pub struct WatchedKeys<K> {
    pub inner: K,
    pub hands: Hands,
}

#[async_trait]
impl<K: KeySource> KeySource for WatchedKeys<K> {
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError> {
        let effect = format!("listing the keys of {}", user.name());
        let listed = self.inner.list(user, name);
        self.hands.carry_out(&effect, listed).await
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        let owner = self.inner.owner(account, key);
        self.hands
            .carry_out("looking up whose key it is", owner)
            .await
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        // Last uses that never arrive are omitted; the alert is sent without them.
        match self.hands.effects.begin("asking for last uses") {
            None | Some(Way::Stall) => self.inner.last_used(user, keys).await,
            Some(Way::Error | Way::Throttle | Way::AnswerLost) => LastUses::new(),
            Some(Way::Timeout) => pending().await,
        }
    }
}

/// A sink that fails now and then. It records accepted alerts in the journal.
pub struct WatchedSink {
    pub name: &'static str,
    pub hands: Hands,
    pub journal: Journal,
}

#[async_trait]
impl AlertSink for WatchedSink {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn send(&self, alert: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        let name = format!("sending an alert to {}", self.name);
        let received = async { self.journal.received(self.name, alert) };
        let sent = self.hands.carry_out(&name, received).await;
        if let Err(error) = &sent
            && error.kind() == ErrorKind::Permanent
        {
            self.journal.entries().refused_by.insert(self.name);
        }
        sent
    }

    async fn send_digest(&self, _: &Digest) -> Result<(), ServiceError> {
        unreachable!("only sweeps tell digests")
    }
}
