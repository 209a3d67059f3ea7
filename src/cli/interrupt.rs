//! Handles Ctrl-C in commands that must not stop halfway.

use std::io::Write;

use tokio::sync::watch;

use crate::cli::streams::stderr;

/// Becomes true on the first signal, and prints `answer` then. From here on, signals do not end the
/// process.
pub(super) fn interrupted(answer: &'static str) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        signal().await;
        print_notice(answer);
        // Fails if the command is already done and has no receiver left.
        let _ = sender.send(true);
        // Keep the sender alive: without it the receivers would stop waiting.
        std::future::pending::<()>().await;
    });
    receiver
}

/// Waits for the next signal that asks the process to end.
#[cfg(unix)]
pub(super) async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, hang_up) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    );
    let terminate = async {
        match terminate {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    let hang_up = async {
        match hang_up {
            Ok(mut signals) => signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate => (),
        _ = hang_up => (),
    }
}

/// Waits for the next signal that asks the process to end.
#[cfg(not(unix))]
pub(super) async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Prints `text` on stderr.
pub(super) fn print_notice(text: &str) {
    // It is only a notice, so a closed stderr does not matter.
    let _ = writeln!(stderr(), "secondkey: {text}");
}
