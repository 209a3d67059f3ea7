//! Which actors have rotated keys for others before, so that another key from them is routine.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::arn::Arn;
use crate::detect::decision::relation::{Relation, is_own};
use crate::detect::decision::severity::SeverityReason;
use crate::detect::events::actor::Actor;
use crate::detect::findings::finding::{CloseReason, Finding, FindingStatus, KeyActivation};
use crate::detect::user::UserId;

/// The prefix of roles for people who sign in through IAM Identity Center. IAM reserves it.
const PERSONAL_ROLE: &str = "AWSReservedSSO_";

/// CloudTrail's name for an AWS service that it does not identify.
const UNNAMED_SERVICE: &str = "AWS Internal";

/// An actor who created a key for another user of the account, in an episode that ended with an
/// ordinary cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamiliarActor {
    /// The account of these users.
    pub account: String,
    /// The actor; see [`identity`].
    pub identity: String,
    /// The time of the first such cleanup.
    pub since: Timestamp,
    /// The time of the latest recorded cleanup.
    pub last_at: Timestamp,
}

impl FamiliarActor {
    /// How long an actor stays familiar after a cleanup. Keys are usually rotated every 90 days
    /// (CIS AWS Foundations Benchmark, 1.14); a pipeline that misses one rotation stays familiar.
    pub const RETENTION: TimeDelta = TimeDelta::days(180);

    /// How long after the first cleanup an actor becomes familiar. An attacker with an
    /// administrator's credentials can create a key for one user, remove the user's own key and
    /// move on to the next. Those findings stay HIGH until people have had a day to act on the
    /// first alert.
    pub const WAITING_PERIOD: TimeDelta = TimeDelta::days(1);

    /// How many actors are stored per account; all of them fit on one page of a DynamoDB query.
    /// Once it is reached, no more actors become familiar, which errs toward more alerts.
    pub const MAX_PER_ACCOUNT: usize = 200;

    /// When the familiarity ends.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.last_at + Self::RETENTION
    }

    /// Whether the actor is familiar at `at`.
    #[must_use]
    pub fn is_familiar_at(&self, at: Timestamp) -> bool {
        self.since + Self::WAITING_PERIOD <= at && at < self.until()
    }
}

/// A stable identity of `actor`. For an assumed role it is the role, because each session has its
/// own name; for a person from IAM Identity Center it includes the session, which names the person.
/// `None` if the actor is unknown.
#[must_use]
pub(crate) fn identity(actor: &Actor) -> Option<String> {
    let arn = actor.arn.as_deref().filter(|arn| !arn.is_empty());
    if let Some(arn) = arn {
        return Some(shared_role(arn).unwrap_or_else(|| arn.to_owned()));
    }
    let service = actor.invoked_by.as_deref();
    let service = service.filter(|name| !name.is_empty() && *name != UNNAMED_SERVICE);
    service.map(ToOwned::to_owned)
}

/// `arn` without the session name, if it is a session of a role that several actors can assume.
fn shared_role(arn: &str) -> Option<String> {
    let Arn {
        service, resource, ..
    } = Arn::parse(arn)?;
    let (role, session) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
    let is_shared = service == "sts" && !role.starts_with(PERSONAL_ROLE);
    is_shared.then(|| arn[..arn.len() - session.len() - 1].to_owned())
}

/// Whether `actor` is one of `familiar` in the account of `user` at `at`.
#[must_use]
pub(crate) fn is_familiar(
    actor: &Actor,
    user: &UserId,
    familiar: &[FamiliarActor],
    at: Timestamp,
) -> bool {
    let Some(identity) = identity(actor) else {
        return false;
    };
    familiar.iter().any(|known| {
        known.account == user.account() && known.identity == identity && known.is_familiar_at(at)
    })
}

/// What `finding` adds to `known`, the familiar actors of its account. Empty unless the finding
/// ended with an ordinary cleanup, and for actors already known with nearly the same times. So it
/// can be called at each check of a user, and makes up for lost writes.
#[must_use]
pub(crate) fn newly_familiar(
    finding: &Finding,
    known: &[FamiliarActor],
    now: Timestamp,
) -> Vec<FamiliarActor> {
    let Some(cleaned_at) = ordinary_cleanup(finding) else {
        return vec![];
    };
    let cleaned_at = cleaned_at.min(now);
    let account = finding.user().account();
    let mut learned: Vec<FamiliarActor> = vec![];
    let is_news = |last_at: Timestamp| last_at + FamiliarActor::RETENTION / 2 < cleaned_at;
    let living = known.iter().filter(|known| now < known.until()).count();
    for identity in rotated_by(finding) {
        let before = known
            .iter()
            .find(|known| known.account == account && known.identity == identity);
        let since = match before {
            Some(before) if !is_news(before.last_at) => continue,
            Some(before) if cleaned_at < before.until() => before.since,
            None if living + learned.len() >= FamiliarActor::MAX_PER_ACCOUNT => continue,
            _ => cleaned_at,
        };
        let one = FamiliarActor {
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

/// When `finding` ended, if that was an ordinary cleanup: a key was deactivated or deleted after a
/// listing had shown two, people had been alerted, and there was no sign of abuse.
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
        // Nobody saw a finding that was suppressed from start to end, so its end proves nothing.
        && finding.announced
        && finding.leaks.is_empty()
        && !finding.severity_reasons.iter().any(is_abuse);
    is_ordinary.then_some(closing.at)
}

/// The actors whose key stayed when `finding` ended and another key was removed. An actor whose own
/// key was removed may have left a backdoor that was cleaned up.
fn rotated_by(finding: &Finding) -> Vec<String> {
    let is_active = |event: &KeyActivation| finding.active_keys().any(|key| key == event.key);
    let activations = || {
        let all = finding.opener.iter().chain(&finding.other_activations);
        all.filter(|event| event.is_proven() && is_for_another(event, finding.user()))
            .filter_map(|event| Some((event, identity(&event.actor)?)))
    };
    activations()
        .map(|(_, identity)| identity)
        .filter(|identity| {
            let of_actor = || activations().filter(|(_, other)| other == identity);
            of_actor().all(|(event, _)| is_active(event))
        })
        .collect()
}

/// Whether the actor is neither the user nor trusted by the operator. A trusted actor is known only
/// from the operator's list and is forgotten with it.
fn is_for_another(event: &KeyActivation, user: &UserId) -> bool {
    match event.relation {
        Some(Relation::Own | Relation::Trusted) => false,
        Some(Relation::Familiar | Relation::Unfamiliar) => true,
        None => !is_own(&event.actor, user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::events::leak::{Leak, LeakSignal};
    use crate::detect::findings::finding::{Closing, FindingKey};
    use crate::detect::keys::listing::KeyStatus;
    use crate::detect::testing::{actor, at, finding_of};

    const DAY: i64 = 24 * 60 * 60;

    fn made(key: &str, by: &str) -> KeyActivation {
        KeyActivation {
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

    /// Bob created `K2` for Alice, and her old key was deleted at second 100.
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

    fn bob(since: i64, last_at: i64) -> FamiliarActor {
        FamiliarActor {
            account: "111122223333".to_owned(),
            identity: "arn:aws:iam::111122223333:user/bob".to_owned(),
            since: at(since),
            last_at: at(last_at),
        }
    }

    #[test]
    fn actor_of_the_remaining_key_becomes_familiar() {
        assert_eq!(newly_familiar(&rotated(), &[], at(101)), [bob(100, 100)]);
        let mut finding = rotated();
        finding.keys[0].status = KeyStatus::Inactive;
        finding.closing.as_mut().unwrap().reason = CloseReason::Deactivated;
        assert_eq!(newly_familiar(&finding, &[], at(101)), [bob(100, 100)]);
        // Reactivated instead of created, and without a relation, as stored by an earlier release.
        let opener = finding.opener.as_mut().unwrap();
        (opener.created, opener.inactive_since) = (false, Some(at(1)));
        opener.relation = None;
        assert_eq!(newly_familiar(&finding, &[], at(101)), [bob(100, 100)]);
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
                announced: false,
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
            CloseReason::AccountExcluded,
        ] {
            let mut finding = rotated();
            finding.closing.as_mut().unwrap().reason = reason;
            not_ordinary.push(finding);
        }
        for finding in not_ordinary {
            assert_eq!(newly_familiar(&finding, &[], at(101)), [], "{finding:?}");
        }
        let late = Finding {
            severity_reasons: vec![
                SeverityReason::OutlivedWindow,
                SeverityReason::UnfamiliarActor,
            ],
            ..rotated()
        };
        assert_eq!(newly_familiar(&late, &[], at(101)), [bob(100, 100)]);
    }

    #[test]
    fn actor_whose_own_key_was_removed_stays_unfamiliar() {
        let mut finding = rotated();
        finding.keys = vec![key("K1", KeyStatus::Active), key("K2", KeyStatus::Gone)];
        assert_eq!(newly_familiar(&finding, &[], at(101)), []);
        // The same if another key by the same actor stayed.
        finding.other_activations = vec![made("K1", "bob")];
        assert_eq!(newly_familiar(&finding, &[], at(101)), []);
        // A different actor made the key that stayed.
        finding.other_activations = vec![made("K1", "carol")];
        let learned = newly_familiar(&finding, &[], at(101));
        assert_eq!(learned.len(), 1);
        assert!(learned[0].identity.ends_with("user/carol"));
    }

    #[test]
    fn no_one_becomes_familiar_by_own_keys_by_trust_or_by_what_changed_nothing() {
        for relation in [Relation::Own, Relation::Trusted] {
            let mut finding = rotated();
            finding.opener.as_mut().unwrap().relation = Some(relation);
            assert_eq!(newly_familiar(&finding, &[], at(101)), []);
        }
        let mut own = rotated();
        own.opener = Some(KeyActivation {
            relation: None,
            ..made("K2", "alice")
        });
        assert_eq!(newly_familiar(&own, &[], at(101)), []);
        let mut unproven = rotated();
        unproven.opener.as_mut().unwrap().created = false;
        assert_eq!(newly_familiar(&unproven, &[], at(101)), []);
    }

    #[test]
    fn familiarity_is_renewed_only_after_half_its_time() {
        let finding = rotated();
        let first = newly_familiar(&finding, &[], at(101));
        assert_eq!(newly_familiar(&finding, &first, at(102)), [], "asked again");
        assert_eq!(
            newly_familiar(&finding, &[bob(-1, 200)], at(300)),
            [],
            "late"
        );
        let closed_after = |days: i64| {
            let mut later = rotated();
            later.closing.as_mut().unwrap().at = at(100 + days * DAY);
            (later, at(101 + days * DAY))
        };
        let (later, now) = closed_after(90);
        assert_eq!(newly_familiar(&later, &first, now), []);
        let (later, now) = closed_after(91);
        let renewed = [bob(100, 100 + 91 * DAY)];
        assert_eq!(newly_familiar(&later, &first, now), renewed);
        let (later, now) = closed_after(180);
        let anew = [bob(100 + 180 * DAY, 100 + 180 * DAY)];
        assert_eq!(newly_familiar(&later, &first, now), anew, "it had ended");
    }

    #[test]
    fn old_and_future_cleanups_make_no_actor_familiar() {
        assert_eq!(newly_familiar(&rotated(), &[], at(100 + 180 * DAY)), []);
        assert_eq!(newly_familiar(&rotated(), &[], at(50)), [bob(50, 50)]);
    }

    #[test]
    fn no_actor_is_added_beyond_the_maximum() {
        let one = |number: usize| FamiliarActor {
            identity: format!("arn:aws:iam::111122223333:user/{number}"),
            ..bob(0, 0)
        };
        let mut known: Vec<FamiliarActor> = (0..FamiliarActor::MAX_PER_ACCOUNT).map(one).collect();
        assert_eq!(newly_familiar(&rotated(), &known, at(101)), []);
        known[0].last_at = at(0) - FamiliarActor::RETENTION;
        assert_eq!(newly_familiar(&rotated(), &known, at(101)).len(), 1);
    }
}
