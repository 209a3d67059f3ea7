//! The re-check of one user: load, list, decide, commit, deliver.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use futures::future::{join, try_join4};
use tracing::{error, info, warn};

use crate::detect::Timestamp;
use crate::detect::decision::decide::{Decision, decide};
use crate::detect::decision::familiar::{FamiliarActor, newly_familiar};
use crate::detect::decision::policy::Policy;
use crate::detect::decision::situation::{FormerUser, Outcome, Situation, Sweep, Unwatched};
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::findings::alert::{Alert, AlertKind, PendingAlert};
use crate::detect::findings::finding::Finding;
use crate::detect::keys::listing::{KeyListing, ListingAnswer};
use crate::detect::keys::view::UnsettledReason;
use crate::detect::records::user_record::UserRecord;
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::pipeline::alert_sink::{AlertSink, Audience};
use crate::pipeline::commit::{Commit, CommitResult, MAX_EVENTS};
use crate::pipeline::error::{ServiceError, broken_trail};
use crate::pipeline::finding_store::FindingStore;
use crate::pipeline::key_source::KeySource;
use crate::pipeline::outbox::deliver::{FailedDelivery, deliver};
use crate::pipeline::outbox::schedule::{deliveries, recheck_delay};

/// The maximum number of unknown entries to skip in the trail: enough for a whole trail whose
/// record was lost.
const MAX_FOREIGN: u64 = 1 << 20;

/// How often a re-check starts again after another worker wrote the record.
const MAX_ATTEMPTS: u32 = 8;

/// The longest wait before a re-check starts again, in milliseconds.
const MAX_BACKOFF_MS: u64 = 1_000;

/// How many former names of a user are followed.
const MAX_FORMER_NAMES: usize = 8;

/// How long an alert waits for the last use of its keys, from the start of its commit.
const LAST_USED_WAIT: Duration = Duration::from_secs(1);

/// What a re-check needs.
pub struct Dependencies {
    /// Where the user's record is stored.
    pub store: Arc<dyn FindingStore>,
    /// Where the user's keys are listed.
    pub keys: Arc<dyn KeySource>,
    /// Where alerts are sent.
    pub sinks: Vec<Box<dyn AlertSink>>,
    /// The settings.
    pub policy: Policy,
}

/// The result of a re-check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecheckOutcome {
    /// The outcome of each commit.
    pub outcomes: Vec<Outcome>,
    /// The delivered alerts, with the name of their sink.
    pub delivered: Vec<(Alert, &'static str)>,
    /// The alerts that their sink did not accept.
    pub failed_deliveries: Vec<FailedDelivery>,
    /// The delays after which to check the user again. The caller must schedule these checks before
    /// it acknowledges the events.
    pub rechecks: BTreeSet<TimeDelta>,
    /// How often another worker had written the record.
    pub conflicts: u32,
    /// How many events were already in the audit trail.
    pub duplicates: usize,
    /// Why views were unsettled.
    pub unsettled: BTreeSet<UnsettledReason>,
    /// The open finding, suppressed or not.
    pub open: Option<Finding>,
    /// The users to check now, because a finding continues under their name. The caller must
    /// schedule these checks like `rechecks`.
    pub follow_ups: BTreeSet<UserId>,
    /// Why the keys could not be listed, if they could not. The stored record is then not up to
    /// date.
    pub refused: Option<String>,
}

/// Why a user is re-checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecheckRequest {
    /// The changes from events; empty for a scheduled re-check.
    pub changes: Vec<KeyChange>,
    /// Whether an earlier attempt may have failed halfway.
    pub is_retry: bool,
    /// The sweep that led to this check, if it was not an event.
    pub sweep: Option<Sweep>,
    /// The user's name as spelled by IAM, if the caller knows it.
    pub name: Option<String>,
    /// Whether an earlier attempt failed. If so, keys that cannot be listed for any reason count as
    /// refused: the evidence of events must not wait for a service to recover.
    pub has_failed_before: bool,
    /// The user's former names according to the events of the batch, latest first, with the changes
    /// under each name.
    pub former_names: Vec<(UserId, Vec<KeyChange>)>,
    /// Whether `changes` come from CloudTrail's history instead of being new.
    pub is_history: bool,
    /// Why the user's account is not watched any more, if so.
    pub unwatched: Option<Unwatched>,
}

/// Re-checks `user` for `request`. `now` is the time at which the re-check began.
pub async fn recheck(
    dependencies: &Dependencies,
    user: &UserId,
    request: &RecheckRequest,
    now: Timestamp,
) -> Result<RecheckOutcome, ServiceError> {
    // Times are stored in milliseconds, and a decision must be based on what is read back.
    let now = now.trunc_subsecs(3);
    let in_order;
    let request = if request.changes.len() > 1 {
        in_order = request.in_order();
        &in_order
    } else {
        request
    };

    let mut rechecked = RecheckOutcome::default();
    let mut recorded = 0;
    loop {
        let until = request.changes.len().min(recorded + MAX_EVENTS);
        recheck_and_commit(
            dependencies,
            user,
            request,
            recorded..until,
            now,
            &mut rechecked,
        )
        .await?;
        recorded = until;
        if recorded == request.changes.len() {
            return Ok(rechecked);
        }
    }
}

impl RecheckRequest {
    /// The same request with each change once, in order of time.
    fn in_order(&self) -> Self {
        let distinct: BTreeMap<&str, &KeyChange> = self
            .changes
            .iter()
            .map(|change| (change.id.as_str(), change))
            .collect();
        let mut changes: Vec<KeyChange> = distinct.into_values().cloned().collect();
        changes.sort_by_key(|change| change.at);
        Self {
            changes,
            is_retry: self.is_retry,
            sweep: self.sweep,
            name: self.name.clone(),
            has_failed_before: self.has_failed_before,
            former_names: self.former_names.clone(),
            is_history: self.is_history,
            unwatched: self.unwatched,
        }
    }
}

/// Decides on all changes of the request, and records those in `part`, because they may not all fit
/// into one commit.
async fn recheck_and_commit(
    dependencies: &Dependencies,
    user: &UserId,
    request: &RecheckRequest,
    part: Range<usize>,
    now: Timestamp,
    rechecked: &mut RecheckOutcome,
) -> Result<(), ServiceError> {
    let changes = &request.changes;
    let of_other_parts: BTreeSet<String> = changes
        .iter()
        .enumerate()
        .filter(|(place, _)| !part.contains(place))
        .map(|(_, change)| change.id.clone())
        .collect();
    for attempt in 0..MAX_ATTEMPTS {
        // INVARIANT (load before list): the listing of the next version is requested after this
        // version was written.
        let record = dependencies.store.record(user).await?;
        let former_and_listing = async {
            let former = load_former_users(dependencies, &record, request, now).await?;
            let listing = listing(dependencies, user, &record, request, now).await?;
            Ok((former, listing))
        };
        // This is read after the record. Otherwise a pending alert of this version could be missed
        // and overtaken.
        let (pending, exemptions, familiar, (former, listing)) = try_join4(
            dependencies.store.pending_alerts(user),
            dependencies.store.exemptions(user.account()),
            dependencies.store.familiar(user.account()),
            former_and_listing,
        )
        .await?;
        let now = now.max(listing.requested_at());

        let mut already_recorded = of_other_parts.clone();
        let mut foreign_entry = None;
        loop {
            let situation = Situation {
                record: &record,
                listing: &listing,
                changes,
                already_recorded: &already_recorded,
                is_retry: request.is_retry,
                former_users: &former,
                exemptions: &exemptions,
                familiar: &familiar,
                sweep: request.sweep,
                unwatched: request.unwatched,
                is_history: request.is_history,
                foreign_entry,
            };
            let decision = decide(&situation, &dependencies.policy, now);
            let commit = Commit::of(&decision, &sinks_for(dependencies, &decision), now);
            let (to_deliver, to_wait_for) = deliveries(&pending, &commit.pending_alerts, now);
            let (committed, last_uses) = join(
                dependencies.store.commit(&commit),
                last_uses(dependencies, user, &to_deliver),
            )
            .await;
            match committed? {
                CommitResult::Written => {
                    log(user, &decision);
                    rechecked.duplicates += already_recorded.len() - of_other_parts.len();
                    let news = learned_familiar(&decision, &familiar, now);
                    rechecked.add(decision);
                    rechecked.refused = listing_refusal(&listing);
                    rechecked
                        .rechecks
                        .extend(recheck_delay(&to_wait_for, request.is_retry, now));
                    let delivered = deliver(
                        dependencies.store.as_ref(),
                        &dependencies.sinks,
                        to_deliver,
                        &last_uses,
                        now,
                    )
                    .await;
                    rechecked.delivered.extend(delivered.delivered);
                    rechecked.failed_deliveries.extend(delivered.failed);
                    rechecked.rechecks.extend(delivered.retries);
                    return store_familiar(dependencies, &news).await;
                }
                CommitResult::AlreadyRecorded(ids) if !ids.is_subset(&already_recorded) => {
                    already_recorded.extend(ids);
                }
                // INVARIANT (detection does not depend on integrity): each attempt skips twice as
                // many places.
                CommitResult::TrailTaken(place)
                    if foreign_entry
                        .is_none_or(|known| known < MAX_FOREIGN + record.audit.sequence) =>
                {
                    error!(
                        account = user.account(),
                        user = user.name(),
                        sequence = place,
                        "the audit trail has an entry that the user's record does not know; the next entries follow it"
                    );
                    let passed = place - record.audit.sequence;
                    foreign_entry = Some(record.audit.sequence + 2 * passed - 1);
                }
                CommitResult::TrailTaken(place) => return Err(broken_trail(user, place)),
                CommitResult::VersionConflict | CommitResult::AlreadyRecorded(_) => break,
            }
        }
        rechecked.conflicts += 1;
        tokio::time::sleep(backoff(attempt)).await;
    }
    Err(ServiceError::retryable(format!(
        "the record of `{user}` changed {MAX_ATTEMPTS} times in a row during a re-check"
    )))
}

/// Why the keys could not be listed, if they could not.
fn listing_refusal(listing: &KeyListing) -> Option<String> {
    match listing.answer() {
        ListingAnswer::Refused { reason } => Some(reason.clone()),
        _ => None,
    }
}

/// The newly familiar actors according to the user's latest finding.
fn learned_familiar(
    decision: &Decision,
    known: &[FamiliarActor],
    now: Timestamp,
) -> Vec<FamiliarActor> {
    let latest = decision.record.finding.as_ref();
    latest.map_or_else(Vec::new, |finding| newly_familiar(finding, known, now))
}

/// Stores newly familiar actors. This is not part of the commit, because two rotations of the same
/// pipeline that end together would conflict there. If it fails or the worker dies, the next check
/// of the user learns the same from the closed finding.
async fn store_familiar(
    dependencies: &Dependencies,
    learned: &[FamiliarActor],
) -> Result<(), ServiceError> {
    for familiar in learned {
        dependencies.store.put_familiar(familiar).await?;
        info!(
            account = familiar.account,
            actor = familiar.identity,
            "the actor completed a rotation; its next key does not raise the severity"
        );
    }
    Ok(())
}

impl RecheckOutcome {
    /// Whether a finding is open that a later check may close or confirm, because IAM is a few
    /// seconds behind.
    #[must_use]
    pub fn needs_another_recheck(&self) -> bool {
        self.open.is_some() && !self.rechecks.is_empty()
    }

    fn add(&mut self, decision: Decision) {
        self.outcomes.push(decision.outcome);
        self.unsettled.extend(decision.unsettled);
        self.rechecks.extend(decision.rechecks);
        self.follow_ups.extend(decision.follow_up);
        self.open = decision.record.open_finding().cloned();
    }
}

/// The keys of `user`. If they could not be listed in an earlier attempt either, the failure counts
/// as a refusal.
async fn listing(
    dependencies: &Dependencies,
    user: &UserId,
    record: &UserRecord,
    request: &RecheckRequest,
    now: Timestamp,
) -> Result<KeyListing, ServiceError> {
    if let Some(unwatched) = request.unwatched {
        return Ok(KeyListing::refused(now, unwatched.close_reason().words()));
    }
    let listed = dependencies
        .keys
        .list(user, spelling(record, request))
        .await;
    // INVARIANT (blindness is news): a long outage of a service must not silence the detector.
    listed.or_else(|failure| {
        if !request.has_failed_before {
            return Err(failure);
        }
        warn!(account = user.account(), user = user.name(), %failure, "the keys could not be listed again; the decision is based on events");
        Ok(KeyListing::refused(now, failure.to_string()))
    })
}

/// The user's name as spelled by the latest event, by the caller, or else by the last listing.
fn spelling<'a>(record: &'a UserRecord, request: &'a RecheckRequest) -> &'a str {
    request
        .changes
        .iter()
        .rev()
        .find_map(|change| match &change.kind {
            ChangeKind::UserRenamed { to, to_name } if *to == record.user => Some(to_name),
            _ => (change.user == record.user).then_some(&change.user_name),
        })
        .or(request.name.as_ref())
        .unwrap_or(&record.display_name)
}

/// A former name of a user.
struct FormerNameLead {
    name: UserId,
    /// The changes under that name in the current batch.
    changes: Vec<KeyChange>,
    /// Whether to continue a finding under that name; otherwise only evidence on the keys counts.
    may_continue: bool,
}

impl FormerNameLead {
    /// The former name that `record` leads to: the one that is `named` by events, or else the
    /// recorded one.
    fn of(
        named: Option<(UserId, Vec<KeyChange>)>,
        record: &UserRecord,
        may_continue: bool,
        now: Timestamp,
    ) -> Option<Self> {
        let by_record = || {
            let from = record.renamed_from.clone().filter(|_| may_continue)?;
            Some((from, vec![]))
        };
        if let Some((name, changes)) = named.or_else(by_record) {
            return Some(Self {
                name,
                changes,
                may_continue,
            });
        }
        let former = record.former_name.as_ref();
        let former = former.filter(|former| former.is_recent(now))?;
        Some(Self {
            name: former.user.clone(),
            changes: vec![],
            may_continue: false,
        })
    }
}

/// What is stored about the user under its former names, latest first. Each name leads to the one
/// before it, through current events or its record.
async fn load_former_users(
    dependencies: &Dependencies,
    record: &UserRecord,
    request: &RecheckRequest,
    now: Timestamp,
) -> Result<Vec<FormerUser>, ServiceError> {
    let mut formers = Vec::new();
    let mut named = request
        .former_names
        .iter()
        .map(|(name, changes)| (name.clone(), changes.clone()));
    let renamed_just_now = request
        .changes
        .iter()
        .find_map(|change| match &change.kind {
            ChangeKind::UserRenamed { to, .. }
                if *to == record.user && change.user != record.user =>
            {
                Some((change.user.clone(), vec![]))
            }
            _ => None,
        });
    // A finding that already continues a former one does not need another.
    let mut may_continue = record
        .open_finding()
        .is_none_or(|open| open.continues.is_none());
    let first_named = named.next().or(renamed_just_now);
    let mut next = FormerNameLead::of(first_named, record, may_continue, now);
    let mut seen = BTreeSet::from([record.user.clone()]);
    while let Some(lead) = next.filter(|_| seen.len() <= MAX_FORMER_NAMES)
        && seen.insert(lead.name.clone())
    {
        may_continue = lead.may_continue;
        let former = dependencies.store.record(&lead.name).await?;
        next = FormerNameLead::of(named.next(), &former, may_continue, now);
        let changes = lead.changes.iter();
        let evidence = changes.fold(former.evidence, |evidence, change| {
            evidence.with_change(&lead.name, change)
        });
        formers.push(FormerUser {
            user: lead.name,
            finding: former.finding.filter(|_| may_continue),
            evidence,
        });
    }
    Ok(formers)
}

/// The last uses of the keys in the alerts to deliver; empty if there are none.
pub(crate) async fn last_uses(
    dependencies: &Dependencies,
    user: &UserId,
    to_deliver: &[PendingAlert],
) -> LastUses {
    let keys: BTreeSet<String> = to_deliver
        .iter()
        .filter(|pending| pending.alert.kind != AlertKind::Closed)
        .flat_map(|pending| pending.alert.finding.active_keys())
        .map(ToOwned::to_owned)
        .collect();
    if keys.is_empty() {
        return LastUses::new();
    }
    let keys: Vec<String> = keys.into_iter().collect();
    tokio::time::timeout(LAST_USED_WAIT, dependencies.keys.last_used(user, &keys))
        .await
        .unwrap_or_default()
}

/// The sinks that get the alert or the refresh of `decision`.
fn sinks_for(dependencies: &Dependencies, decision: &Decision) -> Vec<&'static str> {
    let in_digest = decision.alert.as_ref().is_some_and(|alert| alert.in_digest);
    dependencies
        .sinks
        .iter()
        .filter(|sink| match sink.audience() {
            Audience::People => decision.alert.is_some() && !in_digest,
            Audience::Programs => decision.alert.is_some(),
            Audience::Forgetful => decision.refresh.is_some(),
        })
        .map(|sink| sink.name())
        .collect()
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

/// A random wait, with a limit that doubles with each attempt.
fn backoff(attempt: u32) -> Duration {
    let bound_ms = (20_u64 << attempt).min(MAX_BACKOFF_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}
