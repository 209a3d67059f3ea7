//! Somebody wants a command to end that has begun what must not be left half done.

use std::io::Write;

use tokio::sync::watch;

/// Becomes true with the first signal to end, to which `answer` is said. From here on signals do no more than that.
pub(super) fn interrupted(answer: &'static str) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        signal().await;
        say(answer);
        // Nobody listens any more once all is done.
        let _ = sender.send(true);
        // The sender lives on, so that the receivers' waits do.
        std::future::pending::<()>().await;
    });
    receiver
}

/// Waits for the next signal to end.
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

/// Waits for the next signal to end.
#[cfg(not(unix))]
pub(super) async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Says `text` to whoever watches.
pub(super) fn say(text: &str) {
    // Where it cannot be said, the checks tell.
    let _ = writeln!(anstream::stderr(), "secondkey: {text}");
}
