//! The reasons for the result of a check, one sentence each, and the commands to run next.

use crate::cli::MAX_CHARS;
use crate::cli::check::Args;
use crate::cli::check::key_check::{KeyCheck, KeyHistory};
use crate::cli::next_command::command_for_user;
use crate::detect::decision::verdict::Verdict;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::findings::finding::FindingStatus;
use crate::detect::keys::listing::{KeyStatus, ListingAnswer};
use crate::output::escape::for_terminal;
use crate::output::time::readable;

/// The sentences, safe for a terminal.
pub(super) fn reasoning(check: &KeyCheck) -> Vec<String> {
    let mut lines = vec![listed(check)];
    if !check.is_blind() {
        lines.push(settled(check));
    }
    if let Some(finding) = check.record.open_finding() {
        if finding.status == FindingStatus::Suppressed {
            lines.push(
                "An exemption suppresses the finding: no alert is sent until the exemption ends."
                    .to_owned(),
            );
        }
    } else if let Some(closing) = check
        .record
        .finding
        .as_ref()
        .and_then(|last| last.closing.as_ref())
    {
        lines.push(format!(
            "The last finding was closed on {}: {}.",
            readable(closing.at),
            closing.reason.words()
        ));
    }
    lines
}

fn listed(check: &KeyCheck) -> String {
    let at = readable(check.listing.requested_at());
    let count = |status| {
        check
            .listing
            .keys()
            .filter(|(_, key)| key.status == status)
            .count()
    };
    match check.listing.answer() {
        ListingAnswer::Keys { .. } => format!(
            "IAM listed {} active and {} inactive keys on {at}.",
            count(KeyStatus::Active),
            count(KeyStatus::Inactive)
        ),
        ListingAnswer::Report { .. } => format!(
            "The credential report of {at} shows {} active keys for root; the report may be up to 4 hours old.",
            count(KeyStatus::Active)
        ),
        ListingAnswer::NoSuchUser => format!(
            "IAM reported on {at} that there is no such user; {}.",
            check.tried
        ),
        ListingAnswer::Refused { reason } => {
            format!(
                "The keys could not be listed: {}.",
                for_terminal(reason, MAX_CHARS)
            )
        }
    }
}

fn settled(check: &KeyCheck) -> String {
    if check.unsettled.is_empty() {
        return "No change in the last minute contradicts this, so the result is up to date."
            .to_owned();
    }
    let why: Vec<&str> = check.unsettled.iter().map(|why| why.words()).collect();
    format!(
        "IAM may not show the latest changes yet ({}), so no finding is closed on this listing; check again in a \
         minute.",
        why.join("; ")
    )
}

/// The changes in CloudTrail, one line each, safe for a terminal.
pub(super) fn changes(history: &KeyHistory) -> Vec<String> {
    match history {
        KeyHistory::Changes(changes) if changes.is_empty() => {
            vec![
                "CloudTrail's event history (90 days) has no changes of these keys. A new event may take 15 minutes \
                 to arrive."
                    .to_owned(),
            ]
        }
        KeyHistory::Changes(changes) => changes.iter().map(change).collect(),
        KeyHistory::Unavailable(reason) => vec![format!(
            "CloudTrail's event history is not available: {}",
            for_terminal(reason, MAX_CHARS)
        )],
    }
}

fn change(change: &KeyChange) -> String {
    let what = match &change.kind {
        ChangeKind::KeyCreated { key, .. } => format!("{key} created"),
        ChangeKind::KeyUpdated { key, status } => {
            format!("{key} set to {}", status.word())
        }
        ChangeKind::KeyDeleted { key } => format!("{key} deleted"),
        ChangeKind::UserDeleted => "user deleted".to_owned(),
        ChangeKind::UserRenamed { to_name, .. } => format!("user renamed to {to_name}"),
        ChangeKind::KeyLeaked { key, signal } => format!(
            "{} reported as leaked ({})",
            key.as_deref().unwrap_or("a key"),
            signal.word()
        ),
    };
    let from = change
        .actor
        .source_ip
        .as_ref()
        .map_or_else(String::new, |ip| {
            format!(" from {}", for_terminal(ip, MAX_CHARS))
        });
    format!(
        "{}  {} by {}{from}",
        readable(change.at),
        for_terminal(&what, MAX_CHARS),
        for_terminal(change.actor.label(), MAX_CHARS)
    )
}

/// The secondkey commands to run next, each with its purpose.
pub(super) fn next(
    args: &Args,
    check: &KeyCheck,
    verdict: Option<&Verdict>,
) -> Vec<(&'static str, String)> {
    if check.user.is_root() {
        return vec![];
    }
    let count = |status| {
        check
            .listing
            .keys()
            .filter(|(_, key)| key.status == status)
            .count()
    };
    let invocation = args.invocation();
    let command = |words: &[&str]| command_for_user(words, &check.name, &invocation);
    match (count(KeyStatus::Active), count(KeyStatus::Inactive)) {
        (2.., _) => {
            let status = (
                "see the state of the rotation",
                command(&["rotate", "status"]),
            );
            let finish = match verdict {
                Some(Verdict::Retire { .. }) => Some((
                    "deactivate the key to retire (a dry run first)",
                    command(&["rotate", "finish"]),
                )),
                Some(Verdict::Contain { key, .. }) => Some((
                    "deactivate that key (a dry run first)",
                    command(&["rotate", "finish", "--key", key]),
                )),
                Some(Verdict::InProgress { .. } | Verdict::Ask { .. }) | None => None,
            };
            [status].into_iter().chain(finish).collect()
        }
        (_, 1..) => vec![
            (
                "reactivate the inactive key if something fails",
                command(&["rotate", "undo"]),
            ),
            (
                "delete it after it has been inactive for long enough",
                command(&["rotate", "cleanup"]),
            ),
        ],
        (1, _) => vec![(
            "rotate the key when it is due",
            command(&["rotate", "start", "--to-profile", "PROFILE"]),
        )],
        _ => vec![],
    }
}
