//! The relation of the keys' creators to the user, and its effect on the severity.

use super::*;
use crate::detect::decision::relation::Relation;
use crate::detect::findings::finding::KeyActivation;
use crate::detect::testing::{actor, exemption};

fn relations(story: &Story) -> Vec<(Option<&str>, Option<Relation>)> {
    let finding = story.finding();
    let name = |event: &'_ KeyActivation| event.actor.name.clone();
    let activations = finding.opener.iter().chain(&finding.other_activations);
    assert!(activations.clone().all(|event| name(event).is_some()));
    activations
        .map(|event| (event.actor.name.as_deref(), event.relation))
        .collect()
}

/// Two active keys, the second created by `name`.
fn opened_by(name: &str, policy: Policy) -> Story {
    let mut story = Story::new();
    story.policy = policy;
    story.step(
        at(101),
        &listing(100, &["+K1", "+K2"]),
        &[by(name, created("K2", 95))],
    );
    story
}

#[test]
fn a_key_by_an_unfamiliar_actor_is_high_without_any_setting() {
    for (name, relation, severity) in [
        ("alice", Relation::Own, Severity::Medium),
        ("bob", Relation::Familiar, Severity::Medium),
        ("mallory", Relation::Unfamiliar, Severity::High),
    ] {
        let story = opened_by(name, Policy::default());
        assert_eq!(relations(&story), [(Some(name), Some(relation))]);
        assert_eq!(story.finding().severity, severity, "{name}");
    }
    let story = opened_by("mallory", Policy::default());
    let reasons = &story.finding().severity_reasons;
    assert_eq!(*reasons, [SeverityReason::UnfamiliarActor]);
}

#[test]
fn the_setting_leaves_an_unfamiliar_activator_unjudged() {
    let off = Policy {
        unfamiliar_actor_raises_severity: false,
        ..Policy::default()
    };
    let story = opened_by("mallory", off.clone());
    assert_eq!(relations(&story), [(Some("mallory"), None)]);
    assert_eq!(story.finding().severity, Severity::Medium);
    let story = opened_by("bob", off.clone());
    assert_eq!(relations(&story), [(Some("bob"), Some(Relation::Familiar))]);
    let trusting = Policy {
        trusted_actors: vec!["*:user/ci".to_owned()],
        ..off
    };
    let reasons = opened_by("mallory", trusting)
        .finding()
        .severity_reasons
        .clone();
    assert_eq!(reasons, [SeverityReason::UntrustedActor]);
}

#[test]
fn newly_familiar_actor_lowers_no_open_finding() {
    let mut story = opened_by("mallory", Policy::default());
    story.familiar.push(familiar("mallory"));
    let both = ["+K1", "+K2"];
    story.check(&listing(300, &both), &[], "still open");
    let unfamiliar = [(Some("mallory"), Some(Relation::Unfamiliar))];
    assert_eq!(relations(&story), unfamiliar);
    story.step(at(401), &listing(400, &["+K2"]), &[deleted("K1", 350)]);
    assert_eq!(relations(&story), unfamiliar);
    assert_eq!(story.finding().severity, Severity::High);
}

#[test]
fn a_list_of_trusted_actors_that_comes_later_replaces_the_reason() {
    let mut story = opened_by("mallory", Policy::default());
    story.policy.trusted_actors = vec!["*:user/ci".to_owned()];
    story.step(at(301), &listing(300, &["+K1", "+K2"]), &[]);
    let reasons = &story.finding().severity_reasons;
    assert_eq!(*reasons, [SeverityReason::UntrustedActor]);
}

#[test]
fn joining_activator_is_judged_like_the_opener() {
    let mut story = opened_by("alice", Policy::default());
    let decision = story.step(
        at(301),
        &listing(300, &["+K2", "+K3"]),
        &[deleted("K1", 250), by("mallory", created("K3", 251))],
    );
    let expected = AlertKind::Updated(vec![FindingUpdate::Keys, FindingUpdate::Severity]);
    assert_eq!(decision.alert.unwrap().kind, expected);
    let mallory = (Some("mallory"), Some(Relation::Unfamiliar));
    assert!(
        relations(&story).contains(&mallory),
        "{:?}",
        relations(&story)
    );
}

#[test]
fn familiarity_is_judged_at_the_time_of_the_event() {
    let mut story = Story::new();
    story.familiar = vec![FamiliarActor {
        since: at(95) - FamiliarActor::WAITING_PERIOD + TimeDelta::seconds(1),
        ..familiar("bob")
    }];
    // The event comes two days late.
    let late = listing(2 * DAY, &["+K1", "+K2"]);
    story.step(at(2 * DAY), &late, &[created("K2", 95)]);
    let unfamiliar = [(Some("bob"), Some(Relation::Unfamiliar))];
    assert_eq!(relations(&story), unfamiliar);
}

#[test]
fn a_user_who_was_renamed_since_made_its_own_key() {
    let mut old = Story::new();
    old.check(&listing(50, &["+K1"]), &[], "nothing open");
    let made = by("alice", created("K2", 100));
    old.record.evidence = old.record.evidence.with_change(&user(), &made);
    let mut new = Story::of(UserId::new("111122223333", "alicia"));
    new.former = vec![old.as_former()];
    new.check(
        &dated_listing(200, &[("+K1", -1_000), ("+K2", 100)]),
        &[renamed("Alicia", 110)],
        "opened: confirmed MEDIUM +K1 +K2 since 100 by alice",
    );
    assert_eq!(relations(&new), [(Some("alice"), Some(Relation::Own))]);

    // Another user takes the name after the renaming.
    let mut taken = Story::of(UserId::new("111122223333", "alicia"));
    taken.former = vec![old.as_former()];
    taken.record.display_name = "Alicia".to_owned();
    let made = KeyChange {
        user: UserId::new("111122223333", "alicia"),
        actor: actor("alice"),
        ..created("K3", 150)
    };
    taken.check(
        &dated_listing(200, &[("+K1", -1_000), ("+K3", 150)]),
        &[renamed("Alicia", 110), made],
        "opened: confirmed HIGH +K1 +K3 since 150 by alice",
    );
}

#[test]
fn exemption_that_names_the_activator_vouches_after_its_end() {
    for (actor_pattern, relation) in [
        ("*:user/mallory", Relation::Trusted),
        ("*", Relation::Unfamiliar),
        ("**", Relation::Unfamiliar),
        ("*:user/bob", Relation::Unfamiliar),
    ] {
        let mut story = Story::new();
        story.exemptions = vec![Exemption {
            actor_pattern: actor_pattern.to_owned(),
            ..exemption("rotation-alice")
        }];
        let listed = listing(100, &["+K1", "+K2"]);
        story.step(at(101), &listed, &[by("mallory", created("K2", 95))]);
        let expected = [(Some("mallory"), Some(relation))];
        assert_eq!(relations(&story), expected, "{actor_pattern}");
        story.exemptions.clear();
        story.step(at(201), &listing(200, &["+K1", "+K2"]), &[]);
        assert_eq!(relations(&story), expected, "{actor_pattern}");
    }
}

#[test]
fn reactivation_by_the_deactivating_actor_is_a_rollback() {
    for (by_whom, after, relation) in [
        ("mallory", 7 * DAY, None),
        ("mallory", 7 * DAY + 1, Some(Relation::Unfamiliar)),
        ("eve", 100, Some(Relation::Unfamiliar)),
        ("alice", 100, Some(Relation::Own)),
    ] {
        let mut story = Story::new();
        let off = by("mallory", updated("K1", KeyStatus::Inactive, 0));
        story.step(at(5), &listing(5, &["-K1", "+K2"]), &[off]);
        let on = by(by_whom, updated("K1", KeyStatus::Active, after));
        let listed = listing(after + 5, &["+K1", "+K2"]);
        story.step(at(after + 5), &listed, &[on]);
        assert_eq!(relations(&story), [(Some(by_whom), relation)], "{after}");
        let is_high = story.finding().severity == Severity::High;
        assert_eq!(is_high, relation == Some(Relation::Unfamiliar), "{by_whom}");
    }
}
