//! One kind of request that is refused for some seconds, longer than an SDK retries.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::stack::relay::Request;

/// How often a request starts an outage.
const BEGINS: f64 = 0.006;
/// How long an outage lasts, in milliseconds.
const LASTS_MS: std::ops::Range<u64> = 1_500..5_000;

/// What is refused, if anything.
#[derive(Debug, Default)]
pub struct Outage {
    now: Option<(String, Instant)>,
}

impl Outage {
    /// Whether `request` is refused.
    pub fn refuses(&mut self, request: &Request, rng: &mut Rng) -> bool {
        let kind = kind(request);
        if rng.f64() < BEGINS
            && self
                .now
                .as_ref()
                .is_none_or(|(_, end)| end.elapsed() > Duration::ZERO)
        {
            let end = Instant::now() + Duration::from_millis(rng.u64(LASTS_MS));
            self.now = Some((kind.clone(), end));
        }
        let refused = self.now.as_ref();
        refused.is_some_and(|(refused, end)| *refused == kind && Instant::now() < *end)
    }
}

/// The action that `request` asks for.
fn kind(request: &Request) -> String {
    let target = request.head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-amz-target")
            .then(|| value.trim().to_owned())
    });
    target.unwrap_or_else(|| {
        let body = String::from_utf8_lossy(&request.body);
        body.split('&').next().unwrap_or_default().to_owned()
    })
}
