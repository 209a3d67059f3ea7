//! How a replay ends: what it found, and which gaps the logs have.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::MAX_CHARS;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::user::UserId;
use crate::local::log_reading::LogReading;
use crate::local::replay::Replay;
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;

/// How many users or paths are named; the rest are only counted.
const NAMED: usize = 10;

/// How many files and how many records could not be read.
fn unread(reading: &LogReading) -> (u64, u64) {
    let files = reading.malformed_records.iter();
    let files = files.filter(|one| one.record.is_none()).count() as u64;
    (files, reading.malformed.saturating_sub(files))
}

/// How many records were parsed.
fn understood(reading: &LogReading) -> u64 {
    let (_, records) = unread(reading);
    reading.records.saturating_sub(records)
}

/// Whether every record was parsed, so that the absence of findings can be trusted.
pub(super) fn is_complete(reading: &LogReading) -> bool {
    reading.records > 0 && reading.malformed == 0
}

/// The result of a replay of `paths` without a finding; `passed_over` files are not logs.
pub(super) fn without_finding(reading: &LogReading, paths: &[PathBuf], passed_over: u64) -> String {
    let (files, records) = unread(reading);
    let counts = [count_of(files, "file"), count_of(records, "record")];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    let unread = format!("{} could not be read (see stderr)", counts.join(" and "));
    if understood(reading) == 0 {
        let paths = paths
            .iter()
            .map(|path| for_terminal(&path.display().to_string(), MAX_CHARS));
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
        1 => "No user had two active access keys in the logs; 1 file was skipped.".to_owned(),
        many => {
            format!("No user had two active access keys in the logs; {many} files were skipped.")
        }
    }
}

fn count_of(number: u64, what: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        many => Some(format!("{many} {what}s")),
    }
}

/// The users without a finding for which the logs show a new key. They may have had an older key that
/// the logs do not show. `found` are the users with a finding.
pub(super) fn may_have_had_another(
    reading: &LogReading,
    mut found: BTreeSet<UserId>,
) -> Result<BTreeSet<UserId>, ServiceError> {
    let mut got_one = BTreeSet::new();
    let mut renamed = vec![];
    for change in reading.changes.in_order()? {
        let KeyChange { user, kind, .. } = change?;
        match kind {
            ChangeKind::KeyCreated {
                status: KeyStatus::Active,
                ..
            } => {
                got_one.insert(user);
            }
            ChangeKind::UserRenamed { to, .. } => renamed.push((user, to)),
            _ => {}
        }
    }
    for (user, to) in renamed.into_iter().rev() {
        // The finding has the user's later name.
        if found.contains(&to) {
            found.insert(user);
        }
    }
    got_one.retain(|user| !found.contains(user));
    Ok(got_one)
}

/// What is unknown because it happened before the logs begin, as lines.
pub(super) fn not_known(
    replayed: &Replay,
    others: &BTreeSet<UserId>,
    read_once: &[String],
) -> Vec<String> {
    let shown = |user: &UserId| {
        let text = format!("{} ({})", user.name(), user.account());
        for_terminal(&text, MAX_CHARS)
    };
    let mut lines = vec![];
    let known = &replayed.known_only_from_then;
    if !known.is_empty() {
        let keys = known
            .iter()
            .map(|(user, key)| format!("{} of {}", for_terminal(key, MAX_CHARS), shown(user)));
        let (count, were, counts) = match known.len() {
            1 => ("1 key".to_owned(), "was", "its time counts"),
            more => (format!("{more} keys"), "were", "the time of each counts"),
        };
        lines.push(format!(
            "{count} {were} created before the logs begin; {counts} from its first change or use in the logs: {}.",
            named(keys)
        ));
    }
    if !others.is_empty() {
        lines.push(format!(
            "Not known: whether these users with a new key had an older one from before the logs begin: {}.",
            named(others.iter().map(shown))
        ));
    }
    if !read_once.is_empty() {
        let names = read_once.iter().map(|name| for_terminal(name, MAX_CHARS));
        lines.push(format!(
            "Read only once: {}. Calls that show a key in use were not looked for there; pass a file to include them.",
            named(names)
        ));
    }
    lines
}

/// The first of `names`, and the number of the others.
fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<String> = names.take(NAMED).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
