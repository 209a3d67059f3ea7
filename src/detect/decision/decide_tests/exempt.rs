//! Findings that an exemption suppresses.

use super::*;
use crate::detect::testing::exemption;

const BOB: &str = "*:user/bob";

pub(super) fn exempt(actors: &str) -> Exemption {
    Exemption {
        actor_pattern: actors.to_owned(),
        ..exemption("farm")
    }
}

/// Bob created `K2` at second 95, and is allowed to.
fn hidden() -> Story {
    let mut story = Story::new();
    story.exemptions = vec![exempt(BOB)];
    let decision = story.check(
        &listing(100, &["+K1", "+K2"]),
        &[created("K2", 95)],
        "suppressed: confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    assert_eq!(
        kinds(&decision)[1..],
        [AuditKind::FindingOpened, AuditKind::FindingSuppressed]
    );
    let details = &decision.audit[2].draft.details;
    assert_eq!(details["exemption"], "farm");
    assert_eq!(details["exemption_owner"], "platform team");
    story
}

#[test]
fn exempt_pair_is_stored_without_an_alert() {
    let story = hidden();
    assert_eq!(story.finding().status, FindingStatus::Suppressed);
    assert!(!story.finding().announced);
}

#[test]
fn the_same_pair_by_another_actor_is_announced() {
    let mut story = Story::new();
    story.exemptions = vec![exempt(BOB)];
    story.check(
        &listing(100, &["+K1", "+K2"]),
        &[by("eve", created("K2", 95))],
        "opened: confirmed HIGH +K1 +K2 since 95 by eve",
    );
}

#[test]
fn finding_is_announced_when_its_exemption_ends() {
    let mut story = hidden();
    let end = story.exemptions[0].until;
    let listed = listing(second(end), &["+K1", "+K2"]);
    let decision = story.step(end, &listed, &[]);
    let alert = decision.alert.clone().unwrap();
    assert_eq!(alert.kind, AlertKind::Opened, "it had not been announced");
    assert_eq!(
        alert.finding.severity,
        Severity::High,
        "the window is long over"
    );
    assert_eq!(alert.finding.status, FindingStatus::Open);
    assert_eq!(kinds(&decision), [AuditKind::ExemptionEnded]);
    assert_eq!(decision.audit[0].draft.details["exemption"], "farm");
    let later = listing(second(end) + 9, &["+K1", "+K2"]);
    assert_eq!(
        story.step(end + TimeDelta::seconds(9), &later, &[]).alert,
        None
    );
}

#[test]
fn finding_is_announced_when_its_exemption_is_removed() {
    let mut story = hidden();
    story.exemptions.clear();
    let decision = story.check(
        &listing(200, &["+K1", "+K2"]),
        &[],
        "updated: confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    assert_eq!(decision.alert.unwrap().kind, AlertKind::Opened);
}

#[test]
fn end_of_an_unannounced_finding_is_not_announced() {
    let mut story = hidden();
    let decision = story.check(
        &listing(300, &["+K1", "-K2"]),
        &[updated("K2", KeyStatus::Inactive, 200)],
        "closed: key deactivated at 200 by bob",
    );
    assert_eq!(decision.alert, None);
    assert!(kinds(&decision).contains(&AuditKind::FindingClosed));
}

#[test]
fn start_and_end_of_an_exemption_are_announced() {
    let mut story = Story::open();
    story.exemptions = vec![exempt(BOB)];
    let decision = story.check(
        &listing(200, &["+K1", "+K2"]),
        &[],
        "updated (an exemption covers it from now on): confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    assert_eq!(kinds(&decision), [AuditKind::FindingSuppressed]);
    story.check(&listing(300, &["+K1", "+K2"]), &[], "still open");
    story.exemptions.clear();
    story.check(
        &listing(400, &["+K1", "+K2"]),
        &[],
        "updated (no exemption covers it any more): confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    let decision = story.step(at(501), &listing(500, &["+K1"]), &[]);
    assert_eq!(decision.alert.unwrap().kind, AlertKind::Closed);
}

#[test]
fn key_by_another_actor_ends_the_suppression() {
    let mut story = hidden();
    let decision = story.check(
        &listing(300, &["+K2", "+K3"]),
        &[deleted("K1", 200), by("eve", created("K3", 201))],
        "updated: confirmed HIGH +K2 +K3 since 95 by bob",
    );
    assert_eq!(decision.alert.unwrap().kind, AlertKind::Opened);
    assert_eq!(story.finding().status, FindingStatus::Open);
}

#[test]
fn another_key_without_an_event_ends_the_suppression() {
    let mut story = hidden();
    story.step(at(301), &listing(300, &["+K2", "+K3"]), &[]);
    story.step(at(401), &listing(400, &["+K2", "+K3"]), &[]);
    assert_eq!(story.finding().status, FindingStatus::Open);
}

#[test]
fn only_a_star_exemption_covers_a_finding_under_a_new_name() {
    let former = hidden().as_former();
    for (actors, status) in [(BOB, FindingStatus::Open), ("*", FindingStatus::Suppressed)] {
        let mut story = Story::of(UserId::new("111122223333", "alina"));
        story.exemptions = vec![Exemption {
            user_pattern: "ali*".to_owned(),
            ..exempt(actors)
        }];
        story.former = vec![former.clone()];
        // Another key may have replaced the first one before the user was renamed.
        let listed = listing(300, &["+K2", "+K3"]);
        let decision = story.step(at(301), &listed, &[renamed("alina", 200)]);
        assert_eq!(story.finding().status, status);
        assert_eq!(decision.alert.is_some(), status == FindingStatus::Open);
    }
}

#[test]
fn exemption_does_not_cover_a_key_of_an_unknown_activator() {
    let mut story = Story::open();
    story.step(at(301), &listing(300, &["+K2", "+K3"]), &[]);
    story.step(at(401), &listing(400, &["+K2", "+K3"]), &[]);
    story.exemptions = vec![exempt(BOB)];
    story.step(at(501), &listing(500, &["+K2", "+K3"]), &[]);
    assert_eq!(story.finding().status, FindingStatus::Open);
}

#[test]
fn a_key_by_another_actor_in_the_second_of_the_opening_is_not_covered() {
    let mut story = Story::new();
    story.exemptions = vec![exempt(BOB)];
    let changes = [created("K2", 95), by("eve", created("K1", 95))];
    let decision = story.step(at(101), &listing(100, &["+K1", "+K2"]), &changes);
    assert_eq!(decision.outcome, Outcome::Opened);
}

#[test]
fn a_spent_exemption_does_not_mask_a_valid_one() {
    let mut story = hidden();
    story.step(
        at(301),
        &listing(300, &["+K2", "+K3"]),
        &[by("eve", created("K3", 201))],
    );
    assert_eq!(story.finding().status, FindingStatus::Open);
    let of_eve = Exemption {
        id: "both".to_owned(),
        until: at(1_000),
        ..exempt("*")
    };
    story.exemptions.push(of_eve);
    story.step(at(401), &listing(400, &["+K2", "+K3"]), &[]);
    assert_eq!(story.finding().status, FindingStatus::Suppressed);
}

#[test]
fn exemption_of_any_actor_suppresses_what_a_sweep_finds() {
    let mut story = Story::new();
    story.exemptions = vec![exempt("*")];
    story.sweep = Some(Sweep::Routine);
    story.check(
        &listing(100, &["+K1", "+K2"]),
        &[],
        "suppressed: confirmed HIGH +K1 +K2 since -1000000 at the earliest",
    );
}

#[test]
fn suppressed_changes_are_recorded_without_an_alert() {
    let mut story = hidden();
    let listed = listing(95 + DAY, &["+K1", "+K2"]);
    let decision = story.step(at(95 + DAY), &listed, &[]);
    assert_eq!(decision.alert, None);
    assert_eq!(kinds(&decision), [AuditKind::FindingUpdated]);
    assert_eq!(story.finding().severity, Severity::High);
}

#[test]
fn replacing_an_ended_exemption_is_recorded() {
    let mut story = hidden();
    story.exemptions = vec![Exemption {
        id: "second".to_owned(),
        ..exempt(BOB)
    }];
    let decision = story.step(at(201), &listing(200, &["+K1", "+K2"]), &[]);
    assert_eq!(decision.alert, None);
    assert_eq!(kinds(&decision), [AuditKind::FindingSuppressed]);
    assert_eq!(decision.audit[0].draft.details["exemption"], "second");
}
