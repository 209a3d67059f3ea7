//! Prints keys and their last uses as a table.

use std::io::Write;

use crate::cli::MAX_CHARS;
use crate::cli::table::TextTable;
use crate::detect::Timestamp;
use crate::detect::rotation::stage::{RotationKey, by_age};
use crate::output::escape::for_terminal;
use crate::output::last_use::last_use;
pub(super) use crate::output::last_use::moment;

/// Prints the keys as a table, the oldest first.
pub(super) fn keys(
    out: &mut impl Write,
    keys: &[RotationKey],
    now: Timestamp,
) -> std::io::Result<()> {
    let mut rows = TextTable::new(&["KEY", "STATUS", "CREATED", "LAST USED"]).headline(2);
    for key in by_age(keys) {
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
    last_use(key.last_used.as_ref(), now, &|text| {
        for_terminal(text, MAX_CHARS)
    })
}
