//! Why a look came to what it did, one sentence each; and what to do next.

use crate::cli::LONGEST;
use crate::cli::again::again;
use crate::cli::check::Args;
use crate::cli::check::look::{Looked, Told};
use crate::detect::finding::FindingStatus;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{Answer, KeyStatus};
use crate::detect::verdict::Verdict;
use crate::output::escape::for_terminal;
use crate::output::time::readable;

/// The sentences, safe for a terminal.
pub(super) fn reasoning(looked: &Looked) -> Vec<String> {
    let mut lines = vec![listed(looked)];
    if !looked.is_blind() {
        lines.push(settled(looked));
    }
    if let Some(finding) = looked.record.open_finding() {
        if finding.status == FindingStatus::Suppressed {
            lines.push("An exemption covers it, so nobody is alerted until that ends.".to_owned());
        }
    } else if let Some(closing) = looked
        .record
        .finding
        .as_ref()
        .and_then(|last| last.closing.as_ref())
    {
        lines.push(format!(
            "The last finding was closed {}: {}.",
            readable(closing.at),
            closing.reason.words()
        ));
    }
    lines
}

fn listed(looked: &Looked) -> String {
    let at = readable(looked.listing.requested_at());
    let count = |status| {
        looked
            .listing
            .keys()
            .filter(|(_, key)| key.status == status)
            .count()
    };
    match looked.listing.answer() {
        Answer::Keys { .. } => format!(
            "IAM's listing of {at} shows {} active and {} inactive.",
            match count(KeyStatus::Active) {
                1 => "1 key".to_owned(),
                many => format!("{many} keys"),
            },
            count(KeyStatus::Inactive)
        ),
        Answer::Report { .. } => format!(
            "The credential report of {at} shows {} keys of root active; it may be up to 4 h old.",
            count(KeyStatus::Active)
        ),
        Answer::NoSuchUser => format!(
            "IAM says at {at} that there is no such user; {}.",
            looked.tried
        ),
        Answer::Refused { reason } => {
            format!(
                "The keys could not be listed: {}.",
                for_terminal(reason, LONGEST)
            )
        }
    }
}

fn settled(looked: &Looked) -> String {
    if looked.unsettled.is_empty() {
        return "Nothing that is known of the last minute says otherwise, so it is believed."
            .to_owned();
    }
    let why: Vec<&str> = looked.unsettled.iter().map(|why| why.words()).collect();
    format!(
        "It is not believed to show a cleanup yet ({}); look again in a minute.",
        why.join("; ")
    )
}

/// What CloudTrail tells, a line for each change, safe for a terminal.
pub(super) fn changes(told: &Told) -> Vec<String> {
    match told {
        Told::Changes(changes) if changes.is_empty() => {
            vec!["CloudTrail's event history of 90 days tells nothing of these keys (an event may take 15 minutes).".to_owned()]
        }
        Told::Changes(changes) => changes.iter().map(change).collect(),
        Told::Nothing(reason) => vec![format!(
            "CloudTrail could not be asked: {}",
            for_terminal(reason, LONGEST)
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
            format!(" from {}", for_terminal(ip, LONGEST))
        });
    format!(
        "{}  {} by {}{from}",
        readable(change.at),
        for_terminal(&what, LONGEST),
        for_terminal(change.actor.label(), LONGEST)
    )
}

/// The commands of ours that may come next, with what each is for.
pub(super) fn next(
    args: &Args,
    looked: &Looked,
    verdict: Option<&Verdict>,
) -> Vec<(&'static str, String)> {
    if looked.user.is_root() {
        return vec![];
    }
    let count = |status| {
        looked
            .listing
            .keys()
            .filter(|(_, key)| key.status == status)
            .count()
    };
    let invocation = args.invocation();
    let command = |words: &[&str]| again(words, &looked.name, &invocation);
    match (count(KeyStatus::Active), count(KeyStatus::Inactive)) {
        (2.., _) => {
            let status = (
                "see how far the rotation is",
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
                "activate the inactive key again, if something fails",
                command(&["rotate", "undo"]),
            ),
            (
                "delete it for good, once it was inactive for long enough",
                command(&["rotate", "cleanup"]),
            ),
        ],
        (1, _) => vec![(
            "rotate the key, when it is time",
            command(&["rotate", "start", "--to-profile", "PROFILE"]),
        )],
        _ => vec![],
    }
}
