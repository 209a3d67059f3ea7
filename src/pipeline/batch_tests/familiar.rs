//! How completed rotations make an actor familiar, and the effect on the severity of its next key.

use super::*;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::decision::relation::Relation;

const DAY: i64 = 24 * 60 * 60;

impl World {
    /// Sets the user's keys from second `second` on, by a change of `actor`.
    async fn changed(&self, second: i64, name: &str, keys: &[(&str, i64)], change: KeyChange) {
        self.set(second, &[(name, keys)]);
        self.events(second, &[of(name, change)]).await;
    }

    /// `actor` creates a second key for `name` and deletes the first one an hour later.
    async fn rotated(&self, second: i64, name: &str, actor: &str) -> Finding {
        let both = [("K1", second - 9 * DAY), ("K2", second - 5)];
        let made = by(actor, created("K2", second - 5));
        self.changed(second, name, &both, made).await;
        let opened = self.finding(name).await;
        assert_eq!(opened.status, FindingStatus::Open);
        let hour = second + 3_600;
        let gone = by(actor, deleted("K1", hour - 5));
        self.changed(hour, name, &both[1..], gone).await;
        assert_eq!(self.finding(name).await.status, FindingStatus::Closed);
        opened
    }

    async fn familiar(&self) -> Vec<FamiliarActor> {
        self.store.familiar(ACCOUNT).await.unwrap().to_vec()
    }
}

fn relation(finding: &Finding) -> Option<Relation> {
    finding.opener.as_ref().unwrap().relation
}

#[tokio::test]
async fn a_pipeline_is_high_until_a_day_after_its_first_rotation() {
    let world = World::new();
    let first = world.rotated(100, "a", "ci").await;
    assert_eq!(first.severity_reasons, [SeverityReason::UnfamiliarActor]);
    assert_eq!(world.familiar().await.len(), 1);
    // An attacker who rotates one user after the other does not become familiar that way.
    let spree = world.rotated(100 + 2 * 3_600, "b", "ci").await;
    assert_eq!(spree.severity, Severity::High);
    let next = world.rotated(100 + 2 * DAY, "c", "ci").await;
    assert_eq!(next.severity, Severity::Medium);
    assert_eq!(relation(&next), Some(Relation::Familiar));
    let other = world.rotated(100 + 3 * DAY, "d", "mallory").await;
    assert_eq!(other.severity, Severity::High);
    assert_eq!(first.id.user, user("a"));
    let kept = world.finding("a").await;
    assert_eq!(relation(&kept), Some(Relation::Unfamiliar), "judged once");
}

#[tokio::test]
async fn actor_of_a_removed_key_stays_unfamiliar() {
    let world = World::new();
    let made = by("mallory", created("K2", 95));
    world.changed(100, "a", PAIR, made).await;
    let removed = by("carol", deleted("K2", 290));
    world.changed(300, "a", &PAIR[..1], removed).await;
    assert_eq!(world.finding("a").await.status, FindingStatus::Closed);
    assert_eq!(world.familiar().await, []);
    let next = world.rotated(100 + 2 * DAY, "b", "mallory").await;
    assert_eq!(next.severity, Severity::High);
}

#[tokio::test]
async fn concurrent_rotations_of_a_pipeline_make_it_familiar_once() {
    let world = World::new();
    world.set(100, &[("a", PAIR), ("b", PAIR)]);
    let both = |change: &dyn Fn() -> KeyChange| ["a", "b"].map(|name| of(name, change()));
    let made = both(&|| by("ci", created("K2", 95)));
    world.events(100, &made).await;
    world.set(300, &[("a", &PAIR[1..]), ("b", &PAIR[1..])]);
    let gone = both(&|| by("ci", deleted("K1", 290)));
    world.events(300, &gone).await;
    let closed = world.alerts();
    let closed = closed
        .iter()
        .filter(|alert| alert.kind == AlertKind::Closed);
    assert_eq!(closed.count(), 2);
    assert_eq!(world.familiar().await.len(), 1);
}

#[tokio::test]
async fn failed_write_of_familiar_actors_is_made_up_later() {
    let world = World::new();
    world
        .changed(100, "a", PAIR, by("ci", created("K2", 95)))
        .await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON familiar
        BEGIN SELECT RAISE(ABORT, 'no room'); END";
    world
        .store
        .write(|file| file.execute_batch(refuse))
        .unwrap();
    world.set(300, &[("a", &PAIR[1..])]);
    let gone = of("a", by("ci", deleted("K1", 290)));
    let message = vec![Message::Change(Box::new(gone))];
    let results = world.batch(300, false, message).await;
    assert!(results[0].is_err(), "the message comes again");
    assert_eq!(world.alerts().last().unwrap().kind, AlertKind::Closed);
    assert_eq!(world.familiar().await, []);

    let allow = "DROP TRIGGER refuse";
    world.store.write(|file| file.execute_batch(allow)).unwrap();
    world.look(400, "a").await;
    let noted = world.familiar().await;
    assert_eq!((noted.len(), noted[0].last_at), (1, at(290)));
    world.look(500, "a").await;
    assert_eq!(world.familiar().await, noted);
    assert_eq!(world.alerts().len(), 2, "nothing is announced twice");
}
