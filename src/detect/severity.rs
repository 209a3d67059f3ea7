//! How much harm two active keys may do.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::finding::{Finding, Opener};
use crate::detect::policy::Policy;
use crate::detect::user::UserId;

/// The level of harm; apart from whether it is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Two active keys.
    Medium,
    /// Two active keys, and a reason for haste.
    High,
    /// Two active keys of root.
    Critical,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Why a severity is above the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeverityReason {
    /// The keys are root's.
    Root,
    /// The rotation window is over.
    OutlivedWindow,
    /// The second key was made active by somebody who is neither the user nor trusted to.
    UntrustedActor,
    /// The second key had been inactive for long.
    DormantKey,
    /// A key was made active by an actor who is not the user, not trusted and not familiar.
    UnfamiliarActor,
    /// AWS reported that a key has leaked.
    LeakedKey,
}

impl SeverityReason {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Root => "the keys are root's",
            Self::OutlivedWindow => "the rotation window is over",
            Self::UntrustedActor => {
                "whoever made the key active is neither the user nor a trusted actor"
            }
            Self::DormantKey => "the key had been inactive for over 30 days",
            Self::UnfamiliarActor => {
                "the actor who made the key active is not the user and has no record of routine key changes in this account"
            }
            Self::LeakedKey => "AWS reported that a key has leaked",
        }
    }
}

/// The severity of `finding` at `now`, and what raises it.
#[must_use]
pub fn severity(
    finding: &Finding,
    policy: &Policy,
    now: Timestamp,
) -> (Severity, Vec<SeverityReason>) {
    let user = finding.user();
    let makers = || {
        let joined = finding.joined.iter().filter(|event| event.is_proven());
        finding.opener.iter().chain(joined)
    };
    let reasons: Vec<SeverityReason> = [
        (SeverityReason::Root, user.is_root()),
        (
            SeverityReason::OutlivedWindow,
            now >= finding.window_ends_at(policy.rotation_window),
        ),
        (
            SeverityReason::UntrustedActor,
            makers().any(|event| is_untrusted(&event.actor, user, policy)),
        ),
        (
            SeverityReason::DormantKey,
            makers().filter_map(dormant_for).max() > Some(Policy::DORMANT),
        ),
        (SeverityReason::LeakedKey, !finding.leaks.is_empty()),
    ]
    .into_iter()
    .filter_map(|(reason, holds)| holds.then_some(reason))
    .collect();

    let severity = match reasons.first() {
        Some(SeverityReason::Root) => Severity::Critical,
        Some(_) => Severity::High,
        None => Severity::Medium,
    };
    (severity, reasons)
}

fn is_untrusted(actor: &Actor, user: &UserId, policy: &Policy) -> bool {
    let is_root_itself = user.is_root()
        && actor.kind.as_deref() == Some("Root")
        && actor
            .account
            .as_deref()
            .is_none_or(|account| account == user.account());
    let is_the_user = is_root_itself
        || actor.name.as_deref().is_some_and(|name| {
            UserId::new(actor.account.as_deref().unwrap_or(user.account()), name) == *user
        });
    !policy.trusted_actors.is_empty()
        && !is_the_user
        && !policy
            .trusted_actors
            .iter()
            .any(|pattern| wildmatch::WildMatch::new(pattern).matches(actor.label()))
}

fn dormant_for(opener: &Opener) -> Option<TimeDelta> {
    opener.inactive_since.map(|since| opener.at - since)
}
