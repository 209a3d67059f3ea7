//! One look at one user: the keys, who changed them, and what is to be thought of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use chrono::{SubsecRound, Utc};

use crate::aws::event_history::{History, changes_of_key};
use crate::aws::iam::IamKeySource;
use crate::cli::caller::Caller;
use crate::cli::source::Store;
use crate::cli::spelling::{Named, Pinned};
use crate::detect::Timestamp;
use crate::detect::decide::decide;
use crate::detect::key_change::KeyChange;
use crate::detect::listing::{Answer, KeyListing};
use crate::detect::policy::Policy;
use crate::detect::retire::LastUses;
use crate::detect::situation::Situation;
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::detect::view::Unsettled;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::key_source::KeySource;
use crate::pipeline::recheck::{Occasion, Parts, recheck};

/// What a look at a user came to.
pub(super) struct Looked {
    pub(super) user: UserId,
    /// The user's name in IAM's spelling.
    pub(super) name: String,
    pub(super) listing: KeyListing,
    pub(super) last_uses: LastUses,
    /// What CloudTrail tells of the keys.
    pub(super) history: Told,
    /// The user's record: as it is kept now, or as a deployed detector would write it.
    pub(super) record: UserRecord,
    pub(super) unsettled: BTreeSet<Unsettled>,
    /// The spellings of the name that IAM was asked for, in words, safe for a terminal.
    pub(super) tried: String,
    pub(super) now: Timestamp,
}

impl Looked {
    /// Whether the keys could not be listed.
    pub(super) fn is_blind(&self) -> bool {
        matches!(self.listing.answer(), Answer::Refused { .. })
    }
}

/// What CloudTrail tells.
pub(super) enum Told {
    /// The changes of the last 90 days, the oldest first.
    Changes(Vec<KeyChange>),
    /// Nothing, and why.
    Nothing(String),
}

/// Looks at the user `name` of the caller's account. In a file the look is a re-check that is written down; a deployed table is
/// only read, for there the detector decides.
pub(super) async fn look(
    config: &SdkConfig,
    store: &Store,
    name: &str,
    policy: &Policy,
) -> anyhow::Result<Looked> {
    let caller = Caller::ask(config).await?;
    let iam = IamKeySource::of_own(config, &caller.account);
    let user = if name == "root" {
        UserId::root(&caller.account)
    } else {
        UserId::new(&caller.account, name)
    };
    let named = Named::look_up(&iam, Some(store.reader()), &user, name).await?;
    if named.is_unknown() && !named.is_of_iam {
        return Err(named.no_such_user());
    }
    let source = Arc::new(Listing {
        iam: named.source(iam),
        last: Mutex::default(),
    });
    let tried = named.tried();
    let Named {
        name,
        listing: first,
        ..
    } = named;
    let keys: Vec<String> = match first.answer() {
        Answer::Keys { keys, .. } => keys.keys().cloned().collect(),
        // A report has no key ids to ask for.
        Answer::Report { .. } | Answer::NoSuchUser | Answer::Refused { .. } => vec![],
    };
    let history = history(config, &caller.account, &keys).await?;
    let changes = match &history {
        Told::Changes(changes) => unknown(store.reader(), &user, changes).await?,
        Told::Nothing(_) => vec![],
    };
    let (record, unsettled, now) = match store {
        Store::File(store) => {
            rechecked(store, source.clone(), &user, &name, changes, policy).await?
        }
        Store::Table(table) => judged(table, &source, &user, &name, &changes, policy).await?,
    };
    let listing = source.last().unwrap_or(first);
    let spelled = match listing.answer() {
        Answer::Keys { display_name, .. } => display_name.clone(),
        _ => None,
    };
    Ok(Looked {
        last_uses: source.last_used(&user, &keys).await,
        name: spelled.unwrap_or(name),
        user,
        listing,
        history,
        record,
        unsettled,
        tried,
        now,
    })
}

type Judged = (UserRecord, BTreeSet<Unsettled>, Timestamp);

async fn rechecked(
    store: &Arc<SqliteStore>,
    keys: Arc<Listing>,
    user: &UserId,
    name: &str,
    changes: Vec<KeyChange>,
    policy: &Policy,
) -> Result<Judged, ServiceError> {
    let parts = Parts {
        store: store.clone(),
        keys,
        // Whoever looks is told by what is printed.
        sinks: vec![],
        policy: policy.clone(),
    };
    let occasion = Occasion {
        changes,
        name: (!user.is_root()).then(|| name.to_owned()),
        is_history: true,
        ..Occasion::default()
    };
    let now = Utc::now().trunc_subsecs(3);
    let rechecked = recheck(&parts, user, &occasion, now).await?;
    let record = store.record(user).await?;
    Ok((record, rechecked.unsettled, now))
}

/// What a re-check would come to, without writing it down.
async fn judged(
    table: &dyn FindingReader,
    source: &Listing,
    user: &UserId,
    name: &str,
    changes: &[KeyChange],
    policy: &Policy,
) -> Result<Judged, ServiceError> {
    let record = table.record(user).await?;
    let exemptions = table.exemptions(user.account()).await?;
    let familiar = table.familiar(user.account()).await?;
    let listing = source.list(user, name).await?;
    let now = Utc::now().trunc_subsecs(3).max(listing.requested_at());
    let situation = Situation {
        record: &record,
        listing: &listing,
        changes,
        already_recorded: &BTreeSet::new(),
        is_retry: false,
        former: &[],
        exemptions: &exemptions,
        familiar: &familiar,
        sweep: None,
        has_left: false,
        is_history: true,
        foreign_entry: None,
    };
    let decision = decide(&situation, policy, now);
    let judged = UserRecord {
        // What the decision would add to the trail is not there.
        audit: record.audit.clone(),
        ..decision.record
    };
    Ok((judged, decision.unsettled, now))
}

/// What CloudTrail tells of `keys`, the oldest change first.
async fn history(config: &SdkConfig, account: &str, keys: &[String]) -> Result<Told, ServiceError> {
    let mut changes: BTreeMap<String, KeyChange> = BTreeMap::new();
    for key in keys {
        match changes_of_key(config, account, key).await {
            Ok(History::Told(told)) => {
                changes.extend(told.into_iter().map(|change| (change.id.clone(), change)));
            }
            Ok(History::Refused(reason)) => return Ok(Told::Nothing(reason)),
            // Who made a key is good to know, and no reason to tell nothing at all.
            Err(failure) => return Ok(Told::Nothing(failure.to_string())),
        }
    }
    let mut changes: Vec<KeyChange> = changes.into_values().collect();
    changes.sort_by_key(|change| change.at);
    Ok(Told::Changes(changes))
}

/// Those of `changes` that are not in the trail of `user` yet. The marks of recorded changes are kept for less time than
/// CloudTrail keeps events.
async fn unknown(
    store: &dyn FindingReader,
    user: &UserId,
    changes: &[KeyChange],
) -> Result<Vec<KeyChange>, ServiceError> {
    let entries = store.history(user).await?;
    let known: BTreeSet<&str> = entries
        .iter()
        .filter_map(|entry| entry.draft.event_id.as_deref())
        .collect();
    Ok(changes
        .iter()
        .filter(|change| change.user == *user)
        .filter(|change| {
            let id = change.event_id.as_deref();
            id.is_none_or(|id| !known.contains(id))
        })
        .cloned()
        .collect())
}

/// IAM, and what it listed last.
struct Listing {
    iam: Pinned,
    last: Mutex<Option<KeyListing>>,
}

impl Listing {
    fn last(&self) -> Option<KeyListing> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}

#[async_trait]
impl KeySource for Listing {
    async fn list(&self, user: &UserId, name: &str) -> Result<KeyListing, ServiceError> {
        let listing = self.iam.list(user, name).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing.clone());
        Ok(listing)
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        self.iam.owner(account, key).await
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        self.iam.last_used(user, keys).await
    }
}
