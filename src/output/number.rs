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

/// `number` as a word, as far as words go.
#[must_use]
pub fn in_words(number: usize) -> String {
    const WORDS: [&str; 9] = [
        "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    let word = number.checked_sub(2).and_then(|place| WORDS.get(place));
    word.map_or_else(|| number.to_string(), |word| (*word).to_owned())
}
