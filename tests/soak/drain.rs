//! The time after the faults, until nothing is in progress any more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::pipeline::finding_store::FindingStore;
use secondkey::pipeline::message::recheck_body;

use crate::chaos::Chaos;
use crate::detectors::Detectors;
use crate::stack::wiring::{Wiring, message_counts};
use crate::truth::Truth;

/// The parts that have to come to rest.
pub struct Drain<'a> {
    pub sqs: &'a aws_sdk_sqs::Client,
    pub wiring: &'a Wiring,
    pub moto: &'a Chaos,
    pub store: &'a DynamoDbStore,
    pub truth: &'a Truth,
    /// When to stop waiting.
    pub deadline: Instant,
}

/// The result of waiting.
pub struct Drained {
    /// Whether everything came to rest.
    pub is_quiet: bool,
    /// How many users had a re-check in the queue that the test does not wait for.
    pub far_rechecks: usize,
}

impl Drain<'_> {
    /// Has every user checked who needs it, and waits until no alert is pending.
    pub async fn until_nothing_is_left(&self, detectors: &mut Detectors) -> Drained {
        // In place of the hourly sweep, which checks every user.
        for user in self.truth.lost() {
            self.send(&recheck_body(user)).await;
        }
        let mut is_quiet = self.until_quiet(detectors).await;
        // The test does not wait ten minutes for the last check after a finding that was never
        // confirmed. It runs that check now.
        let far: BTreeSet<String> = self
            .moto
            .far_rechecks()
            .into_iter()
            .map(|far| far.body)
            .collect();
        for body in &far {
            self.send(body).await;
        }
        // An alert is waited for until it is due.
        while is_quiet {
            is_quiet = self.until_quiet(detectors).await;
            if !self.is_owed().await {
                break;
            }
        }
        Drained {
            is_quiet,
            far_rechecks: far.len(),
        }
    }

    async fn send(&self, body: &str) {
        let request = self.sqs.send_message().queue_url(&self.wiring.changes_url);
        let sent = request.message_body(body).send().await;
        sent.expect("a message can be sent");
    }

    /// Whether an alert about any user is still pending.
    async fn is_owed(&self) -> bool {
        for user in self.truth.users() {
            let owed = self
                .store
                .pending_alerts(user)
                .await
                .expect("the table can be read");
            if !owed.is_empty() {
                return true;
            }
        }
        false
    }

    /// Waits until only far re-checks are queued. Returns whether that was before the deadline.
    async fn until_quiet(&self, detectors: &mut Detectors) -> bool {
        let mut quiet_times = 0;
        while quiet_times < 2 {
            if Instant::now() > self.deadline {
                return false;
            }
            detectors.assert_at_work();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let far = self.moto.far_rechecks();
            let waiting = far.iter().filter(|far| far.due > Instant::now()).count();
            let counts = message_counts(self.sqs, &self.wiring.changes_url).await;
            let is_quiet =
                counts.visible == 0 && counts.in_flight == 0 && counts.delayed <= waiting;
            quiet_times = if is_quiet { quiet_times + 1 } else { 0 };
        }
        true
    }
}
