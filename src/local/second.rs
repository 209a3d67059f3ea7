//! Orders changes that share a second: CloudTrail times have whole seconds, and logs are not
//! sorted.

use std::collections::{BTreeMap, BTreeSet};

use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::user::UserId;
use crate::local::ledger::{LedgerUser, LedgerUsers};

/// How many keys a user can have. Source: IAM and STS quotas.
const KEYS_PER_USER: usize = 2;

/// The largest group of changes that is searched: each change is one bit of a mask.
const MAX_SEARCHED: usize = 64;

/// How many steps the search of one group may take.
const MAX_STEPS: usize = 20_000;

/// Returns the `changes` of one second in an order that IAM allows after `users`. The result does
/// not depend on their input order.
///
/// Changes that touch different users are independent, so each connected group is ordered
/// separately. Of all orders of a group, those with the fewest assumptions beyond the records are
/// considered, and of these the first by `rank` wins. If the search finds none, the greedy order is
/// used.
#[must_use]
pub(super) fn legal_order(mut changes: Vec<KeyChange>, users: &LedgerUsers) -> Vec<KeyChange> {
    if changes.len() < 2 {
        return changes;
    }
    changes.sort_by_cached_key(|change| {
        let key = change.key_status().map(|(key, _)| key.to_owned());
        (rank(&change.kind), key, change.id.clone())
    });
    groups(changes)
        .into_iter()
        .flat_map(|group| {
            let order = order_of(&group, users);
            let mut group: Vec<Option<KeyChange>> = group.into_iter().map(Some).collect();
            let in_order: Vec<KeyChange> = order
                .into_iter()
                .filter_map(|place| group.get_mut(place).and_then(Option::take))
                .collect();
            in_order
        })
        .collect()
}

/// The order in which changes are tried: a key is created before it is updated and updated before
/// it is deleted. Changes that leave more keys active go last, because nothing shows which came
/// last.
fn rank(kind: &ChangeKind) -> u8 {
    match kind {
        ChangeKind::KeyCreated { .. } => 0,
        ChangeKind::KeyUpdated {
            status: KeyStatus::Active,
            ..
        } => 2,
        ChangeKind::KeyUpdated { .. } => 1,
        ChangeKind::KeyDeleted { .. } => 3,
        ChangeKind::UserRenamed { .. } => 4,
        ChangeKind::UserDeleted => 5,
        ChangeKind::KeyLeaked { .. } => 6,
    }
}

/// Splits the changes into groups that share no user. Each group keeps the order of `changes`.
fn groups(changes: Vec<KeyChange>) -> Vec<Vec<KeyChange>> {
    let mut group_of: BTreeMap<UserId, usize> = BTreeMap::new();
    let mut members: BTreeMap<usize, Vec<UserId>> = BTreeMap::new();
    for (number, change) in changes.iter().enumerate() {
        let mut into = number;
        for user in change.affected_users() {
            let other = *group_of.entry(user.clone()).or_insert_with(|| {
                members.entry(into).or_default().push(user);
                into
            });
            if other == into {
                continue;
            }
            let size = |group| members.get(&group).map_or(0, Vec::len);
            let (kept, merged) = if size(other) < size(into) {
                (into, other)
            } else {
                (other, into)
            };
            let moved = members.remove(&merged).unwrap_or_default();
            for user in &moved {
                group_of.insert(user.clone(), kept);
            }
            members.entry(kept).or_default().extend(moved);
            into = kept;
        }
    }
    let mut groups: BTreeMap<usize, Vec<KeyChange>> = BTreeMap::new();
    for change in changes {
        let group = group_of.get(&change.user).copied().unwrap_or_default();
        groups.entry(group).or_default().push(change);
    }
    groups.into_values().collect()
}

/// The order in which to apply `group`, as indexes.
fn order_of(group: &[KeyChange], users: &LedgerUsers) -> Vec<usize> {
    if group.len() < 2 {
        return (0..group.len()).collect();
    }
    let start = NameTable::of(group, users);
    if group.len() > MAX_SEARCHED {
        return greedy(group, start);
    }
    let mut search = OrderSearch {
        group,
        steps_left: MAX_STEPS,
        dead: BTreeSet::new(),
    };
    for assumptions in 0..=group.len() {
        let mut order = Vec::with_capacity(group.len());
        if search.go_on(0, assumptions, &start, &mut order) {
            return order;
        }
        if search.steps_left == 0 {
            break;
        }
        search.dead.clear();
    }
    greedy(group, start)
}

/// At each step takes the change with the fewest assumptions, regardless of what follows.
fn greedy<'a>(group: &'a [KeyChange], mut names: NameTable<'a>) -> Vec<usize> {
    let mut left: BTreeMap<usize, &KeyChange> = group.iter().enumerate().collect();
    let mut order = Vec::with_capacity(group.len());
    loop {
        let possible = |most: usize| {
            left.iter()
                .find(|(_, change)| names.cost(change).is_some_and(|cost| cost <= most))
                .map(|(place, _)| *place)
        };
        let next = possible(0).or_else(|| possible(1));
        let Some(place) = next.or_else(|| left.keys().next().copied()) else {
            return order;
        };
        if let Some(change) = left.remove(&place) {
            names.apply(change);
        }
        order.push(place);
    }
}

/// A depth-first search for a possible order.
struct OrderSearch<'a> {
    group: &'a [KeyChange],
    steps_left: usize,
    /// Dead ends: the changes made, the assumptions left, and the resulting state.
    dead: BTreeSet<(u64, usize, NameTable<'a>)>,
}

impl<'a> OrderSearch<'a> {
    fn go_on(
        &mut self,
        made: u64,
        assumptions: usize,
        names: &NameTable<'a>,
        order: &mut Vec<usize>,
    ) -> bool {
        if order.len() == self.group.len() {
            return true;
        }
        if self.dead.contains(&(made, assumptions, names.clone())) {
            return false;
        }
        for (place, change) in self.group.iter().enumerate() {
            if made & (1 << place) != 0 {
                continue;
            }
            if self.steps_left == 0 {
                return false;
            }
            self.steps_left -= 1;
            let left = names
                .cost(change)
                .and_then(|cost| assumptions.checked_sub(cost));
            let Some(left) = left else { continue };
            let mut after = names.clone();
            after.apply(change);
            order.push(place);
            if self.go_on(made | 1 << place, left, &after, order) {
                return true;
            }
            order.pop();
        }
        self.dead.insert((made, assumptions, names.clone()));
        false
    }
}

/// Who has which name and which keys. Names that are missing here occur in no record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct NameTable<'a> {
    users: BTreeMap<&'a UserId, NameHolder<'a>>,
    /// The keys that were deleted in this second. IAM never reuses IDs.
    deleted: BTreeSet<&'a str>,
    /// The keys that are created in this second. They cannot be changed before that.
    created: BTreeSet<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum NameHolder<'a> {
    /// A user with these keys.
    Keys(BTreeSet<&'a str>),
    /// A user with keys that the ledger does not know.
    Unlisted,
    NoUser,
}

impl<'a> NameTable<'a> {
    fn of(group: &'a [KeyChange], users: &'a LedgerUsers) -> Self {
        let affected: BTreeSet<UserId> = group.iter().flat_map(KeyChange::affected_users).collect();
        let known = affected.iter().filter_map(|user| users.get_key_value(user));
        let bearer = |user: &'a LedgerUser| match user {
            LedgerUser::Listed { keys, .. } => {
                NameHolder::Keys(keys.keys().map(String::as_str).collect())
            }
            LedgerUser::Unlisted => NameHolder::Unlisted,
            LedgerUser::Gone => NameHolder::NoUser,
        };
        let created = group.iter().filter_map(|change| match &change.kind {
            ChangeKind::KeyCreated { key, .. } => Some(key.as_str()),
            _ => None,
        });
        Self {
            users: known.map(|(user, known)| (user, bearer(known))).collect(),
            deleted: BTreeSet::new(),
            created: created.collect(),
        }
    }

    /// How many assumptions beyond the records `change` needs if it comes next, or `None` if IAM
    /// would refuse it.
    fn cost(&self, change: &KeyChange) -> Option<usize> {
        let bearer = self.users.get(&change.user);
        match (&change.kind, bearer) {
            (ChangeKind::KeyCreated { key, .. }, _) if self.deleted.contains(key.as_str()) => None,
            // User creations are not among the records that are read. AWS reports leaks, so nothing
            // has to precede them.
            (
                ChangeKind::KeyCreated { .. },
                None | Some(NameHolder::NoUser | NameHolder::Unlisted),
            )
            | (ChangeKind::KeyLeaked { .. }, _)
            | (ChangeKind::UserDeleted, Some(NameHolder::Unlisted)) => Some(0),
            (ChangeKind::KeyCreated { key, .. }, Some(NameHolder::Keys(keys))) => {
                if keys.contains(key.as_str()) {
                    Some(1)
                } else {
                    (keys.len() < KEYS_PER_USER).then_some(0)
                }
            }
            (ChangeKind::KeyUpdated { key, .. } | ChangeKind::KeyDeleted { key }, _) => {
                self.cost_of_known(key, bearer)
            }
            (ChangeKind::UserDeleted, None) => Some(1),
            (ChangeKind::UserDeleted, Some(NameHolder::Keys(keys))) => keys.is_empty().then_some(0),
            (
                ChangeKind::UserDeleted | ChangeKind::UserRenamed { .. },
                Some(NameHolder::NoUser),
            ) => None,
            (ChangeKind::UserRenamed { to, .. }, _) => {
                let source = usize::from(bearer.is_none());
                let target = match self.users.get(to).filter(|_| *to != change.user) {
                    None | Some(NameHolder::NoUser) => Some(0),
                    // The deletion may be missing from the logs.
                    Some(NameHolder::Keys(keys)) => keys.is_empty().then_some(1),
                    Some(NameHolder::Unlisted) => Some(1),
                };
                target.map(|target| source.max(target))
            }
        }
    }

    /// The same for a change to a key that must exist.
    fn cost_of_known(&self, key: &str, bearer: Option<&NameHolder<'a>>) -> Option<usize> {
        let is_of_this_second = self.deleted.contains(key) || self.created.contains(key);
        match bearer {
            Some(NameHolder::Keys(keys)) if keys.contains(key) => Some(0),
            Some(NameHolder::Keys(keys)) => {
                (!is_of_this_second && keys.len() < KEYS_PER_USER).then_some(1)
            }
            Some(NameHolder::Unlisted) => (!self.deleted.contains(key)).then_some(0),
            None => (!is_of_this_second).then_some(1),
            Some(NameHolder::NoUser) => None,
        }
    }

    fn apply(&mut self, change: &'a KeyChange) {
        match &change.kind {
            ChangeKind::KeyCreated { key, .. } | ChangeKind::KeyUpdated { key, .. } => {
                if let Some(keys) = self.keys_of(&change.user) {
                    keys.insert(key);
                }
            }
            ChangeKind::KeyDeleted { key } => {
                if let Some(keys) = self.keys_of(&change.user) {
                    keys.remove(key.as_str());
                }
                self.deleted.insert(key);
            }
            ChangeKind::UserDeleted => {
                self.users.insert(&change.user, NameHolder::NoUser);
            }
            ChangeKind::UserRenamed { to, .. } => {
                let moved = self.users.insert(&change.user, NameHolder::NoUser);
                let moved = moved.unwrap_or_else(|| NameHolder::Keys(BTreeSet::new()));
                self.users.insert(to, moved);
            }
            ChangeKind::KeyLeaked { .. } => {}
        }
    }

    /// The keys of `user`, who exists from now on, or `None` if they are not known.
    fn keys_of(&mut self, user: &'a UserId) -> Option<&mut BTreeSet<&'a str>> {
        let bearer = self.users.entry(user).or_insert(NameHolder::NoUser);
        if *bearer == NameHolder::NoUser {
            *bearer = NameHolder::Keys(BTreeSet::new());
        }
        match bearer {
            NameHolder::Keys(keys) => Some(keys),
            NameHolder::Unlisted | NameHolder::NoUser => None,
        }
    }
}
