//! Why a step was refused, and the commands that help.

use std::io::Write;

use thiserror::Error;

use crate::cli::streams::stderr;
use crate::output::escape::for_terminal;

/// The longest reason that is printed in full, in characters. It may contain an error message of AWS.
const MAX_REASON_CHARS: usize = 1_000;

/// Why a step was refused. It is an error type of its own because other errors are cut to a length, and
/// its commands must stay complete so that they can be pasted.
#[derive(Debug, Error)]
#[error("{why}")]
pub(super) struct RefusedError {
    why: String,
    ways: Vec<(&'static str, String)>,
}

impl RefusedError {
    /// A refusal with its reason.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ways: vec![],
        }
    }

    /// Adds a `command` that does `what`. It is printed unchanged.
    pub(super) fn suggest(mut self, what: &'static str, command: String) -> Self {
        self.ways.push((what, command));
        self
    }

    /// Prints it on stderr.
    pub(super) fn print(&self) {
        let mut err = stderr();
        // If stderr is closed, the exit code is all that is left.
        let why = for_terminal(&self.why, MAX_REASON_CHARS);
        let _ = writeln!(err, "secondkey: {why}");
        for (what, command) in &self.ways {
            let _ = writeln!(err, "{what}:\n  {command}");
        }
    }
}
