//! One account's turn: find the suspects, re-check them, write down how far it came, tell the digests that are owed.

use std::collections::BTreeMap;

use chrono::{SubsecRound, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use tracing::{error, info, warn};

use crate::aws::account_users::{Suspects, suspects};
use crate::aws::accounts::AccountError;
use crate::aws::metrics::Metrics;
use crate::aws::sweeper::Sweeper;
use crate::detect::Timestamp;
use crate::detect::account_record::{AccountRecord, Swept};
use crate::detect::digest::Digest;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::situation::{Outcome, Sweep};
use crate::detect::user::UserId;
use crate::pipeline::batch::recheck_each;
use crate::pipeline::error::ServiceError;
use crate::pipeline::recheck::{Occasion, Parts, Rechecked};

/// How often the account's record is written anew because somebody else wrote it.
const MAX_ATTEMPTS: u32 = 5;

/// How many users' re-checks are queued side by side.
const QUEUED_AT_ONCE: usize = 8;

/// After how long the detector looks at a user whom a sweep could not re-check, in seconds. Each further user comes a second
/// later, for IAM may have throttled the sweep.
const UNCHECKED_RECHECK_SECONDS: i64 = 60;

/// One account's turn, as it was queued.
pub(super) struct Turn {
    pub(super) account: String,
    /// Who is looked at in any case.
    pub(super) users: Vec<UserId>,
    /// When it was queued.
    pub(super) sent_at: Option<Timestamp>,
}

impl Turn {
    /// Sweeps the account. One that cannot be looked into is written down as such, which is no failure: nothing is mended by
    /// trying again at once.
    pub(super) async fn sweep(
        self,
        sweeper: &Sweeper,
        metrics: &mut Metrics,
    ) -> Result<(), ServiceError> {
        let record = sweeper.deployment.table.account(&self.account).await?;
        if self.users.is_empty() && record.is_swept_since(self.sent_at) {
            info!(
                account = self.account,
                "the account was swept since its turn was queued"
            );
            return Ok(());
        }
        sweep(sweeper, &record, self.users, metrics).await
    }
}

async fn sweep(
    sweeper: &Sweeper,
    record: &AccountRecord,
    users: Vec<UserId>,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let account = record.account.as_str();
    let kind = if record.baseline_at.is_none() {
        Sweep::Baseline
    } else {
        Sweep::Routine
    };
    let accounts = &sweeper.deployment.accounts;
    let list = async |client| suspects(&client, sweeper.mode).await;
    let (suspects, unlisted) = match accounts.call(account, list).await {
        Ok(suspects) => (suspects, None),
        Err(error) => (Suspects::default(), Some(error)),
    };
    metrics.iam_calls += suspects.calls;
    let seen = look(sweeper, account, &suspects, users, kind, metrics).await;

    // A failed listing does not stop the known users; the next try looks at all of them again.
    let refused = match unlisted {
        None => None,
        Some(AccountError::Refused(reason)) => Some(reason),
        Some(AccountError::Failed(failure)) => return Err(failure),
    };
    let refused = refused.as_deref();
    let is_in_vain = seen.unchecked.len() == seen.looked_at && suspects.cleared == 0;
    if let Some(failure) = seen.failure.as_ref().filter(|_| is_in_vain) {
        return Err(failure.clone());
    }
    // One user who always fails must not keep the account from being swept. The detector's queue tries that user again.
    leave_to_detector(sweeper, &seen.unchecked).await?;
    metrics.unchecked_users += seen.unchecked.len() as u64;
    if let Some(reason) = refused {
        error!(account, reason, "the account cannot be looked into");
    }
    metrics.unreachable_accounts =
        Some(metrics.unreachable_accounts.unwrap_or_default() + u64::from(refused.is_some()));
    let swept = Swept {
        open: &seen.open,
        refused,
    };
    let now = Utc::now().trunc_subsecs(3);
    let record = note(sweeper, account, &swept, now).await?;
    let told = tell(sweeper, record, &seen, now, metrics).await;
    info!(
        account,
        looked_at = seen.looked_at,
        open = seen.open.len(),
        unchecked = seen.unchecked.len(),
        "account swept"
    );
    metrics.sweeps += u64::from(refused.is_none());
    told
}

/// Writes down how far the account came. Another sweep of it may do the same at the time.
async fn note(
    sweeper: &Sweeper,
    account: &str,
    swept: &Swept<'_>,
    now: Timestamp,
) -> Result<AccountRecord, ServiceError> {
    let Parts { sinks, policy, .. } = &sweeper.deployment.parts;
    let sinks: Vec<&str> = sinks.iter().map(|sink| sink.name()).collect();
    for _ in 0..MAX_ATTEMPTS {
        let before = sweeper.deployment.table.account(account).await?;
        let record = before.after(swept, policy, sweeper.remind_every, &sinks, now);
        if sweeper.deployment.table.put_account(&record).await? {
            return Ok(record);
        }
    }
    Err(ServiceError::retryable(format!(
        "the record of account `{account}` was written by others {MAX_ATTEMPTS} times in a row"
    )))
}

/// What the re-checks of a sweep came to.
#[derive(Default)]
struct Seen {
    /// The findings that are open, hidden or not.
    open: Vec<Finding>,
    looked_at: usize,
    /// The users whose re-checks failed.
    unchecked: Vec<UserId>,
    /// Why the last of them failed.
    failure: Option<ServiceError>,
}

async fn look(
    sweeper: &Sweeper,
    account: &str,
    suspects: &Suspects,
    users: Vec<UserId>,
    kind: Sweep,
    metrics: &mut Metrics,
) -> Seen {
    let occasion = |name: Option<&String>| Occasion {
        sweep: Some(kind),
        // Whoever promised to look at the user may have died before the message was sent.
        is_retry: true,
        name: name.cloned(),
        ..Occasion::default()
    };
    let known = users.into_iter().map(|user| (user, occasion(None)));
    let root = suspects
        .root
        .then(|| (UserId::root(account), occasion(None)));
    let suspected = suspects
        .names
        .iter()
        .map(|name| (UserId::new(account, name), occasion(Some(name))));
    let occasions: BTreeMap<UserId, Occasion> = known.chain(root).chain(suspected).collect();
    let looked_at = occasions.len();
    let rechecked = recheck_each(&sweeper.deployment.parts, occasions, Utc::now()).await;
    let settled: Vec<(UserId, Result<Rechecked, ServiceError>)> = stream::iter(rechecked)
        .map(|(user, result)| settle(sweeper, user, result))
        .buffer_unordered(QUEUED_AT_ONCE)
        .collect()
        .await;
    let mut seen = Seen {
        looked_at,
        ..Seen::default()
    };
    for (user, result) in settled {
        match result {
            Ok(rechecked) => {
                metrics.count_rechecked(&rechecked, Utc::now());
                metrics.found_by_sweep += u64::from(
                    kind == Sweep::Routine && rechecked.outcomes.contains(&Outcome::Opened),
                );
                seen.open.extend(rechecked.open);
            }
            Err(failure) => {
                error!(account, user = user.name(), %failure, "a user could not be re-checked in a sweep");
                seen.unchecked.push(user);
                seen.failure = Some(failure);
            }
        }
    }
    seen.open
        .sort_by(|one, other| (one.opened_at, &one.id).cmp(&(other.opened_at, &other.id)));
    seen
}

/// Queues what a re-check wants to have looked at again.
async fn settle(
    sweeper: &Sweeper,
    user: UserId,
    result: Result<Rechecked, ServiceError>,
) -> (UserId, Result<Rechecked, ServiceError>) {
    let rechecked = match result {
        Ok(rechecked) => rechecked,
        Err(failure) => return (user, Err(failure)),
    };
    let rechecks = &sweeper.deployment.rechecks;
    let queued = rechecks.queue_all(&user, &rechecked).await;
    (user, queued.map(|()| rechecked))
}

/// Queues a re-check for each of `users`, for the detector.
async fn leave_to_detector(sweeper: &Sweeper, users: &[UserId]) -> Result<(), ServiceError> {
    stream::iter((UNCHECKED_RECHECK_SECONDS..).zip(users))
        .map(Ok)
        .try_for_each_concurrent(QUEUED_AT_ONCE, |(seconds, user)| {
            let rechecks = &sweeper.deployment.rechecks;
            rechecks.queue(user, [TimeDelta::seconds(seconds)])
        })
        .await
}

/// Tells the digests that are owed, each ticked off when its sink has it: a crash repeats one at worst.
async fn tell(
    sweeper: &Sweeper,
    mut record: AccountRecord,
    seen: &Seen,
    now: Timestamp,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let findings: Vec<Finding> = seen
        .open
        .iter()
        .filter(|finding| finding.status == FindingStatus::Open)
        .cloned()
        .collect();
    let mut result = Ok(());
    for (name, kind) in record.digests_owed.clone() {
        let sinks = &sweeper.deployment.parts.sinks;
        let Some(sink) = sinks.iter().find(|sink| sink.name() == name) else {
            warn!(
                sink = name,
                "a digest is owed to a sink that is not configured"
            );
            metrics.count_failed_delivery(&name);
            continue;
        };
        let digest = Digest {
            account: record.account.clone(),
            kind,
            at: now,
            findings: findings.clone(),
            unchecked: seen.unchecked.len(),
        };
        // What was cleaned up in the meantime needs no digest any more. What could not be looked at may still be open.
        let is_needed = !digest.findings.is_empty() || digest.unchecked > 0;
        if is_needed && let Err(failure) = sink.send_digest(&digest).await {
            error!(sink = name, account = record.account, %failure, "a digest could not be delivered and stays owed");
            metrics.count_failed_delivery(&name);
            result = Err(failure);
            continue;
        }
        record = record.ticked_off(&name);
        if !sweeper.deployment.table.put_account(&record).await? {
            // Another sweep goes on from its own record, and repeats what it owes.
            return result;
        }
    }
    result
}
