//! Exemptions: a person is responsible for two active keys, until a date.

use chrono::TimeDelta;
use thiserror::Error;
use wildmatch::WildMatch;

use crate::detect::Timestamp;
use crate::detect::user::UserId;

/// How far the clock of the exemption's author may be ahead.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Allows certain users to have two active keys that certain actors made active, until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// Unique within the account.
    pub id: String,
    /// The account of the users.
    pub account: String,
    /// The users by name: a pattern with `*` and `?`, ignoring case.
    pub user_pattern: String,
    /// The actors who may have made the keys active: a pattern of ARNs with `*` and `?`. Only `*`
    /// matches an unknown actor.
    pub actor_pattern: String,
    /// Who is responsible for it.
    pub owner: String,
    /// Why it was granted.
    pub reason: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// The prefix of the ids of exemptions that `rotate start` writes.
pub(crate) const ROTATION_PREFIX: &str = "rotation-";

/// Whether the exemption `id` belongs to a rotation, for which it suppresses the finding.
#[must_use]
pub(crate) fn is_rotation(id: &str) -> bool {
    id.starts_with(ROTATION_PREFIX)
}

/// Why an exemption is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExemptionError {
    /// A required text is empty.
    #[error(
        "exemption `{0}` has no {1}; every exemption names its users, its actors, an owner and a reason"
    )]
    Missing(String, &'static str),
    /// It ends before it begins.
    #[error("exemption `{0}` ends before it begins")]
    EndsBefore(String),
    /// It lasts too long.
    #[error("exemption `{0}` lasts {1} days; the longest is {days} days", days = Exemption::MAX_DURATION.num_days())]
    TooLong(String, i64),
}

impl Exemption {
    /// The longest duration of an exemption.
    pub const MAX_DURATION: TimeDelta = TimeDelta::days(400);

    /// Whether it is limited to certain actors.
    #[must_use]
    pub fn names_an_actor(&self) -> bool {
        self.actor_pattern.chars().any(|part| part != '*')
    }

    /// Returns an error if the exemption is invalid. Checked when writing and when reading, because
    /// anyone with write access to the store can bypass the first check.
    pub fn check(&self) -> Result<(), ExemptionError> {
        let texts = [
            (&self.user_pattern, "user pattern"),
            (&self.actor_pattern, "actor pattern"),
            (&self.owner, "owner"),
            (&self.reason, "reason"),
        ];
        if let Some((_, what)) = texts.into_iter().find(|(text, _)| text.trim().is_empty()) {
            return Err(ExemptionError::Missing(self.id.clone(), what));
        }
        let lasts = self.until - self.created_at;
        if lasts <= TimeDelta::zero() {
            return Err(ExemptionError::EndsBefore(self.id.clone()));
        }
        if lasts > Self::MAX_DURATION {
            return Err(ExemptionError::TooLong(self.id.clone(), lasts.num_days()));
        }
        Ok(())
    }

    /// Whether it applies at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.check().is_ok() && self.created_at <= now + CLOCK_SKEW && now < self.until
    }

    fn covers(&self, user: &UserId, activators: &[Option<&str>]) -> bool {
        // Only root's own name matches root: the author of a `*` means users.
        let is_user = if user.is_root() {
            self.user_pattern == user.name()
        } else {
            WildMatch::new(&self.user_pattern.to_lowercase()).matches(user.name())
        };
        let is_activator = |activator: Option<&str>| match activator {
            Some(activator) => WildMatch::new(&self.actor_pattern).matches(activator),
            None => self.actor_pattern == "*",
        };
        self.account == user.account() && is_user && activators.iter().copied().all(is_activator)
    }
}

/// The exemption that covers two active keys of `user` at `now`, made active by `activators`. If
/// several do, the one that lasts longest.
#[must_use]
pub(crate) fn exemption_for<'a>(
    exemptions: impl IntoIterator<Item = &'a Exemption>,
    user: &UserId,
    activators: &[Option<&str>],
    now: Timestamp,
) -> Option<&'a Exemption> {
    exemptions
        .into_iter()
        .filter(|exemption| exemption.is_in_force(now) && exemption.covers(user, activators))
        .max_by_key(|exemption| (exemption.until, &exemption.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, exemption, user};

    fn covers(users: &str, actors: &str, user: &UserId, activators: &[Option<&str>]) -> bool {
        let one = [Exemption {
            user_pattern: users.to_owned(),
            actor_pattern: actors.to_owned(),
            ..exemption("one")
        }];
        exemption_for(&one, user, activators, at(10)).is_some()
    }

    #[test]
    fn an_exemption_names_the_user_and_the_actor() {
        let ci = "arn:aws:iam::111122223333:user/ci";
        assert!(covers("ALI*", "*:user/ci", &user(), &[Some(ci)]));
        assert!(!covers("bob", "*:user/ci", &user(), &[Some(ci)]));
        assert!(!covers("alice", "*:user/cd", &user(), &[Some(ci)]));
        let of_another_account = UserId::new("444455556666", "alice");
        assert!(!covers("alice", "*", &of_another_account, &[Some(ci)]));
    }

    #[test]
    fn one_key_by_another_actor_is_not_covered_whoever_made_the_other() {
        let activators = [
            Some("arn:aws:iam::1:user/ci"),
            Some("arn:aws:iam::1:user/eve"),
        ];
        assert!(!covers("alice", "*:user/ci", &user(), &activators));
        assert!(covers("alice", "*", &user(), &activators));
    }

    #[test]
    fn an_unknown_actor_is_covered_by_a_star_only() {
        assert!(covers("alice", "*", &user(), &[None]));
        assert!(!covers("alice", "arn:*", &user(), &[None]));
    }

    #[test]
    fn root_is_exempt_by_its_own_name_only() {
        let root = UserId::root("111122223333");
        assert!(!covers("*", "*", &root, &[None]));
        assert!(!covers("<root_*", "*", &root, &[None]));
        assert!(covers("<root_account>", "*", &root, &[None]));
    }

    #[test]
    fn an_exemption_has_an_owner_a_reason_and_an_end_within_400_days() {
        assert_eq!(exemption("good").check(), Ok(()));
        let bad = [
            Exemption {
                owner: " ".to_owned(),
                ..exemption("1")
            },
            Exemption {
                reason: String::new(),
                ..exemption("2")
            },
            Exemption {
                until: at(0),
                ..exemption("3")
            },
            Exemption {
                until: at(0) + TimeDelta::days(401),
                ..exemption("4")
            },
        ];
        for bad in bad {
            assert!(bad.check().is_err(), "{bad:?}");
            assert!(!bad.is_in_force(at(10)), "{bad:?}");
        }
        let longest = Exemption {
            until: at(0) + Exemption::MAX_DURATION,
            ..exemption("5")
        };
        assert_eq!(longest.check(), Ok(()));
    }

    #[test]
    fn exemption_applies_from_creation_to_end() {
        let one = exemption("one");
        assert!(one.is_in_force(one.until - TimeDelta::seconds(1)));
        assert!(!one.is_in_force(one.until));
        assert!(
            one.is_in_force(one.created_at - TimeDelta::minutes(1)),
            "clocks differ"
        );
        assert!(!one.is_in_force(one.created_at - TimeDelta::hours(1)));
    }
}
