//! What helps to end a finding, in version 1: when its keys were last used, which one to retire, the commands.

use crate::detect::finding::Finding;
use crate::detect::retire::{LastUsed, LastUses, RetireReason, key_to_retire};
use crate::output::commands::recommended;
use crate::output::invocation::Invocation;
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

/// The key of `finding` to retire, if one can be told.
pub(in crate::output) fn retire_of(finding: &Finding, last_uses: &LastUses) -> Option<RetireV1> {
    key_to_retire(finding, last_uses).map(|retire| RetireV1 {
        key: retire.key.id.clone(),
        reason: match retire.reason {
            RetireReason::NeverUsed => "never_used",
            RetireReason::LeastRecentlyUsed => "least_recently_used",
            RetireReason::Oldest => "oldest",
        },
    })
}

/// The commands that clean up after `finding`.
pub(in crate::output) fn commands_of(
    finding: &Finding,
    last_uses: &LastUses,
    invocation: &Invocation,
) -> Vec<CommandV1> {
    recommended(finding, last_uses, invocation)
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
