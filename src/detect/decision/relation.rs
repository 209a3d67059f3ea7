//! How the actor who makes a key active relates to the user who owns it.

use wildmatch::WildMatch;

use crate::detect::Timestamp;
use crate::detect::decision::familiar::{FamiliarActor, is_familiar};
use crate::detect::decision::policy::Policy;
use crate::detect::events::actor::Actor;
use crate::detect::user::UserId;

/// The actor's relation to the user, as known when it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The actor is the user.
    Own,
    /// The operator trusts the actor to create keys for others.
    Trusted,
    /// The actor has created keys for users of this account before, and that ended with an ordinary
    /// cleanup.
    Familiar,
    /// None of the above.
    Unfamiliar,
}

impl Relation {
    /// The relation in words that follow the actor's name.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Own => "the user itself",
            Self::Trusted => "a trusted actor",
            Self::Familiar => "has rotated keys in this account before",
            Self::Unfamiliar => "not the user; has no record of key rotations in this account",
        }
    }
}

/// How `actor` relates to `user`, whose key the actor made active at `made_at`. `familiar` are the
/// familiar actors of the user's account.
#[must_use]
pub(crate) fn relation(
    actor: &Actor,
    user: &UserId,
    policy: &Policy,
    familiar: &[FamiliarActor],
    activated_at: Timestamp,
) -> Relation {
    if is_own(actor, user) {
        Relation::Own
    } else if is_trusted(actor, policy) {
        Relation::Trusted
    } else if is_familiar(actor, user, familiar, activated_at) {
        Relation::Familiar
    } else {
        Relation::Unfamiliar
    }
}

/// Whether `actor` is `user`.
#[must_use]
pub(crate) fn is_own(actor: &Actor, user: &UserId) -> bool {
    let account = actor.account.as_deref().unwrap_or(user.account());
    if user.is_root() {
        return actor.kind.as_deref() == Some("Root") && account == user.account();
    }
    let name = actor.name.as_deref();
    name.is_some_and(|name| UserId::new(account, name) == *user)
}

/// Whether the operator trusts `actor` to create keys for others.
#[must_use]
pub(crate) fn is_trusted(actor: &Actor, policy: &Policy) -> bool {
    let matches = |pattern: &String| WildMatch::new(pattern).matches(actor.label());
    policy.trusted_actors.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decision::familiar::identity;
    use crate::detect::testing::{actor, at, user};

    const DAY: i64 = 24 * 60 * 60;

    fn role(arn: &str) -> Actor {
        Actor {
            kind: Some("AssumedRole".to_owned()),
            arn: Some(arn.to_owned()),
            account: Some("111122223333".to_owned()),
            ..Actor::default()
        }
    }

    fn root() -> Actor {
        Actor {
            kind: Some("Root".to_owned()),
            arn: Some("arn:aws:iam::111122223333:root".to_owned()),
            account: Some("111122223333".to_owned()),
            ..Actor::default()
        }
    }

    /// `actor`, after completing a rotation in the account of `user()` at second 0.
    fn known(actor: &Actor) -> [FamiliarActor; 1] {
        [FamiliarActor {
            account: user().account().to_owned(),
            identity: identity(actor).unwrap(),
            since: at(0),
            last_at: at(0),
        }]
    }

    fn check(actor: &Actor, familiar: &[FamiliarActor], second: i64, expected: Relation) {
        let found = relation(actor, &user(), &Policy::default(), familiar, at(second));
        assert_eq!(found, expected, "{actor:?} at {second}");
    }

    #[test]
    fn the_user_is_own_in_any_spelling_in_its_account_only() {
        check(&actor("alice"), &[], 0, Relation::Own);
        check(&actor("ALICE"), &[], 0, Relation::Own);
        let without_account = Actor {
            account: None,
            ..actor("alice")
        };
        check(&without_account, &[], 0, Relation::Own);
        let stranger = Actor {
            account: Some("999999999999".to_owned()),
            arn: Some("arn:aws:iam::999999999999:user/alice".to_owned()),
            ..actor("alice")
        };
        check(&stranger, &[], 0, Relation::Unfamiliar);
        check(&Actor::default(), &[], 0, Relation::Unfamiliar);
    }

    #[test]
    fn root_is_its_own_maker_for_its_own_keys_only() {
        let policy = Policy::default();
        let of = |actor: &Actor, user: &UserId| relation(actor, user, &policy, &[], at(0));
        let here = UserId::root("111122223333");
        assert_eq!(of(&root(), &here), Relation::Own);
        assert_eq!(of(&root(), &UserId::root("4")), Relation::Unfamiliar);
        assert_eq!(of(&root(), &user()), Relation::Unfamiliar);
        assert_eq!(of(&actor("alice"), &here), Relation::Unfamiliar);
    }

    #[test]
    fn trust_is_by_pattern_and_comes_before_familiarity() {
        let policy = Policy {
            trusted_actors: vec!["*:user/b?b".to_owned()],
            ..Policy::default()
        };
        let of = |actor: &Actor| relation(actor, &user(), &policy, &known(actor), at(2 * DAY));
        assert_eq!(of(&actor("bob")), Relation::Trusted);
        assert_eq!(of(&actor("bobby")), Relation::Familiar);
        assert_eq!(of(&actor("alice")), Relation::Own);
    }

    #[test]
    fn familiarity_starts_after_a_day_and_ends_after_180() {
        let bob = actor("bob");
        check(&bob, &known(&bob), DAY - 1, Relation::Unfamiliar);
        check(&bob, &known(&bob), DAY, Relation::Familiar);
        check(&bob, &known(&bob), 180 * DAY - 1, Relation::Familiar);
        check(&bob, &known(&bob), 180 * DAY, Relation::Unfamiliar);
        check(&actor("mallory"), &known(&bob), DAY, Relation::Unfamiliar);
    }

    #[test]
    fn familiarity_in_one_account_counts_for_nothing_in_another() {
        let bob = actor("bob");
        let mut elsewhere = known(&bob);
        elsewhere[0].account = "444455556666".to_owned();
        check(&bob, &elsewhere, DAY, Relation::Unfamiliar);
    }

    #[test]
    fn a_role_is_familiar_by_its_name_and_a_person_by_the_session() {
        let ci = |session: &str| {
            let arn = "arn:aws:sts::111122223333:assumed-role/ci/";
            role(&format!("{arn}{session}"))
        };
        check(&ci("b8"), &known(&ci("b7")), DAY, Relation::Familiar);
        let other_role = role("arn:aws:sts::111122223333:assumed-role/ci2/b7");
        check(&other_role, &known(&ci("b7")), DAY, Relation::Unfamiliar);
        let other_account = role("arn:aws:sts::444455556666:assumed-role/ci/b7");
        check(&other_account, &known(&ci("b7")), DAY, Relation::Unfamiliar);
        check(
            &other_account,
            &known(&other_account),
            DAY,
            Relation::Familiar,
        );

        let person = |name: &str| {
            let arn =
                "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/";
            role(&format!("{arn}{name}"))
        };
        check(
            &person("dana"),
            &known(&person("dana")),
            DAY,
            Relation::Familiar,
        );
        check(
            &person("eve"),
            &known(&person("dana")),
            DAY,
            Relation::Unfamiliar,
        );
    }

    #[test]
    fn root_and_services_can_be_familiar_and_an_actor_without_a_name_cannot() {
        check(&root(), &known(&root()), DAY, Relation::Familiar);
        let service = Actor {
            kind: Some("AWSService".to_owned()),
            invoked_by: Some("cloudformation.amazonaws.com".to_owned()),
            ..Actor::default()
        };
        check(&service, &known(&service), DAY, Relation::Familiar);
        let through_service = Actor {
            invoked_by: service.invoked_by.clone(),
            ..actor("mallory")
        };
        check(
            &through_service,
            &known(&service),
            DAY,
            Relation::Unfamiliar,
        );
        let unnamed = [
            Actor::default(),
            Actor {
                name: Some("mallory".to_owned()),
                kind: Some("IAMUser".to_owned()),
                ..Actor::default()
            },
            // This can be any AWS service.
            Actor {
                invoked_by: Some("AWS Internal".to_owned()),
                ..Actor::default()
            },
            Actor {
                arn: Some(String::new()),
                ..Actor::default()
            },
        ];
        for actor in unnamed {
            assert_eq!(identity(&actor), None, "{actor:?}");
        }
    }
}
