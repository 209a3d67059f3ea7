//! Prints keys and their last uses as a table.

use std::io::Write;

use crate::cli::MAX_CHARS;
use crate::cli::table::TextTable;
use crate::detect::Timestamp;
use crate::detect::rotation::stage::RotationKey;
use crate::detect::usage::last_use::LastUsed;
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// Prints the keys as a table, the oldest first.
pub(super) fn keys(
    out: &mut impl Write,
    keys: &[RotationKey],
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut sorted: Vec<&RotationKey> = keys.iter().collect();
    sorted.sort_by_key(|key| (key.key.created, &key.key.id));
    let mut rows = TextTable::new(&["KEY", "STATUS", "CREATED", "LAST USED"]).headline(2);
    for key in sorted {
        rows.push(vec![
            id(key),
            key.key.status.word().to_lowercase(),
            key.key
                .created
                .map_or_else(|| "not known".to_owned(), |at| moment(at, now)),
            last_used(key, now),
        ]);
    }
    rows.print(out)
}

/// The key's id, safe for a terminal.
pub(super) fn id(key: &RotationKey) -> String {
    for_terminal(&key.key.id, MAX_CHARS)
}

/// When, with which service and in which region `key` was last used.
pub(super) fn last_used(key: &RotationKey, now: Timestamp) -> String {
    match &key.last_used {
        None => "not known".to_owned(),
        Some(LastUsed::Never) => "never".to_owned(),
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => {
            let part = |word: &str, text: &Option<String>| {
                let text = for_terminal(text.as_deref()?, MAX_CHARS);
                Some(format!(", {word} {text}"))
            };
            [
                Some(moment(*at, now)),
                part("by", service),
                part("in", region),
            ]
            .into_iter()
            .flatten()
            .collect()
        }
    }
}

/// `at`, with its age at `now`.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{}, {} ago", readable(at), duration(now - at))
}
