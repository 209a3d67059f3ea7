//! What really happens in the modeled IAM: a script of changes to one user, and what a replica may
//! report about it.

use std::collections::BTreeMap;

use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::key_change::{ChangeKind, KeyChange};
use secondkey::detect::keys::listing::{
    AccessKey, KeyListing, KeyStatus, PageResult, PartialListing,
};
use secondkey::detect::user::UserId;

use crate::time::{Moment, at_change, at_request, is_settled};

/// A change to the user or its keys. `CreateUser` has no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Create(char),
    Activate(char),
    Deactivate(char),
    Delete(char),
    DeleteUser,
    CreateUser,
}

impl Op {
    /// The key of the change.
    pub fn key(self) -> Option<char> {
        match self {
            Self::Create(key) | Self::Activate(key) | Self::Deactivate(key) | Self::Delete(key) => {
                Some(key)
            }
            Self::DeleteUser | Self::CreateUser => None,
        }
    }
}

/// The truth about the user at one moment.
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

    pub fn is_active(&self, key: char) -> bool {
        self.keys.get(&key) == Some(&KeyStatus::Active)
    }

    /// What IAM would allow next. Calls that change nothing are included only `with_no_ops`.
    fn possible(&self, with_no_ops: bool) -> Vec<Op> {
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
            if with_no_ops && *status == KeyStatus::Active {
                ops.push(Op::Activate(*key));
            }
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
    /// The actor of each change; `None` if it does not matter.
    pub actors: Vec<Option<char>>,
    /// The user's key that signed each change; `None` if another caller made it.
    pub signers: Vec<Option<char>>,
    /// The truth after each number of changes.
    pub truths: Vec<Truth>,
    /// The event of each change, if there is one.
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
            actors: vec![None; changes.len()],
            signers: vec![None; changes.len()],
            changes,
            truths,
            events,
        }
    }

    /// The same changes, made by `actors` in turn.
    pub fn by(mut self, actors: &str) -> Self {
        self.actors = actors.chars().map(Some).collect();
        assert_eq!(self.actors.len(), self.changes.len(), "an actor a change");
        for (event, name) in self.events.iter_mut().zip(actors.chars()) {
            if let Some(event) = event {
                event.actor = actor(name);
            }
        }
        self
    }

    /// The same changes, signed with `keys` of the user in turn; `-` for another caller.
    pub fn signed(mut self, keys: &str) -> Self {
        let signers = keys.chars().map(|key| Some(key).filter(|key| *key != '-'));
        self.signers = signers.collect();
        assert_eq!(self.signers.len(), self.changes.len(), "a signer a change");
        for (event, signer) in self.events.iter_mut().zip(&self.signers) {
            if let (Some(event), Some(signer)) = (event, signer) {
                event.actor = Actor {
                    kind: Some("IAMUser".to_owned()),
                    account: Some(user().account().to_owned()),
                    access_key_id: Some(id(*signer)),
                    ..actor('u')
                };
            }
        }
        self
    }

    /// The key that the change at `place` activated, if any.
    pub fn activated(&self, place: usize) -> Option<char> {
        match self.changes[place].1 {
            Op::Create(key) => Some(key),
            Op::Activate(key) if !self.truths[place].is_active(key) => Some(key),
            _ => None,
        }
    }

    /// Whether the change at `place` activated a key beside another one. Events have whole seconds.
    /// So if the overlap ended within one moment, a key counts only if it was created while another
    /// was active from before that moment until after it.
    pub fn is_beside_another(&self, place: usize) -> bool {
        let Some(key) = self.activated(place) else {
            return false;
        };
        let moment = self.changes[place].0;
        let before = &self.truths[self.done_by(moment - 1)];
        let after = &self.truths[self.done_by(moment)];
        if after.is_active(key) {
            return after.has_two_active();
        }
        let is_throughout = |other: &char| before.is_active(*other) && after.is_active(*other);
        !before.is_active(key) && before.keys.keys().any(is_throughout)
    }

    /// Every script of `length` changes from `start`, each change one of `gaps` moments after the
    /// previous one.
    pub fn all(start: &Truth, length: usize, gaps: &[Moment], with_no_ops: bool) -> Vec<Self> {
        let mut scripts = vec![(start.clone(), vec![])];
        for place in 0..length {
            let mut longer = vec![];
            for (truth, changes) in scripts {
                let changes: Vec<(Moment, Op)> = changes;
                let last = changes.last().map_or(1, |(moment, _)| *moment);
                for op in truth.possible(with_no_ops) {
                    // The moment of the first change does not matter.
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

    /// How many changes a replica may have seen that is asked at `moment`: at least all that are
    /// older than the consistency window. A different replica may answer each time, so listings may
    /// go backwards.
    pub fn visible(&self, moment: Moment) -> std::ops::RangeInclusive<usize> {
        let surely = self
            .changes
            .iter()
            .take_while(|(at, _)| is_settled(*at, moment))
            .count();
        surely..=self.done_by(moment)
    }

    /// The listing at `moment` of a replica that has seen `done` changes.
    pub fn listing(&self, done: usize, moment: Moment) -> KeyListing {
        let truth = &self.truths[done];
        if !truth.exists {
            return KeyListing::no_such_user(at_request(moment));
        }
        let keys = truth.keys.iter().map(|(key, status)| {
            let mut changes = self.changes.iter();
            let made = changes.find(|(_, op)| *op == Op::Create(*key));
            let key_of = AccessKey {
                status: *status,
                created: Some(at_change(made.map_or(0, |(moment, _)| *moment))),
            };
            (id(*key), key_of)
        });
        match PartialListing::requested(at_request(moment)).page(Some("u".to_owned()), keys, false)
        {
            PageResult::Complete(listing) => listing,
            PageResult::More(_) => unreachable!("it is the last page"),
        }
    }
}

/// The ID of the long-term key that a script calls `key`.
pub fn id(key: char) -> String {
    format!("AKIA{key}")
}

/// The actor that a script calls `name`.
pub fn actor(name: char) -> Actor {
    Actor {
        arn: Some(arn(name)),
        name: Some(name.to_string()),
        ..Actor::default()
    }
}

pub fn arn(name: char) -> String {
    format!("arn:aws:iam::1:user/{name}")
}

/// An exemption of the user, always in force, for keys that the actor `name` activated.
pub fn exemption(name: char) -> Exemption {
    Exemption {
        id: "exempt".to_owned(),
        account: user().account().to_owned(),
        user_pattern: user().name().to_owned(),
        actor_pattern: arn(name),
        owner: "platform team".to_owned(),
        reason: "migration".to_owned(),
        created_at: at_change(0),
        until: at_change(0) + Exemption::MAX_DURATION,
    }
}

pub fn user() -> UserId {
    UserId::new("1", "u")
}

fn event(place: usize, moment: Moment, op: Op) -> Option<KeyChange> {
    let status = |status, of: char| ChangeKind::KeyUpdated {
        key: id(of),
        status,
    };
    let kind = match op {
        Op::Create(of) => ChangeKind::KeyCreated {
            key: id(of),
            status: KeyStatus::Active,
        },
        Op::Activate(of) => status(KeyStatus::Active, of),
        Op::Deactivate(of) => status(KeyStatus::Inactive, of),
        Op::Delete(of) => ChangeKind::KeyDeleted { key: id(of) },
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
