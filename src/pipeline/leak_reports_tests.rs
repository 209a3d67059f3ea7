//! Reports of leaked keys, on the embedded store.

use super::{PAIR, World, at, created, of, user};
use crate::detect::events::health::LeakReport;
use crate::detect::events::leak::LeakSignal;
use crate::detect::trail::audit::AuditKind;
use crate::pipeline::finding_store::FindingReader;
use crate::pipeline::leak_reports::{ReceivedReport, recheck_owners};

impl World {
    fn set_down(&self, is_down: bool) {
        self.iam.0.lock().unwrap().is_down = is_down;
    }
}

fn report(id: &str, keys: &[&str]) -> ReceivedReport {
    ReceivedReport {
        id: id.to_owned(),
        is_retry: false,
        report: LeakReport {
            account: "111122223333".to_owned(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            at: at(150),
            signal: LeakSignal::Exposed,
            event_id: Some("arn:aws:health:us-east-1::event/RISK/x".to_owned()),
            region: None,
        },
    }
}

async fn leaks_in_trail(world: &World) -> usize {
    let trail = world.store.history(&user("a")).await.unwrap();
    let leaks = trail
        .iter()
        .filter(|entry| entry.draft.kind == AuditKind::KeyLeaked);
    leaks.count()
}

#[tokio::test]
async fn the_user_of_a_reported_key_is_found_and_the_report_recorded_once() {
    let world = World::new();
    world.set(100, &[("a", PAIR)]);
    world.events(100, &[of("a", created("K2", 95))]).await;
    world.set(160, &[("a", PAIR)]);
    // The copy for the backup region arrives in the same batch, and once more later.
    let both = vec![report("m1", &["K2"]), report("m2", &["K2"])];
    let reported = recheck_owners(&world.parts, both, at(160)).await;
    assert!(reported.failed.is_empty() && reported.without_owner.is_empty());
    let [result] = reported.results.as_slice() else {
        panic!("{reported:?}");
    };
    assert_eq!(result.message_ids, ["m1", "m2"].map(str::to_owned).into());
    recheck_owners(&world.parts, vec![report("m3", &["K2"])], at(170)).await;
    let finding = world.finding("a").await;
    assert_eq!(finding.leaks.len(), 1);
    assert_eq!(finding.leaks[0].key.as_deref(), Some("K2"));
    assert_eq!(leaks_in_trail(&world).await, 1);
    assert_eq!(world.alerts().len(), 2, "the opening and the report");
}

#[tokio::test]
async fn while_iam_is_down_a_report_fails_and_is_not_lost() {
    let world = World::new();
    world.set(100, &[("a", PAIR)]);
    world.set_down(true);
    let reported = recheck_owners(&world.parts, vec![report("m1", &["K2"])], at(160)).await;
    assert!(reported.results.is_empty() && reported.without_owner.is_empty());
    let [(leaked, _)] = reported.failed.as_slice() else {
        panic!("{reported:?}");
    };
    assert_eq!(
        (leaked.message_id.as_str(), leaked.key.as_str()),
        ("m1", "K2")
    );
    world.set_down(false);
    let again = recheck_owners(&world.parts, vec![report("m1", &["K2"])], at(160)).await;
    assert_eq!(again.results.len(), 1);
    assert_eq!(leaks_in_trail(&world).await, 1);
}

#[tokio::test]
async fn key_without_a_user_is_named_and_does_not_stop_the_others() {
    let world = World::new();
    world.set(100, &[("a", &[("K1", -1_000)])]);
    let reports = vec![report("m1", &["GONE", "K1"])];
    let reported = recheck_owners(&world.parts, reports, at(160)).await;
    let without_owner: Vec<&str> = reported
        .without_owner
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(without_owner, ["GONE"]);
    assert_eq!(reported.results.len(), 1);
    assert_eq!(leaks_in_trail(&world).await, 1);
    assert!(world.alerts().is_empty(), "one key opens nothing");
}
