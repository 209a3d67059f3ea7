//! How much harm two active keys may do.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::finding::{Finding, Opener};
use crate::detect::policy::Policy;
use crate::detect::relation::{Relation, is_own, is_trusted};
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
    /// A key was made active by an actor who is not the user, not trusted and not familiar. Not given
    /// beside [`SeverityReason::UntrustedActor`], which says the same more strictly.
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
                "the actor who made the key active is not the user and has no record of key rotations in this account"
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
    let makers = || finding.judged_makers();
    // INVARIANT (a relation is judged once): what was unfamiliar when it was judged stays so.
    let is_unfamiliar = |event: &Opener| event.relation == Some(Relation::Unfamiliar);
    let has_untrusted = makers().any(|event| is_untrusted(event, user, policy));
    let reasons: Vec<SeverityReason> = [
        (SeverityReason::Root, user.is_root()),
        (
            SeverityReason::OutlivedWindow,
            now >= finding.window_ends_at(policy.rotation_window),
        ),
        (SeverityReason::UntrustedActor, has_untrusted),
        (
            SeverityReason::DormantKey,
            makers().filter_map(dormant_for).max() > Some(Policy::DORMANT),
        ),
        (SeverityReason::LeakedKey, !finding.leaks.is_empty()),
        (
            SeverityReason::UnfamiliarActor,
            !has_untrusted && makers().any(is_unfamiliar),
        ),
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

fn is_untrusted(event: &Opener, user: &UserId, policy: &Policy) -> bool {
    let is_own = event.relation == Some(Relation::Own) || is_own(&event.actor, user);
    !policy.trusted_actors.is_empty() && !is_own && !is_trusted(&event.actor, policy)
}

fn dormant_for(opener: &Opener) -> Option<TimeDelta> {
    opener.inactive_since.map(|since| opener.at - since)
}
