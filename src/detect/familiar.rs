//! Which actors have a record of key rotations for others, so that one more key by them is routine.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::finding::{CloseReason, Finding, FindingStatus, Opener};
use crate::detect::relation::{Relation, is_own};
use crate::detect::severity::SeverityReason;
use crate::detect::user::UserId;

/// How the role of a person begins whom IAM Identity Center signed in. IAM reserves such names.
const PERSONAL_ROLE: &str = "AWSReservedSSO_";

/// What CloudTrail calls any of AWS's own services that it does not name.
const UNNAMED_SERVICE: &str = "AWS Internal";

/// An actor who has made a key for another user of the account, in an episode that ended in an
/// ordinary cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Familiar {
    /// The account whose users got the keys.
    pub account: String,
    /// Who it is: see [`identity`].
    pub identity: String,
    /// When the first of these cleanups was.
    pub since: Timestamp,
    /// When the last was that is kept.
    pub last_at: Timestamp,
}

impl Familiar {
    /// How long an actor stays familiar after a cleanup. Keys are usually rotated every 90 days
    /// (CIS AWS Foundations Benchmark, 1.14): a pipeline that misses one turn stays familiar.
    pub const KEPT_FOR: TimeDelta = TimeDelta::days(180);

    /// How long after its first cleanup an actor becomes familiar. A thief of an administrator's
    /// credentials can make a key for one user, remove the user's own, and go on to the next: that
    /// spree stays HIGH until people have had a day to act on its first alert.
    pub const BEGINS_AFTER: TimeDelta = TimeDelta::days(1);

    /// How many actors are kept of one account; all of them fit in one page of a DynamoDB query.
    /// Where so many are known, no other becomes familiar, which errs on the loud side.
    pub const MOST: usize = 200;

    /// When it ends.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.last_at + Self::KEPT_FOR
    }

    /// Whether the actor is familiar at `at`.
    #[must_use]
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.since + Self::BEGINS_AFTER <= at && at < self.until()
    }
}

/// Who `actor` is, so that another call of the same one is recognized. An assumed role is known by
/// the role, for each session has a name of its own; where IAM Identity Center signed a person in,
/// the session names the person. `None` where nothing tells who it is.
#[must_use]
pub fn identity(actor: &Actor) -> Option<String> {
    let arn = actor.arn.as_deref().filter(|arn| !arn.is_empty());
    if let Some(arn) = arn {
        return Some(shared_role(arn).unwrap_or_else(|| arn.to_owned()));
    }
    let service = actor.invoked_by.as_deref();
    let service = service.filter(|name| !name.is_empty() && *name != UNNAMED_SERVICE);
    service.map(ToOwned::to_owned)
}

/// `arn` without the session, if it is the session of a role that several may assume.
fn shared_role(arn: &str) -> Option<String> {
    let (session_of, resource) = arn.split_once(":assumed-role/")?;
    let (role, _) = resource.split_once('/')?;
    let is_sts = session_of.split(':').nth(2) == Some("sts");
    (is_sts && !role.starts_with(PERSONAL_ROLE))
        .then(|| format!("{session_of}:assumed-role/{role}"))
}

/// Whether `actor` is one of `familiar` in the account of `user` at `at`.
#[must_use]
pub fn is_familiar(actor: &Actor, user: &UserId, familiar: &[Familiar], at: Timestamp) -> bool {
    let Some(identity) = identity(actor) else {
        return false;
    };
    familiar.iter().any(|known| {
        known.account == user.account() && known.identity == identity && known.holds_at(at)
    })
}

/// What `finding` adds to `known`, the familiar actors of its account: nothing unless it ended in
/// an ordinary cleanup, and nothing for an actor of whom `known` says about the same. So it may be
/// asked at each look at a user, and what was lost is made good.
#[must_use]
pub fn learned(finding: &Finding, known: &[Familiar], now: Timestamp) -> Vec<Familiar> {
    let Some(cleaned_at) = ordinary_cleanup(finding) else {
        return vec![];
    };
    let cleaned_at = cleaned_at.min(now);
    let account = finding.user().account();
    let mut learned: Vec<Familiar> = vec![];
    let is_news = |last_at: Timestamp| last_at + Familiar::KEPT_FOR / 2 < cleaned_at;
    let living = known.iter().filter(|known| now < known.until()).count();
    for identity in rotated_by(finding) {
        let before = known
            .iter()
            .find(|known| known.account == account && known.identity == identity);
        let since = match before {
            Some(before) if !is_news(before.last_at) => continue,
            Some(before) if cleaned_at < before.until() => before.since,
            None if living + learned.len() >= Familiar::MOST => continue,
            _ => cleaned_at,
        };
        let one = Familiar {
            account: account.to_owned(),
            identity,
            since,
            last_at: cleaned_at,
        };
        if now < one.until() && !learned.contains(&one) {
            learned.push(one);
        }
    }
    learned
}

/// When `finding` ended, if that was an ordinary cleanup: a key was deactivated or deleted, after a
/// listing had shown two, in sight of people, and without a sign of abuse.
fn ordinary_cleanup(finding: &Finding) -> Option<Timestamp> {
    let closing = finding.closing.as_ref()?;
    let is_cleanup = matches!(
        closing.reason,
        CloseReason::Deactivated | CloseReason::Deleted
    );
    let is_abuse = |reason: &SeverityReason| {
        let abuse = [SeverityReason::DormantKey, SeverityReason::LeakedKey];
        abuse.contains(reason)
    };
    let is_ordinary = is_cleanup
        && finding.status == FindingStatus::Closed
        && finding.confirmed
        // What an exemption hid from beginning to end was seen by none, so its end proves nothing.
        && finding.told
        && finding.leaks.is_empty()
        && !finding.severity_reasons.iter().any(is_abuse);
    is_ordinary.then_some(closing.at)
}

/// The actors whose key for the user stayed when `finding` ended and another one went. Where an
/// actor's own key went, that may have been a backdoor that was removed.
fn rotated_by(finding: &Finding) -> Vec<String> {
    let is_active = |event: &Opener| finding.active_keys().any(|key| key == event.key);
    let makers = || {
        let all = finding.opener.iter().chain(&finding.joined);
        all.filter(|event| event.is_proven() && is_for_another(event, finding.user()))
            .filter_map(|event| Some((event, identity(&event.actor)?)))
    };
    makers()
        .map(|(_, identity)| identity)
        .filter(|identity| {
            let of_actor = || makers().filter(|(_, other)| other == identity);
            of_actor().all(|(event, _)| is_active(event))
        })
        .collect()
}

/// Whether the event's actor is neither the user nor one whom the operator trusts: the latter stays
/// known by the operator's list alone, and is forgotten with it.
fn is_for_another(event: &Opener, user: &UserId) -> bool {
    match event.relation {
        Some(Relation::Own | Relation::Trusted) => false,
        Some(Relation::Familiar | Relation::Unfamiliar) => true,
        None => !is_own(&event.actor, user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::finding::{Closing, FindingKey};
    use crate::detect::leak::{Leak, LeakSignal};
    use crate::detect::listing::KeyStatus;
    use crate::detect::testing::{actor, at, finding_of};

    const DAY: i64 = 24 * 60 * 60;

    fn made(key: &str, by: &str) -> Opener {
        Opener {
            key: key.to_owned(),
            created: true,
            at: at(2),
            inactive_since: None,
            actor: actor(by),
            relation: Some(Relation::Unfamiliar),
            event_id: None,
        }
    }

    fn key(id: &str, status: KeyStatus) -> FindingKey {
        FindingKey {
            id: id.to_owned(),
            status,
            created: None,
        }
    }

    /// Bob made `K2` for Alice, and her old key was deleted at second 100.
    fn rotated() -> Finding {
        Finding {
            status: FindingStatus::Closed,
            opener: Some(made("K2", "bob")),
            keys: vec![key("K1", KeyStatus::Gone), key("K2", KeyStatus::Active)],
            closing: Some(Closing {
                reason: CloseReason::Deleted,
                at: at(100),
                actor: Some(actor("bob")),
                event_id: None,
            }),
            ..finding_of(&[])
        }
    }

    fn bob(since: i64, last_at: i64) -> Familiar {
        Familiar {
            account: "111122223333".to_owned(),
            identity: "arn:aws:iam::111122223333:user/bob".to_owned(),
            since: at(since),
            last_at: at(last_at),
        }
    }

    #[test]
    fn who_made_the_key_that_stayed_becomes_familiar() {
        assert_eq!(learned(&rotated(), &[], at(101)), [bob(100, 100)]);
        let mut finding = rotated();
        finding.keys[0].status = KeyStatus::Inactive;
        finding.closing.as_mut().unwrap().reason = CloseReason::Deactivated;
        assert_eq!(learned(&finding, &[], at(101)), [bob(100, 100)]);
        // Switched on again instead of created, and not judged, as a former release left it.
        let opener = finding.opener.as_mut().unwrap();
        (opener.created, opener.inactive_since) = (false, Some(at(1)));
        opener.relation = None;
        assert_eq!(learned(&finding, &[], at(101)), [bob(100, 100)]);
    }

    #[test]
    fn only_an_ordinary_cleanup_in_sight_of_people_counts() {
        let leak = Leak {
            key: None,
            at: at(50),
            signal: LeakSignal::Quarantine,
            event_id: None,
        };
        let open = Finding {
            status: FindingStatus::Open,
            closing: None,
            ..rotated()
        };
        let mut not_ordinary = vec![
            open,
            Finding {
                confirmed: false,
                ..rotated()
            },
            Finding {
                told: false,
                ..rotated()
            },
            Finding {
                leaks: vec![leak],
                ..rotated()
            },
        ];
        for reason in [SeverityReason::DormantKey, SeverityReason::LeakedKey] {
            not_ordinary.push(Finding {
                severity_reasons: vec![reason],
                ..rotated()
            });
        }
        for reason in [
            CloseReason::UserDeleted,
            CloseReason::Renamed,
            CloseReason::NeverConfirmed,
            CloseReason::AccountLeft,
        ] {
            let mut finding = rotated();
            finding.closing.as_mut().unwrap().reason = reason;
            not_ordinary.push(finding);
        }
        for finding in not_ordinary {
            assert_eq!(learned(&finding, &[], at(101)), [], "{finding:?}");
        }
        let late = Finding {
            severity_reasons: vec![
                SeverityReason::OutlivedWindow,
                SeverityReason::UnfamiliarActor,
            ],
            ..rotated()
        };
        assert_eq!(learned(&late, &[], at(101)), [bob(100, 100)]);
    }

    #[test]
    fn whose_own_key_went_stays_unfamiliar_for_it_may_have_been_a_backdoor() {
        let mut finding = rotated();
        finding.keys = vec![key("K1", KeyStatus::Active), key("K2", KeyStatus::Gone)];
        assert_eq!(learned(&finding, &[], at(101)), []);
        // Nor where another key by the same actor stayed.
        finding.joined = vec![made("K1", "bob")];
        assert_eq!(learned(&finding, &[], at(101)), []);
        // Who made the key that stayed is another matter.
        finding.joined = vec![made("K1", "carol")];
        let learned = learned(&finding, &[], at(101));
        assert_eq!(learned.len(), 1);
        assert!(learned[0].identity.ends_with("user/carol"));
    }

    #[test]
    fn no_one_becomes_familiar_by_own_keys_by_trust_or_by_what_changed_nothing() {
        for relation in [Relation::Own, Relation::Trusted] {
            let mut finding = rotated();
            finding.opener.as_mut().unwrap().relation = Some(relation);
            assert_eq!(learned(&finding, &[], at(101)), []);
        }
        let mut own = rotated();
        own.opener = Some(Opener {
            relation: None,
            ..made("K2", "alice")
        });
        assert_eq!(learned(&own, &[], at(101)), []);
        let mut unproven = rotated();
        unproven.opener.as_mut().unwrap().created = false;
        assert_eq!(learned(&unproven, &[], at(101)), []);
    }

    #[test]
    fn it_is_noted_again_only_when_less_than_half_of_its_time_is_left() {
        let finding = rotated();
        let first = learned(&finding, &[], at(101));
        assert_eq!(learned(&finding, &first, at(102)), [], "asked again");
        assert_eq!(learned(&finding, &[bob(-1, 200)], at(300)), [], "late");
        let closed_after = |days: i64| {
            let mut later = rotated();
            later.closing.as_mut().unwrap().at = at(100 + days * DAY);
            (later, at(101 + days * DAY))
        };
        let (later, now) = closed_after(90);
        assert_eq!(learned(&later, &first, now), []);
        let (later, now) = closed_after(91);
        let renewed = [bob(100, 100 + 91 * DAY)];
        assert_eq!(learned(&later, &first, now), renewed);
        let (later, now) = closed_after(180);
        let anew = [bob(100 + 180 * DAY, 100 + 180 * DAY)];
        assert_eq!(learned(&later, &first, now), anew, "it had ended");
    }

    #[test]
    fn a_cleanup_of_long_ago_or_of_the_future_is_no_reason_to_note_it_so() {
        assert_eq!(learned(&rotated(), &[], at(100 + 180 * DAY)), []);
        assert_eq!(learned(&rotated(), &[], at(50)), [bob(50, 50)]);
    }

    #[test]
    fn where_very_many_are_known_no_other_is_noted() {
        let one = |number: usize| Familiar {
            identity: format!("arn:aws:iam::111122223333:user/{number}"),
            ..bob(0, 0)
        };
        let mut known: Vec<Familiar> = (0..Familiar::MOST).map(one).collect();
        assert_eq!(learned(&rotated(), &known, at(101)), []);
        known[0].last_at = at(0) - Familiar::KEPT_FOR;
        assert_eq!(learned(&rotated(), &known, at(101)).len(), 1);
    }
}
