//! Findings that an exemption hides.

use super::*;
use crate::detect::testing::exemption;

const BOB: &str = "*:user/bob";

fn exempt(actors: &str) -> Exemption {
    Exemption {
        actor_pattern: actors.to_owned(),
        ..exemption("farm")
    }
}

/// Bob made `K2` at second 95, and may.
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
fn an_exempt_pair_is_kept_and_nobody_is_told() {
    let story = hidden();
    assert_eq!(story.finding().status, FindingStatus::Suppressed);
    assert!(!story.finding().told);
}

#[test]
fn the_same_pair_by_another_actor_is_told() {
    let mut story = Story::new();
    story.exemptions = vec![exempt(BOB)];
    story.check(
        &listing(100, &["+K1", "+K2"]),
        &[by("eve", created("K2", 95))],
        "opened: confirmed HIGH +K1 +K2 since 95 by eve",
    );
}

#[test]
fn what_an_exemption_hid_is_told_when_it_ends() {
    let mut story = hidden();
    let end = story.exemptions[0].until;
    let listed = listing(second(end), &["+K1", "+K2"]);
    let decision = story.step(end, &listed, &[]);
    let alert = decision.alert.clone().unwrap();
    assert_eq!(alert.kind, AlertKind::Opened, "nobody had heard of it");
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
fn what_an_exemption_hid_is_told_when_it_is_removed() {
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
fn the_end_of_what_nobody_heard_of_is_not_told() {
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
fn an_exemption_hides_an_open_finding_at_once_and_says_so_and_its_end_is_told() {
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
fn a_key_by_another_actor_ends_the_hiding_though_two_are_active_as_before() {
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
fn another_key_of_which_no_event_told_ends_the_hiding() {
    let mut story = hidden();
    story.step(at(301), &listing(300, &["+K2", "+K3"]), &[]);
    story.step(at(401), &listing(400, &["+K2", "+K3"]), &[]);
    assert_eq!(story.finding().status, FindingStatus::Open);
}

#[test]
fn under_a_new_name_certain_actors_are_no_longer_known_to_have_made_the_keys() {
    let former = hidden().as_former();
    for (actors, status) in [(BOB, FindingStatus::Open), ("*", FindingStatus::Suppressed)] {
        let mut story = Story::of(UserId::new("111122223333", "alina"));
        story.exemptions = vec![Exemption {
            user_pattern: "ali*".to_owned(),
            ..exempt(actors)
        }];
        story.former = vec![former.clone()];
        // Somebody may have put another key in the place of the first before renaming the user.
        let listed = listing(300, &["+K2", "+K3"]);
        let decision = story.step(at(301), &listed, &[renamed("alina", 200)]);
        assert_eq!(story.finding().status, status);
        assert_eq!(decision.alert.is_some(), status == FindingStatus::Open);
    }
}

#[test]
fn an_exemption_written_after_a_key_of_nobody_knows_whom_joined_does_not_cover_it() {
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
fn an_exemption_of_whatever_actor_hides_what_a_sweep_finds() {
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
fn while_it_is_hidden_nothing_about_it_is_told_and_all_is_written_down() {
    let mut story = hidden();
    let listed = listing(95 + DAY, &["+K1", "+K2"]);
    let decision = story.step(at(95 + DAY), &listed, &[]);
    assert_eq!(decision.alert, None);
    assert_eq!(kinds(&decision), [AuditKind::FindingUpdated]);
    assert_eq!(story.finding().severity, Severity::High);
}

#[test]
fn another_exemption_in_the_place_of_one_that_ended_is_written_down() {
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
