//! Words and options of commands that are shown, quoted for a POSIX shell: the one place that quotes.

use crate::output::escape::for_terminal;

/// The longest name or id that a command is given for; IAM's end at 128.
const LONGEST_ARGUMENT: usize = 300;

/// What needs no quotes, wherever it stands in a word.
const PLAIN: &str = "-_./:@=+,%";

/// `word` as one word of a shell's command.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || PLAIN.contains(character);
    // zsh expands a word that begins with `=`, and takes `%` for a job.
    let is_expanded = word.starts_with(['=', '%']);
    if !word.is_empty() && !is_expanded && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A name or an id of IAM's as one word of a command; `None` if it could not be pasted safely,
/// which IAM itself never allows.
#[must_use]
pub fn pasteable(value: &str) -> Option<String> {
    let is_printable = value
        .chars()
        .all(|character| character == ' ' || character.is_ascii_graphic());
    // The AWS CLI reads a file where a value begins with `file://`.
    let is_too_odd = value.is_empty() || value.len() > LONGEST_ARGUMENT || value.contains("://");
    (is_printable && !is_too_odd).then(|| quoted(value))
}

/// What the caller typed, as one word of a command; `None` if it could not be shown whole and as
/// it is: half of it, or what only looks like it, would be another.
#[must_use]
pub fn whole(word: &str) -> Option<String> {
    let quoted = quoted(word);
    (for_terminal(&quoted, quoted.len()) == quoted).then_some(quoted)
}

/// `option` with its `value`, which is shown as a word already.
#[must_use]
pub fn option(option: &str, value: &str) -> String {
    // After `=`, a value that begins with `-` is not taken for another option.
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!("{option}{separator}{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_word_as_one_word() {
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
    fn a_shell_reads_every_word_back() {
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
    fn a_word_that_cannot_be_shown_as_it_is_is_not_shown() {
        assert_eq!(whole("mine/é.db").as_deref(), Some("'mine/é.db'"));
        assert_eq!(whole("a\nb"), None);
        assert_eq!(whole("a\u{202e}b"), None);
        assert_eq!(option("--db", "-x"), "--db=-x");
    }
}
