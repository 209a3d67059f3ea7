//! The store of one replay: it caches users in memory and writes to the database in the background.
//!
//! A replay is one transaction, and no other process writes at the same time. So only the last
//! version of each record has to be written, and none has to be read again. A commit is validated
//! by the same function as in the database: `Commit::verdict`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::findings::alert::{Alert, PendingAlert};
use crate::detect::findings::digest::Digest;
use crate::detect::records::user_record::UserRecord;
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::local::kept_changes::AnnouncedAlerts;
use crate::local::replay_writer::{PendingWrites, WriterThread};
use crate::local::sqlite::SqliteStore;
use crate::local::sqlite::commit::{Mark, Rows};
use crate::pipeline::alert_sink::{AlertSink, Audience};
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;
use crate::stored::{SEEN_FOR, time_text};

/// Approximate memory limit of the cached users, in bytes.
const MAX_BYTES_OF_USERS: usize = 38 << 20;

/// The fraction of the cached users that is evicted at a time.
const ONE_EVICTED_IN: usize = 8;

/// How many audit entries or findings wait to be written.
const MAX_WAITING: usize = 256;

/// A [`SqliteStore`] for the duration of one replay; see the module. Commits reach the database in
/// [`ReplayStore::flush`].
pub(super) struct ReplayStore {
    store: Arc<SqliteStore>,
    writer: WriterThread,
    muted: AlreadySent,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, CachedUser>,
    bytes_of_users: usize,
    waiting: PendingWrites,
    exemptions: BTreeMap<String, Vec<Exemption>>,
    familiar: BTreeMap<String, Arc<[FamiliarActor]>>,
    told: AnnouncedAlerts,
    /// Which tables had rows before the replay. The others are not queried.
    held: StoredTables,
}

/// The alerts, by user and place in the trail, that an earlier replay already sent.
type AlreadySent = Arc<Mutex<BTreeSet<(UserId, u64)>>>;

/// A sink that skips alerts that were already sent.
struct DeduplicatingSink {
    sink: Box<dyn AlertSink>,
    muted: AlreadySent,
}

#[async_trait]
impl AlertSink for DeduplicatingSink {
    fn name(&self) -> &'static str {
        self.sink.name()
    }

    fn audience(&self) -> Audience {
        self.sink.audience()
    }

    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError> {
        let place = (alert.finding.user().clone(), alert.sequence);
        let is_muted = {
            let muted = self.muted.lock().unwrap_or_else(PoisonError::into_inner);
            muted.contains(&place)
        };
        if is_muted {
            return Ok(());
        }
        self.sink.send(alert, last_uses).await
    }

    async fn send_digest(&self, digest: &Digest) -> Result<(), ServiceError> {
        self.sink.send_digest(digest).await
    }
}

/// Whether the database has records, trails, marks and pending alerts that this replay did not
/// write.
#[derive(Debug, Clone, Copy, Default)]
struct StoredTables {
    users: bool,
    marks: bool,
    /// Whether users of this replay were evicted from the cache.
    evicted: bool,
}

struct CachedUser {
    record: UserRecord,
    /// The last sequence number of the trail in the database, including entries that the record
    /// does not know.
    last_entry: u64,
    pending: Vec<PendingAlert>,
    is_record_new: bool,
    is_pending_new: bool,
    bytes: usize,
}

impl ReplayStore {
    /// Wraps `store`, in which a transaction has begun. The alerts in `told` are not sent again.
    pub(super) fn over(
        store: Arc<SqliteStore>,
        told: AnnouncedAlerts,
    ) -> Result<Self, ServiceError> {
        let holds = |table: &str| {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
            store.read(|connection| connection.query_row(&sql, [], |row| row.get::<_, bool>(0)))
        };
        let held = StoredTables {
            users: holds("records")? || holds("audit")? || holds("owed")?,
            marks: holds("seen")?,
            evicted: false,
        };
        let state = State {
            told,
            held,
            ..State::default()
        };
        Ok(Self {
            muted: Arc::default(),
            writer: WriterThread::over(Arc::clone(&store)),
            store,
            state: Mutex::new(state),
        })
    }

    /// Wraps `sinks` so that alerts that were already sent are skipped.
    pub(super) fn without_repeats(
        &self,
        sinks: Vec<Box<dyn AlertSink>>,
    ) -> Vec<Box<dyn AlertSink>> {
        let wrapped = |sink| {
            let muted = Arc::clone(&self.muted);
            Box::new(DeduplicatingSink { sink, muted }) as Box<dyn AlertSink>
        };
        sinks.into_iter().map(wrapped).collect()
    }

    /// Writes everything that is waiting.
    pub(super) fn flush(&self) -> Result<(), ServiceError> {
        let mut state = self.state();
        if !self.store.is_scratch() {
            self.write_users(state.users.values_mut())?;
        }
        let waiting = std::mem::take(&mut state.waiting);
        self.writer.write(waiting)?;
        self.writer.wait()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere ends the replay, and its transaction is rolled back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for more users: evicts and writes some of those in the cache.
    fn evict(&self, state: &mut State) -> Result<(), ServiceError> {
        // A hash map has no order, so this is as good as random eviction for any access pattern.
        let mut place = 0_usize;
        let mut evicted: Vec<CachedUser> = state
            .users
            .extract_if(|_, _| {
                place += 1;
                place.is_multiple_of(ONE_EVICTED_IN)
            })
            .map(|(_, user)| user)
            .collect();
        state.bytes_of_users -= evicted.iter().map(|user| user.bytes).sum::<usize>();
        state.held.evicted = true;
        self.write_users(evicted.iter_mut())
    }

    /// Writes the changed users. It runs rarely, so many versions of a record become one write.
    fn write_users<'s>(
        &self,
        users: impl Iterator<Item = &'s mut CachedUser>,
    ) -> Result<(), ServiceError> {
        let mut users: Vec<&mut CachedUser> = users
            .filter(|user| user.is_record_new || user.is_pending_new)
            .collect();
        users.sort_by(|one, other| one.record.user.cmp(&other.record.user));
        let of_owed = users.iter().filter(|user| user.is_pending_new);
        self.store.write_behind(&Rows {
            records: users.iter().map(|user| &user.record).collect(),
            pending: of_owed
                .map(|user| (&user.record.user, user.pending.as_slice()))
                .collect(),
            ..Rows::default()
        })?;
        for user in users {
            user.is_record_new = false;
            user.is_pending_new = false;
        }
        Ok(())
    }

    /// The cached user, loaded from the database if necessary.
    fn at_hand<'s>(
        &self,
        state: &'s mut State,
        user: &UserId,
    ) -> Result<&'s mut CachedUser, ServiceError> {
        if !state.users.contains_key(user) {
            let loaded = if state.held.users || state.held.evicted {
                self.load(user)?
            } else {
                CachedUser::new(UserRecord::new(user.clone()))
            };
            if state.bytes_of_users > MAX_BYTES_OF_USERS {
                self.evict(state)?;
            }
            state.bytes_of_users += loaded.bytes;
            state.users.insert(user.clone(), loaded);
        }
        let missing = || ServiceError::permanent(format!("the user `{user}` is not in the cache"));
        state.users.get_mut(user).ok_or_else(missing)
    }

    fn load(&self, user: &UserId) -> Result<CachedUser, ServiceError> {
        let last_entry: Option<i64> = self.store.read(|connection| {
            connection
                .prepare_cached("SELECT max(sequence) FROM audit WHERE account = ?1 AND user = ?2")?
                .query_row(params![user.account(), user.name()], |row| row.get(0))
        })?;
        Ok(CachedUser {
            pending: self.store.stored_pending_alerts(user)?,
            last_entry: last_entry.map_or(0, i64::unsigned_abs),
            ..CachedUser::new(self.store.stored_record(user)?)
        })
    }

    fn is_marked(&self, user: &UserId, change: &str, at: Timestamp) -> Result<bool, ServiceError> {
        self.store.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT 1 FROM seen WHERE account = ?1 AND user = ?2 AND change_id = ?3
                     AND expires_at > ?4",
                )?
                .exists(params![user.account(), user.name(), change, at.timestamp()])
        })
    }

    fn has_entry(&self, user: &UserId, sequence: u64) -> Result<bool, ServiceError> {
        self.store.read(|connection| {
            let found = connection
                .prepare_cached(
                    "SELECT 1 FROM audit WHERE account = ?1 AND user = ?2 AND sequence = ?3",
                )?
                .query_row(
                    params![user.account(), user.name(), sequence.cast_signed()],
                    |_| Ok(()),
                )
                .optional()?;
            Ok(found.is_some())
        })
    }
}

impl CachedUser {
    fn new(record: UserRecord) -> Self {
        Self {
            bytes: bytes_of(&record),
            record,
            last_entry: 0,
            pending: vec![],
            is_record_new: false,
            is_pending_new: false,
        }
    }
}

/// The approximate memory of `record`. Most of its strings belong to actors.
fn bytes_of(record: &UserRecord) -> usize {
    const OF_ACTOR: usize = 1_800;
    let words = record
        .evidence
        .keys
        .values()
        .map(|key| key.events.len() + 1);
    let actors = words.sum::<usize>() + if record.finding.is_some() { 4 } else { 1 };
    3_072 + actors * OF_ACTOR
}

#[async_trait]
impl FindingStore for ReplayStore {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        let mut state = self.state();
        Ok(self.at_hand(&mut state, user)?.record.clone())
    }

    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError> {
        let mut state = self.state();
        Ok(self.at_hand(&mut state, user)?.pending.clone())
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        if let Some(known) = self.state().exemptions.get(account) {
            return Ok(known.clone());
        }
        let stored = self.store.exemptions(account).await?;
        let mut state = self.state();
        state.exemptions.insert(account.to_owned(), stored.clone());
        Ok(stored)
    }

    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError> {
        if let Some(known) = self.state().familiar.get(account) {
            return Ok(Arc::clone(known));
        }
        let stored = self.store.familiar(account).await?;
        let mut state = self.state();
        let kept = Arc::clone(&stored);
        state.familiar.insert(account.to_owned(), kept);
        Ok(stored)
    }

    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError> {
        self.store.put_familiar(familiar).await?;
        self.state().familiar.remove(&familiar.account);
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError> {
        let user = &commit.record.user;
        let mut state = self.state();
        // Within one replay a user receives each change once, so a mark comes from an earlier run.
        let mut marked = BTreeSet::new();
        if state.held.marks {
            for change in &commit.recorded {
                if self.is_marked(user, change, commit.at)? {
                    marked.insert(change.clone());
                }
            }
        }
        let at_hand = self.at_hand(&mut state, user)?;
        let verdict = commit.check(at_hand.record.version, &marked);
        if verdict != CommitResult::Written {
            return Ok(verdict);
        }
        for entry in &commit.audit {
            // INVARIANT (the audit trail only grows): an existing entry is not written again.
            if entry.sequence <= at_hand.last_entry && self.has_entry(user, entry.sequence)? {
                return Ok(CommitResult::TrailTaken(entry.sequence));
            }
        }
        if !commit.pending_alerts.is_empty() {
            at_hand
                .pending
                .extend(commit.pending_alerts.iter().cloned());
            at_hand.is_pending_new = true;
        }
        let bytes_before = at_hand.bytes;
        at_hand.bytes = bytes_of(&commit.record);
        let bytes = at_hand.bytes;
        at_hand.record.clone_from(&commit.record);
        at_hand.is_record_new = true;
        if let Some(last) = commit.audit.last() {
            at_hand.last_entry = at_hand.last_entry.max(last.sequence);
        }
        state.bytes_of_users = state.bytes_of_users - bytes_before + bytes;
        if let Some(finding) = commit.finding() {
            let findings = &mut state.waiting.findings;
            findings.insert(finding.id.clone(), finding.clone());
        }
        if let Some(PendingAlert { alert, .. }) = commit.pending_alerts.first() {
            let place = (user.clone(), alert.sequence);
            let mut entries = commit.audit.iter();
            let entry = entries.find(|entry| entry.sequence == alert.sequence);
            let opened_at = time_text(alert.finding.opened_at);
            if entry.is_some_and(|entry| state.told.takes(entry, &opened_at)) {
                let mut muted = self.muted.lock().unwrap_or_else(PoisonError::into_inner);
                muted.insert(place);
            }
        }
        if !self.store.is_scratch() {
            let waiting = &mut state.waiting;
            waiting.audit.extend(commit.audit.iter().cloned());
            let expires_at = (commit.at + SEEN_FOR).timestamp();
            waiting
                .marks
                .extend(commit.recorded.iter().map(|change| Mark {
                    user: user.clone(),
                    change: change.clone(),
                    expires_at,
                }));
        }
        if state.waiting.audit.len().max(state.waiting.findings.len()) > MAX_WAITING {
            self.writer.write(std::mem::take(&mut state.waiting))?;
        }
        Ok(CommitResult::Written)
    }

    async fn reschedule(
        &self,
        pending: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        let mut state = self.state();
        let at_hand = self.at_hand(&mut state, pending.alert.finding.user())?;
        let same =
            |known: &&mut PendingAlert| is_same(known, pending) && known.due_at == pending.due_at;
        let Some(known) = at_hand.pending.iter_mut().find(same) else {
            return Ok(false);
        };
        known.due_at = until;
        at_hand.is_pending_new = true;
        Ok(true)
    }

    async fn mark_delivered(&self, pending: &PendingAlert) -> Result<(), ServiceError> {
        let mut state = self.state();
        let at_hand = self.at_hand(&mut state, pending.alert.finding.user())?;
        at_hand.pending.retain(|known| !is_same(known, pending));
        at_hand.is_pending_new = true;
        Ok(())
    }
}

fn is_same(one: &PendingAlert, other: &PendingAlert) -> bool {
    (one.alert.sequence, &one.sink) == (other.alert.sequence, &other.sink)
}
