//! The IAM of the test: the truth with its history, and listings that lag behind it by less than the settling time and
//! go backwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{SubsecRound, TimeDelta};

use secondkey::detect::Timestamp;
use secondkey::detect::listing::{AccessKey, AfterPage, KeyListing, KeyStatus, PartialListing};
use secondkey::detect::policy::Policy;
use secondkey::detect::retire::LastUses;
use secondkey::detect::user::UserId;
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::key_source::KeySource;

/// The users that there are, each with its keys by id.
pub type Users = BTreeMap<UserId, BTreeMap<String, AccessKey>>;

/// The time of the test, and all users with all that they were.
#[derive(Clone)]
pub struct Iam(Arc<Mutex<State>>);

struct State {
    now: Timestamp,
    /// What there was from which time on, the oldest first.
    moments: Vec<(Timestamp, Users)>,
    /// By how many hundredths of the settling time one listing after the other lags.
    lags: Vec<u8>,
    listings: usize,
    mood: Mood,
}

/// How IAM answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Answers,
    /// Access is denied.
    Refuses,
    /// The caller is to try again later.
    Throttles,
}

impl Iam {
    /// An IAM that holds `users` at `now`, and has held them for long.
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

    /// Lets time pass until `then`.
    pub fn pass_until(&self, then: Timestamp) {
        let mut state = self.0.lock().unwrap();
        state.now = state.now.max(then);
    }

    pub fn set_mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    /// The users as they are.
    pub fn users(&self) -> Users {
        self.0.lock().unwrap().moments.last().unwrap().1.clone()
    }

    /// The users as they were at `at`.
    pub fn users_at(&self, at: Timestamp) -> Users {
        let state = self.0.lock().unwrap();
        state.moments[state.latest_at(at)].1.clone()
    }

    /// The users from now on.
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

    /// Since when one user, under whatever name, has had all of `keys` active.
    pub fn active_together_since(&self, keys: &[&str]) -> Timestamp {
        let state = self.0.lock().unwrap();
        let latest_first = state.moments.iter().rev();
        latest_first
            .take_while(|(_, users)| owner(users, keys).is_some())
            .last()
            .map_or(state.now, |(since, _)| *since)
    }

    /// Whether all of `keys`, which `user` had active together from `at` on, were so beyond that
    /// second, and under that name to the end.
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

    /// Whether the active keys of `user` were just `keys` at a moment from `from` to `until`.
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

/// The ids of the active keys of `user`, in order.
pub fn active_keys<'a>(users: &'a Users, user: &UserId) -> Vec<&'a str> {
    let keys = users.get(user).into_iter().flatten();
    keys.filter(|(_, key)| key.status == KeyStatus::Active)
        .map(|(id, _)| id.as_str())
        .collect()
}

impl State {
    /// What there was from `from` to `until`.
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

    /// What the next listing shows. A change is told in whole seconds, and it is from there on that the settling time
    /// counts.
    fn shown(&mut self) -> &Users {
        let lag = self
            .lags
            .get(self.listings % self.lags.len().max(1))
            .copied()
            .unwrap_or(0);
        self.listings += 1;
        let settle = Policy::default().settle;
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
            AfterPage::Complete(listing) => Ok(listing),
            AfterPage::More(_) => unreachable!("the last page completes a listing"),
        }
    }

    async fn owner(&self, _: &str, _: &str) -> Result<Option<String>, ServiceError> {
        unreachable!("AWS reports no leak here")
    }

    async fn last_used(&self, _: &UserId, _: &[String]) -> LastUses {
        LastUses::new()
    }
}
