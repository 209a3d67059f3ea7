//! How far a scan is: users, rate, remaining time.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The bar of a scan, on stderr where that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that expects nobody yet.
    pub(super) fn new() -> Self {
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // Where it cannot be written it is not shown.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        let style = ProgressStyle::with_template(
            "scanning {wide_bar} {human_pos}/{human_len} users, {rate}, {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate);
        let bar = ProgressBar::new(0).with_style(style);
        if std::io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar }
    }

    /// So many `users` more are to be looked at, of whom some were before.
    pub(super) fn expect(&self, users: usize, looked_at: usize) {
        self.bar.inc_length(users as u64);
        self.bar.inc(looked_at as u64);
        // The remaining time is that of this run.
        self.bar.reset_eta();
    }

    /// One more user was looked at.
    pub(super) fn looked_at(&self) {
        self.bar.inc(1);
    }

    /// Where texts go that appear above the bar: to stderr, in colour only where that is a terminal that takes it.
    pub(super) fn above(&self) -> Box<dyn Write + Send> {
        Box::new(Above {
            bar: self.bar.clone(),
        })
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

struct Above {
    bar: ProgressBar,
}

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bar
            .suspend(|| anstream::stderr().write_all(bytes).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
