//! The keys of every user as replayed records tell them. It is never behind its events, so a listing of it needs no time
//! to settle. Of users that it does not know it says so: another command may have listed them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::detect::Timestamp;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{AccessKey, AfterPage, KeyListing, PartialListing};
use crate::detect::retire::LastUses;
use crate::detect::user::UserId;
use crate::local::second::legal_order;
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// A user as far as the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerUser {
    /// The user has these keys, as far as records told.
    Listed {
        /// The name as the latest record spelled it.
        display_name: String,
        /// The user's keys by id.
        keys: BTreeMap<String, AccessKey>,
        /// When another command listed the keys that the ledger goes on from; none where records
        /// alone told.
        as_of: Option<Timestamp>,
    },
    /// The user has keys that only another source knows, so records of changes do not tell all of
    /// them.
    Unlisted,
    /// The user was deleted, or was given another name.
    Gone,
}

/// The users that the ledger knows.
pub type LedgerUsers = BTreeMap<UserId, LedgerUser>;

/// The keys of every user, at one moment.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    users: LedgerUsers,
    now: Timestamp,
}

/// Why the ledger does not list the keys of a user.
const NOT_IN_THE_LOGS: &str = "the replayed logs do not tell all keys of this user";

impl Ledger {
    /// A ledger that goes on from `users`.
    #[must_use]
    pub fn new(users: LedgerUsers) -> Self {
        Self {
            state: Mutex::new(State {
                users,
                now: Timestamp::MIN_UTC,
            }),
        }
    }

    /// The users as they are now.
    #[must_use]
    pub fn users(&self) -> LedgerUsers {
        self.state().users.clone()
    }

    /// Lets time pass until `now`, the moment that the next listings are of.
    pub fn advance(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Whether the ledger knows what became of `user` until `now`.
    #[must_use]
    pub fn knows(&self, user: &UserId, now: Timestamp) -> bool {
        match self.state().users.get(user) {
            Some(LedgerUser::Listed { as_of, .. }) => *as_of <= Some(now),
            Some(LedgerUser::Gone) => true,
            Some(LedgerUser::Unlisted) | None => false,
        }
    }

    /// The `changes` of one second in an order that IAM allows from now on.
    #[must_use]
    pub fn legal_order(&self, changes: Vec<KeyChange>) -> Vec<KeyChange> {
        legal_order(changes, &self.state().users)
    }

    /// Applies `change`. Returns the id of a key that no earlier record told of, though it was
    /// there before.
    pub fn apply(&self, change: &KeyChange) -> Option<String> {
        let mut state = self.state();
        state.now = change.at;
        match &change.kind {
            ChangeKind::UserDeleted => {
                state.users.insert(change.user.clone(), LedgerUser::Gone);
                None
            }
            ChangeKind::UserRenamed { to, to_name } => {
                let source = state.users.insert(change.user.clone(), LedgerUser::Gone);
                let target = state.users.get(to).filter(|_| *to != change.user);
                let renamed = renamed(source, target, to_name);
                state.users.insert(to.clone(), renamed);
                None
            }
            ChangeKind::KeyCreated { .. }
            | ChangeKind::KeyUpdated { .. }
            | ChangeKind::KeyDeleted { .. } => state.apply_to_key(change),
            ChangeKind::KeyLeaked { .. } => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the ledger as it was: every change to it is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply_to_key(&mut self, change: &KeyChange) -> Option<String> {
        let user = self
            .users
            .entry(change.user.clone())
            .or_insert(LedgerUser::Gone);
        if *user == LedgerUser::Gone {
            // That a user is created is in no record that is read.
            *user = LedgerUser::without_keys(&change.user_name);
        }
        let LedgerUser::Listed {
            display_name, keys, ..
        } = user
        else {
            return None;
        };
        display_name.clone_from(&change.user_name);
        match &change.kind {
            ChangeKind::KeyCreated { key, status } => {
                let created = Some(change.at);
                let status = *status;
                keys.insert(key.clone(), AccessKey { status, created });
                None
            }
            ChangeKind::KeyUpdated { key, status } => {
                let status = *status;
                let known = keys.remove(key);
                let created = known.as_ref().and_then(|known| known.created);
                keys.insert(key.clone(), AccessKey { status, created });
                known.is_none().then(|| key.clone())
            }
            ChangeKind::KeyDeleted { key } => keys.remove(key).is_none().then(|| key.clone()),
            ChangeKind::UserDeleted
            | ChangeKind::UserRenamed { .. }
            | ChangeKind::KeyLeaked { .. } => None,
        }
    }
}

impl LedgerUser {
    fn without_keys(name: &str) -> Self {
        Self::Listed {
            display_name: name.to_owned(),
            keys: BTreeMap::new(),
            as_of: None,
        }
    }
}

/// The user that bears the name of `target` after `source` was given it, spelled `name`.
fn renamed(source: Option<LedgerUser>, target: Option<&LedgerUser>, name: &str) -> LedgerUser {
    match (source, target) {
        (Some(LedgerUser::Listed { keys, as_of, .. }), _) => LedgerUser::Listed {
            display_name: name.to_owned(),
            keys,
            as_of,
        },
        (Some(LedgerUser::Unlisted), _) | (_, Some(LedgerUser::Unlisted)) => LedgerUser::Unlisted,
        // The name was taken as far as the ledger knew, so the logs do not tell all that happened.
        (_, Some(LedgerUser::Listed { keys, .. })) if !keys.is_empty() => LedgerUser::Unlisted,
        (_, _) => LedgerUser::without_keys(name),
    }
}

#[async_trait]
impl KeySource for Ledger {
    async fn list(&self, user: &UserId, _name: &str) -> Result<KeyListing, ServiceError> {
        let state = self.state();
        let (display_name, keys, as_of) = match state.users.get(user) {
            Some(LedgerUser::Listed {
                display_name,
                keys,
                as_of,
            }) => (display_name, keys, as_of),
            Some(LedgerUser::Gone) => return Ok(KeyListing::no_such_user(state.now)),
            Some(LedgerUser::Unlisted) | None => {
                return Ok(KeyListing::refused(state.now, NOT_IN_THE_LOGS));
            }
        };
        // A change of the very second of the other command's listing is no older than that.
        let listed_at = as_of.map_or(state.now, |as_of| state.now.max(as_of));
        let page = PartialListing::requested(listed_at).page(
            Some(display_name.clone()),
            keys.clone(),
            false,
        );
        match page {
            AfterPage::Complete(listing) => Ok(listing),
            AfterPage::More(_) => Err(ServiceError::permanent("the ledger has one page only")),
        }
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        let state = self.state();
        let mut of_account = state
            .users
            .iter()
            .filter(|(user, _)| user.account() == account);
        Ok(of_account.find_map(|(_, known)| match known {
            LedgerUser::Listed {
                display_name, keys, ..
            } => keys.contains_key(key).then(|| display_name.clone()),
            LedgerUser::Unlisted | LedgerUser::Gone => None,
        }))
    }

    async fn last_used(&self, _user: &UserId, _keys: &[String]) -> LastUses {
        // Records of key changes do not tell of use.
        LastUses::new()
    }
}
