//! The keys of every user, according to replayed records. The ledger is never behind its events, so
//! its listings need no consistency window. It reports users it does not fully know as such,
//! because another command may have listed them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::keys::evidence::Evidence;
use crate::detect::keys::listing::{AccessKey, KeyListing, KeyStatus, PageResult, PartialListing};
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::local::second::legal_order;
use crate::local::uses::{KeyUses, RecordedUse};
use crate::pipeline::error::ServiceError;
use crate::pipeline::key_source::KeySource;

/// What the ledger knows about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerUser {
    /// The user has these keys, according to the records.
    Listed {
        /// The name as spelled by the latest record.
        display_name: String,
        /// The user's keys by ID.
        keys: BTreeMap<String, AccessKey>,
        /// When another command listed the keys that the ledger started from. `None` if all keys
        /// come from records.
        as_of: Option<Timestamp>,
    },
    /// Only another source knows the user's keys, so records of changes do not show all of them.
    Unlisted,
    /// The user was deleted or renamed.
    Gone,
}

/// The users that the ledger knows.
pub type LedgerUsers = BTreeMap<UserId, LedgerUser>;

/// The keys of every user at one moment.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
    uses: Arc<KeyUses>,
}

#[derive(Debug)]
struct State {
    users: LedgerUsers,
    now: Timestamp,
}

/// Why the ledger does not list a user's keys.
const NOT_IN_THE_LOGS: &str = "the replayed logs do not tell all keys of this user";

impl Ledger {
    /// Creates a ledger that starts from `users`.
    #[must_use]
    pub fn new(users: LedgerUsers) -> Self {
        Self {
            uses: Arc::default(),
            state: Mutex::new(State {
                users,
                now: Timestamp::MIN_UTC,
            }),
        }
    }

    /// Adds what `uses` show about when keys were used.
    #[must_use]
    pub fn with_uses(self, uses: Arc<KeyUses>) -> Self {
        Self { uses, ..self }
    }

    /// The current state of the users.
    #[must_use]
    pub fn users(&self) -> LedgerUsers {
        self.state().users.clone()
    }

    /// Advances time to `now`, the moment of the next listings.
    pub fn advance(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// Whether the ledger knows everything that happened to `user` up to `now`.
    #[must_use]
    pub fn knows(&self, user: &UserId, now: Timestamp) -> bool {
        match self.state().users.get(user) {
            Some(LedgerUser::Listed { as_of, .. }) => *as_of <= Some(now),
            Some(LedgerUser::Gone) => true,
            Some(LedgerUser::Unlisted) | None => false,
        }
    }

    /// Orders the `changes` of one second so that IAM allows each of them in turn.
    #[must_use]
    pub fn legal_order(&self, changes: Vec<KeyChange>) -> Vec<KeyChange> {
        legal_order(changes, &self.state().users)
    }

    /// Applies `change`. Returns the ID of a key that must have existed before, though no earlier
    /// record mentioned it.
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

    /// Whether the ledger knows the key of `used`.
    #[must_use]
    pub fn has(&self, used: &RecordedUse) -> bool {
        match self.state().users.get(&used.user) {
            Some(LedgerUser::Listed { keys, .. }) => keys.contains_key(&used.key),
            Some(LedgerUser::Unlisted | LedgerUser::Gone) | None => false,
        }
    }

    /// Records that the key of `used` exists and is active, unless a record of a change already
    /// mentioned the key. `evidence` is what those records said about the user. Returns whether the
    /// ledger changed.
    pub fn learn(&self, used: &RecordedUse, evidence: &Evidence) -> bool {
        let user_is_gone = evidence
            .user
            .as_ref()
            .is_some_and(|user| user.is_gone() && used.at < user.at + Policy::USE_GRACE_PERIOD);
        !evidence.keys.contains_key(&used.key) && !user_is_gone && self.state().learn(used)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the ledger consistent: every change to it is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, used: &RecordedUse) -> bool {
        let known = self.users.get(&used.user);
        if known.is_none_or(|known| *known == LedgerUser::Gone) {
            let newcomer = LedgerUser::without_keys(used.user.name());
            self.users.insert(used.user.clone(), newcomer);
        }
        let Some(LedgerUser::Listed { keys, as_of, .. }) = self.users.get_mut(&used.user) else {
            return false;
        };
        // Another command's listing has already decided on everything before it.
        if as_of.is_some_and(|as_of| used.at < as_of) || keys.contains_key(&used.key) {
            return false;
        }
        let active = AccessKey {
            status: KeyStatus::Active,
            created: None,
        };
        keys.insert(used.key.clone(), active);
        self.now = used.at;
        true
    }

    fn apply_to_key(&mut self, change: &KeyChange) -> Option<String> {
        let user = self
            .users
            .entry(change.user.clone())
            .or_insert(LedgerUser::Gone);
        if *user == LedgerUser::Gone {
            // The logs are not searched for user creations, so a first key is the first sign of a
            // user.
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

/// The user who has the name of `target` after `source` was renamed to it. `name` is its spelling.
fn renamed(source: Option<LedgerUser>, target: Option<&LedgerUser>, name: &str) -> LedgerUser {
    match (source, target) {
        (Some(LedgerUser::Listed { keys, as_of, .. }), _) => LedgerUser::Listed {
            display_name: name.to_owned(),
            keys,
            as_of,
        },
        (Some(LedgerUser::Unlisted), _) | (_, Some(LedgerUser::Unlisted)) => LedgerUser::Unlisted,
        // According to the ledger the name was taken, so the logs do not contain everything.
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
        // A change in the same second as the other command's listing is not older than it.
        let listed_at = as_of.map_or(state.now, |as_of| state.now.max(as_of));
        let page = PartialListing::requested(listed_at).page(
            Some(display_name.clone()),
            keys.clone(),
            false,
        );
        match page {
            PageResult::Complete(listing) => Ok(listing),
            PageResult::More(_) => Err(ServiceError::permanent("the ledger has one page only")),
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

    async fn last_used(&self, _user: &UserId, keys: &[String]) -> LastUses {
        self.uses.latest(keys, self.state().now)
    }
}
