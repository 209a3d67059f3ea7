//! The result of each step. The order of effects is that of the product's `pipeline::recheck` and
//! of its detector: load, list, decide, commit, deliver, queue the re-checks, delete the messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::situation::Outcome;
use secondkey::detect::events::key_change::KeyChange;
use secondkey::detect::findings::alert::{AlertKind, PendingAlert};
use secondkey::detect::keys::listing::KeyListing;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::trail::audit::AuditKind;
use secondkey::pipeline::commit::{Commit, CommitResult};
use secondkey::pipeline::outbox::schedule::{deliveries, recheck_delay, retry_delay};

use crate::arena::Id;
use crate::iam::{Truth, exemption};
use crate::protocol::{Input, Protocol};
use crate::state::{After, Fate, Listed, Loaded, Message, State, What, Worker};
use crate::time::{Moment, after, at_request, moment_of};
use crate::world::{CURRENT, Decided, END_OF_TIME, OLDER, Question, World};

impl World {
    pub(crate) fn tick(&self, state: &mut State, fate: Fate) {
        let script = &self.bounds.script;
        let before = script.done_by(state.clock);
        state.clock = self.next_moment(state);
        if state.clock > END_OF_TIME {
            state.broken = Some("everything comes to rest");
        }
        for place in before..script.done_by(state.clock) {
            state.was_below_two |= !script.truths[place + 1].has_two_active();
            if script.events[place].is_none() {
                continue;
            }
            let mut deliver = |copy, due| {
                state.queue.insert(Message {
                    what: What::Event(place),
                    due,
                    is_retry: false,
                    receives: 0,
                    copy,
                })
            };
            match fate {
                Fate::Lost(lost) if lost == place => {
                    state.faults.losses -= 1;
                    state.is_sweep_owed = true;
                }
                Fate::Doubled(doubled) if doubled == place => {
                    state.faults.duplicates -= 1;
                    deliver(0, 0);
                    deliver(1, 0);
                }
                Fate::Late(late, by) if late == place => {
                    state.faults.delays -= 1;
                    deliver(0, state.clock + by);
                }
                _ => drop(deliver(0, 0)),
            }
        }
    }

    pub(crate) fn take(state: &mut State, worker: usize, messages: Vec<Message>) {
        for message in &messages {
            state.queue.remove(message);
        }
        Self::begin(state, worker, messages);
    }

    pub(crate) fn sweep(&self, state: &mut State, worker: usize) {
        if self.is_quiet(state) {
            state.is_sweep_owed = false;
        } else {
            state.faults.sweeps -= 1;
        }
        Self::begin(state, worker, vec![]);
    }

    fn begin(state: &mut State, worker: usize, messages: Vec<Message>) {
        let loaded = Self::loaded(state);
        state.workers[worker] = Worker::Loaded { messages, loaded };
    }

    fn loaded(state: &State) -> Loaded {
        Loaded {
            record: state.store.record,
            version: state.store.version,
            owed: state.store.owed.iter().copied().collect(),
        }
    }

    pub(crate) fn list(&self, state: &mut State, worker: usize, after: Option<usize>) {
        if after.is_none() && !self.bounds.blind.contains(&state.clock) {
            state.faults.refusals -= 1;
        }
        self.listed(state, worker, after);
    }

    /// The listing fails: the messages are delivered again. If they were before, the decision uses
    /// the events only.
    pub(crate) fn fail(&self, state: &mut State, worker: usize) {
        state.faults.failures -= 1;
        let Worker::Loaded { messages, .. } = state.workers[worker].clone() else {
            return;
        };
        let has_failed = messages.iter().any(|message| message.is_retry);
        if has_failed && self.protocol != Protocol::FailureNeverRefuses {
            // What could not be listed is listed by the next hourly sweep.
            state.is_sweep_owed = true;
            return self.listed(state, worker, None);
        }
        state.workers[worker] = Worker::Idle;
        self.hand_back(state, messages);
    }

    fn listed(&self, state: &mut State, worker: usize, after: Option<usize>) {
        if let Worker::Loaded { messages, loaded } = state.workers[worker].clone() {
            let requested = state.clock;
            let listed = Listed { after, requested };
            state.workers[worker] = if self.protocol == Protocol::ListBeforeLoad {
                Worker::ListedFirst { messages, listed }
            } else {
                Worker::Listed {
                    messages,
                    loaded,
                    listed,
                }
            };
        }
    }

    pub(crate) fn load(state: &mut State, worker: usize) {
        if let Worker::ListedFirst { messages, listed } = state.workers[worker].clone() {
            let loaded = Self::loaded(state);
            state.workers[worker] = Worker::Listed {
                messages,
                loaded,
                listed,
            };
        }
    }

    pub(crate) fn commit(&self, state: &mut State, worker: usize) {
        let Worker::Listed {
            messages,
            loaded,
            listed,
        } = state.workers[worker].clone()
        else {
            return;
        };
        let owed = loaded.owed.iter().map(|id| (*self.owed.get(*id)).clone());
        let owed: Vec<PendingAlert> = owed.collect();
        let now = at_request(listed.requested);
        let is_retry = messages.iter().any(|message| message.is_retry);
        let mut already_recorded = BTreeSet::new();
        loop {
            let decided = self.decided(state, &loaded, listed, &messages, &already_recorded);
            let (alerts, to_wait_for) = deliveries(&owed, &decided.commit.pending_alerts, now);
            let alerts: Vec<Id> = alerts.into_iter().map(|owed| self.owed.id(owed)).collect();
            let verdict = decided.commit.check(
                match self.protocol {
                    Protocol::NoVersionCondition => decided.commit.expected_version(),
                    _ => state.store.version,
                },
                &state.store.marked,
            );
            match verdict {
                CommitResult::AlreadyRecorded(ids) if !ids.is_subset(&already_recorded) => {
                    already_recorded.extend(ids);
                }
                CommitResult::TrailTaken(_) => unreachable!("no other writer appends to the trail"),
                CommitResult::VersionConflict | CommitResult::AlreadyRecorded(_) => {
                    if self.protocol == Protocol::AlertBeforeCommit {
                        self.send(state, &alerts);
                    }
                    return Self::begin(state, worker, messages);
                }
                CommitResult::Written => {
                    self.write(state, &decided, listed);
                    let mut rechecks: BTreeSet<i64> = decided
                        .rechecks
                        .iter()
                        .map(TimeDelta::num_seconds)
                        .collect();
                    let due = recheck_delay(&to_wait_for, is_retry, now);
                    rechecks.extend(due.map(|due| due.num_seconds()));
                    state.workers[worker] = Worker::Written {
                        messages,
                        alerts,
                        rechecks,
                        at: listed.requested,
                    };
                    if self.bounds.is_coarse {
                        self.finish(state, worker, false);
                    }
                    return;
                }
            }
        }
    }

    fn decided(
        &self,
        state: &State,
        loaded: &Loaded,
        listed: Listed,
        messages: &[Message],
        already_recorded: &BTreeSet<String>,
    ) -> Arc<Decided> {
        let changes = messages.iter().filter_map(|message| match message.what {
            What::Event(place) => Some(place),
            What::Recheck => None,
        });
        let question = Question {
            record: loaded.record,
            version: loaded.version,
            listed,
            decided_at: match self.protocol {
                Protocol::FreshnessAtDecision => state.clock,
                _ => listed.requested,
            },
            changes: changes.collect(),
            already_recorded: already_recorded.clone(),
            is_retry: messages.iter().any(|message| message.is_retry),
        };
        let known = self
            .decided
            .lock()
            .expect("no panic while locked")
            .get(&question)
            .cloned();
        known.unwrap_or_else(|| {
            let decided = Arc::new(self.decide(&question));
            let mut all = self.decided.lock().expect("no panic while locked");
            all.insert(question, decided.clone());
            decided
        })
    }

    pub(crate) fn decide(&self, question: &Question) -> Decided {
        let script = &self.bounds.script;
        let record = UserRecord {
            version: question.version,
            ..(*self.records.get(question.record)).clone()
        };
        let Listed { after, requested } = question.listed;
        let listing = match after {
            Some(after) => script.listing(after, requested),
            None => KeyListing::refused(at_request(requested), "denied"),
        };
        let changes: Vec<KeyChange> = question
            .changes
            .iter()
            .filter_map(|place| script.events[*place].clone())
            .collect();
        let exemptions: Vec<Exemption> = self.bounds.exempt.into_iter().map(exemption).collect();
        let mut decision = self.protocol.decide(Input {
            record: &record,
            listing,
            changes: &changes,
            already_recorded: &question.already_recorded,
            is_retry: question.is_retry,
            exemptions: &exemptions,
            decided_at: at_request(question.decided_at),
        });
        // Hashes depend on the whole past; without them two paths to one state are equal.
        if let Some(alert) = &mut decision.alert {
            alert.audit_hash.clear();
        }
        let commit = Commit::of(&decision, self.bounds.sinks, at_request(requested));
        let mut stored = decision.record.clone();
        stored.version = 0;
        stored.audit.hash.clear();
        // A closed finding does not affect decisions.
        stored.finding = stored.open_finding().cloned();
        let before = record.open_finding();
        let is_confirmed = decision
            .record
            .open_finding()
            .is_some_and(|open| open.confirmed);
        let alert = decision.alert.iter();
        let named = alert.flat_map(|alert| &alert.finding.keys);
        Decided {
            outcome: decision.outcome,
            is_below_two: decision.record.below_two_at == Some(at_request(requested)),
            named: named.filter_map(|key| key.id.chars().last()).collect(),
            commit,
            rechecks: decision.rechecks,
            record: self.records.id(stored),
            was_open: before.is_some(),
            is_newly_confirmed: is_confirmed && before.is_none_or(|open| !open.confirmed),
        }
    }

    /// Stores the decision, and compares it with the truth.
    fn write(&self, state: &mut State, decided: &Decided, listed: Listed) {
        let script = &self.bounds.script;
        let store = &mut state.store;
        for (entry, expected) in decided
            .commit
            .audit
            .iter()
            .zip(store.trail.len() as u64 + 1..)
        {
            if entry.sequence != expected {
                state.broken = Some("the trail counts without gaps and writes nothing twice");
            }
        }
        store.trail.extend(
            decided
                .commit
                .audit
                .iter()
                .map(|entry| entry.draft.kind.word()),
        );
        store.record = decided.record;
        store.version = CURRENT + 1;
        store.named.extend(&decided.named);
        if decided.is_below_two {
            state.seen_below_two = state.seen_below_two.max(Some(listed.requested));
        }
        store.marked.extend(decided.commit.recorded.iter().cloned());
        if self.protocol != Protocol::NoOutbox {
            let owed = decided.commit.pending_alerts.iter().cloned();
            store.owed.extend(owed.map(|owed| self.owed.id(owed)));
        }

        let done = script.done_by(state.clock);
        let seen = script.visible(listed.requested);
        let had_two = script.truths[*seen.start()..=done]
            .iter()
            .any(Truth::has_two_active);
        if decided.is_newly_confirmed && !had_two {
            state.broken = Some("a confirmed finding had two active keys");
        }
        match decided.outcome {
            Outcome::Opened => {
                if decided.was_open {
                    state.broken = Some("one finding is open at most");
                }
                let finding = decided.commit.record.finding.as_ref();
                // An estimate precedes the events of the finding.
                let opened_at = finding.map(|open| {
                    if open.is_opened_at_estimated {
                        open.detected_at
                    } else {
                        open.opened_at
                    }
                });
                let opened = opened_at.map_or(state.clock, moment_of);
                state.was_below_two = (opened..=state.clock)
                    .any(|moment| !script.truths[script.done_by(moment)].has_two_active());
            }
            Outcome::Closed if !state.was_below_two => {
                state.broken = Some("nothing closes while two keys are active throughout");
            }
            _ => {}
        }
    }

    pub(crate) fn finish(&self, state: &mut State, worker: usize, is_sink_down: bool) {
        let Worker::Written {
            alerts,
            rechecks,
            at,
            ..
        } = state.workers[worker].clone()
        else {
            return;
        };
        let mut delays = rechecks;
        if is_sink_down {
            state.faults.sink_failures -= 1;
            delays.extend(self.postpone(state, &alerts, at));
        } else {
            self.send(state, &alerts);
            self.tick_off(state, &alerts);
        }
        self.queue(state, delays);
        state.workers[worker] = Worker::Idle;
    }

    /// The first sink is down, so its first alert is rescheduled and the others wait. Alerts for
    /// other sinks are sent.
    fn postpone(&self, state: &mut State, alerts: &[Id], at: Moment) -> Option<i64> {
        let down = self.bounds.sinks[0];
        let (waiting, others): (Vec<Id>, Vec<Id>) = alerts
            .iter()
            .partition(|id| self.owed.get(**id).sink == down);
        self.send(state, &others);
        self.tick_off(state, &others);
        let first = *waiting.first()?;
        let owed = self.owed.get(first);
        let wait = retry_delay(&owed, at_request(at));
        // Only a worker that finds the alert as it was loaded reschedules it.
        if !state.store.owed.remove(&first) {
            return None;
        }
        let moved = PendingAlert {
            due_at: at_request(at) + wait,
            ..(*owed).clone()
        };
        state.store.owed.insert(self.owed.id(moved));
        Some(wait.num_seconds())
    }

    pub(crate) fn crash(&self, state: &mut State, worker: usize, after: After) {
        state.faults.crashes -= 1;
        let died = std::mem::replace(&mut state.workers[worker], Worker::Idle);
        let messages = match died {
            Worker::Idle => return,
            Worker::Loaded { messages, .. }
            | Worker::ListedFirst { messages, .. }
            | Worker::Listed { messages, .. } => messages,
            Worker::Written {
                messages,
                alerts,
                rechecks,
                ..
            } => {
                let first = &alerts[..alerts.len().min(1)];
                match (after, self.protocol) {
                    (After::Nothing, _) => {}
                    (After::Sending, Protocol::TickedOffBeforeSent) => self.tick_off(state, first),
                    (After::Sending, _) => self.send(state, first),
                    (After::Delivering | After::Queueing, _) => {
                        self.send(state, &alerts);
                        self.tick_off(state, &alerts);
                    }
                }
                if after == After::Queueing {
                    self.queue(state, rechecks);
                }
                messages
            }
        };
        self.hand_back(state, messages);
    }

    /// The messages of a failed worker are delivered again, as often as the queue allows.
    fn hand_back(&self, state: &mut State, messages: Vec<Message>) {
        if messages.is_empty() && self.is_quiet(state) {
            // The sweep runs every hour.
            state.is_sweep_owed = true;
        }
        let max = self.bounds.max_receives;
        for message in messages {
            let receives = message.receives + u8::from(max > 0);
            if max > 0 && receives >= max {
                state.broken = Some("no message is given up");
                continue;
            }
            state.queue.insert(Message {
                is_retry: true,
                receives,
                ..message
            });
        }
    }

    fn send(&self, state: &mut State, alerts: &[Id]) {
        for id in alerts {
            let owed = self.owed.get(*id);
            let sequence = owed.alert.sequence;
            let said: &[AuditKind] = match owed.alert.kind {
                AlertKind::Opened => &[AuditKind::FindingOpened, AuditKind::ExemptionEnded],
                AlertKind::Updated(_) => &[
                    AuditKind::FindingUpdated,
                    AuditKind::FindingSuppressed,
                    AuditKind::ExemptionEnded,
                ],
                AlertKind::Closed => &[AuditKind::FindingClosed],
            };
            let place = usize::try_from(sequence).expect("trails are short") - 1;
            let written = state.store.trail.get(place);
            if !written.is_some_and(|written| said.iter().any(|said| said.word() == *written)) {
                state.broken = Some("no alert tells of what is not committed");
            }
            state.store.told.insert((sequence, owed.sink.clone()));
        }
    }

    fn tick_off(&self, state: &mut State, alerts: &[Id]) {
        for id in alerts {
            let told = self.owed.get(*id);
            state.store.owed.retain(|id| {
                let owed = self.owed.get(*id);
                (owed.alert.sequence, &owed.sink) != (told.alert.sequence, &told.sink)
            });
        }
    }

    fn queue(&self, state: &mut State, delays: BTreeSet<i64>) {
        if self.protocol == Protocol::RecheckNotQueued {
            return;
        }
        state.queue.extend(delays.into_iter().map(|delay| Message {
            what: What::Recheck,
            due: after(state.clock, TimeDelta::seconds(delay)),
            is_retry: false,
            receives: 0,
            copy: 0,
        }));
    }

    /// Brings states with only irrelevant differences into one form.
    pub(crate) fn tidy(&self, state: &mut State) {
        let newest = state.store.version;
        for worker in &mut state.workers {
            let (Worker::Loaded { loaded, .. } | Worker::Listed { loaded, .. }) = worker else {
                continue;
            };
            if loaded.version == newest {
                loaded.version = newest.min(CURRENT);
                continue;
            }
            loaded.version = OLDER;
            // If the commit is refused anyway, the listing does not matter.
            let is_refused = !matches!(
                self.protocol,
                Protocol::NoVersionCondition | Protocol::AlertBeforeCommit
            );
            if is_refused {
                loaded.record = state.store.record;
                loaded.owed.clear();
            }
        }
        state.store.version = newest.min(CURRENT);
        state.workers.sort();
        let clock = state.clock;
        state.queue = std::mem::take(&mut state.queue)
            .into_iter()
            .map(|message| Message {
                due: if message.due > clock { message.due } else { 0 },
                ..message
            })
            .collect();
    }
}
