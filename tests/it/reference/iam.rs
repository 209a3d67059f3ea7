//! The IAM of the test: the truth with its history, and listings that lag behind it by less than
//! the consistency window and may go backwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{SubsecRound, TimeDelta};

use secondkey::detect::Timestamp;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::keys::listing::{
    AccessKey, KeyListing, KeyStatus, PageResult, PartialListing,
};
use secondkey::detect::usage::last_use::LastUses;
use secondkey::detect::user::UserId;
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::key_source::KeySource;

/// The existing users, each with its keys by ID.
pub type Users = BTreeMap<UserId, BTreeMap<String, AccessKey>>;

/// The time of the test, and all users with their history.
#[derive(Clone)]
pub struct Iam(Arc<Mutex<State>>);

struct State {
    now: Timestamp,
    /// The states and the time at which each began, oldest first.
    moments: Vec<(Timestamp, Users)>,
    /// The lag of each successive listing, in hundredths of the consistency window.
    lags: Vec<u8>,
    listings: usize,
    mood: Mood,
}

/// How IAM responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Answers,
    /// Access is denied.
    Refuses,
    /// The caller should try again later.
    Throttles,
}

impl Iam {
    /// An IAM that has had `users` for a long time at `now`.
    pub fn new(now: Timestamp, users: Users, lags: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            now,
            moments: vec![(Timestamp::MIN_UTC, users)],
            lags,
            listings: 0,
            mood: Mood::Answers,
        })))
    }

    pub fn now(&self) -> Timestamp {
        self.0.lock().unwrap().now
    }

    /// Advances time to `then`.
    pub fn pass_until(&self, then: Timestamp) {
        let mut state = self.0.lock().unwrap();
        state.now = state.now.max(then);
    }

    pub fn set_mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    /// The current users.
    pub fn users(&self) -> Users {
        self.0.lock().unwrap().moments.last().unwrap().1.clone()
    }

    /// The users at `at`.
    pub fn users_at(&self, at: Timestamp) -> Users {
        let state = self.0.lock().unwrap();
        state.moments[state.latest_at(at)].1.clone()
    }

    /// Sets the users from now on.
    pub fn set_users(&self, users: Users) {
        let mut state = self.0.lock().unwrap();
        let now = state.now;
        state.moments.push((now, users));
    }

    /// Whether `user` had two active keys at every moment from `from` to `until`, both included.
    pub fn had_two_active_throughout(
        &self,
        user: &UserId,
        from: Timestamp,
        until: Timestamp,
    ) -> bool {
        let state = self.0.lock().unwrap();
        state
            .between(from, until)
            .all(|users| active_keys(users, user).len() >= 2)
    }

    /// Whether two keys of `user` were active within the second of `at`, together or not.
    pub fn had_two_active_within(&self, user: &UserId, at: Timestamp) -> bool {
        let state = self.0.lock().unwrap();
        let second = at.trunc_subsecs(0);
        let millisecond = TimeDelta::milliseconds(1);
        let end = second + TimeDelta::seconds(1) - millisecond;
        let moments = state.between(second - millisecond, end);
        let active: BTreeSet<&str> = moments.flat_map(|users| active_keys(users, user)).collect();
        active.len() >= 2
    }

    /// Since when one user, under any name, has had all of `keys` active.
    pub fn active_together_since(&self, keys: &[&str]) -> Timestamp {
        let state = self.0.lock().unwrap();
        let latest_first = state.moments.iter().rev();
        latest_first
            .take_while(|(_, users)| owner(users, keys).is_some())
            .last()
            .map_or(state.now, |(since, _)| *since)
    }

    /// Whether all of `keys`, which `user` had active together from `at`, stayed so beyond that
    /// second, under the same name to the end.
    pub fn were_seen_together(&self, user: &UserId, keys: &[&str], at: Timestamp) -> bool {
        let state = self.0.lock().unwrap();
        let later = state.moments.iter().filter(|(since, _)| *since >= at);
        let mut last = user.clone();
        for (since, users) in later {
            match owner(users, keys) {
                Some(owner) => last = owner.clone(),
                None => return last == *user && since.timestamp() > at.timestamp(),
            }
        }
        true
    }

    /// Whether the active keys of `user` were exactly `keys` at a moment from `from` to `until`.
    pub fn were_active_together(
        &self,
        user: &UserId,
        keys: &[&str],
        from: Timestamp,
        until: Timestamp,
    ) -> bool {
        let state = self.0.lock().unwrap();
        state
            .between(from, until)
            .any(|users| active_keys(users, user) == keys)
    }
}

/// The user who has all of `keys` active.
fn owner<'a>(users: &'a Users, keys: &[&str]) -> Option<&'a UserId> {
    users.keys().find(|user| {
        let active = active_keys(users, user);
        keys.iter().all(|key| active.contains(key))
    })
}

/// The IDs of the active keys of `user`, in order.
pub fn active_keys<'a>(users: &'a Users, user: &UserId) -> Vec<&'a str> {
    let keys = users.get(user).into_iter().flatten();
    keys.filter(|(_, key)| key.status == KeyStatus::Active)
        .map(|(id, _)| id.as_str())
        .collect()
}

impl State {
    /// The states from `from` to `until`.
    fn between(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = &Users> {
        let first = self.latest_at(from);
        let last = self.latest_at(until);
        self.moments[first..=last].iter().map(|(_, users)| users)
    }

    fn latest_at(&self, at: Timestamp) -> usize {
        self.moments
            .iter()
            .rposition(|(since, _)| *since <= at)
            .unwrap_or(0)
    }

    /// What the next listing shows. Changes are recorded in whole seconds, and the consistency
    /// window counts from there.
    fn shown(&mut self) -> &Users {
        let lag = self
            .lags
            .get(self.listings % self.lags.len().max(1))
            .copied()
            .unwrap_or(0);
        self.listings += 1;
        let settle = Policy::default().consistency_window;
        let seen_for_certain = self
            .moments
            .iter()
            .rposition(|(since, _)| {
                *since == Timestamp::MIN_UTC || self.now - since.trunc_subsecs(0) >= settle
            })
            .unwrap_or(0);
        let lag = TimeDelta::milliseconds(settle.num_milliseconds() * i64::from(lag) / 100);
        let place = self.latest_at(self.now - lag).max(seen_for_certain);
        &self.moments[place].1
    }
}

#[async_trait]
impl KeySource for Iam {
    async fn list(&self, user: &UserId, _: &str) -> Result<KeyListing, ServiceError> {
        let mut state = self.0.lock().unwrap();
        let now = state.now;
        match state.mood {
            Mood::Answers => {}
            Mood::Refuses => return Ok(KeyListing::refused(now, "AccessDenied")),
            Mood::Throttles => return Err(ServiceError::retryable("Throttling")),
        }
        let Some(keys) = state.shown().get(user) else {
            return Ok(KeyListing::no_such_user(now));
        };
        let name = user.name().to_owned();
        match PartialListing::requested(now).page(Some(name), keys.clone(), false) {
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
