//! Commands of ours that are shown, to be run next.

use crate::output::invocation::{Invocation, Takes};

/// What stands in a command's place where it could not be pasted safely.
pub(super) const NONE: &str = "(no command: a name in it could not be pasted safely)";

/// The command `secondkey WORDS` for the user `name`, on the same store and AWS, ready for a shell.
pub(super) fn again(words: &[&str], name: &str, invocation: &Invocation) -> String {
    shown(invocation.ours(words, Some(name), Takes::StoreAndAws))
}

/// `command`, or why there is none.
pub(super) fn shown(command: Option<String>) -> String {
    command.unwrap_or_else(|| NONE.to_owned())
}
