//! The re-check of one user: load, list, decide, commit, deliver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use futures::future::{join, try_join};
use tracing::info;

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, AlertKind, OwedAlert};
use crate::detect::decide::{Decision, decide};
use crate::detect::finding::Finding;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::policy::Policy;
use crate::detect::retire::LastUses;
use crate::detect::situation::{Outcome, Situation};
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::detect::view::Unsettled;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::commit::{Commit, Committed, MAX_EVENTS};
use crate::pipeline::deliver::{Delivered, deliver};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;
use crate::pipeline::key_source::KeySource;

/// How often a re-check starts anew because somebody else wrote the record.
const MAX_ATTEMPTS: u32 = 8;

/// The longest wait before a re-check starts anew, in milliseconds.
const MAX_BACKOFF_MS: u64 = 1_000;

/// How long an alert waits for the last use of its keys, counted from the start of its commit.
const LAST_USED_WAIT: Duration = Duration::from_secs(1);

/// What a re-check works with.
pub struct Parts {
    /// Where the user's record is kept.
    pub store: Arc<dyn FindingStore>,
    /// Where the user's keys are listed.
    pub keys: Arc<dyn KeySource>,
    /// Where alerts go.
    pub sinks: Vec<Box<dyn AlertSink>>,
    /// The settings.
    pub policy: Policy,
}

/// What a re-check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rechecked {
    /// What became of the finding, commit by commit.
    pub outcomes: Vec<Outcome>,
    /// The alerts that a sink took, and the sink's name.
    pub told: Vec<(Alert, &'static str)>,
    /// After how long the user is to be looked at again. Whoever called must see to it before the events that led here
    /// are given up.
    pub rechecks: BTreeSet<TimeDelta>,
    /// How often somebody else had written the record.
    pub conflicts: u32,
    /// How many events stood in the audit trail already.
    pub duplicates: usize,
    /// Why views were not settled.
    pub unsettled: BTreeSet<Unsettled>,
}

/// Re-checks `user` because of `changes`, or because it was due. `now` is the moment at which it began.
pub async fn recheck(
    parts: &Parts,
    user: &UserId,
    changes: &[KeyChange],
    now: Timestamp,
) -> Result<Rechecked, ServiceError> {
    // Times are stored in milliseconds; what is decided on must equal what is read back.
    let now = now.trunc_subsecs(3);
    let distinct: BTreeMap<&str, &KeyChange> = changes
        .iter()
        .map(|change| (change.id.as_str(), change))
        .collect();
    let mut distinct: Vec<KeyChange> = distinct.into_values().cloned().collect();
    distinct.sort_by_key(|change| change.at);

    let mut rechecked = Rechecked::default();
    let mut rest = distinct.as_slice();
    loop {
        let (part, after) = rest.split_at(rest.len().min(MAX_EVENTS));
        recheck_part(parts, user, part, now, &mut rechecked).await?;
        if after.is_empty() {
            return Ok(rechecked);
        }
        rest = after;
    }
}

async fn recheck_part(
    parts: &Parts,
    user: &UserId,
    changes: &[KeyChange],
    now: Timestamp,
    rechecked: &mut Rechecked,
) -> Result<(), ServiceError> {
    for attempt in 0..MAX_ATTEMPTS {
        // INVARIANT (load before list): what the next version holds was listed after this one was written.
        let (record, owed) = try_join(parts.store.record(user), parts.store.owed(user)).await?;
        let former = former_finding(parts, &record, changes).await?;
        let listing = parts.keys.list(user, spelling(&record, changes)).await?;
        let now = now.max(listing.requested_at());

        let mut already_recorded = BTreeSet::new();
        loop {
            let situation = Situation {
                record: &record,
                listing: &listing,
                changes,
                already_recorded: &already_recorded,
                former: former.as_ref(),
            };
            let decision = decide(&situation, &parts.policy, now);
            let commit = Commit::of(&decision, &sink_names(parts), now);
            let (due, not_due): (Vec<_>, Vec<_>) =
                owed.iter().cloned().partition(|owed| owed.due_at <= now);
            let to_deliver: Vec<OwedAlert> = due.into_iter().chain(commit.owed.clone()).collect();
            let (committed, last_uses) = join(
                parts.store.commit(&commit),
                last_uses(parts, user, &to_deliver),
            )
            .await;
            match committed? {
                Committed::Written => {
                    log(user, &decision);
                    rechecked.duplicates += already_recorded.len();
                    let delivered =
                        deliver(parts.store.as_ref(), &parts.sinks, to_deliver, &last_uses).await;
                    rechecked.add(decision, delivered, &not_due, now);
                    return Ok(());
                }
                Committed::AlreadyRecorded(ids) if !ids.is_subset(&already_recorded) => {
                    already_recorded.extend(ids);
                }
                Committed::VersionConflict | Committed::AlreadyRecorded(_) => break,
            }
        }
        rechecked.conflicts += 1;
        tokio::time::sleep(backoff(attempt)).await;
    }
    Err(ServiceError::retryable(format!(
        "the record of `{user}` was written by others {MAX_ATTEMPTS} times in a row while it was being re-checked"
    )))
}

impl Rechecked {
    fn add(
        &mut self,
        decision: Decision,
        delivered: Delivered,
        not_due: &[OwedAlert],
        now: Timestamp,
    ) {
        self.outcomes.push(decision.outcome);
        self.unsettled.extend(decision.unsettled);
        self.rechecks.extend(decision.rechecks);
        self.told.extend(delivered.told);
        // The longer a sink has been down, the longer it is left alone.
        self.rechecks.extend(
            delivered
                .owed_since
                .into_iter()
                .map(|since| (now - since).clamp(Policy::DELIVERY_GRACE, Policy::PATIENT_RECHECK)),
        );
        // Whoever committed these may have crashed since; then it is on the next one to deliver them.
        if let Some(due_at) = not_due.iter().map(|owed| owed.due_at).max() {
            self.rechecks.insert(due_at - now);
        }
    }
}

/// The user's name as the latest event spells it, or as IAM last did.
fn spelling<'a>(record: &'a UserRecord, changes: &'a [KeyChange]) -> &'a str {
    changes
        .iter()
        .rev()
        .find_map(|change| match &change.kind {
            ChangeKind::UserRenamed { to, to_name } if *to == record.user => Some(to_name),
            _ => (change.user == record.user).then_some(&change.user_name),
        })
        .unwrap_or(&record.display_name)
}

/// The latest finding of the user under its former name, if it was renamed.
async fn former_finding(
    parts: &Parts,
    record: &UserRecord,
    changes: &[KeyChange],
) -> Result<Option<Finding>, ServiceError> {
    let renamed_just_now = changes.iter().find_map(|change| match &change.kind {
        ChangeKind::UserRenamed { to, .. } if *to == record.user && change.user != record.user => {
            Some(change.user.clone())
        }
        _ => None,
    });
    match renamed_just_now.or_else(|| record.renamed_from.clone()) {
        Some(former) if record.open_finding().is_none() => {
            Ok(parts.store.record(&former).await?.finding)
        }
        _ => Ok(None),
    }
}

/// The last uses of the keys that the alerts to come speak of; none if there is nothing to tell.
async fn last_uses(parts: &Parts, user: &UserId, to_deliver: &[OwedAlert]) -> LastUses {
    let keys: BTreeSet<String> = to_deliver
        .iter()
        .filter(|owed| owed.alert.kind != AlertKind::Closed)
        .flat_map(|owed| owed.alert.finding.active_keys())
        .map(ToOwned::to_owned)
        .collect();
    if keys.is_empty() {
        return LastUses::new();
    }
    let keys: Vec<String> = keys.into_iter().collect();
    tokio::time::timeout(LAST_USED_WAIT, parts.keys.last_used(user, &keys))
        .await
        .unwrap_or_default()
}

fn sink_names(parts: &Parts) -> Vec<&'static str> {
    parts.sinks.iter().map(|sink| sink.name()).collect()
}

fn log(user: &UserId, decision: &Decision) {
    let finding_id = decision
        .record
        .finding
        .as_ref()
        .map(|finding| finding.id.to_string());
    let unsettled: Vec<&str> = decision.unsettled.iter().map(|why| why.words()).collect();
    info!(
        account = user.account(),
        user = user.name(),
        version = decision.record.version,
        finding_id,
        outcome = decision.outcome.word(),
        unsettled = unsettled.join("; "),
        "re-checked"
    );
}

/// A random wait that doubles its bound from one attempt to the next.
fn backoff(attempt: u32) -> Duration {
    let bound_ms = (20_u64 << attempt).min(MAX_BACKOFF_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}
