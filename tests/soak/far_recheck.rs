//! Re-checks in the queue that are so far in the future that the test does not wait for them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stack::relay::Request;

/// The minimum delay of a far re-check, in seconds.
const FAR_SECONDS: i64 = 60;

/// A re-check with a long delay: the last check after a finding that was never confirmed, or an
/// alert that was pending for long.
#[derive(Debug, Clone)]
pub struct FarRecheck {
    pub body: String,
    pub due: Instant,
}

/// The far re-check that `request` queues, if it is one.
pub fn far_recheck(request: &Request) -> Option<FarRecheck> {
    if !request.head.contains("AmazonSQS.SendMessage") {
        return None;
    }
    let message: Value = serde_json::from_slice(&request.body).ok()?;
    let delay = message["DelaySeconds"].as_i64()?;
    (delay >= FAR_SECONDS).then(|| FarRecheck {
        body: message["MessageBody"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        due: Instant::now() + Duration::from_secs(delay.unsigned_abs()),
    })
}
