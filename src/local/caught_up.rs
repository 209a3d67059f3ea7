//! What other commands wrote into the embedded store's file since the last replay, so that a replay
//! draws no conclusion from what it alone does not know.

use std::collections::BTreeMap;

use chrono::{SubsecRound, TimeDelta};

use crate::detect::Timestamp;
use crate::detect::finding::Finding;
use crate::detect::key_change::KeyChange;
use crate::detect::listing::{AccessKey, KeyListing, KeyStatus};
use crate::detect::user_record::UserRecord;
use crate::detect::view::view;
use crate::local::ledger::{LedgerUser, LedgerUsers};
use crate::local::ledger_table::Replayed;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;

/// The users to replay `changes` on: those of the replays before, and those that `changes` touch,
/// each caught up with what another command wrote since. IAM may show a change to that command only
/// after `settle`.
pub(super) async fn caught_up(
    store: &dyn FindingStore,
    before: &Replayed,
    changes: &BTreeMap<String, KeyChange>,
    settle: TimeDelta,
) -> Result<LedgerUsers, ServiceError> {
    let mut users = before.users.clone();
    let mut to_catch_up: Vec<_> = users.keys().cloned().collect();
    to_catch_up.extend(changes.values().flat_map(KeyChange::affected_users));
    to_catch_up.sort();
    to_catch_up.dedup();
    for user in to_catch_up {
        let record = store.record(&user).await?;
        let replayed_until = before.newest.get(user.account()).copied();
        if let Some(known) = user_now(users.get(&user), &record, replayed_until, settle) {
            users.insert(user, known);
        }
    }
    Ok(users)
}

/// An error if a change in `changes` is older than what another command listed: that listing has
/// been decided on.
pub(super) fn refuse_older_than_listing<'a>(
    changes: impl Iterator<Item = &'a KeyChange>,
    users: &LedgerUsers,
) -> Result<(), ServiceError> {
    for change in changes {
        for user in change.affected_users() {
            let Some(listed_at) = listed_at(users.get(&user)) else {
                continue;
            };
            if is_older(change, listed_at) {
                return Err(ServiceError::permanent(format!(
                    "the logs hold a change of user `{user}` of {} that the file does not know, and another command \
                     already listed the keys of `{user}` into the file at {}; replay the logs into a new file",
                    change.at.format("%Y-%m-%d %H:%M:%S UTC"),
                    listed_at.format("%Y-%m-%d %H:%M:%S UTC"),
                )));
            }
        }
    }
    Ok(())
}

/// Whether another command's listing shows what `change` did, for all users that it touches.
pub(super) fn is_in_listing(change: &KeyChange, users: &LedgerUsers) -> bool {
    change
        .affected_users()
        .iter()
        .all(|user| listed_at(users.get(user)).is_some_and(|listed_at| is_older(change, listed_at)))
}

fn listed_at(user: Option<&LedgerUser>) -> Option<Timestamp> {
    match user {
        Some(LedgerUser::Listed { as_of, .. }) => *as_of,
        Some(LedgerUser::Unlisted | LedgerUser::Gone) | None => None,
    }
}

/// A change of the very second of a listing may have come after it: CloudTrail times have whole
/// seconds.
fn is_older(change: &KeyChange, listed_at: Timestamp) -> bool {
    change.at < listed_at.trunc_subsecs(0)
}

/// The user of `record`, `known` to the ledger as it was when records had been replayed until
/// `replayed_until`.
fn user_now(
    known: Option<&LedgerUser>,
    record: &UserRecord,
    replayed_until: Option<Timestamp>,
    settle: TimeDelta,
) -> Option<LedgerUser> {
    if record.version == 0 {
        return known.cloned();
    }
    let listed_at = record.last_listing.as_ref().map(|last| last.requested_at);
    // A replay lists at the times of its records, so a later listing is another command's.
    let is_up_to_date = listed_at <= replayed_until;
    if let Some(known) = known.filter(|known| is_up_to_date && knows_open_keys(known, record)) {
        return Some(known.clone());
    }
    Some(
        as_recorded(known, record, settle)
            .filter(|recorded| knows_open_keys(recorded, record))
            .unwrap_or(LedgerUser::Unlisted),
    )
}

/// The keys that `record` shows without another listing; none if it does not show all of them.
fn as_recorded(
    known: Option<&LedgerUser>,
    record: &UserRecord,
    settle: TimeDelta,
) -> Option<LedgerUser> {
    let last = record.last_listing.as_ref()?;
    if record.user.is_root() {
        // Root's keys stand in a credential report, which has no key ids.
        return None;
    }
    let unasked = KeyListing::refused(last.requested_at, "");
    let created = |id: &str| match known {
        Some(LedgerUser::Listed { keys, .. }) => keys.get(id).and_then(|key| key.created),
        _ => None,
    };
    let keys = view(record, &record.evidence, &unasked, settle).keys;
    Some(LedgerUser::Listed {
        display_name: record.display_name.clone(),
        keys: keys
            .into_iter()
            .filter(|(_, key)| key.status != KeyStatus::Gone)
            .map(|(id, key)| {
                let created = created(&id);
                let status = key.status;
                (id, AccessKey { status, created })
            })
            .collect(),
        as_of: Some(last.requested_at),
    })
}

/// Whether `user` has every key that the open finding in `record` counts as active.
fn knows_open_keys(user: &LedgerUser, record: &UserRecord) -> bool {
    let mut open_keys = record
        .open_finding()
        .into_iter()
        .flat_map(Finding::active_keys);
    match user {
        LedgerUser::Listed { keys, .. } => open_keys.all(|key| keys.contains_key(key)),
        LedgerUser::Unlisted => true,
        LedgerUser::Gone => open_keys.next().is_none(),
    }
}
