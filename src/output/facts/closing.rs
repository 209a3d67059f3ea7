//! How a finding ended, in words.

use crate::detect::findings::finding::CloseReason;
use crate::output::facts::Facts;
use crate::output::invocation::KeysFrom;
use crate::output::overlap_start::{lasted, since};
use crate::output::time::readable;

impl Facts<'_> {
    /// How and when the finding closed, who closed it, and how long it was open.
    pub(in crate::output) fn closing(&self) -> Vec<String> {
        let finding = self.finding();
        let Some(closing) = &finding.closing else {
            return vec![];
        };
        let what = match closing.reason {
            CloseReason::Deactivated => "A key was deactivated; fewer than two are active.",
            CloseReason::Deleted => "A key was deleted; fewer than two are active.",
            CloseReason::UserDeleted => "The user was deleted, and its keys with it.",
            CloseReason::Renamed => {
                "The user was renamed; the finding continues under the new name."
            }
            CloseReason::NeverConfirmed => match self.invocation.keys_from {
                KeysFrom::Listings => "No listing ever showed two active keys.",
                KeysFrom::Logs => "The logs never showed for certain that two keys were active.",
            },
            CloseReason::AccountLeft => {
                "The account left the organization or was closed. Its keys can no longer be listed."
            }
            CloseReason::AccountExcluded => {
                "The account was excluded from secondkey and is not watched any more. The keys may still be active."
            }
        };
        let by = match &closing.actor {
            Some(actor) => {
                let ip = actor
                    .source_ip
                    .as_ref()
                    .map(|ip| format!(" from {}", self.text(ip)))
                    .unwrap_or_default();
                Some(format!("By {}{ip}.", self.id(actor.label())))
            }
            None if matches!(
                closing.reason,
                CloseReason::NeverConfirmed
                    | CloseReason::AccountLeft
                    | CloseReason::AccountExcluded
            ) =>
            {
                None
            }
            None => Some("It is not known who did it.".to_owned()),
        };
        let open_for = lasted(finding, closing.at);
        let since = since(finding.is_opened_at_estimated, &readable(finding.opened_at));
        let how_long = match closing.reason {
            CloseReason::NeverConfirmed
            | CloseReason::AccountLeft
            | CloseReason::AccountExcluded => {
                format!("It was open for {open_for}, {since}.")
            }
            _ => format!("Two keys were active for {open_for}, {since}."),
        };
        [
            Some(what.to_owned()),
            Some(format!(
                "Closed {}: {}.",
                readable(closing.at),
                closing.reason.words()
            )),
            by,
            Some(how_long),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
