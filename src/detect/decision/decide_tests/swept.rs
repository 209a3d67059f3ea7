//! What sweeps find, and which findings outlive their window.

use super::*;
use crate::detect::findings::finding::FoundBy;

fn swept(sweep: Sweep) -> (Story, Decision) {
    let mut story = Story::new();
    story.sweep = Some(sweep);
    let decision = story.check(
        &dated_listing(100, &[("+K1", -1_000_000), ("+K2", 90)]),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 90 at the earliest",
    );
    (story, decision)
}

#[test]
fn finding_of_a_sweep_says_so() {
    let (_, decision) = swept(Sweep::Routine);
    let alert = decision.alert.unwrap();
    assert_eq!(alert.finding.found_by, FoundBy::Sweep);
    assert!(!alert.in_digest);
    let details = &decision.audit[0].draft.details;
    assert_eq!(details["found_by"], "a sweep; no event had told of it");
}

#[test]
fn findings_of_the_first_sweep_go_into_a_digest() {
    let (mut story, decision) = swept(Sweep::Baseline);
    assert!(decision.alert.unwrap().in_digest);
    story.sweep = Some(Sweep::Routine);
    let window_over = listing(101 + DAY, &["+K1", "+K2"]);
    let raised = story.step(at(101 + DAY), &window_over, &[]);
    let alert = raised.alert.unwrap();
    assert_eq!(alert.finding.severity, Severity::High);
    assert!(alert.in_digest, "there are many with the same start");
    let closed = story.step(at(200 + DAY), &listing(199 + DAY, &["+K1"]), &[]);
    assert!(!closed.alert.unwrap().in_digest);
}

#[test]
fn event_on_a_digested_finding_is_announced_by_itself() {
    let (mut story, _) = swept(Sweep::Baseline);
    story.sweep = None;
    let listed = listing(200, &["+K1", "+K2"]);
    let decision = story.step(at(201), &listed, &[created("K2", 90)]);
    assert!(!decision.alert.unwrap().in_digest);
}

#[test]
fn a_finding_outlives_its_window_once() {
    let mut story = Story::open();
    let look = |story: &mut Story, at_second: i64| {
        let listed = listing(at_second, &["+K1", "+K2"]);
        story.step(at(at_second), &listed, &[]).alert
    };
    assert_eq!(look(&mut story, 94 + DAY), None);
    let alert = look(&mut story, 95 + DAY).unwrap();
    assert_eq!(
        alert.kind,
        AlertKind::Updated(vec![FindingUpdate::Severity])
    );
    assert_eq!(alert.finding.severity, Severity::High);
    assert_eq!(look(&mut story, 96 + DAY), None);
    assert_eq!(look(&mut story, 95 + 9 * DAY), None);
}

#[test]
fn high_finding_is_announced_again_when_its_window_ends() {
    let mut story = Story::new();
    story.policy.trusted_actors = vec!["*:user/ci".to_owned()];
    story.check(
        &listing(100, &["+K1", "+K2"]),
        &[created("K2", 95)],
        "opened: confirmed HIGH +K1 +K2 since 95 by bob",
    );
    let listed = listing(95 + DAY, &["+K1", "+K2"]);
    let alert = story.step(at(95 + DAY), &listed, &[]).alert.unwrap();
    assert_eq!(
        alert.kind,
        AlertKind::Updated(vec![FindingUpdate::OutlivedWindow])
    );
    assert_eq!(
        alert.finding.severity_reasons,
        [
            SeverityReason::OutlivedWindow,
            SeverityReason::UntrustedActor
        ]
    );
    let later = listing(99 + DAY, &["+K1", "+K2"]);
    assert_eq!(story.step(at(99 + DAY), &later, &[]).alert, None);
}
