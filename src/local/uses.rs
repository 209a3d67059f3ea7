//! Records when keys signed calls. Memory grows with the days on which keys were used, not with the
//! number of records.

use std::collections::BTreeMap;
#[cfg(feature = "cli")]
use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::usage::last_use::{LastUsed, LastUses};
use crate::detect::user::UserId;

/// Uses that are at most this far apart form one span, of which only the ends are stored.
const ONE_SPAN: TimeDelta = TimeDelta::days(1);

/// The uses of keys, by key ID and by the name that the user had at the time. The result does not
/// depend on the order of the notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUses(BTreeMap<String, BTreeMap<UserId, Spans>>);

/// The uses of one key under one name, sorted. Each span is at least [`ONE_SPAN`] after the
/// previous one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Spans(Vec<Span>);

/// A period in which a key was used, from its first use to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

/// A known use of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordedUse {
    pub at: Timestamp,
    pub user: UserId,
    pub key: String,
}

impl KeyUses {
    /// Notes that `user` signed a call with `key` at `at`.
    pub fn note(&mut self, user: &UserId, key: &str, at: Timestamp) {
        let span = Span {
            first: at,
            last: at,
        };
        if let Some(spans) = self.0.get_mut(key).and_then(|users| users.get_mut(user)) {
            return spans.add(span);
        }
        let users = self.0.entry(key.to_owned()).or_default();
        users.entry(user.clone()).or_default().add(span);
    }

    pub fn append(&mut self, other: Self) {
        for (key, users) in other.0 {
            let known = self.0.entry(key).or_default();
            for (user, spans) in users {
                let known = known.entry(user).or_default();
                spans.0.into_iter().for_each(|span| known.add(span));
            }
        }
    }

    /// The known uses of keys, sorted by time.
    #[must_use]
    pub fn in_order(&self) -> Vec<RecordedUse> {
        let of_keys = self.0.iter().flat_map(|(key, users)| {
            users.iter().flat_map(move |(user, spans)| {
                spans.moments().map(move |at| RecordedUse {
                    at,
                    user: user.clone(),
                    key: key.clone(),
                })
            })
        });
        let mut all: Vec<RecordedUse> = of_keys.collect();
        all.sort();
        all.dedup();
        all
    }

    /// When each of `keys` was last used, up to `now`. Keys without a known use are missing.
    #[must_use]
    pub fn latest<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a String>,
        now: Timestamp,
    ) -> LastUses {
        let latest = |key: &String| {
            let moments = self.0.get(key)?.values().flat_map(Spans::moments);
            moments.filter(|at| *at <= now).max()
        };
        keys.into_iter()
            .filter_map(|key| {
                let at = latest(key)?;
                let last = LastUsed::At {
                    at,
                    service: None,
                    region: None,
                };
                Some((key.clone(), last))
            })
            .collect()
    }
}

#[cfg(feature = "cli")]
impl KeyUses {
    /// The accounts of users whose uses differ in `other`.
    pub(super) fn accounts_that_differ(&self, other: &Self) -> BTreeSet<String> {
        let mut accounts = BTreeSet::new();
        for (key, users) in &self.0 {
            let known = other.0.get(key);
            for (user, spans) in users {
                if known.and_then(|users| users.get(user)) != Some(spans) {
                    accounts.insert(user.account().to_owned());
                }
            }
        }
        accounts
    }

    /// All uses as rows for [`KeyUses::add_row`], with the first and last second of each span.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&UserId, &str, String)> {
        self.0.iter().flat_map(|(key, users)| {
            users.iter().map(move |(user, spans)| {
                let ends = spans.moments().map(|at| at.timestamp().to_string());
                let ends: Vec<String> = ends.collect();
                (user, key.as_str(), ends.join(" "))
            })
        })
    }

    /// Adds a row. Anything that is not a time is skipped.
    pub(super) fn add_row(&mut self, user: &UserId, key: &str, row: &str) {
        let seconds = row.split(' ').filter_map(|end| end.parse().ok());
        let ends: Vec<Timestamp> = seconds
            .filter_map(|seconds| Timestamp::from_timestamp(seconds, 0))
            .collect();
        let users = self.0.entry(key.to_owned()).or_default();
        let spans = users.entry(user.clone()).or_default();
        for pair in ends.chunks(2) {
            if let [first, last] = *pair {
                spans.add(Span { first, last });
            }
        }
    }
}

impl Spans {
    fn moments(&self) -> impl Iterator<Item = Timestamp> {
        self.0.iter().flat_map(|span| [span.first, span.last])
    }

    fn add(&mut self, span: Span) {
        let is_near =
            |known: &Span| known.first - ONE_SPAN < span.last && span.first < known.last + ONE_SPAN;
        let begin = self
            .0
            .partition_point(|known| known.last + ONE_SPAN <= span.first);
        let near = self.0.iter().skip(begin).take_while(|known| is_near(known));
        let end = begin + near.count();
        let joined = self.0.get(begin..end).unwrap_or_default();
        let joined = joined.iter().fold(span, |all, one| Span {
            first: all.first.min(one.first),
            last: all.last.max(one.last),
        });
        self.0.splice(begin..end, [joined]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::testing::{at, user};

    fn noted(seconds: &[i64]) -> KeyUses {
        let mut uses = KeyUses::default();
        for second in seconds {
            uses.note(&user(), "AKIA1", at(*second));
        }
        uses
    }

    fn moments(uses: &KeyUses) -> Vec<Timestamp> {
        uses.in_order().into_iter().map(|used| used.at).collect()
    }

    #[test]
    fn uses_of_one_day_are_one_span() {
        const DAY: i64 = 86_400;
        let uses = noted(&[5, 0, 9, 3 * DAY, DAY - 1]);
        assert_eq!(moments(&uses), [at(0), at(DAY - 1), at(3 * DAY)]);
        assert_eq!(moments(&noted(&[0, DAY])), [at(0), at(DAY)]);
        let keys = ["AKIA1".to_owned(), "AKIA2".to_owned()];
        for (now, expected) in [(-1, None), (7, Some(0)), (9 * DAY, Some(3 * DAY))] {
            let latest = uses.latest(&keys, at(now));
            let found = latest.get("AKIA1").map(|used| match used {
                LastUsed::At { at, .. } => *at,
                LastUsed::Never => panic!("logs cannot show that a key was never used"),
            });
            assert_eq!(found, expected.map(at), "{now}");
            assert!(!latest.contains_key("AKIA2"));
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn rows_round_trip() {
        let uses = noted(&[0, 5, 900_000, 1_700_000]);
        let mut read = KeyUses::default();
        for (user, key, row) in uses.rows() {
            read.add_row(user, key, &row);
        }
        assert_eq!(read, uses);
        assert!(read.accounts_that_differ(&uses).is_empty());
        assert_eq!(uses.accounts_that_differ(&noted(&[0])).len(), 1);
    }

    #[test]
    fn a_use_belongs_to_the_users_name_at_the_time() {
        let mut uses = noted(&[0]);
        uses.note(&UserId::new("111122223333", "carol"), "AKIA1", at(9));
        let names: Vec<_> = uses.in_order().into_iter().map(|used| used.user).collect();
        assert_eq!(
            names.iter().map(UserId::name).collect::<Vec<_>>(),
            ["alice", "carol"]
        );
    }

    proptest! {
        #[test]
        fn order_and_grouping_of_notes_do_not_matter(
            seconds in prop::collection::vec(0_i64..1_000_000, 1..40),
            split in 0_usize..40,
        ) {
            let mut sorted = seconds.clone();
            sorted.sort_unstable();
            let all = noted(&sorted);
            prop_assert_eq!(&noted(&seconds), &all);
            let (one, other) = seconds.split_at(split.min(seconds.len()));
            let mut joined = noted(other);
            joined.append(noted(one));
            prop_assert_eq!(&joined, &all);
            let ends: Vec<Timestamp> = moments(&all);
            prop_assert_eq!(ends.first(), Some(&at(sorted[0])));
            prop_assert_eq!(ends.last(), Some(&at(sorted[sorted.len() - 1])));
        }
    }
}
