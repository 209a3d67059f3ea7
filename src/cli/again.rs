//! Commands of ours that are shown, to be run next.

use crate::cli::LONGEST;
use crate::cli::doctor::check::shell_word;
use crate::cli::source::{Connection, Which};
use crate::output::escape::for_terminal;

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
        line.push(name.to_owned());
    }
    line.extend(options.iter().map(|word| (*word).to_owned()));
    line.extend(which.options());
    line.extend(connection.options());
    if is_option_like {
        line.extend(["--".to_owned(), name.to_owned()]);
    }
    let line: Vec<String> = line
        .iter()
        .map(|word| for_terminal(&shell_word(word), LONGEST))
        .collect();
    line.join(" ")
}
