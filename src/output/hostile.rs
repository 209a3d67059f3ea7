//! Text that means harm somewhere: one table, `hostile.json`, for the tests of every output, here and end to end.

use std::sync::LazyLock;

use serde::Deserialize;

/// One such text; what it tries stands in the table as its name.
#[derive(Debug, Deserialize)]
pub(crate) struct HostileText {
    /// The text.
    pub(crate) text: String,
    /// How often the text is repeated; up to a MiB stands so in a short line.
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

/// Letters that nobody sees.
const BLANK_LETTERS: &str = "\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{ffa0}";

/// What is seen of the table beside letters, and what our own texts hold beside ASCII.
const SEEN: &str = "…‹›＆＠•·＝＋－🔑🦊\u{fffd}";

/// The first character of `shown` that cannot be seen, or moves others about. A list of what may be shown, and not of
/// what may not, for the code has that one.
pub(crate) fn first_unseen(shown: &str) -> Option<char> {
    shown.chars().find(|character| match character {
        '\n' | ' '..='~' | '\u{2500}'..='\u{257f}' => false,
        other => {
            !(SEEN.contains(*other) || (other.is_alphanumeric() && !BLANK_LETTERS.contains(*other)))
        }
    })
}
