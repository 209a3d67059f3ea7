//! Re-checks put into the changes queue, to come back after a while.

use aws_sdk_sqs::Client;
use chrono::TimeDelta;
use futures::future::try_join_all;

use crate::aws::errors::service_error;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::message::recheck_body;
use crate::pipeline::recheck::Rechecked;

/// The longest delay of an SQS message, in seconds. Source: SQS API reference, `SendMessage`.
const MAX_DELAY_SECONDS: i64 = 900;

/// The changes queue, as far as re-checks go into it.
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

    /// Has the users looked at that a re-check of `user` wants to have looked at.
    pub async fn queue_all(
        &self,
        user: &UserId,
        rechecked: &Rechecked,
    ) -> Result<(), ServiceError> {
        for next in &rechecked.follow_ups {
            self.queue(next, [TimeDelta::zero()]).await?;
        }
        self.queue(user, rechecked.rechecks.iter().copied()).await
    }

    /// Has `user` looked at again after each of `delays`.
    pub async fn queue(
        &self,
        user: &UserId,
        delays: impl IntoIterator<Item = TimeDelta>,
    ) -> Result<(), ServiceError> {
        let sent = delays.into_iter().map(|delay| {
            // A part of a second more, never less: a re-check that comes too early has to be queued again.
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
