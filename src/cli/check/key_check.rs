//! Checks one user: lists the keys, asks CloudTrail who changed them, and runs the re-check.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use chrono::{SubsecRound, Utc};

use crate::aws::event_history::{EventHistory, changes_of_key};
use crate::aws::iam::IamKeySource;
use crate::cli::caller::Caller;
use crate::cli::store::Store;
use crate::cli::user_lookup::{PinnedKeySource, UserLookup};
use crate::cli::user_name::UserName;
use crate::detect::Timestamp;
use crate::detect::decision::decide::decide;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::situation::Situation;
use crate::detect::events::key_change::KeyChange;
use crate::detect::keys::listing::{KeyListing, ListingAnswer};
use crate::detect::keys::view::UnsettledReason;
use crate::detect::records::user_record::UserRecord;
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::key_source::KeySource;
use crate::pipeline::recheck::{Dependencies, RecheckRequest, recheck};

/// The result of a check.
pub(super) struct KeyCheck {
    pub(super) user: UserId,
    /// The user's name in IAM's spelling.
    pub(super) name: String,
    pub(super) listing: KeyListing,
    pub(super) last_uses: LastUses,
    /// The changes of the keys in CloudTrail.
    pub(super) history: KeyHistory,
    /// The user's record: as saved now in a file, or as the deployed detector would write it.
    pub(super) record: UserRecord,
    pub(super) unsettled: BTreeSet<UnsettledReason>,
    /// The spellings of the name that were tried, as text that is safe for a terminal.
    pub(super) tried: String,
    pub(super) now: Timestamp,
}

impl KeyCheck {
    /// Whether the keys could not be listed.
    pub(super) fn is_blind(&self) -> bool {
        matches!(self.listing.answer(), ListingAnswer::Refused { .. })
    }
}

/// The key changes in CloudTrail's event history.
pub(super) enum KeyHistory {
    /// The changes of the last 90 days, the oldest first.
    Changes(Vec<KeyChange>),
    /// Why the event history could not be read.
    Unavailable(String),
}

/// Checks the user `name` of the caller's account. With a file, it runs a re-check and saves the
/// result. A deployed table is only read, because its detector decides there.
pub(super) async fn check_keys(
    config: &SdkConfig,
    store: &Store,
    name: &UserName,
    policy: &Policy,
) -> anyhow::Result<KeyCheck> {
    let caller = Caller::ask(config).await?;
    let name = name.in_account(&caller.account)?;
    let iam = IamKeySource::for_own_account(config, &caller.account);
    let user = if name == "root" {
        UserId::root(&caller.account)
    } else {
        UserId::new(&caller.account, name)
    };
    let named = UserLookup::look_up(&iam, Some(store.reader()), &user, name).await?;
    if named.is_unknown() && !named.is_of_iam {
        return Err(named.no_such_user());
    }
    let source = Arc::new(LastListingSource {
        iam: named.source(iam),
        last: Mutex::default(),
    });
    let tried = named.tried();
    let UserLookup {
        name,
        listing: first,
        ..
    } = named;
    let keys: Vec<String> = match first.answer() {
        ListingAnswer::Keys { keys, .. } => keys.keys().cloned().collect(),
        // A report has no key ids to search for.
        ListingAnswer::Report { .. }
        | ListingAnswer::NoSuchUser
        | ListingAnswer::Refused { .. } => vec![],
    };
    let history = history(config, &caller.account, &keys).await?;
    let changes = match &history {
        KeyHistory::Changes(changes) => unknown(store.reader(), &user, changes).await?,
        KeyHistory::Unavailable(_) => vec![],
    };
    let (record, unsettled, now) = match store {
        Store::File(store) => {
            rechecked(store, source.clone(), &user, &name, changes, policy).await?
        }
        Store::Table(table) => preview(table, &source, &user, &name, &changes, policy).await?,
    };
    let listing = source.last().unwrap_or(first);
    let spelled = match listing.answer() {
        ListingAnswer::Keys { display_name, .. } => display_name.clone(),
        _ => None,
    };
    Ok(KeyCheck {
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

type AssessedRecord = (UserRecord, BTreeSet<UnsettledReason>, Timestamp);

async fn rechecked(
    store: &Arc<SqliteStore>,
    keys: Arc<LastListingSource>,
    user: &UserId,
    name: &str,
    changes: Vec<KeyChange>,
    policy: &Policy,
) -> Result<AssessedRecord, ServiceError> {
    let dependencies = Dependencies {
        store: store.clone(),
        keys,
        // The command prints the result itself.
        sinks: vec![],
        policy: policy.clone(),
    };
    let request = RecheckRequest {
        changes,
        name: (!user.is_root()).then(|| name.to_owned()),
        is_history: true,
        ..RecheckRequest::default()
    };
    let now = Utc::now().trunc_subsecs(3);
    let rechecked = recheck(&dependencies, user, &request, now).await?;
    let record = store.record(user).await?;
    Ok((record, rechecked.unsettled, now))
}

/// The result that a re-check would have, without saving it.
async fn preview(
    table: &dyn FindingReader,
    source: &LastListingSource,
    user: &UserId,
    name: &str,
    changes: &[KeyChange],
    policy: &Policy,
) -> Result<AssessedRecord, ServiceError> {
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
        former_users: &[],
        exemptions: &exemptions,
        familiar: &familiar,
        sweep: None,
        unwatched: None,
        is_history: true,
        foreign_entry: None,
    };
    let decision = decide(&situation, policy, now);
    let judged = UserRecord {
        // The audit entries of the decision are not saved, so the trail ends where it did before.
        audit: record.audit.clone(),
        ..decision.record
    };
    Ok((judged, decision.unsettled, now))
}

/// The changes of `keys` in CloudTrail's event history, the oldest first.
async fn history(
    config: &SdkConfig,
    account: &str,
    keys: &[String],
) -> Result<KeyHistory, ServiceError> {
    let mut changes: BTreeMap<String, KeyChange> = BTreeMap::new();
    for key in keys {
        match changes_of_key(config, account, key).await {
            Ok(EventHistory::Told(found)) => {
                changes.extend(found.into_iter().map(|change| (change.id.clone(), change)));
            }
            Ok(EventHistory::Refused(reason)) => return Ok(KeyHistory::Unavailable(reason)),
            // The check is still useful without the actors.
            Err(failure) => return Ok(KeyHistory::Unavailable(failure.to_string())),
        }
    }
    let mut changes: Vec<KeyChange> = changes.into_values().collect();
    changes.sort_by_key(|change| change.at);
    Ok(KeyHistory::Changes(changes))
}

/// The `changes` that are not in the trail of `user` yet. The trail is compared, because the store
/// keeps its marks of recorded changes for less time than CloudTrail keeps events.
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

/// A key source that remembers its last listing.
struct LastListingSource {
    iam: PinnedKeySource,
    last: Mutex<Option<KeyListing>>,
}

impl LastListingSource {
    fn last(&self) -> Option<KeyListing> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}

#[async_trait]
impl KeySource for LastListingSource {
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
