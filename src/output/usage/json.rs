//! Who uses which key, in version 1 of the JSON for programs. An absent value is `null`.

use std::cmp::Reverse;

use serde::Serialize;

use crate::detect::Timestamp;
use crate::detect::usage::consumers::{
    ApiCallUsage, CallCounts, ConsumerUsage, KeyUsage, Migrations, NameSample, OverflowCounts,
    Usage, UserUsage,
};
use crate::detect::usage::key_use::Consumer;
use crate::output::time::rfc3339;
use crate::output::usage::{RegionOutcome, SearchScope, migration_code, migration_times};

/// Who uses which key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct UsageV1 {
    /// `1`.
    pub version: &'static str,
    /// What was requested, as it was typed.
    pub asked_for: String,
    /// Only uses from this time on count.
    pub since: Option<String>,
    /// Only uses up to and including this time count.
    pub until: Option<String>,
    /// What was searched.
    pub looked_at: LookedAtV1,
    /// Whether everything was read. If not, there may be uses that are not shown.
    pub complete: bool,
    /// How many uses were found outside the period.
    pub calls_outside_period: u64,
    /// How many records were repeated. Each counts once.
    pub duplicates: u64,
    /// Whether there were so many records that further repeated ones count again.
    pub duplicates_may_count: bool,
    /// Keys that exceeded the limits, and their calls.
    pub further_keys: FurtherV1,
    /// The users whose keys were found.
    pub users: Vec<UserUsageV1>,
}

/// What was searched.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub(crate) enum LookedAtV1 {
    /// Logs.
    Logs {
        /// How many files.
        files: usize,
        /// How many records.
        records: u64,
        /// How many records or files could not be read.
        malformed: u64,
        /// The time of the oldest record.
        oldest: Option<String>,
        /// The time of the newest record.
        newest: Option<String>,
    },
    /// CloudTrail's event history: management events of 90 days, no data events.
    EventHistory {
        /// The account.
        account: String,
        /// The keys that were searched for.
        keys: Vec<String>,
        /// The Regions that were queried.
        regions: Vec<RegionV1>,
        /// Always false: the event history has no data events.
        has_data_events: bool,
    },
}

/// One Region's event history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RegionV1 {
    /// The Region.
    pub region: String,
    /// How many events it returned.
    pub events: u64,
    /// `complete`, `limit`, `not_enabled` or `failed`.
    pub end: &'static str,
    /// Why the query failed.
    pub why: Option<String>,
    /// With `limit`: the keys that reached it.
    pub limits: Vec<LimitV1>,
}

/// A key whose events were not all read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LimitV1 {
    /// The key.
    pub key: String,
    /// The oldest event that was read.
    pub read_back_to: Option<String>,
}

/// The keys of one user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct UserUsageV1 {
    /// The account.
    pub account: String,
    /// The user, as the records spell it.
    pub user: String,
    /// Whether it is root.
    pub is_root: bool,
    /// The keys, the oldest first.
    pub keys: Vec<KeyUsageV1>,
    /// How many consumers have switched from the old key to the new one; absent with one key.
    pub switch: Option<SwitchesV1>,
}

/// The use of one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KeyUsageV1 {
    /// The key's ID.
    pub id: String,
    /// When it was created, if known.
    pub created_at: Option<String>,
    /// Its calls.
    #[serde(flatten)]
    pub calls: CallsV1,
    /// Who used it, the most recent caller first.
    pub consumers: Vec<ConsumerV1>,
    /// Consumers that exceeded the limit.
    pub further_consumers: FurtherV1,
    /// What it was used for, the most calls first; with `--since` or `--until` only.
    pub touched: Option<Vec<TouchedV1>>,
    /// Kinds of calls that exceeded the limit.
    pub further_touched: FurtherV1,
}

/// Calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CallsV1 {
    /// How many.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// The first one.
    pub first_used_at: Option<String>,
    /// The last one.
    pub last_used_at: Option<String>,
}

/// Counts of what exceeded a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FurtherV1 {
    /// How many.
    pub count: usize,
    /// Whether there were more than `count`.
    pub count_is_minimum: bool,
    /// The number of calls.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// One consumer of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ConsumerV1 {
    /// An IP address or a service's name.
    pub source: String,
    /// The family of its user agents.
    pub client: String,
    /// Its calls.
    #[serde(flatten)]
    pub calls: CallsV1,
    /// The services that it called.
    pub services: NamesV1,
    /// The Regions.
    pub regions: NamesV1,
    /// The user agents in full.
    pub user_agents: NamesV1,
}

/// Some names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct NamesV1 {
    /// The names.
    pub names: Vec<String>,
    /// Whether there were more.
    pub has_more: bool,
}

/// One kind of call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct TouchedV1 {
    /// The event source: `s3.amazonaws.com`.
    pub service: String,
    /// The event name: `GetObject`.
    pub event: String,
    /// The calls.
    #[serde(flatten)]
    pub calls: CallsV1,
    /// The resources that the records name.
    pub resources: NamesV1,
}

/// How many consumers have switched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SwitchesV1 {
    /// The ID of the old key.
    pub old_key: String,
    /// The ID of the new key.
    pub new_key: String,
    /// How many consumers used the old key.
    pub consumers_of_old: usize,
    /// How many of them have switched.
    pub switched: usize,
    /// How many of them still use the old key.
    pub still_on_old: usize,
    /// How many of them have not been seen since the new key was created.
    pub not_seen_since: usize,
    /// How many consumers only ever used the new key.
    pub new_only: usize,
    /// Whether there were more consumers than the limit.
    pub has_more: bool,
    /// Each consumer.
    pub consumers: Vec<SwitchV1>,
}

/// Whether one consumer has switched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SwitchV1 {
    /// An IP address or a service's name.
    pub source: String,
    /// The family of its user agents.
    pub client: String,
    /// `switched`, `on_both`, `not_yet`, `not_seen_since` or `new_only`.
    pub state: &'static str,
    /// Its first use of the new key.
    pub new_since: Option<String>,
    /// Its last use of the old key, unless it has switched.
    pub old_until: Option<String>,
}

/// `usage` in version 1.
#[must_use]
pub(crate) fn usage(asked_for: &str, usage: &Usage, looked_at: &SearchScope) -> UsageV1 {
    let period = usage.period();
    let (duplicates, duplicates_may_count) = usage.duplicates();
    let users = usage.users().iter().map(|(id, user)| UserUsageV1 {
        account: id.account().to_owned(),
        user: user
            .display_name
            .clone()
            .unwrap_or_else(|| id.name().to_owned()),
        is_root: id.is_root(),
        keys: keys(user, period.is_bounded()),
        switch: user.migrations().as_ref().map(migrations),
    });
    UsageV1 {
        version: "1",
        asked_for: asked_for.to_owned(),
        since: period.since.map(rfc3339),
        until: period.until.map(rfc3339),
        looked_at: search_scope(looked_at),
        complete: looked_at.is_complete(),
        calls_outside_period: usage.outside().count,
        duplicates,
        duplicates_may_count,
        further_keys: overflow(usage.further_keys()),
        users: users.collect(),
    }
}

fn search_scope(looked_at: &SearchScope) -> LookedAtV1 {
    match looked_at {
        SearchScope::Logs {
            files,
            records,
            malformed,
            span,
        } => LookedAtV1::Logs {
            files: *files,
            records: *records,
            malformed: *malformed,
            oldest: span.map(|(oldest, _)| rfc3339(oldest)),
            newest: span.map(|(_, newest)| rfc3339(newest)),
        },
        SearchScope::EventHistory {
            account,
            keys,
            regions,
        } => {
            let regions = regions.iter().map(|region| {
                let (end, why) = match &region.end {
                    RegionOutcome::Complete => ("complete", None),
                    RegionOutcome::Limit(_) => ("limit", None),
                    RegionOutcome::NotEnabled => ("not_enabled", None),
                    RegionOutcome::Failed(why) => ("failed", Some(why.clone())),
                };
                let limits = match &region.end {
                    RegionOutcome::Limit(keys) => keys.as_slice(),
                    _ => &[],
                };
                let limit = |(key, oldest): &(String, Option<Timestamp>)| LimitV1 {
                    key: key.clone(),
                    read_back_to: oldest.map(rfc3339),
                };
                RegionV1 {
                    region: region.region.clone(),
                    events: region.events,
                    end,
                    why,
                    limits: limits.iter().map(limit).collect(),
                }
            });
            LookedAtV1::EventHistory {
                account: account.clone(),
                keys: keys.clone(),
                regions: regions.collect(),
                has_data_events: false,
            }
        }
    }
}

fn keys(user: &UserUsage, with_touched: bool) -> Vec<KeyUsageV1> {
    let of_id = |id| Some((id, user.keys.get(id)?));
    let keys = user.in_order().into_iter().filter_map(of_id);
    keys.map(|(id, key)| KeyUsageV1 {
        id: id.to_owned(),
        created_at: key.created.map(rfc3339),
        calls: calls(&key.calls),
        consumers: consumers(key),
        further_consumers: overflow(&key.other_consumers),
        touched: with_touched.then(|| api_calls(key)),
        further_touched: overflow(&key.other_api_calls),
    })
    .collect()
}

fn consumers(key: &KeyUsage) -> Vec<ConsumerV1> {
    let mut consumers: Vec<(&Consumer, &ConsumerUsage)> = key.consumers.iter().collect();
    consumers.sort_by_key(|(_, consumed)| Reverse(consumed.calls.last()));
    let wire = |(consumer, consumed): (&Consumer, &ConsumerUsage)| ConsumerV1 {
        source: consumer.source.clone(),
        client: consumer.client.clone(),
        calls: calls(&consumed.calls),
        services: names(&consumed.services),
        regions: names(&consumed.regions),
        user_agents: names(&consumed.user_agents),
    };
    consumers.into_iter().map(wire).collect()
}

fn api_calls(key: &KeyUsage) -> Vec<TouchedV1> {
    let mut all: Vec<(&(String, String), &ApiCallUsage)> = key.api_calls.iter().collect();
    all.sort_by_key(|(_, touched)| Reverse(touched.calls.count));
    let wire = |((service, event), touched): (&(String, String), &ApiCallUsage)| TouchedV1 {
        service: service.clone(),
        event: event.clone(),
        calls: calls(&touched.calls),
        resources: names(&touched.resources),
    };
    all.into_iter().map(wire).collect()
}

/// `migrations` in version 1.
#[must_use]
pub(crate) fn migrations(migrations: &Migrations<'_>) -> SwitchesV1 {
    let counts = migrations.counts();
    let consumers = migrations.consumers.iter().map(|(consumer, migration)| {
        let (new_since, old_until) = migration_times(migration);
        SwitchV1 {
            source: consumer.source.clone(),
            client: consumer.client.clone(),
            state: migration_code(migration),
            new_since: new_since.map(rfc3339),
            old_until: old_until.map(rfc3339),
        }
    });
    SwitchesV1 {
        old_key: migrations.old.to_owned(),
        new_key: migrations.new.to_owned(),
        consumers_of_old: counts.of_old,
        switched: counts.switched,
        still_on_old: counts.on_old,
        not_seen_since: counts.silent,
        new_only: counts.new_only,
        has_more: migrations.has_more,
        consumers: consumers.collect(),
    }
}

fn calls(calls: &CallCounts) -> CallsV1 {
    CallsV1 {
        calls: calls.count,
        errors: calls.errors,
        first_used_at: calls.first().map(rfc3339),
        last_used_at: calls.last().map(rfc3339),
    }
}

fn overflow(further: &OverflowCounts) -> FurtherV1 {
    let (count, count_is_minimum) = further.how_many();
    FurtherV1 {
        count,
        count_is_minimum,
        calls: further.calls.count,
        errors: further.calls.errors,
    }
}

fn names(names: &NameSample) -> NamesV1 {
    NamesV1 {
        names: names.iter().map(str::to_owned).collect(),
        has_more: names.has_more(),
    }
}
