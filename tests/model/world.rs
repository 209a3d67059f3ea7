//! The model: which steps each state allows, and their results.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use secondkey::detect::decision::situation::Outcome;
use secondkey::detect::findings::alert::PendingAlert;
use secondkey::detect::findings::finding::Finding;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::pipeline::commit::Commit;
use stateright::{Model, Property};

use crate::arena::{Arena, Id};
use crate::iam::{Script, Truth, user};
use crate::protocol::Protocol;
use crate::state::{Action, After, Fate, Faults, Listed, Message, State, Store, Worker};
use crate::time::{Moment, SETTLE_MOMENTS};

/// Everything must have come to rest by then.
pub(crate) const END_OF_TIME: Moment = 2_000;

/// The version of a previously stored record and of the stored record; 0 if there is none.
pub(crate) const OLDER: u64 = 1;
pub(crate) const CURRENT: u64 = 2;

/// The scope of one exploration.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub script: Script,
    pub workers: usize,
    pub sinks: &'static [&'static str],
    pub faults: Faults,
    /// The actor whose keys an exemption covers.
    pub exempt: Option<char>,
    /// Whether the user was checked before the history begins.
    pub is_known: bool,
    /// When every listing is refused.
    pub blind: Range<Moment>,
    /// By how many moments a late event is late.
    pub late_by: Moment,
    /// How often the queue delivers a message before it gives it up; 0 if it never does.
    pub max_receives: u8,
    /// Whether loading and listing are one step, and so are committing and delivering. If another
    /// worker writes between a worker's loading and its listing, its commit is refused whatever it
    /// listed; if not, it might as well have loaded later. Between committing and delivering, only
    /// a crash or a failing sink makes a difference.
    pub is_coarse: bool,
}

impl Bounds {
    /// The scope in one line.
    pub fn summary(&self) -> String {
        let Faults {
            losses,
            duplicates,
            crashes,
            sink_failures,
            refusals,
            failures,
            delays,
            sweeps,
        } = self.faults;
        let counts = [
            (losses, "lost"),
            (duplicates, "doubled"),
            (crashes, "deaths"),
            (sink_failures, "sink failures"),
            (refusals, "refused"),
            (failures, "failed"),
            (delays, "late"),
            (sweeps, "sweeps"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, what)| format!(", {count} {what}"))
            .collect();
        let actors: String = self.script.actors.iter().flatten().collect();
        let actors = if actors.is_empty() {
            actors
        } else {
            format!(" by {actors}")
        };
        let exempt = self.exempt.map(|name| format!(", {name} exempt"));
        let known = self.is_known.then_some(", known");
        let blind = (!self.blind.is_empty()).then(|| format!(", blind in {:?}", self.blind));
        format!(
            "{:?}{actors}, {} workers{}{}{}{}",
            self.script.changes,
            self.workers,
            exempt.unwrap_or_default(),
            known.unwrap_or_default(),
            blind.unwrap_or_default(),
            counts.concat()
        )
    }
}

/// The model.
pub struct World {
    pub protocol: Protocol,
    pub bounds: Bounds,
    pub(crate) records: Arena<UserRecord>,
    pub(crate) owed: Arena<PendingAlert>,
    pub(crate) decided: Mutex<HashMap<Question, Arc<Decided>>>,
}

/// Everything that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) record: Id,
    pub(crate) version: u64,
    pub(crate) listed: Listed,
    pub(crate) decided_at: Moment,
    pub(crate) changes: BTreeSet<usize>,
    pub(crate) already_recorded: BTreeSet<String>,
    pub(crate) is_retry: bool,
}

/// The result of a decision.
pub(crate) struct Decided {
    pub(crate) outcome: Outcome,
    pub(crate) commit: Commit,
    pub(crate) rechecks: Vec<TimeDelta>,
    /// The record as stored.
    pub(crate) record: Id,
    pub(crate) was_open: bool,
    pub(crate) is_newly_confirmed: bool,
    /// Whether a settled view showed fewer than two active keys.
    pub(crate) is_below_two: bool,
    /// The keys that the alert names.
    pub(crate) named: BTreeSet<char>,
}

impl World {
    pub fn new(protocol: Protocol, bounds: Bounds) -> Self {
        Self {
            protocol,
            bounds,
            records: Arena::new(),
            owed: Arena::new(),
            decided: Mutex::new(HashMap::new()),
        }
    }

    fn first_state(&self) -> State {
        let unknown = self.records.id(UserRecord::new(user()));
        let known = self.bounds.is_known.then(|| {
            let looked = self.decide(&Question {
                record: unknown,
                version: 0,
                listed: Listed {
                    after: Some(0),
                    requested: 0,
                },
                decided_at: 0,
                changes: BTreeSet::new(),
                already_recorded: BTreeSet::new(),
                is_retry: false,
            });
            assert_eq!(looked.outcome, Outcome::NothingOpen);
            looked.record
        });
        State {
            clock: 0,
            faults: self.bounds.faults,
            is_sweep_owed: self.bounds.script.truths[0].has_two_active(),
            queue: BTreeSet::new(),
            store: Store {
                record: known.unwrap_or(unknown),
                version: known.map_or(0, |_| CURRENT),
                trail: vec![],
                marked: BTreeSet::new(),
                owed: BTreeSet::new(),
                told: BTreeSet::new(),
                named: BTreeSet::new(),
            },
            workers: vec![Worker::Idle; self.bounds.workers],
            was_below_two: false,
            seen_below_two: known.map(|_| 0),
            broken: None,
        }
    }

    /// The current truth.
    pub fn truth(&self, state: &State) -> &Truth {
        let script = &self.bounds.script;
        &script.truths[script.done_by(state.clock)]
    }

    /// The open finding, if there is one.
    pub fn open_finding(&self, state: &State) -> Option<Finding> {
        self.records.get(state.store.record).open_finding().cloned()
    }

    /// Whether every change has happened and no listing can lag behind any more.
    pub(crate) fn is_quiet(&self, state: &State) -> bool {
        state.clock > self.bounds.script.last_moment() + SETTLE_MOMENTS
    }

    /// Whether nothing happens any more except sweeps that find nothing new.
    pub fn is_at_rest(&self, state: &State) -> bool {
        self.is_drained(state) && !state.is_sweep_owed
    }

    fn is_drained(&self, state: &State) -> bool {
        let is_idle = |worker: &Worker| *worker == Worker::Idle;
        self.is_quiet(state) && state.queue.is_empty() && state.workers.iter().all(is_idle)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_none() {
            actions.extend(self.ticks(state));
            actions.extend(self.takings(state));
            for (place, worker) in state.workers.iter().enumerate() {
                actions.extend(self.steps_of(state, place, worker));
            }
            if self.bounds.is_coarse {
                // A worker that has loaded lists at once.
                let is_listing =
                    |action: &Action| matches!(action, Action::List(..) | Action::Fail(_));
                if actions.iter().any(is_listing) {
                    actions.retain(is_listing);
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Tick(fate) => self.tick(&mut next, fate),
            Action::Take(worker, messages) => Self::take(&mut next, worker, messages),
            Action::Sweep(worker) => self.sweep(&mut next, worker),
            Action::List(worker, done) => self.list(&mut next, worker, done),
            Action::Fail(worker) => self.fail(&mut next, worker),
            Action::Load(worker) => Self::load(&mut next, worker),
            Action::Commit(worker) => self.commit(&mut next, worker),
            Action::Finish {
                worker,
                is_sink_down,
            } => self.finish(&mut next, worker, is_sink_down),
            Action::Crash(worker, after) => self.crash(&mut next, worker, after),
        }
        self.tidy(&mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all()
    }
}

/// The possible steps.
impl World {
    fn ticks(&self, state: &State) -> Vec<Action> {
        let is_idle = |worker: &Worker| *worker == Worker::Idle;
        let nothing_to_do = state.workers.iter().all(is_idle)
            && state.queue.iter().all(|message| message.due > state.clock);
        if self.is_quiet(state) && (!nothing_to_do || state.queue.is_empty()) {
            return vec![];
        }
        let script = &self.bounds.script;
        let happening = script.done_by(state.clock)..script.done_by(self.next_moment(state));
        let told = happening.filter(|place| script.events[*place].is_some());
        let mut fates = vec![Fate::None];
        for event in told {
            if state.faults.losses > 0 {
                fates.push(Fate::Lost(event));
            }
            if state.faults.delays > 0 {
                fates.push(Fate::Late(event, self.bounds.late_by));
            }
            if state.faults.duplicates > 0 {
                fates.push(Fate::Doubled(event));
            }
        }
        fates.into_iter().map(Action::Tick).collect()
    }

    /// The next moment; once everything is quiet, the next one at which something is due.
    pub(crate) fn next_moment(&self, state: &State) -> Moment {
        let next = state.clock + 1;
        if self.is_quiet(state) {
            let due = state.queue.iter().map(|message| message.due).min();
            return due.unwrap_or(next).max(next);
        }
        next
    }

    fn takings(&self, state: &State) -> Vec<Action> {
        let Some(idle) = state
            .workers
            .iter()
            .position(|worker| *worker == Worker::Idle)
        else {
            return vec![];
        };
        let ready: Vec<Message> = state
            .queue
            .iter()
            .filter(|message| message.due <= state.clock)
            .copied()
            .collect();
        let mut actions: Vec<Action> = ready
            .iter()
            .map(|message| Action::Take(idle, vec![*message]))
            .collect();
        if ready.len() > 1 {
            actions.push(Action::Take(idle, ready));
        }
        let last_sweep = state.is_sweep_owed && self.is_drained(state);
        if last_sweep || (state.faults.sweeps > 0 && !self.is_quiet(state)) {
            actions.push(Action::Sweep(idle));
        }
        actions
    }

    fn steps_of(&self, state: &State, place: usize, worker: &Worker) -> Vec<Action> {
        let mut actions = match worker {
            Worker::Idle => return vec![],
            Worker::Loaded { .. } if self.bounds.blind.contains(&state.clock) => {
                vec![Action::List(place, None)]
            }
            Worker::Loaded { .. } => {
                let failing = (state.faults.failures > 0).then_some(Action::Fail(place));
                let visible = self.bounds.script.visible(state.clock);
                let refused = (state.faults.refusals > 0).then_some(None);
                visible
                    .map(Some)
                    .chain(refused)
                    .map(|after| Action::List(place, after))
                    .chain(failing)
                    .collect()
            }
            Worker::ListedFirst { .. } => vec![Action::Load(place)],
            Worker::Listed { .. } => vec![Action::Commit(place)],
            Worker::Written { alerts, .. } => {
                let down = (state.faults.sink_failures > 0 && !alerts.is_empty()).then_some(true);
                [false]
                    .into_iter()
                    .chain(down)
                    .map(|is_sink_down| Action::Finish {
                        worker: place,
                        is_sink_down,
                    })
                    .collect()
            }
        };
        if state.faults.crashes > 0 {
            let mut points = vec![After::Nothing];
            if let Worker::Written {
                alerts, rechecks, ..
            } = worker
            {
                if !alerts.is_empty() {
                    points.extend([After::Sending, After::Delivering]);
                }
                if !rechecks.is_empty() {
                    points.push(After::Queueing);
                }
            }
            actions.extend(points.into_iter().map(|after| Action::Crash(place, after)));
        }
        actions
    }
}
