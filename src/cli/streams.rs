//! Standard output and standard error, with colors only if they are wanted.
//!
//! A reader that stops reading, as `head` does, is not an error: the command finishes its work, and its
//! exit code says what it found.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::AutoStream;
use clap::ValueEnum;

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set; `CLICOLOR_FORCE` forces them
    Auto,
    /// Also in files and pipes
    Always,
    /// Never
    Never,
}

impl ColorWhen {
    /// Makes this the choice of the program. `Auto` follows the environment.
    pub(super) fn choose(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Locked standard output, for the result.
pub(crate) fn stdout() -> ForgivingPipe<AutoStream<std::io::StdoutLock<'static>>> {
    ForgivingPipe(anstream::stdout().lock())
}

/// Locked standard output for content that must not change.
pub(crate) fn verbatim_stdout() -> ForgivingPipe<std::io::StdoutLock<'static>> {
    ForgivingPipe(std::io::stdout().lock())
}

/// Locked standard error, for everything else.
pub(crate) fn stderr() -> ForgivingPipe<AutoStream<std::io::StderrLock<'static>>> {
    ForgivingPipe(anstream::stderr().lock())
}

/// Standard error for what is neither the result nor an error: alerts, progress, the summary. Empty with
/// `--quiet`.
pub(crate) fn notes() -> Box<dyn Write> {
    if is_quiet() {
        return Box::new(std::io::sink());
    }
    Box::new(stderr())
}

/// Whether progress is to be shown: to a person, and not with `--quiet`.
pub(crate) fn shows_progress() -> bool {
    std::io::stderr().is_terminal() && !is_quiet()
}

/// Whether only the result and errors are to be printed.
pub(crate) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Makes this the choice of the program.
pub(super) fn choose_quiet(is_quiet: bool) {
    IS_QUIET.store(is_quiet, Ordering::Relaxed);
}

/// A choice of the whole program, like that of the colors.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// A writer that drops what a closed pipe does not take.
pub(crate) struct ForgivingPipe<W>(W);

impl<W: Write> Write for ForgivingPipe<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}
