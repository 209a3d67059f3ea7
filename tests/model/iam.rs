//! What really happens in the modelled IAM: a script of changes to one user, and what a replica may say of it.

use std::collections::BTreeMap;

use secondkey::detect::actor::Actor;
use secondkey::detect::key_change::{ChangeKind, KeyChange};
use secondkey::detect::listing::{AccessKey, AfterPage, KeyListing, KeyStatus, PartialListing};
use secondkey::detect::user::UserId;

use crate::time::{Moment, at_change, at_request, is_settled};

/// A change to the user or its keys. `CreateUser` is one that no event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Create(char),
    Activate(char),
    Deactivate(char),
    Delete(char),
    DeleteUser,
    CreateUser,
}

/// What is true of the user at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    pub exists: bool,
    pub keys: BTreeMap<char, KeyStatus>,
    made: u8,
}

impl Truth {
    /// A user with `active` and `inactive` keys.
    pub fn new(active: &str, inactive: &str) -> Self {
        let keys = active
            .chars()
            .map(|key| (key, KeyStatus::Active))
            .chain(inactive.chars().map(|key| (key, KeyStatus::Inactive)));
        let keys: BTreeMap<char, KeyStatus> = keys.collect();
        Self {
            exists: true,
            made: u8::try_from(keys.len()).expect("two at most"),
            keys,
        }
    }

    pub fn has_two_active(&self) -> bool {
        let is_active = |status: &&KeyStatus| **status == KeyStatus::Active;
        self.keys.values().filter(is_active).count() >= 2
    }

    /// What IAM would let happen next.
    fn possible(&self) -> Vec<Op> {
        if !self.exists {
            return vec![Op::CreateUser];
        }
        let mut ops = vec![];
        if self.keys.len() < 2 {
            ops.push(Op::Create(char::from(b'A' + self.made)));
        }
        for (key, status) in &self.keys {
            ops.push(match status {
                KeyStatus::Active => Op::Deactivate(*key),
                _ => Op::Activate(*key),
            });
            ops.push(Op::Delete(*key));
        }
        if self.keys.is_empty() {
            ops.push(Op::DeleteUser);
        }
        ops
    }

    fn after(&self, op: Op) -> Self {
        let mut next = self.clone();
        match op {
            Op::Create(key) => {
                next.keys.insert(key, KeyStatus::Active);
                next.made += 1;
            }
            Op::Activate(key) => drop(next.keys.insert(key, KeyStatus::Active)),
            Op::Deactivate(key) => drop(next.keys.insert(key, KeyStatus::Inactive)),
            Op::Delete(key) => drop(next.keys.remove(&key)),
            Op::DeleteUser => next.exists = false,
            Op::CreateUser => next.exists = true,
        }
        next
    }
}

/// A start and the changes after it, each at its moment.
#[derive(Debug, Clone)]
pub struct Script {
    pub changes: Vec<(Moment, Op)>,
    /// What is true after so many changes.
    pub truths: Vec<Truth>,
    /// The event of each change, where there is one.
    pub events: Vec<Option<KeyChange>>,
}

impl Script {
    pub fn new(start: Truth, changes: Vec<(Moment, Op)>) -> Self {
        let mut truths = vec![start];
        for (_, op) in &changes {
            let last = truths.last().expect("there is a start");
            truths.push(last.after(*op));
        }
        let events = changes
            .iter()
            .enumerate()
            .map(|(place, (moment, op))| event(place, *moment, *op))
            .collect();
        Self {
            changes,
            truths,
            events,
        }
    }

    /// Every script of `length` changes from `start`, each change one of `gaps` moments after the one before.
    pub fn all(start: &Truth, length: usize, gaps: &[Moment]) -> Vec<Self> {
        let mut scripts = vec![(start.clone(), vec![])];
        for place in 0..length {
            let mut longer = vec![];
            for (truth, changes) in scripts {
                let changes: Vec<(Moment, Op)> = changes;
                let last = changes.last().map_or(1, |(moment, _)| *moment);
                for op in truth.possible() {
                    // Where the first change stands does not matter.
                    let gaps = if place == 0 { &[0] } else { gaps };
                    longer.extend(gaps.iter().map(|gap| {
                        let next = [(last + gap, op)];
                        (
                            truth.after(op),
                            changes.iter().copied().chain(next).collect(),
                        )
                    }));
                }
            }
            scripts = longer;
        }
        scripts
            .into_iter()
            .map(|(_, changes)| Self::new(start.clone(), changes))
            .collect()
    }

    /// How many changes have happened by `moment`.
    pub fn done_by(&self, moment: Moment) -> usize {
        self.changes
            .iter()
            .take_while(|(at, _)| *at <= moment)
            .count()
    }

    /// The moment of the last change.
    pub fn last_moment(&self) -> Moment {
        self.changes.last().map_or(0, |(moment, _)| *moment)
    }

    /// After how many changes a replica may stand that is asked at `moment`: all that are older than the settling time
    /// are in it. Each time another one may answer, so that listings may go backwards.
    pub fn visible(&self, moment: Moment) -> std::ops::RangeInclusive<usize> {
        let surely = self
            .changes
            .iter()
            .take_while(|(at, _)| is_settled(*at, moment))
            .count();
        surely..=self.done_by(moment)
    }

    /// The listing of a replica that stands after `done` changes, asked at `moment`.
    pub fn listing(&self, done: usize, moment: Moment) -> KeyListing {
        let truth = &self.truths[done];
        if !truth.exists {
            return KeyListing::no_such_user(at_request(moment));
        }
        let keys = truth.keys.iter().map(|(key, status)| {
            let key_of = AccessKey {
                status: *status,
                created: None,
            };
            (key.to_string(), key_of)
        });
        match PartialListing::requested(at_request(moment)).page(Some("u".to_owned()), keys, false)
        {
            AfterPage::Complete(listing) => listing,
            AfterPage::More(_) => unreachable!("it is the last page"),
        }
    }
}

pub fn user() -> UserId {
    UserId::new("1", "u")
}

fn event(place: usize, moment: Moment, op: Op) -> Option<KeyChange> {
    let key = |key: char| key.to_string();
    let status = |status, of: char| ChangeKind::KeyUpdated {
        key: key(of),
        status,
    };
    let kind = match op {
        Op::Create(of) => ChangeKind::KeyCreated {
            key: key(of),
            status: KeyStatus::Active,
        },
        Op::Activate(of) => status(KeyStatus::Active, of),
        Op::Deactivate(of) => status(KeyStatus::Inactive, of),
        Op::Delete(of) => ChangeKind::KeyDeleted { key: key(of) },
        Op::DeleteUser => ChangeKind::UserDeleted,
        Op::CreateUser => return None,
    };
    Some(KeyChange {
        id: place.to_string(),
        event_id: None,
        corrects: None,
        at: at_change(moment),
        user: user(),
        user_name: "u".to_owned(),
        kind,
        actor: Actor::default(),
        region: None,
    })
}
