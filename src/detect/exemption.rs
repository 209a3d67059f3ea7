//! Exemptions: two active keys that somebody answers for, until a date.

use chrono::TimeDelta;
use thiserror::Error;
use wildmatch::WildMatch;

use crate::detect::Timestamp;
use crate::detect::user::UserId;

/// How far the clock of whoever wrote an exemption may be ahead.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Somebody answers for two active keys of certain users, as long as certain actors made them, until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// Tells it from the others of the account.
    pub id: String,
    /// The account whose users it is about.
    pub account: String,
    /// Which users, by name: a pattern with `*` and `?`, without regard to case.
    pub user_pattern: String,
    /// Who may have made the second key active: a pattern of ARNs with `*` and `?`. Only `*` matches an actor that no
    /// event told of.
    pub actor_pattern: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// What the ids of the exemptions begin with that `rotate start` writes.
pub const ROTATION_PREFIX: &str = "rotation-";

/// Whether the exemption `id` stands for a rotation: it hides the finding for as long as the rotation may take.
#[must_use]
pub fn is_rotation(id: &str) -> bool {
    id.starts_with(ROTATION_PREFIX)
}

/// Why an exemption is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExemptionError {
    /// Something is empty that must not be.
    #[error(
        "exemption `{0}` has no {1}; every exemption names its users, its actors, an owner and a reason"
    )]
    Missing(String, &'static str),
    /// It ends before it begins.
    #[error("exemption `{0}` ends before it begins")]
    EndsBefore(String),
    /// It lasts too long.
    #[error("exemption `{0}` lasts {1} days; the longest is {days} days", days = Exemption::LONGEST.num_days())]
    TooLong(String, i64),
}

impl Exemption {
    /// The longest that an exemption may last.
    pub const LONGEST: TimeDelta = TimeDelta::days(400);

    /// Whether it is about certain actors, and not about every one.
    #[must_use]
    pub fn names_an_actor(&self) -> bool {
        self.actor_pattern.chars().any(|part| part != '*')
    }

    /// An error if this is no exemption. Whoever writes one checks it; whoever uses one does too, for anybody who may
    /// write to the store can leave a check out.
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
        if lasts > Self::LONGEST {
            return Err(ExemptionError::TooLong(self.id.clone(), lasts.num_days()));
        }
        Ok(())
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.check().is_ok() && self.created_at <= now + CLOCK_SKEW && now < self.until
    }

    fn covers(&self, user: &UserId, makers: &[Option<&str>]) -> bool {
        // Root is exempt by its own name only: whoever writes `*` thinks of users.
        let is_user = if user.is_root() {
            self.user_pattern == user.name()
        } else {
            WildMatch::new(&self.user_pattern.to_lowercase()).matches(user.name())
        };
        let is_maker = |maker: Option<&str>| match maker {
            Some(maker) => WildMatch::new(&self.actor_pattern).matches(maker),
            None => self.actor_pattern == "*",
        };
        self.account == user.account() && is_user && makers.iter().copied().all(is_maker)
    }
}

/// The exemption that covers two active keys of `user` at `now`, made active by `makers` as far as events told: of several
/// the one that lasts longest.
#[must_use]
pub fn exemption_for<'a>(
    exemptions: impl IntoIterator<Item = &'a Exemption>,
    user: &UserId,
    makers: &[Option<&str>],
    now: Timestamp,
) -> Option<&'a Exemption> {
    exemptions
        .into_iter()
        .filter(|exemption| exemption.is_in_force(now) && exemption.covers(user, makers))
        .max_by_key(|exemption| (exemption.until, &exemption.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, exemption, user};

    fn covers(users: &str, actors: &str, user: &UserId, makers: &[Option<&str>]) -> bool {
        let one = [Exemption {
            user_pattern: users.to_owned(),
            actor_pattern: actors.to_owned(),
            ..exemption("one")
        }];
        exemption_for(&one, user, makers, at(10)).is_some()
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
        let makers = [
            Some("arn:aws:iam::1:user/ci"),
            Some("arn:aws:iam::1:user/eve"),
        ];
        assert!(!covers("alice", "*:user/ci", &user(), &makers));
        assert!(covers("alice", "*", &user(), &makers));
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
            until: at(0) + Exemption::LONGEST,
            ..exemption("5")
        };
        assert_eq!(longest.check(), Ok(()));
    }

    #[test]
    fn it_holds_from_its_writing_to_its_end() {
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
