//! The re-check of one user: load, list, decide, commit, deliver.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use futures::future::{join, try_join4};
use tracing::{error, info, warn};

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, AlertKind, OwedAlert};
use crate::detect::decide::{Decision, decide};
use crate::detect::familiar::{Familiar, learned};
use crate::detect::finding::Finding;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{Answer, KeyListing};
use crate::detect::policy::Policy;
use crate::detect::retire::LastUses;
use crate::detect::situation::{Former, Outcome, Situation, Sweep};
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::detect::view::Unsettled;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::commit::{Commit, Committed, MAX_EVENTS};
use crate::pipeline::deliver::{Undelivered, deliver};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;
use crate::pipeline::key_source::KeySource;
use crate::pipeline::turn::{in_turn, wait_for};
use crate::stored::broken_trail;

/// How many entries that the record does not know the next ones are put behind: a whole trail, where the record is lost.
const MAX_FOREIGN: u64 = 1 << 20;

/// How often a re-check starts anew because somebody else wrote the record.
const MAX_ATTEMPTS: u32 = 8;

/// The longest wait before a re-check starts anew, in milliseconds.
const MAX_BACKOFF_MS: u64 = 1_000;

/// How many former names of a user are followed.
const MAX_FORMER_NAMES: usize = 8;

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
    /// The alerts that their sink did not take.
    pub failed_deliveries: Vec<Undelivered>,
    /// After how long the user is to be looked at again. Whoever called must see to it before the events that led here
    /// are given up.
    pub rechecks: BTreeSet<TimeDelta>,
    /// How often somebody else had written the record.
    pub conflicts: u32,
    /// How many events stood in the audit trail already.
    pub duplicates: usize,
    /// Why views were not settled.
    pub unsettled: BTreeSet<Unsettled>,
    /// The finding that is open now, hidden or not.
    pub open: Option<Finding>,
    /// The users to be looked at now, because a finding goes on under their name. The caller must see to it as to `rechecks`.
    pub follow_ups: BTreeSet<UserId>,
    /// Why the keys could not be listed, if they could not: what is kept says nothing new then.
    pub refused: Option<String>,
}

/// Why a user is re-checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of its own about why a user is looked at"
)]
pub struct Occasion {
    /// What events told; nothing where the re-check was due.
    pub changes: Vec<KeyChange>,
    /// Whether somebody may have begun this before and died half-way.
    pub is_retry: bool,
    /// The sweep that asks, where no event does.
    pub sweep: Option<Sweep>,
    /// The user's name as IAM spells it, if the caller knows.
    pub name: Option<String>,
    /// Whether this was tried before, in vain. Then keys that cannot be listed count as refused, whatever the reason: what
    /// events say must not wait until a service is well again.
    pub has_failed: bool,
    /// The user's former names that events of the same batch tell of, the last first; and what these tell of its keys then.
    pub former_names: Vec<(UserId, Vec<KeyChange>)>,
    /// Whether `changes` are what CloudTrail keeps of the past, and no news.
    pub is_history: bool,
    /// Whether the user's account has left the organization or was closed.
    pub has_left: bool,
}

/// Re-checks `user` on `occasion`. `now` is the moment at which it began.
pub async fn recheck(
    parts: &Parts,
    user: &UserId,
    occasion: &Occasion,
    now: Timestamp,
) -> Result<Rechecked, ServiceError> {
    // Times are stored in milliseconds; what is decided on must equal what is read back.
    let now = now.trunc_subsecs(3);
    let distinct: BTreeMap<&str, &KeyChange> = occasion
        .changes
        .iter()
        .map(|change| (change.id.as_str(), change))
        .collect();
    let mut changes: Vec<KeyChange> = distinct.into_values().cloned().collect();
    changes.sort_by_key(|change| change.at);
    let occasion = Occasion {
        changes,
        ..occasion.clone()
    };

    let mut rechecked = Rechecked::default();
    let mut recorded = 0;
    loop {
        let until = occasion.changes.len().min(recorded + MAX_EVENTS);
        recheck_part(parts, user, &occasion, recorded..until, now, &mut rechecked).await?;
        recorded = until;
        if recorded == occasion.changes.len() {
            return Ok(rechecked);
        }
    }
}

/// Decides on all that the occasion tells, and records the changes in `part`, for not all of them may fit in a commit.
async fn recheck_part(
    parts: &Parts,
    user: &UserId,
    occasion: &Occasion,
    part: Range<usize>,
    now: Timestamp,
    rechecked: &mut Rechecked,
) -> Result<(), ServiceError> {
    let changes = &occasion.changes;
    let of_other_parts: BTreeSet<String> = changes
        .iter()
        .enumerate()
        .filter(|(place, _)| !part.contains(place))
        .map(|(_, change)| change.id.clone())
        .collect();
    for attempt in 0..MAX_ATTEMPTS {
        // INVARIANT (load before list): what the next version holds was listed after this one was written.
        let record = parts.store.record(user).await?;
        let former_and_listing = async {
            let former = formers(parts, &record, occasion, now).await?;
            let listing = listing(parts, user, &record, occasion, now).await?;
            Ok((former, listing))
        };
        // Read after the record, or an alert that this version of it owes could be overlooked, and overtaken.
        let (owed, exemptions, familiar, (former, listing)) = try_join4(
            parts.store.owed(user),
            parts.store.exemptions(user.account()),
            parts.store.familiar(user.account()),
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
                is_retry: occasion.is_retry,
                former: &former,
                exemptions: &exemptions,
                familiar: &familiar,
                sweep: occasion.sweep,
                has_left: occasion.has_left,
                is_history: occasion.is_history,
                foreign_entry,
            };
            let decision = decide(&situation, &parts.policy, now);
            let commit = Commit::of(&decision, &sinks_for(parts, &decision), now);
            let (to_deliver, to_wait_for) = in_turn(&owed, &commit.owed, now);
            let (committed, last_uses) = join(
                parts.store.commit(&commit),
                last_uses(parts, user, &to_deliver),
            )
            .await;
            match committed? {
                Committed::Written => {
                    log(user, &decision);
                    rechecked.duplicates += already_recorded.len() - of_other_parts.len();
                    let news = learned_by(&decision, &familiar, now);
                    rechecked.add(decision);
                    rechecked.refused = refusal(&listing);
                    rechecked
                        .rechecks
                        .extend(wait_for(&to_wait_for, occasion.is_retry, now));
                    let delivered = deliver(
                        parts.store.as_ref(),
                        &parts.sinks,
                        to_deliver,
                        &last_uses,
                        now,
                    )
                    .await;
                    rechecked.told.extend(delivered.told);
                    rechecked.failed_deliveries.extend(delivered.failed);
                    rechecked.rechecks.extend(delivered.retries);
                    return keep(parts, &news).await;
                }
                Committed::AlreadyRecorded(ids) if !ids.is_subset(&already_recorded) => {
                    already_recorded.extend(ids);
                }
                // INVARIANT (detection does not depend on integrity): the next try leaves twice as many places out.
                Committed::TrailTaken(place)
                    if foreign_entry
                        .is_none_or(|known| known < MAX_FOREIGN + record.audit.sequence) =>
                {
                    error!(
                        account = user.account(),
                        user = user.name(),
                        sequence = place,
                        "the audit trail holds an entry that the user's record does not know; the next entries come after it"
                    );
                    let passed = place - record.audit.sequence;
                    foreign_entry = Some(record.audit.sequence + 2 * passed - 1);
                }
                Committed::TrailTaken(place) => return Err(broken_trail(user, place)),
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

/// Why the keys could not be listed, if they could not.
fn refusal(listing: &KeyListing) -> Option<String> {
    match listing.answer() {
        Answer::Refused { reason } => Some(reason.clone()),
        _ => None,
    }
}

/// What the user's latest finding shows of the actors who made its keys, beside what is known.
fn learned_by(decision: &Decision, known: &[Familiar], now: Timestamp) -> Vec<Familiar> {
    let latest = decision.record.finding.as_ref();
    latest.map_or_else(Vec::new, |finding| learned(finding, known, now))
}

/// Keeps what was learned of actors. Not within the commit: there two rotations of one pipeline that
/// end together would refuse each other. Where it fails or the worker dies before it, the next look
/// at the user finds out the same from the closed finding.
async fn keep(parts: &Parts, learned: &[Familiar]) -> Result<(), ServiceError> {
    for familiar in learned {
        parts.store.put_familiar(familiar).await?;
        info!(
            account = familiar.account,
            actor = familiar.identity,
            "the actor completed a rotation; its next key is no reason for a higher severity"
        );
    }
    Ok(())
}

impl Rechecked {
    /// Whether a finding is open of which a later look may say otherwise, for IAM is some seconds behind its changes.
    #[must_use]
    pub fn is_to_be_seen_again(&self) -> bool {
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

/// The keys of `user`. Where they could not be listed before either, that counts as a refusal and no longer as a failure.
async fn listing(
    parts: &Parts,
    user: &UserId,
    record: &UserRecord,
    occasion: &Occasion,
    now: Timestamp,
) -> Result<KeyListing, ServiceError> {
    if occasion.has_left {
        let reason = "the account left the organization or was closed";
        return Ok(KeyListing::refused(now, reason));
    }
    let listed = parts.keys.list(user, spelling(record, occasion)).await;
    // INVARIANT (blindness is news): a service that is down for long must not silence the detector.
    listed.or_else(|failure| {
        if !occasion.has_failed {
            return Err(failure);
        }
        warn!(account = user.account(), user = user.name(), %failure, "the keys could not be listed again; events decide");
        Ok(KeyListing::refused(now, failure.to_string()))
    })
}

/// The user's name as the latest event spells it, or the caller, or as IAM last did.
fn spelling<'a>(record: &'a UserRecord, occasion: &'a Occasion) -> &'a str {
    occasion
        .changes
        .iter()
        .rev()
        .find_map(|change| match &change.kind {
            ChangeKind::UserRenamed { to, to_name } if *to == record.user => Some(to_name),
            _ => (change.user == record.user).then_some(&change.user_name),
        })
        .or(occasion.name.as_ref())
        .unwrap_or(&record.display_name)
}

/// A former name of a user.
struct Lead {
    name: UserId,
    /// What the events at hand say of it.
    changes: Vec<KeyChange>,
    /// Whether a finding under that name may go on; otherwise only what events said of the keys
    /// counts.
    may_go_on: bool,
}

impl Lead {
    /// What leads on from `record`: what is `told` of a former name, or else what the record knows.
    fn of(
        told: Option<(UserId, Vec<KeyChange>)>,
        record: &UserRecord,
        may_go_on: bool,
        now: Timestamp,
    ) -> Option<Self> {
        let by_record = || {
            let from = record.renamed_from.clone().filter(|_| may_go_on)?;
            Some((from, vec![]))
        };
        if let Some((name, changes)) = told.or_else(by_record) {
            return Some(Self {
                name,
                changes,
                may_go_on,
            });
        }
        let former = record.former_name.as_ref();
        let former = former.filter(|former| former.matters(now))?;
        Some(Self {
            name: former.user.clone(),
            changes: vec![],
            may_go_on: false,
        })
    }
}

/// What is kept of the user under its former names, the last name first. A name leads to the one before it, by the events at
/// hand or by its record.
async fn formers(
    parts: &Parts,
    record: &UserRecord,
    occasion: &Occasion,
    now: Timestamp,
) -> Result<Vec<Former>, ServiceError> {
    let mut formers = Vec::new();
    let mut told = occasion
        .former_names
        .iter()
        .map(|(name, changes)| (name.clone(), changes.clone()));
    let renamed_just_now = occasion
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
    // A finding that goes on from a former one already needs no other.
    let mut may_go_on = record
        .open_finding()
        .is_none_or(|open| open.continues.is_none());
    let told_first = told.next().or(renamed_just_now);
    let mut next = Lead::of(told_first, record, may_go_on, now);
    let mut seen = BTreeSet::from([record.user.clone()]);
    while let Some(lead) = next.filter(|_| seen.len() <= MAX_FORMER_NAMES)
        && seen.insert(lead.name.clone())
    {
        may_go_on = lead.may_go_on;
        let former = parts.store.record(&lead.name).await?;
        next = Lead::of(told.next(), &former, may_go_on, now);
        let changes = lead.changes.iter();
        let evidence = changes.fold(former.evidence, |evidence, change| {
            evidence.with(&lead.name, change)
        });
        formers.push(Former {
            user: lead.name,
            finding: former.finding.filter(|_| may_go_on),
            evidence,
        });
    }
    Ok(formers)
}

/// The last uses of the keys that the alerts to come speak of; none if there is nothing to tell.
pub async fn last_uses(parts: &Parts, user: &UserId, to_deliver: &[OwedAlert]) -> LastUses {
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

/// The sinks that are told what `decision` tells.
fn sinks_for(parts: &Parts, decision: &Decision) -> Vec<&'static str> {
    let in_digest = decision.alert.as_ref().is_some_and(|alert| alert.in_digest);
    parts
        .sinks
        .iter()
        .filter(|sink| !in_digest || sink.is_for_programs())
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

/// A random wait that doubles its bound from one attempt to the next.
fn backoff(attempt: u32) -> Duration {
    let bound_ms = (20_u64 << attempt).min(MAX_BACKOFF_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}
