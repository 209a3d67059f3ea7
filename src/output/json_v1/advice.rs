//! What helps to end a finding, in version 1: when its keys were last used, which one to deactivate, the commands.

use crate::detect::finding::Finding;
use crate::detect::retire::{LastUsed, LastUses};
use crate::detect::verdict::{RetireReason, Verdict};
use crate::output::commands::recommended;
use crate::output::invocation::Invocation;
use crate::output::json_v1::verdict::reason;
use crate::output::json_v1::wire::{CommandV1, LastUsedV1, RetireV1};
use crate::output::time::rfc3339;

/// When each key of `finding` was last used; a key of which it is not known is missing.
pub(in crate::output) fn last_used_of(finding: &Finding, last_uses: &LastUses) -> Vec<LastUsedV1> {
    finding
        .keys
        .iter()
        .filter_map(|key| Some(last_used(&key.id, last_uses.get(&key.id)?)))
        .collect()
}

/// The key that `verdict` says to deactivate, as the first release of version 1 named it.
pub(in crate::output) fn retire_of(verdict: &Verdict) -> Option<RetireV1> {
    verdict.key().map(|key| RetireV1 {
        key: key.to_owned(),
        reason: match verdict {
            Verdict::Retire {
                reason: RetireReason::OlderOfUnused,
                ..
            } => "oldest",
            other => reason(other),
        },
    })
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
            purpose: command.purpose.word(),
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
            at: Some(rfc3339(*at)),
            service: service.clone(),
            region: region.clone(),
        },
    }
}
