//! Words and options of the commands that we show, quoted for a POSIX shell. Nothing else quotes.

use crate::output::escape::for_terminal;

/// The longest name or ID that a shown command may contain. IAM's own limit is 128.
const MAX_ARGUMENT_CHARS: usize = 300;

/// The characters that need no quotes anywhere in a word.
const PLAIN: &str = "-_./:@=+,%";

/// `word` as one word of a shell command.
#[must_use]
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || PLAIN.contains(character);
    // zsh expands a word that starts with `=` and reads `%` as a job.
    let is_expanded = word.starts_with(['=', '%']);
    if !word.is_empty() && !is_expanded && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A name or an ID of IAM's as one word of a command. `None` if it is not safe to paste; IAM never
/// allows such a name.
#[must_use]
pub(crate) fn pasteable(value: &str) -> Option<String> {
    let is_printable = value
        .chars()
        .all(|character| character == ' ' || character.is_ascii_graphic());
    // The AWS CLI reads a file if a value starts with `file://`.
    let is_too_odd = value.is_empty() || value.len() > MAX_ARGUMENT_CHARS || value.contains("://");
    (is_printable && !is_too_odd).then(|| quoted(value))
}

/// What the caller typed, as one word of a command. `None` if it cannot be shown exactly and in
/// full: a shortened or look-alike word would be a different word.
#[must_use]
pub(crate) fn whole(word: &str) -> Option<String> {
    let quoted = quoted(word);
    (for_terminal(&quoted, quoted.len()) == quoted).then_some(quoted)
}

/// `option` with its `value`, which is already quoted.
#[must_use]
pub(crate) fn option(option: &str, value: &str) -> String {
    // After `=`, a value that starts with `-` is not read as another option.
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!("{option}{separator}{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_word_stays_one_word() {
        for plain in [
            "arn:aws:sqs:us-east-1:1:q",
            "a.b+c@example.com",
            "a=b",
            "100%",
        ] {
            assert_eq!(quoted(plain), plain);
        }
        assert_eq!(quoted("a b; rm -rf $HOME"), "'a b; rm -rf $HOME'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("=ls"), "'=ls'");
        assert_eq!(quoted("%1"), "'%1'");
        assert_eq!(quoted("~/x"), "'~/x'");
    }

    #[test]
    fn shell_reads_every_quoted_word_back() {
        for word in [
            "a b", "it's", "=ls", "$HOME", "`id`", "*", "a\\b", "!x", "#", "é", "~",
        ] {
            let line = format!("printf %s {}", quoted(word));
            let read = std::process::Command::new("sh")
                .args(["-c", &line])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(read.stdout).unwrap(), word);
        }
    }

    #[test]
    fn words_with_hidden_characters_are_not_shown() {
        assert_eq!(whole("mine/é.db").as_deref(), Some("'mine/é.db'"));
        assert_eq!(whole("a\nb"), None);
        assert_eq!(whole("a\u{202e}b"), None);
        assert_eq!(option("--db", "-x"), "--db=-x");
    }
}
