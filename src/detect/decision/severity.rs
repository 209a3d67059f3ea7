//! How much harm two active keys can do.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::relation::{Relation, is_own, is_trusted};
use crate::detect::findings::finding::{Finding, KeyActivation};
use crate::detect::user::UserId;

/// The level of harm, independent of whether the finding is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Two active keys.
    Medium,
    /// Two active keys and a reason to act quickly.
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

/// Why a severity is above medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeverityReason {
    /// The keys are root's.
    Root,
    /// The rotation window has ended.
    OutlivedWindow,
    /// An actor who is neither the user nor trusted made the second key active.
    UntrustedActor,
    /// The second key had been inactive for more than 30 days.
    DormantKey,
    /// An actor who is not the user, not trusted and not familiar made a key active. Left out if
    /// [`SeverityReason::UntrustedActor`] applies, which is stricter.
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
            Self::OutlivedWindow => "the rotation window has ended",
            Self::UntrustedActor => {
                "the actor who made the key active is neither the user nor a trusted actor"
            }
            Self::DormantKey => "the key had been inactive for over 30 days",
            Self::UnfamiliarActor => {
                "the actor who made the key active is not the user and has no record of key rotations in this account"
            }
            Self::LeakedKey => "AWS reported that a key has leaked",
        }
    }
}

/// The severity of `finding` at `now`, and the reasons that raise it.
#[must_use]
pub(crate) fn severity(
    finding: &Finding,
    policy: &Policy,
    now: Timestamp,
) -> (Severity, Vec<SeverityReason>) {
    let user = finding.user();
    let activations = || finding.judged_activations();
    // INVARIANT (a relation is judged once): an actor judged unfamiliar stays unfamiliar.
    let is_unfamiliar = |event: &KeyActivation| event.relation == Some(Relation::Unfamiliar);
    let has_untrusted = activations().any(|event| is_untrusted(event, user, policy));
    let reasons: Vec<SeverityReason> = [
        (SeverityReason::Root, user.is_root()),
        (
            SeverityReason::OutlivedWindow,
            now >= finding.window_ends_at(policy.rotation_window),
        ),
        (SeverityReason::UntrustedActor, has_untrusted),
        (
            SeverityReason::DormantKey,
            activations().filter_map(dormant_for).max() > Some(Policy::DORMANT),
        ),
        (SeverityReason::LeakedKey, !finding.leaks.is_empty()),
        (
            SeverityReason::UnfamiliarActor,
            !has_untrusted && activations().any(is_unfamiliar),
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

/// Raises the stored severity of `finding` if its rotation window of length `window` has ended by
/// `now`. The store learns that from the next check of the user. The severity is never lowered: the
/// check may have counted with a shorter window.
pub(crate) fn raise_after_window(finding: &mut Finding, window: TimeDelta, now: Timestamp) {
    if finding.closing.is_some() || now < finding.window_ends_at(window) {
        return;
    }
    let reasons = &mut finding.severity_reasons;
    if !reasons.contains(&SeverityReason::OutlivedWindow) {
        // The reasons are in the order of `severity`: root comes first.
        let place = usize::from(reasons.first() == Some(&SeverityReason::Root));
        reasons.insert(place, SeverityReason::OutlivedWindow);
    }
    finding.severity = finding.severity.max(Severity::High);
}

fn is_untrusted(event: &KeyActivation, user: &UserId, policy: &Policy) -> bool {
    let is_own = event.relation == Some(Relation::Own) || is_own(&event.actor, user);
    !policy.trusted_actors.is_empty() && !is_own && !is_trusted(&event.actor, policy)
}

fn dormant_for(opener: &KeyActivation) -> Option<TimeDelta> {
    opener.inactive_since.map(|since| opener.at - since)
}
