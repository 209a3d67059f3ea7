//! Who uses which key, for every output: in sentences, as JSON and as CSV.

pub(crate) mod csv;
pub(crate) mod json;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::detect::Timestamp;
use crate::detect::usage::consumers::{
    CallCounts, MAX_CONSUMERS, Migration, Migrations, UserUsage,
};
use crate::detect::usage::key_use::Consumer;
use crate::output::number::count;
use crate::output::time::readable;

/// How many consumers a sentence names.
const NAMED: usize = 5;

/// Where uses were searched.
#[derive(Debug, Clone)]
pub(crate) enum SearchScope {
    /// Logs.
    Logs {
        /// How many files were named or found.
        files: usize,
        /// How many records they have.
        records: u64,
        /// How many records could not be read.
        malformed: u64,
        /// The times of the oldest and the newest record.
        span: Option<(Timestamp, Timestamp)>,
    },
    /// CloudTrail's event history.
    EventHistory {
        /// The account whose event history it is.
        account: String,
        /// The keys that were searched for.
        keys: Vec<String>,
        /// The Regions that were queried.
        regions: Vec<RegionSearch>,
    },
}

/// The result of one Region's event history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegionSearch {
    /// The Region.
    pub region: String,
    /// How many events it returned.
    pub events: u64,
    /// Whether there may be more.
    pub end: RegionOutcome,
}

/// How the query of one Region ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RegionOutcome {
    /// Everything was read.
    Complete,
    /// These keys reached the limit of events, so older events were not read. With the oldest event
    /// that was read.
    Limit(Vec<(String, Option<Timestamp>)>),
    /// The account has not enabled the Region.
    NotEnabled,
    /// The query failed, for this reason.
    Failed(String),
}

impl SearchScope {
    /// Whether everything was read.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Logs {
                records, malformed, ..
            } => *records > 0 && *malformed == 0,
            Self::EventHistory { regions, .. } => regions.iter().all(|region| {
                matches!(
                    region.end,
                    RegionOutcome::Complete | RegionOutcome::NotEnabled
                )
            }),
        }
    }
}

/// What was searched, in lines. `shown` escapes texts for the output.
#[must_use]
pub(crate) fn search_scope_lines(
    looked_at: &SearchScope,
    shown: &dyn Fn(&str) -> String,
) -> Vec<String> {
    match looked_at {
        SearchScope::Logs {
            files,
            records,
            malformed,
            span,
        } => {
            let mut line = format!(
                "Read {} with {}",
                count(*files, "file"),
                count_of(*records, "record")
            );
            if let Some((oldest, newest)) = span {
                let _ = write!(
                    line,
                    ", from {} to {}",
                    readable(*oldest),
                    readable(*newest)
                );
            }
            if *malformed > 0 {
                let _ = write!(line, "; {malformed} could not be read (see stderr)");
            }
            vec![line + "."]
        }
        SearchScope::EventHistory {
            account, regions, ..
        } => {
            let is_asked = |region: &&RegionSearch| {
                !matches!(
                    region.end,
                    RegionOutcome::NotEnabled | RegionOutcome::Failed(_)
                )
            };
            let (with_events, silent): (Vec<&RegionSearch>, Vec<&RegionSearch>) = regions
                .iter()
                .filter(is_asked)
                .partition(|region| region.events > 0);
            let mut region: Vec<String> = with_events
                .iter()
                .map(|region| {
                    let events = count_of(region.events, "event");
                    format!("{events} in {}", shown(&region.region))
                })
                .collect();
            if !silent.is_empty() {
                let names: Vec<String> = silent.iter().map(|one| shown(&one.region)).collect();
                region.push(format!("no events in {}", names.join(", ")));
            }
            let region = match region.as_slice() {
                [] => "no region answered".to_owned(),
                region => region.join("; "),
            };
            let mut lines = vec![format!(
                "Read CloudTrail's event history of account {}, which covers 90 days: {region}.",
                shown(account)
            )];
            for one in regions {
                let region = shown(&one.region);
                match &one.end {
                    RegionOutcome::Complete => {}
                    RegionOutcome::Limit(keys) => lines.extend(keys.iter().map(|(key, oldest)| {
                        let before = oldest
                            .map_or_else(String::new, |at| format!(" before {}", readable(at)));
                        format!(
                            "{region} was not read completely: {} reached the limit of \
                             --max-events, so its events{before} are missing.",
                            shown(key)
                        )
                    })),
                    RegionOutcome::NotEnabled => {
                        lines.push(format!("{region} is not enabled in the account."));
                    }
                    RegionOutcome::Failed(why) => {
                        lines.push(format!("{region} could not be queried: {}.", shown(why)));
                    }
                }
            }
            lines.push(
                "The event history has no data events (such as S3 objects, Lambda invocations and \
                 DynamoDB items): a key with no use here may still be in use."
                    .to_owned(),
            );
            lines
        }
    }
}

/// Who uses the keys of `user`, in lines: the calls of each key, then how many consumers have
/// switched.
#[must_use]
pub(crate) fn summary_lines(user: &UserUsage, shown: &dyn Fn(&str) -> String) -> Vec<String> {
    let of_id = |id| Some((id, user.keys.get(id)?));
    let keys = user.in_order().into_iter().filter_map(of_id);
    let mut lines: Vec<String> = keys
        .map(|(id, key)| {
            let id = shown(id);
            let Some(last) = key.calls.last() else {
                return format!("{id}: no calls found.");
            };
            let (further, is_minimum) = key.other_consumers.how_many();
            let consumers = count(key.consumers.len() + further, "consumer");
            format!(
                "{id}: {} by {}{consumers}, last {}.",
                count_of(key.calls.count, "call"),
                if is_minimum { "at least " } else { "" },
                readable(last)
            )
        })
        .collect();
    if let Some(migrations) = user.migrations() {
        lines.extend(migration_lines(&migrations, shown));
    }
    lines
}

/// How many consumers have switched from the old key to the new one, in lines.
#[must_use]
pub(crate) fn migration_lines(
    migrations: &Migrations<'_>,
    shown: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let counts = migrations.counts();
    let (old, new) = (shown(migrations.old), shown(migrations.new));
    let mut lines = vec![match (counts.of_old, counts.switched) {
        (0, _) => format!("No consumer of the old key {old} was seen."),
        (1, 1) => format!("The only consumer of {old} has switched to {new}."),
        (all, done) if all == done => {
            format!("All {all} consumers of {old} have switched to {new}.")
        }
        (1, 0) => format!("The only consumer of {old} has not switched to {new}."),
        (all, 1) => format!("1 of {all} consumers has switched from {old} to {new}."),
        (all, done) => {
            format!("{done} of {all} consumers have switched from {old} to {new}.")
        }
    }];
    let on_old = |migration: &Migration| match migration {
        Migration::Both { old_until, .. } | Migration::NotYet { old_until } => Some(*old_until),
        _ => None,
    };
    let silent = |migration: &Migration| match migration {
        Migration::Silent { old_until } => Some(*old_until),
        _ => None,
    };
    if counts.on_old > 0 {
        let named = named(migrations, &on_old, shown);
        lines.push(format!("Still on the old key: {named}."));
    }
    if counts.silent > 0 {
        let named = named(migrations, &silent, shown);
        lines.push(format!("Not seen since the new key was created: {named}."));
    }
    if migrations.has_more {
        lines.push(format!(
            "A key had more than {MAX_CONSUMERS} consumers; the rest are not listed."
        ));
    }
    lines
}

/// The consumers for which `last_use` returns a time, the latest first.
fn named(
    migrations: &Migrations<'_>,
    last_use: &dyn Fn(&Migration) -> Option<Timestamp>,
    shown: &dyn Fn(&str) -> String,
) -> String {
    let mut found: Vec<(Timestamp, &Consumer)> = migrations
        .consumers
        .iter()
        .filter_map(|(consumer, migration)| Some((last_use(migration)?, *consumer)))
        .collect();
    found.sort_by_key(|(at, consumer)| (Reverse(*at), *consumer));
    let mut names: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|(at, consumer)| {
            let (source, client) = (shown(&consumer.source), shown(&consumer.client));
            format!("{source} with {client}, last {}", readable(*at))
        })
        .collect();
    if found.len() > NAMED {
        names.push(format!("and {} more", found.len() - NAMED));
    }
    names.join("; ")
}

/// The word for `migration` in JSON and CSV.
#[must_use]
pub(crate) fn migration_code(migration: &Migration) -> &'static str {
    match migration {
        Migration::Switched { .. } => "switched",
        Migration::Both { .. } => "on_both",
        Migration::NotYet { .. } => "not_yet",
        Migration::Silent { .. } => "not_seen_since",
        Migration::NewOnly { .. } => "new_only",
    }
}

/// Since when the consumer has used the new key, and when it last used the old one, where that
/// matters.
#[must_use]
pub(crate) fn migration_times(migration: &Migration) -> (Option<Timestamp>, Option<Timestamp>) {
    match migration {
        Migration::Switched { since } | Migration::NewOnly { since } => (Some(*since), None),
        Migration::Both {
            new_since,
            old_until,
        } => (Some(*new_since), Some(*old_until)),
        Migration::NotYet { old_until } | Migration::Silent { old_until } => {
            (None, Some(*old_until))
        }
    }
}

/// The consumers of all keys of `user` with their calls by key, the most recent caller first.
#[must_use]
pub(crate) fn consumers_of(user: &UserUsage) -> Vec<(&Consumer, BTreeMap<&str, &CallCounts>)> {
    let mut consumers: BTreeMap<&Consumer, BTreeMap<&str, &CallCounts>> = BTreeMap::new();
    for (id, key) in &user.keys {
        for (consumer, consumed) in &key.consumers {
            let by_key = consumers.entry(consumer).or_default();
            by_key.insert(id, &consumed.calls);
        }
    }
    let mut consumers: Vec<_> = consumers.into_iter().collect();
    consumers.sort_by_key(|(consumer, by_key)| {
        let last = by_key.values().filter_map(|calls| calls.last()).max();
        (Reverse(last), *consumer)
    });
    consumers
}

/// `number` with `thing` in the singular or plural.
#[must_use]
pub(crate) fn count_of(number: u64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// How many calls failed, and their share of all calls.
#[must_use]
pub(crate) fn failed(calls: &CallCounts) -> String {
    if calls.errors == 0 {
        return "0".to_owned();
    }
    // In tenths of a percent, rounded up, so that a failed call never reads 0 %.
    let share = (u128::from(calls.errors) * 1000).div_ceil(u128::from(calls.count.max(1)));
    format!("{} ({}.{} %)", calls.errors, share / 10, share % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_failed_calls_is_never_rounded_to_zero() {
        for (errors, count, expected) in [
            (0, 10, "0"),
            (1, 1_000_000, "1 (0.1 %)"),
            (1, 3, "1 (33.4 %)"),
            (3, 3, "3 (100.0 %)"),
        ] {
            let calls = CallCounts {
                count,
                errors,
                span: None,
            };
            assert_eq!(failed(&calls), expected);
        }
    }
}
