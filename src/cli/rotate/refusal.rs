//! Why a step is not done, and the commands that lead on.

use std::io::Write;

use thiserror::Error;

use crate::output::escape::for_terminal;

/// The longest reason that is shown whole, in characters: it may repeat an answer of AWS.
const LONGEST_REASON: usize = 1_000;

/// Why a step is not done. Apart from other errors, for its commands must never be cut: somebody is to paste them.
#[derive(Debug, Error)]
#[error("{why}")]
pub(super) struct Refusal {
    why: String,
    ways: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal, and why.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ways: vec![],
        }
    }

    /// The same, with a `command` that does `what`; it is shown as it stands.
    pub(super) fn way(mut self, what: &'static str, command: String) -> Self {
        self.ways.push((what, command));
        self
    }

    /// Says it on stderr.
    pub(super) fn say(&self) {
        let mut err = anstream::stderr().lock();
        // Where even this cannot be said the exit code has to do.
        let why = for_terminal(&self.why, LONGEST_REASON);
        let _ = writeln!(err, "secondkey: {why}");
        for (what, command) in &self.ways {
            let _ = writeln!(err, "{what}:\n  {command}");
        }
    }
}
