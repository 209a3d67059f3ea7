//! Feeds key changes from logs through the same pipeline as live events, in the order in which they
//! happened.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::events::health::LeakReport;
use crate::detect::events::key_change::KeyChange;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::local::caught_up::{caught_up, is_in_listing, refuse_older_than_listing};
use crate::local::changes::{ChangeStream, EncodedChange, MergedChanges, ahead};
use crate::local::kept_changes::{ReplayAction, ReplayPlan};
use crate::local::ledger::{Ledger, LedgerUsers};
use crate::local::ledger_table::{self, ReplayHistory};
use crate::local::log_reading::LogReading;
use crate::local::replay_store::ReplayStore;
use crate::local::sqlite::SqliteStore;
use crate::local::uses::RecordedUse;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::key_source::KeySource;
use crate::pipeline::recheck::{Dependencies, RecheckRequest, recheck};

/// The results of a replay in addition to the findings.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The keys that existed before the first record that mentions them.
    pub known_only_from_then: BTreeSet<(UserId, String)>,
    /// How many changes were already in the file from earlier replays.
    pub already_replayed: usize,
    /// How many leaked keys AWS Health reported that, according to the logs, no user had at that
    /// time.
    pub reported_without_owner: usize,
}

/// Feeds the changes in `reading` through the pipeline into `store`. Either everything is stored or
/// nothing.
pub async fn replay(
    reading: &LogReading,
    store: Arc<SqliteStore>,
    sinks: Vec<Box<dyn AlertSink>>,
    policy: &Policy,
) -> Result<Replay, ServiceError> {
    store.begin()?;
    let mut before = store.write(ledger_table::load)?;
    let plan = Arc::new(ReplayPlan::of(&store, &before, reading)?);
    let told = plan.reset_accounts(&store)?;
    plan.retain_continued(&mut before);
    let users = caught_up(
        store.as_ref(),
        &before,
        &reading.changes,
        policy.consistency_window,
    )
    .await?;
    let stream = ChangeReplay {
        plan: Arc::clone(&plan),
        store: Arc::clone(&store),
        reading,
    };
    let reports = of_reports(&stream, &users).await?;
    let news = KnownChanges::of(&before, &users, &stream, &reports.changes)?;
    let newest = newest(before.newest, reading);

    let ledger = Arc::new(Ledger::new(users).with_uses(Arc::clone(&plan.uses)));
    let at_hand = Arc::new(ReplayStore::over(store.clone(), told)?);
    let sinks = at_hand.without_repeats(sinks);
    let parts = Dependencies {
        store: at_hand.clone(),
        keys: ledger.clone(),
        sinks,
        policy: Policy {
            // The ledger is never behind the records.
            consistency_window: TimeDelta::zero(),
            ..policy.clone()
        },
    };
    let mut replay = Replay {
        already_replayed: plan.already_replayed + reports.already_replayed + news.known.len(),
        reported_without_owner: reports.without_owner,
        ..Replay::default()
    };
    let learning = UseLearner {
        ledger: &ledger,
        store: at_hand.as_ref(),
        known_only_from_then: &mut replay.known_only_from_then,
    };
    replay_changes(&stream, &reports.changes, &news, learning, &parts).await?;
    at_hand.flush()?;

    let mut findings = store.findings(FindingStatus::Open).await?;
    // An exemption may have expired since.
    findings.extend(store.findings(FindingStatus::Suppressed).await?);
    for user in findings.iter().map(Finding::user) {
        match newest.get(user.account()) {
            Some(now) if ledger.knows(user, *now) => {
                ledger.advance(*now);
                recheck(&parts, user, &RecheckRequest::default(), *now).await?;
            }
            // Another command's finding is left to commands that know the user.
            _ => {}
        }
    }
    at_hand.flush()?;
    let after = ReplayHistory {
        users: ledger.users(),
        newest,
    };
    // The verdicts that are shown depend on them.
    plan.keep_uses(&store)?;
    store.write(|connection| ledger_table::save_newest(connection, &after))?;
    if !store.is_scratch() {
        store.write(|connection| ledger_table::save(connection, &after))?;
        plan.keep(&store, reading, &after.newest.keys().cloned().collect())?;
    }
    store.commit_all()?;
    Ok(replay)
}

/// Feeds the changes of `stream` and `reports` through the pipeline, second by second, with the
/// uses of keys in between.
async fn replay_changes(
    stream: &ChangeReplay<'_>,
    reports: &[KeyChange],
    news: &KnownChanges,
    mut learning: UseLearner<'_>,
    parts: &Dependencies,
) -> Result<(), ServiceError> {
    let plan = &stream.plan;
    let calls = plan.uses.in_order().into_iter();
    let mut calls = calls.filter(|call| plan.starts_over(&call.user)).peekable();
    for second in stream.seconds(reports)? {
        let mut second = second?;
        second.retain(|change| !news.known.contains(&change.id));
        let Some(at) = second.first().map(|change| change.at) else {
            continue;
        };
        while let Some(used) = calls.next_if(|used| used.at < at) {
            if learning.learns(&used).await? {
                recheck(parts, &used.user, &scheduled_recheck(), used.at).await?;
            }
        }
        let mut users_of_learned = BTreeSet::new();
        while let Some(used) = calls.next_if(|used| used.at == at) {
            // A key that is created in this second can only be used afterwards.
            if !second.iter().any(|change| change.creates(&used.key))
                && learning.learns(&used).await?
            {
                users_of_learned.insert(used.user);
            }
        }
        for change in learning.ledger.legal_order(second) {
            if let Some(key) = learning.ledger.apply(&change) {
                let known = (change.user.clone(), key);
                learning.known_only_from_then.insert(known);
            }
            let users = change.affected_users();
            let request = RecheckRequest {
                changes: vec![change],
                // The ledger shows each pair itself. The order within a second is the replay's own,
                // so the evidence of events adds nothing.
                is_history: true,
                ..RecheckRequest::default()
            };
            for user in users {
                recheck(parts, &user, &request, at).await?;
                users_of_learned.remove(&user);
            }
        }
        for user in users_of_learned {
            recheck(parts, &user, &scheduled_recheck(), at).await?;
        }
    }
    for used in calls {
        if learning.learns(&used).await? {
            recheck(parts, &used.user, &scheduled_recheck(), used.at).await?;
        }
    }
    Ok(())
}

/// A check of a user that no change triggered.
fn scheduled_recheck() -> RecheckRequest {
    RecheckRequest {
        is_history: true,
        ..RecheckRequest::default()
    }
}

/// Feeds uses of keys to the ledger.
struct UseLearner<'a> {
    ledger: &'a Ledger,
    store: &'a ReplayStore,
    known_only_from_then: &'a mut BTreeSet<(UserId, String)>,
}

impl UseLearner<'_> {
    /// Whether the ledger learned anything from `used`.
    async fn learns(&mut self, used: &RecordedUse) -> Result<bool, ServiceError> {
        if self.ledger.has(used) {
            return Ok(false);
        }
        let record = self.store.record(&used.user).await?;
        let learned = self.ledger.learn(used, &record.evidence);
        if learned {
            let known = (used.user.clone(), used.key.clone());
            self.known_only_from_then.insert(known);
        }
        Ok(learned)
    }
}

/// Reports of leaked keys, as changes of the users who had the keys at the time.
#[derive(Default)]
struct LeakReportChanges {
    /// Sorted.
    changes: Vec<KeyChange>,
    /// How many keys belonged to no user.
    without_owner: usize,
    /// How many of the changes were already replayed.
    already_replayed: usize,
}

/// Assigns the reports in the logs and in the file to users. `users` is the state before the first
/// change.
async fn of_reports(
    stream: &ChangeReplay<'_>,
    users: &LedgerUsers,
) -> Result<LeakReportChanges, ServiceError> {
    let kept = &stream.plan.reports;
    let read = &stream.reading.reports;
    let is_news = |report: &&LeakReport| !kept.contains(report);
    let mut all: Vec<&LeakReport> = kept.iter().chain(read.iter().filter(is_news)).collect();
    let mut reports = LeakReportChanges::default();
    if all.is_empty() {
        return Ok(reports);
    }
    all.sort_by_key(|report| report.at);
    let mut changes = BTreeMap::new();
    let ledger = Ledger::new(users.clone());
    let mut seconds = stream.seconds(&[])?.peekable();
    for report in all {
        let is_due = |second: &Result<Vec<KeyChange>, ServiceError>| match second {
            Ok(second) => second.iter().any(|change| change.at <= report.at),
            Err(_) => true,
        };
        while let Some(second) = seconds.next_if(is_due) {
            for change in ledger.legal_order(second?) {
                ledger.apply(&change);
            }
        }
        let is_read = read.contains(report);
        for key in &report.keys {
            let Some(name) = ledger.owner(&report.account, key).await? else {
                reports.without_owner += usize::from(is_read);
                continue;
            };
            let change = report.change(key, &name);
            let is_kept = kept.contains(report);
            reports.already_replayed += usize::from(is_kept && is_read);
            if stream.plan.action(&change, is_kept) != ReplayAction::Skip {
                changes.insert(change.id.clone(), change);
            }
        }
    }
    reports.changes = changes.into_values().collect();
    reports
        .changes
        .sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    Ok(reports)
}

/// Which changes the file already contains.
struct KnownChanges {
    /// The IDs of the changes that were already replayed.
    known: HashSet<String>,
}

impl KnownChanges {
    /// Inspects all changes. Returns an error if one of them is too old for a decision that was
    /// already made.
    fn of(
        before: &ReplayHistory,
        users: &LedgerUsers,
        stream: &ChangeReplay<'_>,
        reports: &[KeyChange],
    ) -> Result<Self, ServiceError> {
        let mut known = HashSet::new();
        if before.newest.is_empty() && users.is_empty() {
            return Ok(Self { known });
        }
        let mut too_old_for_listing = Ok(());
        for second in stream.seconds(reports)? {
            for change in second? {
                if stream.plan.action(&change, false) == ReplayAction::StartOver {
                    continue;
                }
                let is_recorded = stream
                    .store
                    .read(|file| ledger_table::is_recorded(file, &change))?;
                let replayed_until = before.newest.get(change.user.account());
                let is_known = Some(&change.at) <= replayed_until || is_in_listing(&change, users);
                // A change that another command recorded after this time is still new to the
                // ledger.
                if is_known && is_recorded {
                    known.insert(change.id);
                    continue;
                }
                refuse_older(&change, replayed_until)?;
                if !is_recorded && too_old_for_listing.is_ok() {
                    too_old_for_listing = refuse_older_than_listing(&change, users);
                }
            }
        }
        too_old_for_listing?;
        Ok(Self { known })
    }
}

/// The time of the newest record of each account, in this replay or an earlier one.
fn newest(
    mut newest: BTreeMap<String, Timestamp>,
    reading: &LogReading,
) -> BTreeMap<String, Timestamp> {
    for (account, read) in &reading.newest_of {
        let known = newest.entry(account.clone()).or_insert(*read);
        *known = (*known).max(*read);
    }
    newest
}

/// Returns an error if `change` is older than records of its account that were already decided on.
fn refuse_older(change: &KeyChange, newest: Option<&Timestamp>) -> Result<(), ServiceError> {
    match newest.filter(|newest| change.at < **newest) {
        Some(newest) => Err(ServiceError::permanent(format!(
            "the logs contain a change at {} in account {} that is not in the database, which already has \
             the account's records up to {}; replay all logs together into a new file",
            change.at.format("%Y-%m-%d %H:%M:%S UTC"),
            change.user.account(),
            newest.format("%Y-%m-%d %H:%M:%S UTC"),
        ))),
        None => Ok(()),
    }
}

struct ChangeReplay<'a> {
    plan: Arc<ReplayPlan>,
    store: Arc<SqliteStore>,
    reading: &'a LogReading,
}

impl ChangeReplay<'_> {
    /// The changes to replay, including those of `reports`, grouped by second and sorted by time.
    fn seconds(
        &self,
        reports: &[KeyChange],
    ) -> Result<impl Iterator<Item = Result<Vec<KeyChange>, ServiceError>> + use<>, ServiceError>
    {
        let reports: Vec<_> = reports.iter().map(EncodedChange::of).collect();
        let reports: ChangeStream = Box::new(reports.into_iter());
        let mut changes = self.plan.merged(&self.store, self.reading)?;
        if self.plan.takes_all() {
            let merged = MergedChanges::of(vec![Box::new(changes), reports])?;
            return Ok(by_second(ahead(merged.map(|entry| entry?.change()))));
        }
        let plan = Arc::clone(&self.plan);
        let changes = std::iter::from_fn(move || {
            loop {
                let (entry, first, _) = match changes.next_of().transpose()? {
                    Ok(next) => next,
                    Err(error) => return Some(Err(error)),
                };
                match entry.change() {
                    Ok(change) if plan.action(&change, first == 0) == ReplayAction::Skip => {}
                    change => return Some(change.and_then(|change| EncodedChange::of(&change))),
                }
            }
        });
        let merged = MergedChanges::of(vec![Box::new(changes), reports])?;
        Ok(by_second(ahead(merged.map(|entry| entry?.change()))))
    }
}

/// Groups sorted `changes` by second.
fn by_second(
    changes: impl Iterator<Item = Result<KeyChange, ServiceError>>,
) -> impl Iterator<Item = Result<Vec<KeyChange>, ServiceError>> {
    let mut changes = changes.peekable();
    std::iter::from_fn(move || {
        let first = match changes.next()? {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        let at = first.at;
        let mut second = vec![first];
        let is_same = |change: &Result<KeyChange, _>| match change {
            Ok(change) => change.at == at,
            Err(_) => true,
        };
        while let Some(change) = changes.next_if(is_same) {
            match change {
                Ok(change) => second.push(change),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(second))
    })
}
