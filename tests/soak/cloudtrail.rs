//! A stand-in for CloudTrail and EventBridge that delivers events late, twice, out of order or
//! never.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::stack::wiring::Wiring;

/// How often an event never arrives.
const LOST: f64 = 0.02;
/// How often an event arrives twice.
const TWICE: f64 = 0.15;
/// The longest delay of an event, in milliseconds.
const LATE_MS: u64 = 8_000;

/// The stand-in.
pub struct CloudTrail {
    wiring: Arc<Wiring>,
    rng: Rng,
    events: JoinSet<()>,
}

impl CloudTrail {
    pub fn new(wiring: Arc<Wiring>, rng: Rng) -> Self {
        Self {
            wiring,
            rng,
            events: JoinSet::new(),
        }
    }

    /// Schedules the event of `record`. Returns its delays as text, or `None` if it never arrives.
    pub fn tell(&mut self, record: &Value) -> Option<String> {
        if self.rng.f64() < LOST {
            return None;
        }
        let mut delays_ms = vec![match self.rng.u32(0..100) {
            0..60 => self.rng.u64(0..300),
            60..85 => self.rng.u64(300..2_000),
            _ => self.rng.u64(2_000..LATE_MS),
        }];
        if self.rng.f64() < TWICE {
            delays_ms.push(self.rng.u64(0..LATE_MS));
        }
        let fate = format!("(event after {delays_ms:?} ms)");
        while self.events.try_join_next().is_some() {}
        for delay_ms in delays_ms {
            let (wiring, record) = (self.wiring.clone(), record.clone());
            self.events.spawn(async move {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                wiring.put_event(&record).await;
            });
        }
        Some(fate)
    }

    /// Waits until every event that arrives at all has arrived.
    pub async fn until_told(&mut self) {
        while let Some(told) = self.events.join_next().await {
            told.expect("an event can be told");
        }
    }
}
