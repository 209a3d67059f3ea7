//! One state of the modeled world, and what may happen in it.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::time::Moment;

/// Everything that exists at one point of a history. Only the order of versions matters, so they
/// are renumbered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub clock: Moment,
    /// The remaining faults.
    pub faults: Faults,
    /// Whether only a sweep can find everything: an event was lost, or the history began with two
    /// active keys.
    pub is_sweep_owed: bool,
    pub queue: BTreeSet<Message>,
    pub store: Store,
    /// Sorted, because the workers are interchangeable.
    pub workers: Vec<Worker>,
    /// Whether fewer than two keys were active at some moment since the finding was opened.
    pub was_below_two: bool,
    /// When a worker last saw fewer than two active keys in a settled view.
    pub seen_below_two: Option<Moment>,
    /// The first property that a step broke.
    pub broken: Option<&'static str>,
}

/// How often each fault may still occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    pub losses: u8,
    pub duplicates: u8,
    pub crashes: u8,
    pub sink_failures: u8,
    pub refusals: u8,
    /// Listings that fail temporarily.
    pub failures: u8,
    /// Late events.
    pub delays: u8,
    /// Sweeps in the middle: not a fault, but limited in the same way.
    pub sweeps: u8,
}

/// A message in the changes queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    pub what: What,
    /// When it becomes visible; 0 if it is visible.
    pub due: Moment,
    pub is_retry: bool,
    /// How often it was delivered without success; counted only if the queue gives up.
    pub receives: u8,
    /// Distinguishes duplicates.
    pub copy: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// The event of the change at this place of the script.
    Event(usize),
    Recheck,
}

/// The stored data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Store {
    pub record: Id,
    pub version: u64,
    /// The kinds of the audit trail's entries.
    pub trail: Vec<&'static str>,
    /// The changes that are marked as recorded.
    pub marked: BTreeSet<String>,
    /// The pending alerts.
    pub owed: BTreeSet<Id>,
    /// The alerts that a sink accepted: sequence and sink.
    pub told: BTreeSet<(u64, String)>,
    /// The keys that an alert named.
    pub named: BTreeSet<char>,
}

/// The stage of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Worker {
    Idle,
    /// Took `messages` (none in a sweep) and loaded the record and the pending alerts.
    Loaded {
        messages: Vec<Message>,
        loaded: Loaded,
    },
    /// Listed before loading: a broken protocol.
    ListedFirst {
        messages: Vec<Message>,
        listed: Listed,
    },
    Listed {
        messages: Vec<Message>,
        loaded: Loaded,
        listed: Listed,
    },
    Written {
        messages: Vec<Message>,
        /// The alerts to deliver.
        alerts: Vec<Id>,
        /// The delays of the re-checks to queue, in seconds.
        rechecks: BTreeSet<i64>,
        /// The moment of the listing that the decision used.
        at: Moment,
    },
}

/// The data that a worker loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loaded {
    pub record: Id,
    pub version: u64,
    pub owed: Vec<Id>,
}

/// The listing that a worker received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listed {
    /// How many changes the answering replica had seen; `None` if the listing was refused.
    pub after: Option<usize>,
    pub requested: Moment,
}

/// What may happen next. Workers are identified by their place in the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Time passes. What is scripted for the moment happens, and its events reach the queue, except
    /// for one that meets its fate.
    Tick(Fate),
    /// A worker takes these messages and loads.
    Take(usize, Vec<Message>),
    /// A worker begins a sweep of the user, without a message.
    Sweep(usize),
    /// The keys are listed from a replica that has seen this many changes, or the listing is
    /// refused.
    List(usize, Option<usize>),
    /// The listing fails temporarily.
    Fail(usize),
    Load(usize),
    /// The worker decides and commits. After a conflict it loads again.
    Commit(usize),
    /// The worker delivers, queues and deletes its messages. The sink may be down.
    Finish {
        worker: usize,
        is_sink_down: bool,
    },
    /// The worker dies after this stage, and its messages are delivered again.
    Crash(usize, After),
}

/// The fate of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    None,
    Lost(usize),
    Doubled(usize),
    /// It reaches the queue this many moments later.
    Late(usize, Moment),
}

/// The stage at which a worker dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Before any effect.
    Nothing,
    /// The first alert was sent and not marked delivered (in a broken protocol: marked and not
    /// sent).
    Sending,
    /// The alerts were sent and marked delivered.
    Delivering,
    /// The re-checks were queued.
    Queueing,
}
