//! What events say of a user's keys. It stands in the user's record.
//!
//! Per key the words of all events are kept, as far as they can still matter, and all else follows from them: the
//! latest status, what made the key active, what ended that. So it is the same in whatever order the events come, and
//! however often. Words of one second that contradict each other cancel out (`CloudTrail` times have whole seconds).

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::leak::{self, Leak};
use crate::detect::listing::KeyStatus;
use crate::detect::user::UserId;

/// How many keys that are not listed are kept evidence of. With every text at its bound the record stays within the
/// 400 KB of a DynamoDB item.
pub const MAX_UNLISTED: usize = 3;

/// How many words are kept of one key.
pub const MAX_WORDS: usize = 6;

/// What events say of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Per key id.
    pub keys: BTreeMap<String, KeyEvidence>,
    /// Of the user itself.
    pub user: Option<UserEvidence>,
    /// The reports that a key of the user leaked, the earliest first.
    pub leaks: Vec<Leak>,
}

/// What events say of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyEvidence {
    /// What each event said, in order of time; never empty in a record.
    pub words: Vec<Word>,
    /// What is known of the key before the first word.
    pub before: Option<Before>,
    /// The beginning of the latest activity that a finding has named.
    pub reported: Option<Timestamp>,
}

/// What one event said of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// When.
    pub at: Timestamp,
    /// The key's status from then on.
    pub status: KeyStatus,
    /// Whether the key was created then.
    pub created: bool,
    /// By whom.
    pub by: Source,
}

/// A key's status at a time from which no word is kept: a listing showed it, or a word that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// When.
    pub at: Timestamp,
    /// The status.
    pub status: KeyStatus,
}

/// An event that made a key active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// When.
    pub at: Timestamp,
    /// Whether the key was made then, and not switched on again.
    pub created: bool,
    /// By whom.
    pub by: Source,
    /// Since when the key had been inactive, if an event or a listing showed that it was.
    pub inactive_since: Option<Timestamp>,
}

impl Activation {
    /// Whether the event is known to have changed something. Of an `UpdateAccessKey` that says `Active`, and before which
    /// nothing is known of the key, it is not: the key may have been active all along.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.created || self.inactive_since.is_some()
    }
}

/// An event that deactivated or deleted a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// When.
    pub at: Timestamp,
    /// Inactive or gone.
    pub status: KeyStatus,
    /// By whom.
    pub by: Source,
}

/// A time for which a key was active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// What began it, if an event told.
    pub began: Option<Activation>,
    /// What ended it, if it did.
    pub ended: Option<Removal>,
}

impl Word {
    fn removal(&self) -> Removal {
        Removal {
            at: self.at,
            status: self.status,
            by: self.by.clone(),
        }
    }
}

/// Where a word of evidence comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// CloudTrail's `eventID`, if the record had one.
    pub event_id: Option<String>,
    /// Who made the change.
    pub actor: Actor,
}

/// What events say of the user itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEvidence {
    /// What became of the user; none if events of one second contradict each other.
    pub state: Option<UserState>,
    /// The time of the latest event.
    pub at: Timestamp,
    /// By whom.
    pub by: Source,
}

/// What became of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// There was such a user at the time.
    Exists,
    /// There was such a user when a key of its was deleted. Where the user's end is told in the same second it came
    /// after that, for IAM deletes no user that has keys.
    KeyDeleted,
    /// The user was deleted.
    Deleted,
    /// The user was given another name; under this one there is nobody.
    RenamedTo(UserId),
}

impl UserEvidence {
    /// Whether the user was gone at the time.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self.state,
            Some(UserState::Deleted | UserState::RenamedTo(_))
        )
    }
}

impl Evidence {
    /// This evidence on `user` with that of `change` merged in.
    #[must_use]
    pub fn with(mut self, user: &UserId, change: &KeyChange) -> Self {
        if let Some(leak) = Leak::of(change) {
            // It says nothing about a key's status, and a late one nothing about the user.
            leak::add(&mut self.leaks, leak);
            return self;
        }
        let source = Source {
            event_id: change.event_id.clone(),
            actor: change.actor.clone(),
        };
        let state = match &change.kind {
            ChangeKind::UserDeleted => UserState::Deleted,
            ChangeKind::UserRenamed { to, .. } if to != user => UserState::RenamedTo(to.clone()),
            ChangeKind::KeyDeleted { .. } => UserState::KeyDeleted,
            _ => UserState::Exists,
        };
        if let Some((key, status)) = change.key_status() {
            let word = Word {
                at: change.at,
                status,
                created: matches!(change.kind, ChangeKind::KeyCreated { .. }),
                by: source.clone(),
            };
            self.keys.entry(key.to_owned()).or_default().add(word);
        }
        self.user = Some(merged_user(self.user, state, change.at, source));
        self
    }

    /// Without what can no longer matter: of keys that are not listed only the newest [`MAX_UNLISTED`] are kept, those
    /// that may exist before those that are gone, and none for longer than `keep_for` before `now` unless an open finding names it; of each key only
    /// [`MAX_WORDS`] words. An actor who makes and deletes keys without end would fill the record otherwise.
    #[must_use]
    pub fn pruned(
        mut self,
        is_listed: impl Fn(&str) -> bool,
        is_named: impl Fn(&str) -> bool,
        now: Timestamp,
        keep_for: TimeDelta,
    ) -> Self {
        let mut unlisted: Vec<(bool, Timestamp, String)> = self
            .keys
            .iter()
            .filter(|(key, known)| {
                !is_listed(key) && (is_named(key) || now - known.at() < keep_for)
            })
            .map(|(key, known)| {
                let may_exist = known.status() != Some(KeyStatus::Gone);
                (may_exist, known.at(), key.clone())
            })
            .collect();
        unlisted.sort();
        let kept: BTreeSet<String> = unlisted
            .into_iter()
            .rev()
            .take(MAX_UNLISTED)
            .map(|(_, _, key)| key)
            .collect();
        self.keys
            .retain(|key, _| is_listed(key) || kept.contains(key));
        for known in self.keys.values_mut() {
            known.forget_what_no_longer_matters();
        }
        self
    }
}

impl KeyChange {
    /// The key that the change is about and its status from then on.
    #[must_use]
    pub fn key_status(&self) -> Option<(&str, KeyStatus)> {
        match &self.kind {
            ChangeKind::KeyCreated { key, status } | ChangeKind::KeyUpdated { key, status } => {
                Some((key, *status))
            }
            ChangeKind::KeyDeleted { key } => Some((key, KeyStatus::Gone)),
            ChangeKind::UserDeleted
            | ChangeKind::UserRenamed { .. }
            | ChangeKind::KeyLeaked { .. } => None,
        }
    }
}

impl KeyEvidence {
    /// The time of the latest word.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.words
            .last()
            .map_or(Timestamp::MIN_UTC, |latest| latest.at)
    }

    /// The latest status; none if words of one second contradict each other.
    #[must_use]
    pub fn status(&self) -> Option<KeyStatus> {
        let latest = self.words.last()?;
        let mut of_that_second = self.words.iter().rev();
        of_that_second
            .by_ref()
            .take_while(|word| word.at == latest.at)
            .all(|word| word.status == latest.status)
            .then_some(latest.status)
    }

    /// What made the key active for the last time, as far as events told. An event that says `Active` of a key that was
    /// active already is none: whoever sends it would take the place of the one who made the key active.
    #[must_use]
    pub fn activation(&self) -> Option<Activation> {
        self.activities().pop()?.began
    }

    /// The earliest event after that which ended it.
    #[must_use]
    pub fn end(&self) -> Option<Removal> {
        match self.activities().pop() {
            Some(activity) => activity.ended,
            // Whatever was before, it was over then.
            None => self.in_order().first().map(|word| word.removal()),
        }
    }

    /// Each time for which the key was active, the latest last, as far as events told.
    #[must_use]
    pub fn activities(&self) -> Vec<Activity> {
        let before = self.known_before();
        let mut status = before.map(|before| before.status);
        // An update makes no key: one that was gone before was created since, by an event that is missing.
        let mut inactive_since = before
            .filter(|before| before.status == KeyStatus::Inactive)
            .map(|before| before.at);
        let mut activities = Vec::new();
        if status == Some(KeyStatus::Active) {
            activities.push(Activity::default());
        }
        for word in self.in_order() {
            let is_active = word.status == KeyStatus::Active;
            if is_active && (status != Some(KeyStatus::Active) || word.created) {
                activities.push(Activity {
                    began: Some(Activation {
                        at: word.at,
                        created: word.created,
                        by: word.by.clone(),
                        // Of one second nothing tells which word came first.
                        inactive_since: inactive_since
                            .filter(|since| !word.created && *since < word.at),
                    }),
                    ended: None,
                });
                inactive_since = None;
            } else if !is_active {
                inactive_since = inactive_since.or(Some(word.at));
                match activities.last_mut() {
                    Some(activity) if activity.ended.is_none() => {
                        activity.ended = Some(word.removal());
                    }
                    None if status.is_none() => activities.push(Activity {
                        began: None,
                        ended: Some(word.removal()),
                    }),
                    _ => {}
                }
            }
            status = Some(word.status);
        }
        activities
    }

    /// Whether no finding has named `activation`, or a later one, yet.
    #[must_use]
    pub fn is_unreported(&self, activation: &Activation) -> bool {
        self.reported.is_none_or(|named| named < activation.at)
    }

    /// The latest activation, if no finding has named it yet.
    #[must_use]
    pub fn unreported_activation(&self) -> Option<Activation> {
        self.activation()
            .filter(|activation| self.is_unreported(activation))
    }

    /// Notes that a finding names the key as it is.
    pub fn note_reported(&mut self) {
        let activation = self.activation().map(|activation| activation.at);
        self.reported = self.reported.max(activation);
    }

    /// What is known of the time before the first word; an earlier word may have come since.
    fn known_before(&self) -> Option<Before> {
        let first = self.words.first()?;
        self.before.filter(|before| before.at < first.at)
    }

    /// The words in the order in which they may have come to be. Those of one second have none, so one is chosen that
    /// IAM allows: created first, deleted last, and a change before what undoes it.
    fn in_order(&self) -> Vec<&Word> {
        let mut ordered: Vec<&Word> = Vec::with_capacity(self.words.len());
        for second in self.words.chunk_by(|one, other| one.at == other.at) {
            let before = ordered.last().map(|word| word.status);
            let before = before.or(self.known_before().map(|before| before.status));
            // A key is born active.
            let is_born = second.iter().any(|word| word.created);
            let before = if is_born {
                Some(KeyStatus::Active)
            } else {
                before
            };
            let rank = |word: &&Word| match word.status {
                _ if word.created => 0,
                KeyStatus::Gone => 3,
                status if Some(status) == before => 2,
                _ => 1,
            };
            let mut second: Vec<&Word> = second.iter().collect();
            second.sort_by_key(rank);
            ordered.extend(second);
        }
        ordered
    }

    /// Keeps `word` in its place; once, however often it comes.
    pub(crate) fn add(&mut self, word: Word) {
        let order = |word: &Word| (word.at, !word.created, word.status, word.by.clone());
        if let Err(place) = self.words.binary_search_by_key(&order(&word), order) {
            self.words.insert(place, word);
        }
    }

    /// Adds what is known of the same key under a former name of its user.
    pub(super) fn merge(&mut self, former: &Self) {
        for word in &former.words {
            self.add(word.clone());
        }
        if let Some(before) = former.before {
            self.note_listed(before.at, before.status);
        }
        self.reported = self.reported.max(former.reported);
    }

    /// Notes that a listing showed `status` at `at`, if that says what the first word changed.
    pub(super) fn note_listed(&mut self, at: Timestamp, status: KeyStatus) {
        let is_before = self.words.first().is_some_and(|first| at < first.at);
        if is_before && self.known_before().is_none_or(|before| before.at < at) {
            self.before = Some(Before { at, status });
        }
    }

    /// Drops words beyond [`MAX_WORDS`]: first those that changed nothing, then the oldest.
    fn forget_what_no_longer_matters(&mut self) {
        while self.words.len() > MAX_WORDS {
            let latest_at = self.at();
            let changes_nothing = self.words.windows(2).position(|pair| match pair {
                [one, other] => {
                    let is_latest = other.at == latest_at && one.at < latest_at;
                    one.status == other.status && !other.created && !is_latest
                }
                _ => false,
            });
            if let Some(place) = changes_nothing {
                self.words.remove(place + 1);
            } else {
                let oldest = self.words.remove(0);
                self.before = Some(Before {
                    at: oldest.at,
                    status: oldest.status,
                });
            }
        }
    }
}

fn merged_user(
    before: Option<UserEvidence>,
    state: UserState,
    at: Timestamp,
    by: Source,
) -> UserEvidence {
    match before {
        Some(known) if known.at > at => known,
        Some(known) if known.at == at && state == UserState::KeyDeleted => known,
        Some(known)
            if known.at == at
                && known.state != Some(UserState::KeyDeleted)
                && known.state.as_ref() != Some(&state) =>
        {
            UserEvidence {
                state: None,
                ..known
            }
        }
        _ => UserEvidence {
            state: Some(state),
            at,
            by,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, created, deleted, updated, user, user_deleted};

    fn merged(changes: &[KeyChange]) -> Evidence {
        changes
            .iter()
            .fold(Evidence::default(), |evidence, change| {
                evidence.with(&user(), change)
            })
    }

    #[test]
    fn the_latest_word_wins_in_whatever_order_and_however_often() {
        let one = created("K", 1);
        let two = updated("K", KeyStatus::Inactive, 2);
        let three = deleted("K", 3);
        let expected = merged(&[one.clone(), two.clone(), three.clone()]);
        for order in [
            [&three, &two, &one],
            [&two, &three, &one],
            [&two, &one, &three],
        ] {
            let evidence = merged(&order.map(Clone::clone));
            assert_eq!(evidence.keys["K"].status(), Some(KeyStatus::Gone));
            assert_eq!(evidence.keys["K"].at(), expected.keys["K"].at());
            assert_eq!(evidence.keys["K"].end().unwrap().at, at(2));
            assert_eq!(evidence.user, expected.user);
        }
        assert_eq!(
            merged(&[one.clone(), one.clone(), two.clone(), three, one, two]),
            expected
        );
    }

    #[test]
    fn words_of_one_second_that_contradict_each_other_cancel_out() {
        let one = created("K", 1);
        let two = updated("K", KeyStatus::Inactive, 1);
        for order in [[&one, &two], [&two, &one]] {
            assert_eq!(merged(&order.map(Clone::clone)).keys["K"].status(), None);
        }
        assert_eq!(
            merged(&[created("K", 1), user_deleted(1)])
                .user
                .unwrap()
                .state,
            None
        );
    }

    #[test]
    fn a_cancelled_word_stays_cancelled_until_a_later_one() {
        let contradiction = [
            created("K", 1),
            updated("K", KeyStatus::Inactive, 1),
            created("K", 1),
        ];
        assert_eq!(merged(&contradiction).keys["K"].status(), None);
        let mut resolved = contradiction.to_vec();
        resolved.push(updated("K", KeyStatus::Active, 2));
        assert_eq!(
            merged(&resolved).keys["K"].status(),
            Some(KeyStatus::Active)
        );
    }

    #[test]
    fn a_reactivation_knows_since_when_the_key_was_inactive() {
        let evidence = merged(&[
            created("K", 1),
            updated("K", KeyStatus::Inactive, 5),
            updated("K", KeyStatus::Active, 9),
        ]);
        let activation = evidence.keys["K"].activation().unwrap();
        assert_eq!(activation.inactive_since, Some(at(5)));
        assert!(!activation.created);
        assert_eq!(evidence.keys["K"].end(), None);
    }

    #[test]
    fn keys_made_and_deleted_without_end_do_not_fill_the_record() {
        let changes: Vec<KeyChange> = (0..200)
            .flat_map(|round| {
                let key = format!("K{round}");
                [created(&key, 2 * round), deleted(&key, 2 * round + 1)]
            })
            .chain([created("LISTED", 1), created("UNSEEN", 2)])
            .collect();
        let kept = merged(&changes).pruned(
            |key| key == "LISTED",
            |_| false,
            at(400),
            TimeDelta::days(1),
        );
        assert_eq!(kept.keys.len(), MAX_UNLISTED + 1);
        for key in ["LISTED", "UNSEEN", "K199"] {
            assert!(kept.keys.contains_key(key), "{key}");
        }
        let later = kept.pruned(
            |key| key == "LISTED",
            |_| false,
            at(399) + TimeDelta::days(1),
            TimeDelta::days(1),
        );
        assert_eq!(later.keys.len(), 1);
    }

    #[test]
    fn a_user_deleted_in_the_second_of_its_last_key_is_gone() {
        for order in [
            [deleted("K", 1), user_deleted(1)],
            [user_deleted(1), deleted("K", 1)],
        ] {
            assert!(merged(&order).user.unwrap().is_gone());
        }
    }

    #[test]
    fn the_user_is_gone_only_by_the_latest_event() {
        assert!(
            merged(&[created("K", 1), user_deleted(2)])
                .user
                .unwrap()
                .is_gone()
        );
        assert!(
            !merged(&[created("K", 3), user_deleted(2)])
                .user
                .unwrap()
                .is_gone()
        );
    }
}
