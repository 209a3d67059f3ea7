//! What became of writing down what was done, and saying it.

use std::fmt;
use std::io::Write;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::KeyStatus;
use crate::output::escape::for_terminal;
use crate::output::time::readable;

/// What became of writing down what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    /// What there is to say, line by line.
    pub(super) lines: Vec<String>,
    /// Whether all of it stands in the trail.
    pub(super) is_whole: bool,
}

impl Recorded {
    /// Says what was `done`, what came of writing it down, and what comes `next`.
    pub(super) fn tell(&self, done: &str, next: &[String]) -> anyhow::Result<Exit> {
        if !self.is_whole {
            // Also where nobody reads stdout any more.
            for line in &self.lines {
                let _ = writeln!(anstream::stderr(), "secondkey: {line}");
            }
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{done}")?;
        for line in self.lines.iter().filter(|_| self.is_whole).chain(next) {
            writeln!(out, "{line}")?;
        }
        Ok(self.exit())
    }

    /// How the step ended.
    pub(super) fn exit(&self) -> Exit {
        if self.is_whole {
            Exit::NoFinding
        } else {
            Exit::Failure
        }
    }
}

/// A change in words.
pub(super) struct Done<'a>(pub(super) &'a KeyChange);

impl fmt::Display for Done<'_> {
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
            for_terminal(key, LONGEST),
            for_terminal(&change.user.to_string(), LONGEST),
            readable(change.at),
            for_terminal(change.actor.label(), LONGEST)
        )
    }
}
