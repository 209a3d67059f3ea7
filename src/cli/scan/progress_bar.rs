//! The progress bar of a scan: users, rate, remaining time.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::cli::streams::shows_progress;

/// The progress bar of a scan, hidden if stderr is not a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar without users.
    pub(super) fn new() -> Self {
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A rate that cannot be written is left out.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        let style = ProgressStyle::with_template(
            "scanning {wide_bar} {human_pos}/{human_len} users, {rate}, {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate);
        let bar = ProgressBar::new(0).with_style(style);
        if shows_progress() {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar }
    }

    /// Adds `users` to the total, of which `looked_at` were checked in an earlier run.
    pub(super) fn expect(&self, users: usize, looked_at: usize) {
        self.bar.inc_length(users as u64);
        self.bar.inc(looked_at as u64);
        // The estimate must not count the users of the earlier run.
        self.bar.reset_eta();
    }

    /// Counts one more checked user.
    pub(super) fn looked_at(&self) {
        self.bar.inc(1);
    }

    /// A writer to stderr that prints above the bar, in color only if the terminal supports it.
    pub(super) fn above(&self) -> Box<dyn Write + Send> {
        Box::new(AboveProgress {
            bar: self.bar.clone(),
        })
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

struct AboveProgress {
    bar: ProgressBar,
}

impl Write for AboveProgress {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bar
            .suspend(|| anstream::stderr().write_all(bytes).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
