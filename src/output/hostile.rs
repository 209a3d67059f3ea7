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

/// What begins a link in every mail program, where no letter or digit stands before it.
const BEGINS_LINK: [&str; 7] = [
    "www.", "mailto:", "file:", "tel:", "sms:", "news:", "callto:",
];

/// The first text in `shown` of which every mail program makes a link, and what follows it.
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
        // Ours is a backslash that shows a character that cannot be seen.
        name.starts_with(char::is_alphanumeric) && !name.starts_with("u{")
    });
    rest.starts_with("://") || is_share || (is_apart && is_address)
}

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
