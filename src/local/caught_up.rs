//! Finds what other commands wrote into the embedded store's file since the last replay, so that a
//! replay does not draw conclusions from its own logs alone.

use std::collections::BTreeSet;

use chrono::{SubsecRound, TimeDelta};

use crate::detect::Timestamp;
use crate::detect::events::key_change::KeyChange;
use crate::detect::findings::finding::Finding;
use crate::detect::keys::listing::{AccessKey, KeyListing, KeyStatus};
use crate::detect::keys::view::view;
use crate::detect::records::user_record::UserRecord;
use crate::detect::user::UserId;
use crate::local::changes::Changes;
use crate::local::ledger::{LedgerUser, LedgerUsers};
use crate::local::ledger_table::ReplayHistory;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// Returns the users to replay `changes` on: those of earlier replays and those that `changes`
/// touch, each updated with what another command has written since. `settle` is the consistency
/// window: IAM may take that long to show a change to the other command.
pub(super) async fn caught_up(
    store: &dyn FindingReader,
    before: &ReplayHistory,
    changes: &Changes,
    settle: TimeDelta,
) -> Result<LedgerUsers, ServiceError> {
    let mut users = before.users.clone();
    let mut recorded: BTreeSet<UserId> = store.users().await?.into_iter().collect();
    if recorded.iter().any(|user| !users.contains_key(user)) {
        let mut touched = BTreeSet::new();
        for change in changes.in_order()? {
            let change = change?;
            touched.extend(change.affected_users());
            touched.extend(change.actor.long_term_key().map(|(signer, _)| signer));
        }
        recorded.retain(|user| users.contains_key(user) || touched.contains(user));
    }
    for user in recorded {
        let record = store.record(&user).await?;
        let replayed_until = before.newest.get(user.account()).copied();
        if let Some(known) = user_now(users.get(&user), &record, replayed_until, settle) {
            users.insert(user, known);
        }
    }
    Ok(users)
}

/// Returns an error if `change` is older than another command's listing: the pipeline has already
/// decided on that listing.
pub(super) fn refuse_older_than_listing(
    change: &KeyChange,
    users: &LedgerUsers,
) -> Result<(), ServiceError> {
    for user in change.affected_users() {
        let Some(listed_at) = listed_at(users.get(&user)) else {
            continue;
        };
        if is_older(change, listed_at) {
            return Err(ServiceError::permanent(format!(
                "the logs contain a change of user `{user}` at {} that is not in the database, and another command \
                 already recorded the keys of `{user}` at {}; replay the logs into a new file",
                change.at.format("%Y-%m-%d %H:%M:%S UTC"),
                listed_at.format("%Y-%m-%d %H:%M:%S UTC"),
            )));
        }
    }
    Ok(())
}

/// Whether another command's listing already reflects `change`, for every user that it touches.
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

/// CloudTrail times have whole seconds, so a change in the same second as a listing may be newer
/// than the listing.
fn is_older(change: &KeyChange, listed_at: Timestamp) -> bool {
    change.at < listed_at.trunc_subsecs(0)
}

/// The current state of the user of `record`. `known` is the ledger's state of the user after the
/// records up to `replayed_until`.
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

/// The keys that `record` shows without another listing, or `None` if it does not show all of them.
fn as_recorded(
    known: Option<&LedgerUser>,
    record: &UserRecord,
    settle: TimeDelta,
) -> Option<LedgerUser> {
    let last = record.last_listing.as_ref()?;
    if record.user.is_root() {
        // Root's keys come from a credential report, which has no key IDs.
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
