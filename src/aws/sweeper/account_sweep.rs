//! Sweeps one account: finds the suspects, re-checks them, records the progress and sends pending
//! digests.

use std::collections::BTreeMap;

use chrono::{SubsecRound, TimeDelta, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};
use tracing::{error, info, warn};

use crate::aws::accounts::AccountError;
use crate::aws::metrics::Metrics;
use crate::aws::suspects::{Suspects, suspects};
use crate::aws::sweeper::Sweeper;
use crate::detect::Timestamp;
use crate::detect::decision::situation::{Outcome, Sweep};
use crate::detect::findings::digest::Digest;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::records::account_record::{AccountRecord, SweepResult};
use crate::detect::user::UserId;
use crate::pipeline::alert_sink::Audience;
use crate::pipeline::batch::recheck_each;
use crate::pipeline::error::ServiceError;
use crate::pipeline::recheck::{Dependencies, RecheckOutcome, RecheckRequest};

/// How often to retry writing the account's record after a concurrent write.
const MAX_ATTEMPTS: u32 = 5;

/// How many users' re-checks are queued in parallel.
const QUEUED_AT_ONCE: usize = 8;

/// The delay, in seconds, before the detector checks a user whom a sweep could not re-check. Each
/// further user comes a second later, because IAM may have throttled the sweep.
const UNCHECKED_RECHECK_SECONDS: i64 = 60;

/// The message for one account.
pub(super) struct AccountSweep {
    pub(super) account: String,
    /// The users to check in any case.
    pub(super) users: Vec<UserId>,
    /// When the message was queued.
    pub(super) sent_at: Option<Timestamp>,
}

impl AccountSweep {
    /// Sweeps the account. An account that cannot be accessed is recorded as such. This is not a
    /// failure, because an immediate retry would not help.
    pub(super) async fn sweep(
        self,
        sweeper: &Sweeper,
        metrics: &mut Metrics,
    ) -> Result<(), ServiceError> {
        if sweeper.deployment.excluded_accounts.contains(&self.account) {
            info!(
                account = self.account,
                "the account was excluded after this message was queued"
            );
            return Ok(());
        }
        let record = sweeper.deployment.table.account(&self.account).await?;
        if self.users.is_empty() && record.is_swept_since(self.sent_at) {
            info!(
                account = self.account,
                "the account was already swept after this message was queued"
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
    let summary = recheck_suspects(sweeper, account, &suspects, users, kind, metrics).await;

    // A failed listing does not stop the checks of known users. The next attempt checks all of them
    // again.
    let refused = match unlisted {
        None => None,
        Some(AccountError::Refused(reason)) => Some(reason),
        Some(AccountError::Failed(failure)) => return Err(failure),
    };
    let refused = refused.as_deref();
    let is_in_vain = summary.unchecked.len() == summary.looked_at && suspects.cleared == 0;
    if let Some(failure) = summary.failure.as_ref().filter(|_| is_in_vain) {
        return Err(failure.clone());
    }
    // One user who always fails must not keep the account from being swept. The detector's queue
    // retries that user.
    queue_unchecked_users(sweeper, &summary.unchecked).await?;
    metrics.unchecked_users += summary.unchecked.len() as u64;
    if let Some(reason) = refused {
        error!(account, reason, "the account cannot be accessed");
    }
    metrics.unreachable_accounts =
        Some(metrics.unreachable_accounts.unwrap_or_default() + u64::from(refused.is_some()));
    let swept = SweepResult {
        open: &summary.open,
        refused,
    };
    let now = Utc::now().trunc_subsecs(3);
    let record = record_sweep(sweeper, account, &swept, now).await?;
    let told = deliver_digests(sweeper, record, &summary, now, metrics).await;
    info!(
        account,
        looked_at = summary.looked_at,
        open = summary.open.len(),
        unchecked = summary.unchecked.len(),
        "account swept"
    );
    metrics.sweeps += u64::from(refused.is_none());
    told
}

/// Records the progress of the account. Another sweep of it may do so concurrently.
async fn record_sweep(
    sweeper: &Sweeper,
    account: &str,
    swept: &SweepResult<'_>,
    now: Timestamp,
) -> Result<AccountRecord, ServiceError> {
    let Dependencies { sinks, policy, .. } = &sweeper.deployment.dependencies;
    let sinks: Vec<&str> = sinks
        .iter()
        .filter(|sink| sink.audience() != Audience::Forgetful)
        .map(|sink| sink.name())
        .collect();
    for _ in 0..MAX_ATTEMPTS {
        let before = sweeper.deployment.table.account(account).await?;
        let record = before.after_sweep(swept, policy, sweeper.remind_every, &sinks, now);
        if sweeper.deployment.table.put_account(&record).await? {
            return Ok(record);
        }
    }
    Err(ServiceError::retryable(format!(
        "the record of account `{account}` was written concurrently {MAX_ATTEMPTS} times in a row"
    )))
}

/// The results of a sweep's re-checks.
#[derive(Default)]
struct RecheckSummary {
    /// The findings that are open or suppressed.
    open: Vec<Finding>,
    looked_at: usize,
    /// The users whose re-checks failed.
    unchecked: Vec<UserId>,
    /// The reason of the last failure.
    failure: Option<ServiceError>,
}

async fn recheck_suspects(
    sweeper: &Sweeper,
    account: &str,
    suspects: &Suspects,
    users: Vec<UserId>,
    kind: Sweep,
    metrics: &mut Metrics,
) -> RecheckSummary {
    let request = |name: Option<&String>| RecheckRequest {
        sweep: Some(kind),
        // A worker that scheduled a check may have died before it sent the message.
        is_retry: true,
        name: name.cloned(),
        ..RecheckRequest::default()
    };
    let known = users.into_iter().map(|user| (user, request(None)));
    let root = suspects
        .root
        .then(|| (UserId::root(account), request(None)));
    let suspected = suspects
        .names
        .iter()
        .map(|name| (UserId::new(account, name), request(Some(name))));
    let requests: BTreeMap<UserId, RecheckRequest> = known.chain(root).chain(suspected).collect();
    let looked_at = requests.len();
    let rechecked = recheck_each(&sweeper.deployment.dependencies, requests, Utc::now()).await;
    let settled: Vec<(UserId, Result<RecheckOutcome, ServiceError>)> = stream::iter(rechecked)
        .map(|(user, result)| queue_rechecks(sweeper, user, result))
        .buffer_unordered(QUEUED_AT_ONCE)
        .collect()
        .await;
    let mut summary = RecheckSummary {
        looked_at,
        ..RecheckSummary::default()
    };
    for (user, result) in settled {
        match result {
            Ok(rechecked) => {
                metrics.count_recheck(&rechecked, Utc::now());
                metrics.found_by_sweep += u64::from(
                    kind == Sweep::Routine && rechecked.outcomes.contains(&Outcome::Opened),
                );
                summary.open.extend(rechecked.open);
            }
            Err(failure) => {
                error!(account, user = user.name(), %failure, "a user could not be re-checked in a sweep");
                summary.unchecked.push(user);
                summary.failure = Some(failure);
            }
        }
    }
    summary
        .open
        .sort_by(|one, other| (one.opened_at, &one.id).cmp(&(other.opened_at, &other.id)));
    summary
}

/// Queues the further checks that a re-check requests.
async fn queue_rechecks(
    sweeper: &Sweeper,
    user: UserId,
    result: Result<RecheckOutcome, ServiceError>,
) -> (UserId, Result<RecheckOutcome, ServiceError>) {
    let rechecked = match result {
        Ok(rechecked) => rechecked,
        Err(failure) => return (user, Err(failure)),
    };
    let rechecks = &sweeper.deployment.rechecks;
    let queued = rechecks.queue_all(&user, &rechecked).await;
    (user, queued.map(|()| rechecked))
}

/// Queues a re-check by the detector for each of `users`.
async fn queue_unchecked_users(sweeper: &Sweeper, users: &[UserId]) -> Result<(), ServiceError> {
    stream::iter((UNCHECKED_RECHECK_SECONDS..).zip(users))
        .map(Ok)
        .try_for_each_concurrent(QUEUED_AT_ONCE, |(seconds, user)| {
            let rechecks = &sweeper.deployment.rechecks;
            rechecks.queue(user, [TimeDelta::seconds(seconds)])
        })
        .await
}

/// Sends the pending digests. Each is marked delivered once its sink has accepted it, so a crash
/// repeats at most one.
async fn deliver_digests(
    sweeper: &Sweeper,
    mut record: AccountRecord,
    summary: &RecheckSummary,
    now: Timestamp,
    metrics: &mut Metrics,
) -> Result<(), ServiceError> {
    let findings: Vec<Finding> = summary
        .open
        .iter()
        .filter(|finding| finding.status == FindingStatus::Open)
        .cloned()
        .collect();
    let mut result = Ok(());
    for (name, kind) in record.pending_digests.clone() {
        let sinks = &sweeper.deployment.dependencies.sinks;
        let Some(sink) = sinks.iter().find(|sink| sink.name() == name) else {
            warn!(
                sink = name,
                "a pending digest is for a sink that is not configured"
            );
            metrics.count_failed_delivery(&name);
            continue;
        };
        let digest = Digest {
            account: record.account.clone(),
            kind,
            at: now,
            findings: findings.clone(),
            unchecked: summary.unchecked.len(),
        };
        // A digest whose findings have all been closed is no longer needed. Findings of unchecked
        // users may still be open.
        let is_needed = !digest.findings.is_empty() || digest.unchecked > 0;
        if is_needed && let Err(failure) = sink.send_digest(&digest).await {
            error!(sink = name, account = record.account, %failure, "a digest could not be delivered and stays pending");
            metrics.count_failed_delivery(&name);
            result = Err(failure);
            continue;
        }
        record = record.with_digest_delivered(&name);
        if !sweeper.deployment.table.put_account(&record).await? {
            // Another sweep continues from its own record, and repeats what is pending there.
            return result;
        }
    }
    result
}
