//! Which actors have a record of key rotations for others, so that one more key by them is routine.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::finding::{CloseReason, Finding, FindingStatus, Opener};
use crate::detect::relation::{Relation, is_own};
use crate::detect::severity::SeverityReason;
use crate::detect::user::UserId;

/// How the session of a person begins that IAM Identity Center signed in. IAM reserves such role names.
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
