//! Numbers of things, as one says them.

/// `number` of a `thing`, as one says it.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// `number` of entries, as one says it.
#[must_use]
pub fn entry_count(number: usize) -> String {
    if number == 1 {
        return "1 entry".to_owned();
    }
    format!("{number} entries")
}
