//! What events say of a user's keys, the latest word per key. It stands in the user's record.
//!
//! Merging is the same in whatever order the events come and however often: a later time wins, and words of one time
//! that contradict each other cancel out (`CloudTrail` times have whole seconds).

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::KeyStatus;
use crate::detect::user::UserId;

/// How many keys that are not listed are kept evidence of. With every text at its bound the record stays within the
/// 400 KB of a DynamoDB item.
pub const MAX_UNLISTED: usize = 8;

/// What events say of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Per key id.
    pub keys: BTreeMap<String, KeyEvidence>,
    /// Of the user itself.
    pub user: Option<UserEvidence>,
}

/// What events say of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEvidence {
    /// The status since `at`; none if events of one second contradict each other.
    pub status: Option<KeyStatus>,
    /// The time of the latest event.
    pub at: Timestamp,
    /// Where the latest word comes from.
    pub by: Source,
    /// The latest event known that made the key active.
    pub activation: Option<Activation>,
    /// The earliest event known that ended the key's latest activity.
    pub end: Option<Removal>,
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
    /// Since when the key had been inactive, if an event told.
    pub inactive_since: Option<Timestamp>,
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

/// Where a word of evidence comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            let created = matches!(change.kind, ChangeKind::KeyCreated { .. });
            let before = self.keys.remove(key);
            let after = KeyEvidence::after(before, status, change.at, created, &source);
            self.keys.insert(key.to_owned(), after);
        }
        self.user = Some(merged_user(self.user, state, change.at, source));
        self
    }

    /// Without what can no longer matter: of keys that are not listed only the newest [`MAX_UNLISTED`] are kept, those
    /// that may exist before those that are gone, and none for longer than `keep_for` before `now`. Somebody who makes
    /// and deletes keys without end would fill the record otherwise.
    #[must_use]
    pub fn pruned(
        mut self,
        is_listed: impl Fn(&str) -> bool,
        now: Timestamp,
        keep_for: TimeDelta,
    ) -> Self {
        let mut unlisted: Vec<(bool, Timestamp, String)> = self
            .keys
            .iter()
            .filter(|(key, known)| !is_listed(key) && now - known.at < keep_for)
            .map(|(key, known)| {
                let may_exist = known.status != Some(KeyStatus::Gone);
                (may_exist, known.at, key.clone())
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
            ChangeKind::UserDeleted | ChangeKind::UserRenamed { .. } => None,
        }
    }
}

impl KeyEvidence {
    fn after(
        before: Option<Self>,
        status: KeyStatus,
        at: Timestamp,
        created: bool,
        by: &Source,
    ) -> Self {
        let (latest, latest_at, latest_by) = match &before {
            Some(known) if known.at > at => (known.status, known.at, known.by.clone()),
            Some(known) if known.at == at && known.status != Some(status) => (None, at, by.clone()),
            _ => (Some(status), at, by.clone()),
        };
        let (activation, end) = before.map_or((None, None), |known| (known.activation, known.end));
        let (activation, end) = if status == KeyStatus::Active {
            started(activation, end, at, created, by)
        } else {
            ended(activation, end, at, status, by)
        };
        let end = end.or_else(|| {
            let status = latest.filter(|status| *status != KeyStatus::Active)?;
            let by = latest_by.clone();
            Some(Removal {
                at: latest_at,
                status,
                by,
            })
        });
        Self {
            status: latest,
            at: latest_at,
            by: latest_by,
            activation,
            end,
        }
    }
}

/// The latest activation and the end of that activity, after one more activation came to light.
fn started(
    activation: Option<Activation>,
    end: Option<Removal>,
    at: Timestamp,
    created: bool,
    by: &Source,
) -> (Option<Activation>, Option<Removal>) {
    if activation.as_ref().is_some_and(|known| known.at >= at) {
        return (activation, end);
    }
    let (inactive_since, end) = match end {
        Some(end) if end.at <= at => (Some(end.at), None),
        later => (None, later),
    };
    let activation = Activation {
        at,
        created,
        by: by.clone(),
        inactive_since,
    };
    (Some(activation), end)
}

/// The same, after one more deactivation or deletion came to light.
fn ended(
    activation: Option<Activation>,
    end: Option<Removal>,
    at: Timestamp,
    status: KeyStatus,
    by: &Source,
) -> (Option<Activation>, Option<Removal>) {
    let is_before_activation = activation.as_ref().is_some_and(|known| known.at > at);
    let is_after_end = end.as_ref().is_some_and(|known| known.at <= at);
    if is_before_activation || is_after_end {
        return (activation, end);
    }
    let end = Removal {
        at,
        status,
        by: by.clone(),
    };
    (activation, Some(end))
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
            assert_eq!(evidence.keys["K"].status, Some(KeyStatus::Gone));
            assert_eq!(evidence.keys["K"].at, expected.keys["K"].at);
            assert_eq!(evidence.keys["K"].end.as_ref().unwrap().at, at(2));
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
            assert_eq!(merged(&order.map(Clone::clone)).keys["K"].status, None);
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
        assert_eq!(merged(&contradiction).keys["K"].status, None);
        let mut resolved = contradiction.to_vec();
        resolved.push(updated("K", KeyStatus::Active, 2));
        assert_eq!(merged(&resolved).keys["K"].status, Some(KeyStatus::Active));
    }

    #[test]
    fn a_reactivation_knows_since_when_the_key_was_inactive() {
        let evidence = merged(&[
            created("K", 1),
            updated("K", KeyStatus::Inactive, 5),
            updated("K", KeyStatus::Active, 9),
        ]);
        let activation = evidence.keys["K"].activation.clone().unwrap();
        assert_eq!(activation.inactive_since, Some(at(5)));
        assert!(!activation.created);
        assert_eq!(evidence.keys["K"].end, None);
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
        let kept = merged(&changes).pruned(|key| key == "LISTED", at(400), TimeDelta::days(1));
        assert_eq!(kept.keys.len(), MAX_UNLISTED + 1);
        for key in ["LISTED", "UNSEEN", "K199"] {
            assert!(kept.keys.contains_key(key), "{key}");
        }
        let later = kept.pruned(
            |key| key == "LISTED",
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
