//! The effect of AWS's reports that a key leaked.

use super::*;
use crate::detect::events::leak::LeakSignal::{Exposed, ExposureSuspected, Quarantine};
use crate::detect::events::leak::{Leak, MAX_LEAKS};
use crate::detect::testing::{exemption, leaked, refused};

/// `quarantine K1@55`, with `?` for an unknown key.
fn shown(leaks: &[Leak]) -> Vec<String> {
    leaks
        .iter()
        .map(|leak| {
            let key = leak.key.as_deref().unwrap_or("?");
            format!("{} {key}@{}", leak.signal.word(), second(leak.at))
        })
        .collect()
}

impl Story {
    fn look(&mut self, now: i64, keys: &[(&str, i64)], changes: &[KeyChange]) -> Decision {
        let listing = dated_listing(now, keys);
        self.step(at(now + 1), &listing, changes)
    }

    fn kept(&self) -> Vec<String> {
        shown(&self.record.evidence.leaks)
    }

    fn on_finding(&self) -> Vec<String> {
        shown(&self.finding().leaks)
    }
}

const OLD: (&str, i64) = ("+K1", -1_000_000);
const NEW: (&str, i64) = ("+K2", 95);

#[test]
fn leak_of_the_only_key_is_evidence_for_the_next_opening() {
    let mut story = Story::new();
    let decision = story.look(60, &[OLD], &[leaked(None, Quarantine, 55)]);
    assert_eq!(decision.outcome, Outcome::NothingOpen);
    assert_eq!(decision.alert, None);
    assert_eq!(kinds(&decision), [AuditKind::KeyLeaked]);
    assert_eq!(decision.audit[0].draft.details["signal"], "quarantine");
    assert!(decision.rechecks.is_empty(), "no key changed");
    assert_eq!(story.kept(), ["quarantine K1@55"]);

    // AWS asks the owner to create a second key.
    let decision = story.look(100, &[OLD, NEW], &[by("alice", created("K2", 95))]);
    assert_eq!(decision.outcome, Outcome::Opened);
    let finding = decision.alert.unwrap().finding;
    assert_eq!(finding.severity, Severity::High);
    assert_eq!(finding.severity_reasons, [SeverityReason::LeakedKey]);
    assert_eq!(shown(&finding.leaks), ["quarantine K1@55"]);
}

#[test]
fn leak_on_an_open_finding_is_announced_and_raises_the_severity() {
    let mut story = Story::open();
    let told = leaked(Some("K2"), ExposureSuspected, 150);
    let decision = story.look(160, &[OLD, NEW], std::slice::from_ref(&told));
    let alert = decision.alert.clone().unwrap();
    let updates = vec![FindingUpdate::Leaked, FindingUpdate::Severity];
    assert_eq!(alert.kind, AlertKind::Updated(updates));
    assert_eq!(alert.finding.severity, Severity::High);
    assert_eq!(story.on_finding(), ["exposure_suspected K2@150"]);
    let expected = [AuditKind::KeyLeaked, AuditKind::FindingUpdated];
    assert_eq!(kinds(&decision), expected);

    let again = story.look(170, &[OLD, NEW], &[told]);
    assert_eq!((again.alert, again.audit), (None, vec![]));
    let sure = story.look(190, &[OLD, NEW], &[leaked(Some("K2"), Exposed, 180)]);
    let kind = sure.alert.unwrap().kind;
    assert_eq!(kind, AlertKind::Updated(vec![FindingUpdate::Leaked]));
}

#[test]
fn in_every_order_of_events_the_finding_holds_the_same() {
    let events = [
        created("K2", 95),
        leaked(None, Quarantine, 55),
        leaked(Some("K2"), Exposed, 120),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut story = Story::new();
        for (place, now) in order.into_iter().zip([200, 210, 220]) {
            story.look(now, &[OLD, NEW], std::slice::from_ref(&events[place]));
        }
        let expected = ["quarantine K1@55", "exposed K2@120"];
        assert_eq!(story.on_finding(), expected, "{order:?}");
        assert_eq!(story.finding().severity, Severity::High, "{order:?}");
    }
}

#[test]
fn a_quarantine_after_both_keys_is_of_neither() {
    let mut story = Story::open();
    story.look(130, &[OLD, NEW], &[leaked(None, Quarantine, 120)]);
    assert_eq!(story.on_finding(), ["quarantine ?@120"]);
    assert_eq!(story.finding().severity, Severity::High);
}

#[test]
fn key_created_in_the_second_of_the_quarantine_is_not_blamed() {
    let mut story = Story::new();
    let changes = [created("K2", 95), leaked(None, Quarantine, 95)];
    story.look(100, &[OLD, NEW], &changes);
    assert_eq!(story.on_finding(), ["quarantine K1@95"]);
}

#[test]
fn key_that_was_inactive_at_the_time_is_not_blamed() {
    let mut story = Story::new();
    let keys = [OLD, ("-K2", -900_000)];
    story.look(60, &keys, &[leaked(None, Quarantine, 55)]);
    assert_eq!(story.kept(), ["quarantine K1@55"]);
}

/// The listing is stale, and the event of the second key is late.
#[test]
fn late_event_corrects_the_leaked_key() {
    let mut story = Story::new();
    story.look(97, &[OLD], &[leaked(None, Quarantine, 96)]);
    assert_eq!(story.kept(), ["quarantine K1@96"]);
    story.look(110, &[OLD, NEW], &[created("K2", 95)]);
    assert_eq!(story.on_finding(), ["quarantine ?@96"]);
}

#[test]
fn a_late_report_does_not_blame_the_key_that_is_left() {
    let keys = [("-K1", -1_000_000), ("+K2", -900_000)];
    for end in [updated("K1", KeyStatus::Inactive, 20), deleted("K1", 20)] {
        let mut story = Story::new();
        let listed = if end.key_status().unwrap().1 == KeyStatus::Gone {
            &keys[1..]
        } else {
            &keys[..]
        };
        story.look(30, listed, &[end]);
        story.look(200, listed, &[leaked(None, Quarantine, 10)]);
        assert_eq!(story.kept(), ["quarantine ?@10"]);
    }
}

#[test]
fn without_a_listing_no_key_counts_as_the_leaked_one() {
    let mut story = Story::new();
    let changes = [created("K2", 50), leaked(None, Quarantine, 60)];
    story.step(at(71), &refused(70), &changes);
    assert_eq!(story.on_finding(), ["quarantine ?@60"]);
}

#[test]
fn unknown_leaked_key_stays_unknown() {
    let mut story = Story::new();
    let old = ("+K2", -900_000);
    story.look(100, &[OLD, old], &[leaked(None, Quarantine, 60)]);
    assert_eq!(story.on_finding(), ["quarantine ?@60"]);
    story.look(300, &[old], &[deleted("K1", 290)]);
    assert_eq!(story.finding().status, FindingStatus::Closed);
    let later = 5 * DAY;
    story.look(2 * DAY, &[old], &[]);
    let third = ("+K3", later - 5);
    story.look(later, &[old, third], &[created("K3", later - 5)]);
    assert_eq!(story.on_finding(), ["quarantine ?@60"]);
}

#[test]
fn a_leak_goes_with_its_key() {
    let mut story = Story::new();
    let leaks = [
        leaked(Some("K1"), Exposed, 50),
        leaked(None, Quarantine, 55),
    ];
    story.look(60, &[OLD], &leaks);
    assert_eq!(story.kept(), ["exposed K1@50", "quarantine K1@55"]);
    let replaced = [created("K2", 95), deleted("K1", 100)];
    story.look(300, &[NEW], &replaced);
    story.look(400, &[NEW], &[]);
    assert!(story.kept().is_empty(), "{:?}", story.kept());
    story.look(500, &[NEW, ("+K3", 495)], &[created("K3", 495)]);
    assert!(story.on_finding().is_empty());
    assert_eq!(story.finding().severity, Severity::Medium);
}

#[test]
fn leak_of_an_unknown_key_is_kept_until_the_last_candidate_is_gone() {
    let mut story = Story::open();
    story.look(130, &[OLD, NEW], &[leaked(None, Quarantine, 120)]);
    story.look(300, &[NEW], &[deleted("K1", 290)]);
    assert_eq!(story.kept(), ["quarantine ?@120"]);
    let third = ("+K3", 400);
    story.look(600, &[third], &[created("K3", 400), deleted("K2", 410)]);
    story.look(800, &[third], &[]);
    assert!(story.kept().is_empty(), "{:?}", story.kept());
}

#[test]
fn a_leak_stays_while_an_open_finding_names_its_key() {
    let mut story = Story::open();
    story.look(160, &[OLD, NEW], &[leaked(Some("K2"), Exposed, 150)]);
    // No event explains it, so the finding stays open.
    story.look(170, &[OLD], &[]);
    assert_eq!(story.finding().status, FindingStatus::Open);
    assert_eq!(story.kept(), ["exposed K2@150"]);
    assert_eq!(story.on_finding(), ["exposed K2@150"]);
}

#[test]
fn finding_that_closes_in_the_check_of_the_leak_says_so() {
    let mut story = Story::open();
    let changes = [deleted("K2", 290), leaked(Some("K2"), Exposed, 280)];
    let decision = story.look(400, &[OLD], &changes);
    assert_eq!(decision.outcome, Outcome::Closed);
    assert_eq!(story.on_finding(), ["exposed K2@280"]);
    assert_eq!(story.finding().severity, Severity::High);
}

#[test]
fn an_exemption_hides_no_leaked_key() {
    for leak_first in [true, false] {
        let mut story = Story::new();
        story.exemptions = vec![exemption("farm")];
        let leak = [leaked(Some("K1"), Exposed, 90)];
        if leak_first {
            story.look(92, &[OLD], &leak);
        }
        let decision = story.look(100, &[OLD, NEW], &[created("K2", 95)]);
        let is_announced = decision.alert.is_some();
        assert_eq!(is_announced, leak_first, "{decision:?}");
        if !leak_first {
            assert_eq!(story.finding().status, FindingStatus::Suppressed);
            let decision = story.look(200, &[OLD, NEW], &leak);
            let alert = decision.alert.clone().unwrap();
            assert_eq!(alert.kind, AlertKind::Opened, "it had not been announced");
            let expected = [AuditKind::KeyLeaked, AuditKind::ExemptionEnded];
            assert_eq!(kinds(&decision), expected);
        }
        assert_eq!(story.finding().status, FindingStatus::Open);
        assert_eq!(story.on_finding(), ["exposed K1@90"]);
        story.look(300, &[OLD, NEW], &[]);
        assert_eq!(story.finding().status, FindingStatus::Open);
    }
}

#[test]
fn a_renaming_takes_the_leaks_along() {
    let mut before = Story::new();
    let changes = [
        leaked(Some("K1"), Exposed, 50),
        leaked(Some("GONE"), Exposed, 51),
    ];
    before.look(60, &[OLD], &changes);
    let mut story = Story::of(UserId::new("111122223333", "alicia"));
    story.former = vec![FormerUser {
        user: before.record.user.clone(),
        finding: None,
        evidence: before.record.evidence.clone(),
    }];
    story.look(80, &[OLD], &[renamed("alicia", 70)]);
    assert_eq!(story.kept(), ["exposed K1@50"]);
}

#[test]
fn many_quarantines_are_bounded_and_announced_once() {
    let mut story = Story::open();
    for now in 0..20 {
        let now = 200 + 10 * now;
        story.look(now, &[OLD, NEW], &[leaked(None, Quarantine, now - 1)]);
    }
    assert_eq!(story.record.evidence.leaks.len(), MAX_LEAKS);
    assert_eq!(story.finding().leaks.len(), MAX_LEAKS);
    assert_eq!(story.on_finding()[0], "quarantine ?@199");
}
