//! The keys of every user as replayed records tell them. It is never behind its events, so a listing of it needs no time
//! to settle.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::detect::Timestamp;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{AccessKey, AfterPage, KeyListing, KeyStatus, PartialListing};
use crate::detect::retire::LastUses;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// A user as the records tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerUser {
    /// The name as the latest record spelled it.
    pub display_name: String,
    /// The user's keys by id.
    pub keys: BTreeMap<String, AccessKey>,
}

/// The users that records told of and that are not gone.
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

/// How many keys a user may have. Source: IAM and STS quotas.
const KEYS_PER_USER: usize = 2;

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

    /// Whether IAM could have done `change` next. Records of one second come in no order; this tells which may be first.
    #[must_use]
    pub fn is_legal(&self, change: &KeyChange) -> bool {
        let state = self.state();
        let keys = state.users.get(&change.user).map(|user| &user.keys);
        match &change.kind {
            ChangeKind::KeyCreated { .. } => keys.is_none_or(|keys| keys.len() < KEYS_PER_USER),
            ChangeKind::UserDeleted => keys.is_none_or(BTreeMap::is_empty),
            ChangeKind::KeyUpdated { key, .. } | ChangeKind::KeyDeleted { key } => {
                keys.is_some_and(|keys| keys.contains_key(key))
            }
            ChangeKind::UserRenamed { .. } => true,
        }
    }

    /// Writes `change` down. Gives back the id of a key that no earlier record told of, though it was there before.
    pub fn apply(&self, change: &KeyChange) -> Option<String> {
        let mut state = self.state();
        state.now = change.at;
        match &change.kind {
            ChangeKind::UserDeleted => {
                state.users.remove(&change.user);
                return None;
            }
            ChangeKind::UserRenamed { to, to_name } => {
                let mut user = state.users.remove(&change.user).unwrap_or_default();
                user.display_name.clone_from(to_name);
                state.users.insert(to.clone(), user);
                return None;
            }
            ChangeKind::KeyCreated { .. }
            | ChangeKind::KeyUpdated { .. }
            | ChangeKind::KeyDeleted { .. } => {}
        }
        let user = state.users.entry(change.user.clone()).or_default();
        user.display_name.clone_from(&change.user_name);
        match &change.kind {
            ChangeKind::KeyCreated { key, status } => {
                let created = Some(change.at);
                let status = *status;
                user.keys.insert(key.clone(), AccessKey { status, created });
                None
            }
            ChangeKind::KeyUpdated { key, status } => {
                let status = *status;
                let known = user.keys.remove(key);
                let created = known.as_ref().and_then(|known| known.created);
                user.keys.insert(key.clone(), AccessKey { status, created });
                known.is_none().then(|| key.clone())
            }
            ChangeKind::KeyDeleted { key } => user.keys.remove(key).is_none().then(|| key.clone()),
            ChangeKind::UserDeleted | ChangeKind::UserRenamed { .. } => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the ledger as it was: every change to it is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeySource for Ledger {
    async fn list(&self, user: &UserId, _name: &str) -> Result<KeyListing, ServiceError> {
        let state = self.state();
        let Some(known) = state.users.get(user) else {
            return Ok(KeyListing::no_such_user(state.now));
        };
        let page = PartialListing::requested(state.now).page(
            Some(known.display_name.clone()),
            known.keys.clone(),
            false,
        );
        match page {
            AfterPage::Complete(listing) => Ok(listing),
            AfterPage::More(_) => Err(ServiceError::permanent("the ledger has one page only")),
        }
    }

    async fn last_used(&self, _user: &UserId, _keys: &[String]) -> LastUses {
        // Records of key changes do not tell of use.
        LastUses::new()
    }
}

/// The order in which changes of one second are tried: a key is created before it is updated and updated before it is
/// deleted; what leaves more keys active goes last, for nothing tells which came last.
#[must_use]
pub fn rank(kind: &ChangeKind) -> u8 {
    match kind {
        ChangeKind::KeyCreated { .. } => 0,
        ChangeKind::KeyUpdated {
            status: KeyStatus::Active,
            ..
        } => 2,
        ChangeKind::KeyUpdated { .. } => 1,
        ChangeKind::KeyDeleted { .. } => 3,
        ChangeKind::UserRenamed { .. } => 4,
        ChangeKind::UserDeleted => 5,
    }
}
