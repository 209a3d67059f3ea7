//! How a replay ends: what was found, and how much of the logs stands behind it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::LONGEST;
use crate::detect::finding::Finding;
use crate::detect::key_change::ChangeKind;
use crate::detect::listing::KeyStatus;
use crate::detect::user::UserId;
use crate::local::log_reading::LogReading;
use crate::local::replay::Replay;
use crate::output::escape::for_terminal;

/// How many users or paths are named; the rest are counted.
const NAMED: usize = 10;

/// How many records were read and understood.
fn understood(reading: &LogReading) -> u64 {
    // A log that cannot be opened counts as malformed and as no record.
    reading.records.saturating_sub(reading.malformed)
}

/// Whether all of the logs was read and understood, so that no finding means that there is none.
pub(super) fn is_complete(reading: &LogReading) -> bool {
    reading.records > 0 && reading.malformed == 0
}

/// What a replay of `paths` without a finding says; `passed_over` files in folders were not read.
pub(super) fn without_finding(
    reading: &LogReading,
    paths: &[PathBuf],
    passed_over: usize,
) -> String {
    let unread = match reading.malformed {
        0 => String::new(),
        1 => "1 record could not be read (see stderr)".to_owned(),
        many => format!("{many} records could not be read (see stderr)"),
    };
    if understood(reading) == 0 {
        let paths = paths
            .iter()
            .map(|path| for_terminal(&path.display().to_string(), LONGEST));
        let found = format!("No CloudTrail record was found in {}", named(paths));
        return match reading.malformed {
            0 => format!("{found}."),
            _ => format!("{found}: {unread}."),
        };
    }
    if reading.malformed > 0 {
        return format!("No finding, but {unread}.");
    }
    match passed_over {
        0 => "No user had two active access keys.".to_owned(),
        1 => "No user had two active access keys in what was read; 1 file was passed over."
            .to_owned(),
        many => format!(
            "No user had two active access keys in what was read; {many} files were passed over."
        ),
    }
}

/// The users without a finding who got a key in the logs: that they had one already, which the logs
/// would not show, is possible.
pub(super) fn may_have_had_another<'a>(
    reading: &'a LogReading,
    findings: &[Finding],
) -> BTreeSet<&'a UserId> {
    let mut found: BTreeSet<&UserId> = findings.iter().map(Finding::user).collect();
    let mut by_time: Vec<_> = reading.changes.values().collect();
    by_time.sort_by_key(|change| Reverse(change.at));
    for change in by_time {
        match &change.kind {
            // The finding is of the user's later name.
            ChangeKind::UserRenamed { to, .. } if found.contains(to) => {
                found.insert(&change.user);
            }
            _ => {}
        }
    }
    let got_one = reading.changes.values().filter(|change| {
        let active = KeyStatus::Active;
        matches!(&change.kind, ChangeKind::KeyCreated { status, .. } if *status == active)
    });
    got_one
        .map(|change| &change.user)
        .filter(|user| !found.contains(user))
        .collect()
}

/// What the logs cannot tell of before they begin, in lines.
pub(super) fn not_known(
    reading: &LogReading,
    replayed: &Replay,
    findings: &[Finding],
) -> Vec<String> {
    let shown = |user: &UserId| {
        let text = format!("{} ({})", user.name(), user.account());
        for_terminal(&text, LONGEST)
    };
    let mut lines = vec![];
    let known = &replayed.known_only_from_then;
    if !known.is_empty() {
        let keys = known
            .iter()
            .map(|(user, key)| format!("{} of {}", for_terminal(key, LONGEST), shown(user)));
        lines.push(format!(
            "{} of the keys were there before the logs begin: each counts from its first change in them, and what was \
             before is not known: {}.",
            known.len(),
            named(keys)
        ));
    }
    let others = may_have_had_another(reading, findings);
    if !others.is_empty() {
        lines.push(format!(
            "Not known: whether these users, who got a key, had another one from before the logs begin: {}.",
            named(others.into_iter().map(shown))
        ));
    }
    lines
}

/// The first of `names`, and how many more there are.
fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<String> = names.take(NAMED).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
