//! Keeps a function from sending too many messages to people at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

/// Lets messages through one by one, with a pause before each.
///
/// The pause comes before the message, not after it. So each message of an invocation is at least a
/// pause later than the end of the previous invocation, in whichever process that was: however long
/// they run, N concurrent invocations send at most N messages per pause.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    pause: Duration,
    turn: Arc<Mutex<()>>,
}

impl Pace {
    /// With `pause` before each message.
    #[must_use]
    pub(crate) fn new(pause: Duration) -> Self {
        Self {
            pause,
            turn: Arc::default(),
        }
    }

    /// Waits until the next message may be sent.
    pub(crate) async fn wait(&self) {
        let _turn = self.turn.lock().await;
        tokio::time::sleep(self.pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::future::join_all;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(40);

    /// One invocation after the other, each with several messages at once. Returns when each
    /// message was sent.
    async fn slot(invocations: usize) -> Vec<Instant> {
        let mut sent = vec![];
        for _ in 0..invocations {
            // Lambda may run each invocation in a new process.
            let pace = Pace::new(PAUSE);
            let messages = (0..3).map(async |_| {
                pace.wait().await;
                Instant::now()
            });
            sent.extend(join_all(messages).await);
        }
        sent.sort();
        sent
    }

    #[tokio::test]
    async fn n_invocations_at_once_send_at_most_n_messages_per_pause() {
        for sent in join_all((0..4).map(|_| slot(2))).await {
            assert_eq!(sent.len(), 6);
            for pair in sent.windows(2) {
                let apart = pair[1] - pair[0];
                // A timer of tokio has a resolution of a millisecond.
                assert!(apart + Duration::from_millis(2) >= PAUSE, "{apart:?}");
            }
        }
    }
}
