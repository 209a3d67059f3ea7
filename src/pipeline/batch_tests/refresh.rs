//! Refreshes of open findings, and a sink that refuses them.

use chrono::TimeDelta;

use super::*;
use crate::pipeline::alert_sink::Audience;

const WEEK: i64 = 7 * 24 * 3_600;

/// A sink that forgets findings.
#[derive(Clone, Default)]
struct Forgetful(Arc<Mutex<ForgetfulState>>);

#[derive(Default)]
struct ForgetfulState {
    is_down: bool,
    /// The IDs of the findings that were sent, with the second for which each was computed.
    sent: Vec<(String, i64)>,
}

#[async_trait]
impl AlertSink for Forgetful {
    fn name(&self) -> &'static str {
        "securityhub"
    }

    fn audience(&self) -> Audience {
        Audience::Forgetful
    }

    async fn send(&self, alert: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        let mut state = self.0.lock().unwrap();
        if state.is_down {
            return Err(ServiceError::retryable("the bus is down"));
        }
        let second = crate::detect::testing::second(alert.at);
        state.sent.push((alert.finding.id.to_string(), second));
        Ok(())
    }

    async fn send_digest(&self, _: &Digest) -> Result<(), ServiceError> {
        unreachable!("it gets refreshes only")
    }
}

impl Forgetful {
    fn is_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    fn sent(&self) -> Vec<(String, i64)> {
        std::mem::take(&mut self.0.lock().unwrap().sent)
    }
}

/// Bob created a second key for `alice` at second 95, while nothing was imported.
async fn open_without_import() -> (World, Forgetful) {
    let hub = Forgetful::default();
    let mut world = World::new();
    world.parts.sinks.push(Box::new(hub.clone()));
    world.set(100, &[("alice", PAIR)]);
    world.events(100, &[of("alice", created("K2", 95))]).await;
    world.look(WEEK, "alice").await;
    (world, hub)
}

async fn look_at_pair(world: &World, second: i64) {
    world.set(second, &[("alice", PAIR)]);
    world.look(second, "alice").await;
}

#[tokio::test]
async fn a_refresh_goes_only_to_the_sink_that_forgets() {
    let (mut world, hub) = open_without_import().await;
    let (people, id) = (world.alerts().len(), format!("{ACCOUNT}/alice/1"));
    assert_eq!(hub.sent(), [], "alerts reach it through another sink");

    world.parts.policy.refresh_every = Some(TimeDelta::seconds(WEEK));
    for second in [WEEK + 60, WEEK + 120, 2 * WEEK + 60, 2 * WEEK + 120] {
        look_at_pair(&world, second).await;
    }
    let expected = [(id.clone(), WEEK + 60), (id, 2 * WEEK + 60)];
    assert_eq!(hub.sent(), expected);
    assert_eq!(world.alerts().len(), people);
}

#[tokio::test]
async fn a_refused_refresh_is_sent_later_even_after_the_closing() {
    let (mut world, hub) = open_without_import().await;
    world.parts.policy.refresh_every = Some(TimeDelta::seconds(WEEK));
    hub.is_down(true);
    look_at_pair(&world, WEEK + 60).await;
    let pending = world.store.pending_alerts(&user("alice")).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].sink, "securityhub");

    // Only one is pending, however long the sink is down.
    look_at_pair(&world, 2 * WEEK + 60).await;
    let pending = world.store.pending_alerts(&user("alice")).await.unwrap();
    assert_eq!(pending.len(), 1);

    world.set(2 * WEEK + 120, &[("alice", &PAIR[..1])]);
    world.look(2 * WEEK + 120, "alice").await;
    assert_eq!(world.finding("alice").await.status, FindingStatus::Closed);
    hub.is_down(false);
    world.set(3 * WEEK, &[("alice", &PAIR[..1])]);
    world.look(3 * WEEK, "alice").await;
    // Security Hub ignores it, because it is older than the closing.
    assert_eq!(hub.sent().len(), 1);
    assert_eq!(world.store.pending_alerts(&user("alice")).await, Ok(vec![]));
}
