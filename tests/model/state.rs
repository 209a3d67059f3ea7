//! One state of the modelled world, and what may happen in it.

use std::collections::BTreeSet;

use crate::arena::Id;
use crate::time::Moment;

/// Everything there is at one point of a history. Versions count only by which is newer, so they are numbered anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub clock: Moment,
    /// What may still go wrong.
    pub faults: Faults,
    /// Whether only a sweep can find everything: an event was lost, or the history began with two active keys.
    pub is_sweep_owed: bool,
    pub queue: BTreeSet<Message>,
    pub store: Store,
    /// In order, for it does not matter which worker is which.
    pub workers: Vec<Worker>,
    /// Whether fewer than two keys were active at some moment since the finding was opened.
    pub was_below_two: bool,
    /// When a worker last saw that fewer than two keys were active, with nothing unsettled.
    pub seen_below_two: Option<Moment>,
    /// The first property that a step broke.
    pub broken: Option<&'static str>,
}

/// How often what may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    pub losses: u8,
    pub duplicates: u8,
    pub crashes: u8,
    pub sink_failures: u8,
    pub refusals: u8,
    /// Listings that fail for a passing reason.
    pub failures: u8,
    /// Events that come late.
    pub delays: u8,
    /// Sweeps in the middle: no fault, but as seldom.
    pub sweeps: u8,
}

/// A message in the changes queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    pub what: What,
    /// When it can be taken; 0 once it can.
    pub due: Moment,
    pub is_retry: bool,
    /// How often it was handed out in vain; counted only where the queue gives up.
    pub receives: u8,
    /// Tells duplicates apart.
    pub copy: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// The event of the change at this place of the script.
    Event(usize),
    Recheck,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Store {
    pub record: Id,
    pub version: u64,
    /// The kinds of the entries of the audit trail.
    pub trail: Vec<&'static str>,
    /// The changes that are marked as recorded.
    pub marked: BTreeSet<String>,
    /// The alerts owed.
    pub owed: BTreeSet<Id>,
    /// The alerts that a sink took: sequence and sink.
    pub told: BTreeSet<(u64, String)>,
    /// The keys that an alert named.
    pub named: BTreeSet<char>,
}

/// What one worker is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Worker {
    Idle,
    /// Took `messages` (none in a sweep) and loaded the record and what is owed.
    Loaded {
        messages: Vec<Message>,
        loaded: Loaded,
    },
    /// Listed, and did not load yet: a broken protocol.
    ListedFirst {
        messages: Vec<Message>,
        listed: Listed,
    },
    Listed {
        messages: Vec<Message>,
        loaded: Loaded,
        listed: Listed,
    },
    /// Committed.
    Written {
        messages: Vec<Message>,
        /// The alerts to be delivered.
        alerts: Vec<Id>,
        /// The delays of the re-checks to be queued, in seconds.
        rechecks: BTreeSet<i64>,
        /// The moment of the listing that was decided on.
        at: Moment,
    },
}

/// What a worker loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loaded {
    pub record: Id,
    pub version: u64,
    pub owed: Vec<Id>,
}

/// What a worker was told of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listed {
    /// After how many changes the replica stood that answered; none if the listing was refused.
    pub after: Option<usize>,
    pub requested: Moment,
}

/// What may happen next. Workers are named by their place in the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Time passes; what is scripted for the moment happens, and its events reach the queue, but for what befalls one.
    Tick(Fate),
    /// A worker takes these messages and loads.
    Take(usize, Vec<Message>),
    /// A worker begins a sweep of the user: there is no message.
    Sweep(usize),
    /// The keys are listed, from a replica that stands after so many changes; or the listing is refused.
    List(usize, Option<usize>),
    /// The listing fails, and may succeed another time.
    Fail(usize),
    Load(usize),
    /// The worker decides and commits; on a conflict it loads anew.
    Commit(usize),
    /// The worker delivers, queues and gives its messages up. The sink may be down.
    Finish {
        worker: usize,
        is_sink_down: bool,
    },
    /// The worker dies after this; its messages come again.
    Crash(usize, After),
}

/// What befalls an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    None,
    Lost(usize),
    Doubled(usize),
    /// It reaches the queue so many moments later.
    Late(usize, Moment),
}

/// How far a worker came that dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// What it did before.
    Nothing,
    /// The first alert was sent and not ticked off (a broken protocol: ticked off and not sent).
    Sending,
    /// The alerts were sent and ticked off.
    Delivering,
    /// The re-checks were queued.
    Queueing,
}
