//! The result of recording changes, and its output.

use std::fmt;
use std::io::Write;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::streams::{stderr, stdout};
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::keys::listing::KeyStatus;
use crate::output::escape::for_terminal;
use crate::output::time::readable;

/// The result of recording changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordOutcome {
    /// The lines to print.
    pub(super) lines: Vec<String>,
    /// Whether every change is in the trail.
    pub(super) is_whole: bool,
}

impl RecordOutcome {
    /// Prints what was `done`, the result of recording it, and what to do `next`.
    pub(super) fn print(&self, done: &str, next: &[String]) -> anyhow::Result<Exit> {
        if !self.is_whole {
            // On stderr, so that these lines appear even if stdout is closed.
            for line in &self.lines {
                let _ = writeln!(stderr(), "secondkey: {line}");
            }
        }
        let mut out = stdout();
        writeln!(out, "{done}")?;
        for line in self.lines.iter().filter(|_| self.is_whole).chain(next) {
            writeln!(out, "{line}")?;
        }
        Ok(self.exit())
    }

    /// The exit code of the step.
    pub(super) fn exit(&self) -> Exit {
        if self.is_whole {
            Exit::NoFinding
        } else {
            Exit::Failure
        }
    }
}

/// A change as text.
pub(super) struct ChangeText<'a>(pub(super) &'a KeyChange);

impl fmt::Display for ChangeText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = self.0;
        let (key, what) = match &change.kind {
            ChangeKind::KeyCreated { key, .. } => (key.as_str(), "created"),
            ChangeKind::KeyUpdated {
                key,
                status: KeyStatus::Active,
            } => (key.as_str(), "activated"),
            ChangeKind::KeyUpdated { key, .. } => (key.as_str(), "deactivated"),
            ChangeKind::KeyDeleted { key } => (key.as_str(), "deleted"),
            ChangeKind::UserDeleted
            | ChangeKind::UserRenamed { .. }
            | ChangeKind::KeyLeaked { .. } => ("", "changed"),
        };
        write!(
            formatter,
            "key {} of user {} was {what} at {} by {}",
            for_terminal(key, MAX_CHARS),
            for_terminal(&change.user.to_string(), MAX_CHARS),
            readable(change.at),
            for_terminal(change.actor.label(), MAX_CHARS)
        )
    }
}
