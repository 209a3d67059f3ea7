//! Puts delayed re-checks into the changes queue.

use aws_sdk_sqs::Client;
use chrono::TimeDelta;
use futures::future::try_join_all;

use crate::aws::sdk_errors::service_error;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::recheck_body;
use crate::pipeline::recheck::RecheckOutcome;

/// The longest delay of an SQS message, in seconds. Source: SQS API reference, `SendMessage`.
const MAX_DELAY_SECONDS: i64 = 900;

/// The changes queue, for sending re-checks.
#[derive(Debug, Clone)]
pub struct RecheckQueue {
    client: Client,
    queue_url: String,
}

impl RecheckQueue {
    /// The queue at `queue_url`.
    #[must_use]
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }

    /// Queues the further checks that a re-check of `user` requests.
    pub async fn queue_all(
        &self,
        user: &UserId,
        rechecked: &RecheckOutcome,
    ) -> Result<(), ServiceError> {
        for next in &rechecked.follow_ups {
            self.queue(next, [TimeDelta::zero()]).await?;
        }
        self.queue(user, rechecked.rechecks.iter().copied()).await
    }

    /// Queues a check of `user` after each of `delays`.
    pub async fn queue(
        &self,
        user: &UserId,
        delays: impl IntoIterator<Item = TimeDelta>,
    ) -> Result<(), ServiceError> {
        let sent = delays.into_iter().map(|delay| {
            // Rounded up: a re-check that arrives too early would have to be queued again.
            let seconds = delay.num_seconds() + i64::from(delay.subsec_nanos() > 0);
            let seconds = seconds.clamp(0, MAX_DELAY_SECONDS);
            self.client
                .send_message()
                .queue_url(&self.queue_url)
                .message_body(recheck_body(user))
                .delay_seconds(i32::try_from(seconds).unwrap_or_default())
                .send()
        });
        try_join_all(sent)
            .await
            .map(drop)
            .map_err(|error| service_error("sqs:SendMessage on the changes queue", &error))
    }
}
