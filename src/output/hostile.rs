//! Hostile text: one table, `hostile.json`, for the tests of every output, here and end to end.

use std::sync::LazyLock;

use serde::Deserialize;

/// One hostile text. Its key in the table says what it attempts.
#[derive(Debug, Deserialize)]
pub(crate) struct HostileText {
    /// The text.
    pub(crate) text: String,
    /// How often the text is repeated, so that a short line can stand for up to 1 MiB.
    #[serde(default)]
    times: Option<usize>,
}

/// The table.
pub(crate) static HOSTILE_TEXTS: LazyLock<Vec<HostileText>> = LazyLock::new(|| {
    let texts: Vec<HostileText> = serde_json::from_str(include_str!("hostile.json")).unwrap();
    texts
        .into_iter()
        .map(|one| HostileText {
            text: one.text.repeat(one.times.unwrap_or(1)),
            ..one
        })
        .collect()
});

/// The start of a link in every mail program, if there is no letter or digit before it.
const BEGINS_LINK: [&str; 7] = [
    "www.", "mailto:", "file:", "tel:", "sms:", "news:", "callto:",
];

/// The first text in `shown` that every mail program turns into a link, and the rest.
pub(crate) fn first_link(shown: &str) -> Option<&str> {
    let at = shown
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| is_link(shown.split_at(*at)))?;
    shown.get(at..)
}

fn is_link((before, rest): (&str, &str)) -> bool {
    let is_apart = !before.ends_with(|last: char| last.is_ascii_alphanumeric());
    let is_address = BEGINS_LINK.iter().any(|begin| {
        let begins = rest
            .get(..begin.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(begin));
        let next = rest.get(begin.len()..).and_then(|rest| rest.chars().next());
        begins && next.is_some_and(|next| !next.is_whitespace())
    });
    let is_share = rest.strip_prefix(r"\\").is_some_and(|name| {
        // Ours is a backslash that shows an invisible character.
        name.starts_with(char::is_alphanumeric) && !name.starts_with("u{")
    });
    rest.starts_with("://") || is_share || (is_apart && is_address)
}

/// Letters that are invisible.
const BLANK_LETTERS: &str = "\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{ffa0}";

/// The visible non-letters of the table, and the non-ASCII characters of our own texts.
const SEEN: &str = "…‹›＆＠•·＝＋－🔑🦊\u{fffd}";

/// The first character of `shown` that is invisible or moves others. This is a list of what is
/// allowed, because the code under test has the list of what is not.
pub(crate) fn first_unseen(shown: &str) -> Option<char> {
    shown.chars().find(|character| match character {
        '\n' | ' '..='~' | '\u{2500}'..='\u{257f}' => false,
        other => {
            !(SEEN.contains(*other) || (other.is_alphanumeric() && !BLANK_LETTERS.contains(*other)))
        }
    })
}
