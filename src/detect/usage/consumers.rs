//! Who uses which key: the uses of keys, added up by consumer, and which consumers have switched
//! from the old key to the new one.
//!
//! Memory is bounded for any number of calls. What does not fit is counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::keys::age::age_order;
use crate::detect::usage::key_use::{Consumer, KeyUse};
use crate::detect::user::UserId;

/// How many consumers are kept per key.
pub(crate) const MAX_CONSUMERS: usize = 2_000;

/// How many keys are kept.
pub(crate) const MAX_KEYS: usize = 500;

/// How many different API calls are kept per key.
pub(crate) const MAX_TOUCHED: usize = 2_000;

/// How many names of one kind are kept per consumer or API call: services, regions, resources.
pub(crate) const MAX_NAMES: usize = 50;

/// How many record ids are remembered, so that a record that is in the logs twice counts once. Each
/// takes eight bytes.
pub(crate) const MAX_SEEN: usize = 2_000_000;

/// How many further consumers are counted exactly.
const MAX_DISTINCT: usize = 100_000;

/// A consumer that alternated between the keys has switched once it has used only the new key for
/// this long. A weekly job must not count as switched too early.
const MIGRATED_AFTER: TimeDelta = TimeDelta::days(14);

/// The period in which uses count. Each end is optional and inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TimeRange {
    /// The first moment.
    pub since: Option<Timestamp>,
    /// The last moment.
    pub until: Option<Timestamp>,
}

impl TimeRange {
    /// Whether the period contains `at`.
    #[must_use]
    pub(crate) fn contains(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at <= until)
    }

    /// Whether it has at least one end.
    #[must_use]
    pub(crate) fn is_bounded(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }
}

/// Calls, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CallCounts {
    /// How many calls.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// The times of the first and last call.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl CallCounts {
    /// The time of the first call.
    #[must_use]
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.span.map(|(first, _)| first)
    }

    /// The time of the last call.
    #[must_use]
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.span.map(|(_, last)| last)
    }

    fn add(&mut self, one: &KeyUse) {
        self.count += 1;
        self.errors += u64::from(one.error.is_some());
        self.span = Some(match self.span {
            None => (one.at, one.at),
            Some((first, last)) => (first.min(one.at), last.max(one.at)),
        });
    }
}

/// A set of names of bounded size, and whether it is incomplete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NameSample {
    names: BTreeSet<String>,
    has_more: bool,
}

impl NameSample {
    /// The names.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether there were more names.
    #[must_use]
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    fn add(&mut self, name: &str) {
        if self.names.contains(name) {
            return;
        }
        if self.names.len() < MAX_NAMES {
            self.names.insert(name.to_owned());
        } else {
            self.has_more = true;
        }
    }
}

/// What one consumer did with one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConsumerUsage {
    /// Its calls.
    pub calls: CallCounts,
    /// The services that it called.
    pub services: NameSample,
    /// The regions that recorded the calls.
    pub regions: NameSample,
    /// Its user agents in full.
    pub user_agents: NameSample,
}

/// What one key did with one API call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApiCallUsage {
    /// The calls.
    pub calls: CallCounts,
    /// The resources in the records.
    pub resources: NameSample,
}

/// What did not fit.
#[derive(Debug, Clone, Default)]
pub(crate) struct OverflowCounts {
    /// The calls.
    pub calls: CallCounts,
    distinct: HashSet<u64>,
    has_more: bool,
}

impl OverflowCounts {
    /// How many more there were, and whether that is a lower bound.
    #[must_use]
    pub(crate) fn how_many(&self) -> (usize, bool) {
        (self.distinct.len(), self.has_more)
    }

    fn add(&mut self, what: &impl Hash, one: &KeyUse) {
        self.calls.add(one);
        let hash = hash_of(what);
        if self.distinct.contains(&hash) {
            return;
        }
        if self.distinct.len() < MAX_DISTINCT {
            self.distinct.insert(hash);
        } else {
            self.has_more = true;
        }
    }
}

/// The use of one key.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyUsage {
    /// When the key was created, if known.
    pub created: Option<Timestamp>,
    /// Its calls.
    pub calls: CallCounts,
    /// Who used it.
    pub consumers: BTreeMap<Consumer, ConsumerUsage>,
    /// The calls of other consumers.
    pub other_consumers: OverflowCounts,
    /// The API calls it made, by service and name.
    pub api_calls: BTreeMap<(String, String), ApiCallUsage>,
    /// The other API calls.
    pub other_api_calls: OverflowCounts,
}

impl KeyUsage {
    /// Since when the key has existed, as far as known.
    #[must_use]
    pub(crate) fn beginning(&self) -> Option<Timestamp> {
        self.created.or(self.calls.first())
    }

    fn add(&mut self, one: &KeyUse) {
        self.calls.add(one);
        let has_room = self.consumers.len() < MAX_CONSUMERS;
        if has_room || self.consumers.contains_key(&one.consumer) {
            let consumed = self.consumers.entry(one.consumer.clone()).or_default();
            consumed.calls.add(one);
            consumed.services.add(&one.service);
            if let Some(region) = &one.region {
                consumed.regions.add(region);
            }
            if let Some(user_agent) = &one.user_agent {
                consumed.user_agents.add(user_agent);
            }
        } else {
            self.other_consumers.add(&one.consumer, one);
        }
        let call = (one.service.clone(), one.event.clone());
        let has_room = self.api_calls.len() < MAX_TOUCHED;
        if has_room || self.api_calls.contains_key(&call) {
            let touched = self.api_calls.entry(call).or_default();
            touched.calls.add(one);
            for resource in &one.resources {
                touched.resources.add(resource);
            }
        } else {
            self.other_api_calls.add(&call, one);
        }
    }
}

/// The use of the keys of one user.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserUsage {
    /// The user's name as spelled in the records.
    pub display_name: Option<String>,
    /// The user's keys by their ids.
    pub keys: BTreeMap<String, KeyUsage>,
}

/// The uses of keys, added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    period: TimeRange,
    users: BTreeMap<UserId, UserUsage>,
    keys: usize,
    further_keys: OverflowCounts,
    outside: CallCounts,
    seen: HashSet<u64>,
    duplicates: u64,
    /// Whether duplicates may go unrecognized.
    is_forgetful: bool,
}

impl Usage {
    /// Empty; only uses in `period` count.
    #[must_use]
    pub(crate) fn within(period: TimeRange) -> Self {
        Self {
            period,
            ..Self::default()
        }
    }

    /// The period in which uses count.
    #[must_use]
    pub(crate) fn period(&self) -> TimeRange {
        self.period
    }

    /// The users whose keys were used or are known.
    #[must_use]
    pub(crate) fn users(&self) -> &BTreeMap<UserId, UserUsage> {
        &self.users
    }

    /// The uses of keys that did not fit.
    #[must_use]
    pub(crate) fn further_keys(&self) -> &OverflowCounts {
        &self.further_keys
    }

    /// The uses outside the period.
    #[must_use]
    pub(crate) fn outside(&self) -> &CallCounts {
        &self.outside
    }

    /// How many records were duplicates, and whether that is a lower bound.
    #[must_use]
    pub(crate) fn duplicates(&self) -> (u64, bool) {
        (self.duplicates, self.is_forgetful)
    }

    /// Whether no use was found.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        let mut keys = self.users.values().flat_map(|user| user.keys.values());
        self.further_keys.calls.count == 0 && keys.all(|key| key.calls.count == 0)
    }

    /// Records that `user` has `key`, created at `created`, even if it was never used.
    pub(crate) fn knows(&mut self, user: &UserId, key: &str, created: Option<Timestamp>) {
        if let Some(known) = self.key(user, key) {
            known.created = known.created.or(created);
        }
    }

    /// Records the spelling of the user's name.
    pub(crate) fn spells(&mut self, user: &UserId, display_name: &str) {
        if let Some(known) = self.users.get_mut(user) {
            known.display_name = Some(display_name.to_owned());
        }
    }

    /// Adds one use. A record that was added before counts as a duplicate.
    pub(crate) fn add(&mut self, one: &KeyUse) {
        if self.was_seen(one) {
            self.duplicates += 1;
            return;
        }
        if !self.period.contains(one.at) {
            self.outside.add(one);
            return;
        }
        match self.key(&one.user, &one.key) {
            Some(key) => key.add(one),
            None => self.further_keys.add(&one.key, one),
        }
        if let Some(user) = self.users.get_mut(&one.user)
            && user.display_name < one.display_name
        {
            // Any order of records leads to the same spelling.
            user.display_name.clone_from(&one.display_name);
        }
    }

    fn was_seen(&mut self, one: &KeyUse) -> bool {
        // Some relays make the id constant, so the content is compared too.
        let Some(id) = one.event_id.as_deref().filter(|id| !id.is_empty()) else {
            return false;
        };
        let hash = hash_of(&(id, &one.key, one.at, &one.event));
        if self.seen.contains(&hash) {
            return true;
        }
        if self.seen.len() < MAX_SEEN {
            self.seen.insert(hash);
        } else {
            self.is_forgetful = true;
        }
        false
    }

    /// The usage of `key`, if it fits.
    fn key(&mut self, user: &UserId, key: &str) -> Option<&mut KeyUsage> {
        let is_known = self
            .users
            .get(user)
            .is_some_and(|user| user.keys.contains_key(key));
        if !is_known {
            if self.keys >= MAX_KEYS {
                return None;
            }
            self.keys += 1;
        }
        let user = self.users.entry(user.clone()).or_default();
        Some(user.keys.entry(key.to_owned()).or_default())
    }
}

fn hash_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Where one consumer is in its migration from the old key to the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Migration {
    /// It used the old key and now uses only the new one.
    Switched {
        /// Its first use of the new key.
        since: Timestamp,
    },
    /// It still uses the old key after its first use of the new one.
    Both {
        /// Its first use of the new key.
        new_since: Timestamp,
        /// Its last use of the old key.
        old_until: Timestamp,
    },
    /// It used the old key after the new one was created, and never used the new one.
    NotYet {
        /// Its last use of the old key.
        old_until: Timestamp,
    },
    /// It used the old key only before the new one was created, and none since.
    Silent {
        /// Its last use of the old key.
        old_until: Timestamp,
    },
    /// It has only used the new key.
    NewOnly {
        /// Its first use of the new key.
        since: Timestamp,
    },
}

/// The migration of a user's consumers from the second newest key to the newest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Migrations<'u> {
    /// The id of the old key.
    pub old: &'u str,
    /// The id of the new key.
    pub new: &'u str,
    /// The consumers.
    pub consumers: BTreeMap<&'u Consumer, Migration>,
    /// Whether there were more consumers.
    pub has_more: bool,
}

/// How many consumers are at which point of the migration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MigrationCounts {
    /// Consumers of the old key.
    pub of_old: usize,
    /// Those that have switched.
    pub switched: usize,
    /// Those that still use the old key.
    pub on_old: usize,
    /// Those that have used neither key since the new one was created.
    pub silent: usize,
    /// Consumers that have only used the new key.
    pub new_only: usize,
}

impl Migrations<'_> {
    /// The number of consumers at each point.
    #[must_use]
    pub(crate) fn counts(&self) -> MigrationCounts {
        let mut counts = MigrationCounts::default();
        for migration in self.consumers.values() {
            match migration {
                Migration::Switched { .. } => counts.switched += 1,
                Migration::Both { .. } | Migration::NotYet { .. } => counts.on_old += 1,
                Migration::Silent { .. } => counts.silent += 1,
                Migration::NewOnly { .. } => counts.new_only += 1,
            }
        }
        counts.of_old = counts.switched + counts.on_old + counts.silent;
        counts
    }
}

impl UserUsage {
    /// The key ids, oldest first.
    #[must_use]
    pub(crate) fn in_order(&self) -> Vec<&str> {
        let mut keys: Vec<(&String, &KeyUsage)> = self.keys.iter().collect();
        keys.sort_by_key(|(id, key)| age_order(key.beginning(), id));
        keys.into_iter().map(|(id, _)| id.as_str()).collect()
    }

    /// The migration to the new key; `None` if the user has fewer than two keys.
    #[must_use]
    pub(crate) fn migrations(&self) -> Option<Migrations<'_>> {
        let order = self.in_order();
        let [.., old_id, new_id] = order.as_slice() else {
            return None;
        };
        let (old, new) = (self.keys.get(*old_id)?, self.keys.get(*new_id)?);
        let names = old.consumers.keys().chain(new.consumers.keys());
        let consumers = names.filter_map(|consumer| {
            let span = |key: &KeyUsage| key.consumers.get(consumer)?.calls.span;
            Some((consumer, migration(span(old), span(new), new.beginning())?))
        });
        let further = [old, new].map(|key| key.other_consumers.calls.count);
        Some(Migrations {
            old: old_id,
            new: new_id,
            consumers: consumers.collect(),
            has_more: further != [0, 0],
        })
    }
}

/// The migration of a consumer that used each key from its first to its last time.
fn migration(
    old: Option<(Timestamp, Timestamp)>,
    new: Option<(Timestamp, Timestamp)>,
    new_key_since: Option<Timestamp>,
) -> Option<Migration> {
    Some(match (old, new) {
        (None, None) => return None,
        (None, Some((since, _))) => Migration::NewOnly { since },
        (Some((_, old_until)), Some((since, new_until))) => {
            let is_over = old_until <= since || new_until - old_until >= MIGRATED_AFTER;
            if is_over {
                Migration::Switched { since }
            } else {
                Migration::Both {
                    new_since: since,
                    old_until,
                }
            }
        }
        (Some((_, old_until)), None) => {
            if new_key_since.is_some_and(|since| old_until < since) {
                Migration::Silent { old_until }
            } else {
                Migration::NotYet { old_until }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).unwrap()
    }

    fn used(key: &str, source: &str, minute: i64) -> KeyUse {
        KeyUse {
            user: UserId::new("111122223333", "alice"),
            display_name: Some("Alice".to_owned()),
            key: key.to_owned(),
            at: at(minute),
            event_id: None,
            consumer: Consumer {
                source: source.to_owned(),
                client: "Boto3/1.x".to_owned(),
            },
            user_agent: Some("Boto3/1.34".to_owned()),
            service: "s3.amazonaws.com".to_owned(),
            event: "GetObject".to_owned(),
            region: Some("eu-west-1".to_owned()),
            error: None,
            resources: vec![],
        }
    }

    fn usage(uses: &[KeyUse]) -> Usage {
        let mut usage = Usage::default();
        for one in uses {
            usage.add(one);
        }
        usage
    }

    fn only_user(usage: &Usage) -> &UserUsage {
        usage.users().values().next().unwrap()
    }

    fn check_switch(uses: &[(&str, i64)], expected: Migration) {
        // Another consumer has used both keys, the new one since minute 100.
        let mut uses: Vec<KeyUse> = uses
            .iter()
            .map(|(key, minute)| used(key, "192.0.2.1", *minute))
            .collect();
        uses.push(used("OLD", "192.0.2.9", 0));
        uses.push(used("NEW", "192.0.2.9", 100));
        for order in [false, true] {
            if order {
                uses.reverse();
            }
            let usage = usage(&uses);
            let migrations = only_user(&usage).migrations().unwrap();
            assert_eq!((migrations.old, migrations.new), ("OLD", "NEW"));
            let found = migrations
                .consumers
                .iter()
                .find(|(consumer, _)| consumer.source == "192.0.2.1");
            assert_eq!(found.map(|(_, migration)| *migration), Some(expected));
        }
    }

    #[test]
    fn a_consumer_has_switched_once_only_the_new_key_is_used() {
        let since = at(200);
        let switched = Migration::Switched { since };
        check_switch(&[("OLD", 1), ("OLD", 150), ("NEW", 200)], switched);
        check_switch(&[("OLD", 200), ("NEW", 200)], switched);
        // Instances switch one after another.
        let settled = 14 * 24 * 60;
        check_switch(
            &[
                ("OLD", 1),
                ("NEW", 200),
                ("OLD", 230),
                ("NEW", 230 + settled),
            ],
            switched,
        );
        let both = Migration::Both {
            new_since: since,
            old_until: at(230),
        };
        check_switch(
            &[
                ("OLD", 1),
                ("NEW", 200),
                ("OLD", 230),
                ("NEW", 229 + settled),
            ],
            both,
        );
        check_switch(&[("NEW", 200), ("OLD", 230)], both);
    }

    #[test]
    fn consumer_of_only_the_old_key_uses_it_or_is_silent() {
        let old_until = at(100);
        check_switch(&[("OLD", 100)], Migration::NotYet { old_until });
        let old_until = at(99);
        check_switch(&[("OLD", 99)], Migration::Silent { old_until });
        let since = at(300);
        check_switch(&[("NEW", 300)], Migration::NewOnly { since });
    }

    #[test]
    fn the_newest_key_is_the_one_created_last_whichever_was_used_first() {
        let mut usage = usage(&[used("A", "192.0.2.1", 10), used("B", "192.0.2.1", 5)]);
        assert_eq!(only_user(&usage).in_order(), ["B", "A"]);
        let user = UserId::new("111122223333", "alice");
        usage.knows(&user, "B", Some(at(4)));
        usage.knows(&user, "A", Some(at(-9)));
        usage.knows(&user, "C", None);
        assert_eq!(only_user(&usage).in_order(), ["C", "A", "B"]);
        let migrations = only_user(&usage).migrations().unwrap();
        assert_eq!((migrations.old, migrations.new), ("A", "B"));
        let counts = migrations.counts();
        assert_eq!((counts.of_old, counts.on_old, counts.switched), (1, 1, 0));
    }

    #[test]
    fn duplicate_record_counts_once() {
        let mut one = used("A", "192.0.2.1", 1);
        one.event_id = Some("e1".to_owned());
        // A relay made the id constant.
        let mut other = used("A", "192.0.2.1", 2);
        other.event_id = Some("e1".to_owned());
        let usage = usage(&[one.clone(), other, one.clone(), one]);
        assert_eq!(only_user(&usage).keys["A"].calls.count, 2);
        assert_eq!(usage.duplicates(), (2, false));
    }

    #[test]
    fn both_ends_of_the_period_belong_to_it() {
        let mut usage = Usage::within(TimeRange {
            since: Some(at(2)),
            until: Some(at(4)),
        });
        for minute in 1..=5 {
            usage.add(&used("A", "192.0.2.1", minute));
        }
        let calls = only_user(&usage).keys["A"].calls;
        assert_eq!((calls.count, calls.span), (3, Some((at(2), at(4)))));
        assert_eq!(usage.outside().count, 2);
    }

    #[test]
    fn overflow_is_counted_and_not_dropped() {
        let mut usage = Usage::default();
        for number in 0..MAX_CONSUMERS + 3 {
            usage.add(&used("A", &format!("source {number}"), 1));
            usage.add(&used("A", &format!("source {number}"), 2));
        }
        let key = &only_user(&usage).keys["A"];
        assert_eq!(key.consumers.len(), MAX_CONSUMERS);
        assert_eq!(key.other_consumers.how_many(), (3, false));
        assert_eq!(key.other_consumers.calls.count, 6);
        assert_eq!(key.calls.count, 2 * (MAX_CONSUMERS as u64 + 3));
        for number in 0..MAX_KEYS + 5 {
            usage.add(&used(&format!("B{number}"), "192.0.2.1", 1));
        }
        assert_eq!(only_user(&usage).keys.len(), MAX_KEYS);
        assert_eq!(usage.further_keys().how_many(), (6, false));
        let mut names = NameSample::default();
        for number in 0..=MAX_NAMES {
            names.add(&number.to_string());
        }
        assert_eq!((names.iter().len(), names.has_more()), (MAX_NAMES, true));
    }
}
