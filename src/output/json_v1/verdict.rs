//! The verdict in version 1: its words for programs, written and read.

#[cfg(feature = "cli")]
use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::decision::verdict::{
    AskReason, ContainReason, ProgressReason, RetireReason, Verdict,
};
use crate::detect::events::leak::LeakSignal;
use crate::output::json_v1::wire::VerdictV1;

/// `verdict` in version 1.
pub(crate) fn verdict_v1(verdict: &Verdict) -> VerdictV1 {
    let (old, new) = match verdict {
        Verdict::InProgress { old, new, .. } => (Some(old), Some(new)),
        Verdict::Contain { .. } | Verdict::Retire { .. } | Verdict::Ask { .. } => (None, None),
    };
    VerdictV1 {
        code: code(verdict),
        key: verdict.key().map(str::to_owned),
        reason: reason(verdict),
        not_before: verdict.not_before().map(Into::into),
        old_key: old.cloned(),
        new_key: new.cloned(),
    }
}

/// A verdict as read from an alert's JSON.
pub(in crate::output) struct Read<'a> {
    pub(in crate::output) code: &'a str,
    pub(in crate::output) reason: &'a str,
    pub(in crate::output) key: Option<&'a str>,
    pub(in crate::output) not_before: Option<Timestamp>,
    pub(in crate::output) old_key: Option<&'a str>,
    pub(in crate::output) new_key: Option<&'a str>,
}

impl Read<'_> {
    /// The verdict. `None` if a newer release wrote a word that this release does not know.
    pub(in crate::output) fn verdict(&self) -> Option<Verdict> {
        let key = || self.key.map(str::to_owned);
        match self.code {
            CONTAIN_CODE => Some(Verdict::Contain {
                key: key()?,
                reason: named(&CONTAIN, self.reason)?,
            }),
            PROGRESS_CODE => Some(Verdict::InProgress {
                old: self.old_key?.to_owned(),
                new: self.new_key?.to_owned(),
                until: self.not_before?,
                reason: named(&PROGRESS, self.reason)?,
            }),
            RETIRE_CODE => Some(Verdict::Retire {
                key: key()?,
                reason: named(&RETIRE, self.reason)?,
            }),
            ASK_CODE => Some(Verdict::Ask {
                reason: named(&ASK, self.reason)?,
            }),
            _ => None,
        }
    }
}

/// The words for the kinds of verdicts.
const CONTAIN_CODE: &str = "contain";
const PROGRESS_CODE: &str = "rotation_in_progress";
const RETIRE_CODE: &str = "retire";
const ASK_CODE: &str = "ask";

/// All of them.
#[cfg(feature = "cli")]
pub(super) const CODES: [&str; 4] = [CONTAIN_CODE, PROGRESS_CODE, RETIRE_CODE, ASK_CODE];

/// The word for the kind of `verdict`.
pub(in crate::output) const fn code(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Contain { .. } => CONTAIN_CODE,
        Verdict::InProgress { .. } => PROGRESS_CODE,
        Verdict::Retire { .. } => RETIRE_CODE,
        Verdict::Ask { .. } => ASK_CODE,
    }
}

/// The words for all reasons of verdicts.
#[cfg(feature = "cli")]
pub(super) fn reasons() -> BTreeSet<&'static str> {
    let with_a_key = retirement_reasons().into_iter();
    with_a_key
        .chain(words(&PROGRESS))
        .chain(words(&RETIRE))
        .chain(words(&ASK))
        .collect()
}

/// The words for the reasons of verdicts that name a key to deactivate, but for the older of two
/// unused keys.
#[cfg(feature = "cli")]
pub(super) fn retirement_reasons() -> Vec<&'static str> {
    let retire = RETIRE
        .iter()
        .filter(|(reason, _)| *reason != RetireReason::OlderOfUnused);
    words(&CONTAIN)
        .chain(retire.map(|(_, word)| *word))
        .collect()
}

#[cfg(feature = "cli")]
fn words<R>(words: &[(R, &'static str)]) -> impl Iterator<Item = &'static str> {
    words.iter().map(|(_, word)| *word)
}

/// The word for the reason of `verdict`.
pub(in crate::output) fn reason(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Contain { reason, .. } => word(&CONTAIN, *reason),
        Verdict::InProgress { reason, .. } => word(&PROGRESS, *reason),
        Verdict::Retire { reason, .. } => word(&RETIRE, *reason),
        Verdict::Ask { reason } => word(&ASK, *reason),
    }
}

const CONTAIN: [(ContainReason, &str); 5] = [
    (ContainReason::Leaked(LeakSignal::Quarantine), "quarantined"),
    (ContainReason::Leaked(LeakSignal::Exposed), "exposed"),
    (
        ContainReason::Leaked(LeakSignal::ExposureSuspected),
        "exposure_suspected",
    ),
    (
        ContainReason::CreatedByUnfamiliar,
        "created_by_unfamiliar_actor",
    ),
    (
        ContainReason::ReactivatedByUnfamiliar,
        "reactivated_by_unfamiliar_actor",
    ),
];

const PROGRESS: [(ProgressReason, &str); 5] = [
    (ProgressReason::NewNotUsed, "new_key_not_used"),
    (ProgressReason::OldInUse, "old_key_in_use"),
    (ProgressReason::UseUnknown, "use_unknown"),
    (ProgressReason::Unconfirmed, "unconfirmed"),
    (ProgressReason::Exempt, "exempt"),
];

const RETIRE: [(RetireReason, &str); 3] = [
    (RetireReason::NeverUsed, "never_used"),
    (RetireReason::LeastRecentlyUsed, "least_recently_used"),
    (RetireReason::OlderOfUnused, "older_of_unused"),
];

const ASK: [(AskReason, &str); 7] = [
    (AskReason::OneLeaked, "one_leaked"),
    (AskReason::Dormant, "dormant_key"),
    (AskReason::Root, "root"),
    (AskReason::BothInUse, "both_in_use"),
    (AskReason::UseUnknown, "use_unknown"),
    (AskReason::AgeUnknown, "age_unknown"),
    (AskReason::Unconfirmed, "unconfirmed"),
];

fn word<R: Copy + PartialEq>(words: &[(R, &'static str)], reason: R) -> &'static str {
    let found = words.iter().find(|(one, _)| *one == reason);
    found.map_or("other", |(_, word)| word)
}

fn named<R: Copy>(words: &[(R, &'static str)], word: &str) -> Option<R> {
    let found = words.iter().find(|(_, one)| *one == word);
    found.map(|(reason, _)| *reason)
}
