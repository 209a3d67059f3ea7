//! Commands of ours that are shown, to be run next.

use crate::cli::LONGEST;
use crate::cli::doctor::check::shell_word;
use crate::cli::source::{Connection, Which};
use crate::output::commands::pasteable;
use crate::output::escape::for_terminal;

/// A name or an id of IAM's as one word of a command that is shown; `instead` where it could not be pasted safely, which IAM
/// itself never allows.
pub(super) fn word(text: &str, instead: &str) -> String {
    pasteable(text).unwrap_or_else(|| instead.to_owned())
}

/// The command `secondkey WORDS` for the user `name`, on the same store and AWS, ready for a shell.
pub(super) fn again(words: &[&str], name: &str, which: &Which, connection: &Connection) -> String {
    let mut line = vec!["secondkey".to_owned()];
    // Subcommands come first, then the name, then options.
    let (subcommands, options) = words.split_at(
        words
            .iter()
            .take_while(|word| !word.starts_with('-'))
            .count(),
    );
    line.extend(subcommands.iter().map(|word| (*word).to_owned()));
    // It would be taken for an option.
    let is_option_like = name.starts_with('-');
    if !is_option_like {
        line.push(word(name, "USER"));
    }
    line.extend(options.iter().map(|option| whole(option)));
    line.extend(which.options().iter().map(|option| whole(option)));
    line.extend(connection.options().iter().map(|option| whole(option)));
    if is_option_like {
        line.extend(["--".to_owned(), word(name, "USER")]);
    }
    line.join(" ")
}

/// `option` as one word of a shell, if it can be shown whole and as it is: half of it, or what only looks like it, would be
/// another.
fn whole(option: &str) -> String {
    let quoted = shell_word(option);
    if for_terminal(&quoted, LONGEST) == quoted {
        quoted
    } else {
        "VALUE".to_owned()
    }
}
