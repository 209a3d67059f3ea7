//! What helps to close a finding, in version 1: the last use of its keys, the key to deactivate,
//! the commands.

use crate::detect::decision::verdict::{RetireReason, Verdict};
use crate::detect::findings::finding::Finding;
use crate::detect::usage::last_use::{LastUsed, LastUses};
use crate::output::commands::recommended;
use crate::output::invocation::Invocation;
use crate::output::json_v1::verdict::reason;
#[cfg(feature = "cli")]
use crate::output::json_v1::verdict::retirement_reasons;
use crate::output::json_v1::wire::{CommandV1, LastUsedV1, RetireV1};

/// When each key of `finding` was last used. Keys whose last use is not known are left out.
pub(in crate::output) fn last_used_of(finding: &Finding, last_uses: &LastUses) -> Vec<LastUsedV1> {
    finding
        .keys
        .iter()
        .filter_map(|key| Some(last_used(&key.id, last_uses.get(&key.id)?)))
        .collect()
}

/// The first release's word for the older of two unused keys.
const OLDEST: &str = "oldest";

/// The key that `verdict` says to deactivate, in the words of the first release of version 1.
pub(in crate::output) fn retire_of(verdict: &Verdict) -> Option<RetireV1> {
    verdict.key().map(|key| RetireV1 {
        key: key.to_owned(),
        reason: match verdict {
            Verdict::Retire {
                reason: RetireReason::OlderOfUnused,
                ..
            } => OLDEST,
            other => reason(other),
        },
    })
}

/// Every reason that [`retire_of`] can give.
#[cfg(feature = "cli")]
pub(super) fn retire_reasons() -> Vec<&'static str> {
    let mut reasons = retirement_reasons();
    reasons.push(OLDEST);
    reasons
}

/// The commands that clean up after `finding`.
pub(in crate::output) fn commands_of(
    finding: &Finding,
    verdict: Option<&Verdict>,
    invocation: &Invocation,
) -> Vec<CommandV1> {
    recommended(finding, verdict, invocation)
        .into_iter()
        .map(|command| CommandV1 {
            purpose: command.purpose.into(),
            key: command.key,
            command: command.line,
        })
        .collect()
}

fn last_used(key: &str, used: &LastUsed) -> LastUsedV1 {
    let key = key.to_owned();
    match used {
        LastUsed::Never => LastUsedV1 {
            key,
            at: None,
            service: None,
            region: None,
        },
        LastUsed::At {
            at,
            service,
            region,
        } => LastUsedV1 {
            key,
            at: Some((*at).into()),
            service: service.clone(),
            region: region.clone(),
        },
    }
}
