//! A verdict in words: the one sentence that every output shows.

use crate::detect::decision::verdict::{
    AskReason, ContainReason, ProgressReason, RetireReason, Verdict,
};
use crate::detect::events::leak::LeakSignal;
use crate::output::time::readable;

/// The sentence for `verdict`, without the full stop. `shown` escapes a key's ID for the output
/// that shows the sentence.
pub(crate) fn sentence(verdict: &Verdict, shown: &dyn Fn(&str) -> String) -> String {
    let reason = match verdict {
        Verdict::Contain { reason, .. } => contain(*reason).to_owned(),
        Verdict::InProgress {
            until,
            reason: ProgressReason::Exempt,
            ..
        } => format!("an exemption covers both keys until {}", readable(*until)),
        Verdict::InProgress {
            old,
            new,
            until,
            reason,
        } => {
            let (old, new) = (shown(old), shown(new));
            format!(
                "{}. Move every consumer from {old} to {new} by {}, then retire {old}",
                progress(*reason, &old, &new),
                readable(*until)
            )
        }
        Verdict::Retire { reason, .. } => retire(*reason).to_owned(),
        Verdict::Ask { reason } => ask(*reason).1.to_owned(),
    };
    format!("{}: {reason}", headline(verdict, shown))
}

/// The start of that sentence: what to do, without the reason.
pub(crate) fn headline(verdict: &Verdict, shown: &dyn Fn(&str) -> String) -> String {
    match verdict {
        Verdict::Contain { key, .. } => format!("Deactivate {} now", shown(key)),
        Verdict::InProgress {
            reason: ProgressReason::Exempt,
            ..
        } => "Nothing to deactivate".to_owned(),
        Verdict::InProgress { .. } => "Nothing to deactivate yet".to_owned(),
        Verdict::Retire { key, .. } => format!("Retire {}", shown(key)),
        Verdict::Ask { reason } => ask(*reason).0.to_owned(),
    }
}

fn contain(reason: ContainReason) -> &'static str {
    match reason {
        ContainReason::Leaked(LeakSignal::Quarantine) => {
            "it has leaked, and AWS has quarantined the user"
        }
        ContainReason::Leaked(LeakSignal::Exposed) => "AWS reported that it has leaked",
        ContainReason::Leaked(LeakSignal::ExposureSuspected) => {
            "AWS reported that it may have leaked"
        }
        ContainReason::CreatedByUnfamiliar => {
            "an unfamiliar actor, who is not the user, created it"
        }
        ContainReason::ReactivatedByUnfamiliar => {
            "an unfamiliar actor, who is not the user, reactivated it"
        }
    }
}

fn progress(reason: ProgressReason, old: &str, new: &str) -> String {
    match reason {
        ProgressReason::NewNotUsed => format!("{new} has not been used yet"),
        ProgressReason::OldInUse => format!("{old} is still in use"),
        ProgressReason::UseUnknown => "the last use of the keys is not known".to_owned(),
        ProgressReason::Unconfirmed => {
            "no listing has confirmed yet that both keys are active".to_owned()
        }
        ProgressReason::Exempt => "an exemption covers both keys".to_owned(),
    }
}

fn retire(reason: RetireReason) -> &'static str {
    match reason {
        RetireReason::NeverUsed => "it was never used",
        RetireReason::LeastRecentlyUsed => "it was used less recently than the other key",
        RetireReason::OlderOfUnused => "neither key was ever used, and it is the older one",
    }
}

/// What to ask, and why.
fn ask(reason: AskReason) -> (&'static str, &'static str) {
    match reason {
        AskReason::OneLeaked => (
            "Ask which key has leaked",
            "AWS quarantined the user, and the AWS Health event names the key. Deactivate that one",
        ),
        AskReason::Dormant => (
            "Ask why the key was reactivated",
            "it had been inactive for over 30 days. If nobody expected this, deactivate it again",
        ),
        AskReason::Root => (
            "Ask what uses root's keys",
            "root should have none. Move their consumers to a role, and deactivate one key at a time",
        ),
        AskReason::BothInUse => (
            "Ask who uses each key",
            "both are in use. Move the consumers of one to the other before you deactivate it",
        ),
        AskReason::UseUnknown => (
            "Ask who uses each key",
            "their last use is not known. Deactivate the one that has no consumers",
        ),
        AskReason::AgeUnknown => (
            "Ask who owns each key",
            "neither was ever used, and it is not known which is older",
        ),
        AskReason::Unconfirmed => (
            "List the user's keys first",
            "no listing has confirmed that two are active",
        ),
    }
}
