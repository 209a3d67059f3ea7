//! Numbers in words.

/// `number` with `thing` in the singular or plural.
#[must_use]
pub(crate) fn count(number: usize, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// `number` with "entry" or "entries".
#[must_use]
pub(crate) fn entry_count(number: usize) -> String {
    if number == 1 {
        return "1 entry".to_owned();
    }
    format!("{number} entries")
}

/// `number` as a word, for small numbers.
#[must_use]
pub(crate) fn in_words(number: usize) -> String {
    const WORDS: [&str; 9] = [
        "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    let word = number.checked_sub(2).and_then(|place| WORDS.get(place));
    word.map_or_else(|| number.to_string(), |word| (*word).to_owned())
}
