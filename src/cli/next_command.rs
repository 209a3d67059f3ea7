//! The secondkey commands that the output suggests.

use crate::output::invocation::{AcceptedOptions, Invocation};

/// Printed in place of a command that could not be pasted safely.
pub(super) const UNSAFE_COMMAND: &str = "(no command: a name in it could not be pasted safely)";

/// The command `secondkey WORDS` for the user `name`, with the same store and AWS account, quoted
/// for a shell.
pub(super) fn command_for_user(words: &[&str], name: &str, invocation: &Invocation) -> String {
    or_placeholder(invocation.secondkey_command(words, Some(name), AcceptedOptions::StoreAndAws))
}

/// `command`, or the note that it cannot be pasted safely.
pub(super) fn or_placeholder(command: Option<String>) -> String {
    command.unwrap_or_else(|| UNSAFE_COMMAND.to_owned())
}
