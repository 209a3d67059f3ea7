//! What raises a severity.

use chrono::TimeDelta;

use crate::detect::decision::policy::Policy;
use crate::detect::decision::relation::Relation;
use crate::detect::decision::severity::{Severity, SeverityReason, severity};
use crate::detect::events::actor::Actor;
use crate::detect::findings::finding::{Finding, FindingId, KeyActivation};
use crate::detect::testing::{actor, at, finding_of};
use crate::detect::user::UserId;

const DAY: i64 = 24 * 60 * 60;

/// Judges `finding`, opened at second 2, at `second`.
fn check(finding: &Finding, policy: &Policy, second: i64, expected: (Severity, &[SeverityReason])) {
    let (severity, reasons) = severity(finding, policy, at(second));
    assert_eq!((severity, reasons.as_slice()), expected);
}

fn opened_by(actor: Actor) -> Finding {
    Finding {
        opener: Some(KeyActivation {
            key: "K2".to_owned(),
            created: true,
            at: at(2),
            inactive_since: None,
            actor,
            relation: None,
            event_id: None,
        }),
        ..finding_of(&[("K1", None), ("K2", None)])
    }
}

fn reactivated_after(seconds: i64) -> Finding {
    let mut finding = opened_by(actor("alice"));
    let opener = finding.opener.as_mut().unwrap();
    opener.created = false;
    opener.inactive_since = Some(opener.at - TimeDelta::seconds(seconds));
    finding
}

fn of_root(mut finding: Finding) -> Finding {
    finding.id = FindingId {
        user: UserId::root("111122223333"),
        episode: 1,
    };
    finding
}

fn root() -> Actor {
    Actor {
        kind: Some("Root".to_owned()),
        arn: Some("arn:aws:iam::111122223333:root".to_owned()),
        account: Some("111122223333".to_owned()),
        ..Actor::default()
    }
}

fn role(arn: &str) -> Actor {
    Actor {
        kind: Some("AssumedRole".to_owned()),
        arn: Some(arn.to_owned()),
        account: Some("111122223333".to_owned()),
        ..Actor::default()
    }
}

fn trusting(patterns: &[&str]) -> Policy {
    Policy {
        trusted_actors: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        ..Policy::default()
    }
}

const MEDIUM: (Severity, &[SeverityReason]) = (Severity::Medium, &[]);
const UNTRUSTED: (Severity, &[SeverityReason]) =
    (Severity::High, &[SeverityReason::UntrustedActor]);
const UNFAMILIAR: (Severity, &[SeverityReason]) =
    (Severity::High, &[SeverityReason::UnfamiliarActor]);
const DORMANT: (Severity, &[SeverityReason]) = (Severity::High, &[SeverityReason::DormantKey]);
const OUTLIVED: (Severity, &[SeverityReason]) = (Severity::High, &[SeverityReason::OutlivedWindow]);

#[test]
fn two_active_keys_are_of_medium_severity() {
    check(&finding_of(&[]), &Policy::default(), 3, MEDIUM);
    check(&opened_by(actor("bob")), &Policy::default(), 3, MEDIUM);
}

#[test]
fn a_finding_that_outlives_the_rotation_window_is_high() {
    let finding = finding_of(&[]);
    check(&finding, &Policy::default(), 2 + DAY - 1, MEDIUM);
    check(&finding, &Policy::default(), 2 + DAY, OUTLIVED);
    let short = Policy {
        rotation_window: TimeDelta::hours(1),
        ..Policy::default()
    };
    check(&finding, &short, 2 + 3_599, MEDIUM);
    check(&finding, &short, 2 + 3_600, OUTLIVED);
}

#[test]
fn a_window_that_ended_since_the_last_check_raises_the_stored_severity() {
    use crate::detect::decision::severity::raise_after_window;

    let day = TimeDelta::days(1);
    let raised = |mut finding: Finding, second: i64| {
        raise_after_window(&mut finding, day, at(second));
        (finding.severity, finding.severity_reasons)
    };
    let medium = finding_of(&[]);
    assert_eq!(raised(medium.clone(), 1 + DAY), (Severity::Medium, vec![]));
    let outlived = (OUTLIVED.0, OUTLIVED.1.to_vec());
    assert_eq!(raised(medium.clone(), 2 + DAY), outlived);
    let stored = Finding {
        severity: outlived.0,
        severity_reasons: outlived.1.clone(),
        ..medium
    };
    assert_eq!(raised(stored.clone(), 2 + 9 * DAY), outlived, "once");
    assert_eq!(raised(stored, 3), outlived, "it is never lowered");
    let root = Finding {
        severity: Severity::Critical,
        severity_reasons: vec![SeverityReason::Root, SeverityReason::LeakedKey],
        ..of_root(finding_of(&[]))
    };
    let reasons = vec![
        SeverityReason::Root,
        SeverityReason::OutlivedWindow,
        SeverityReason::LeakedKey,
    ];
    assert_eq!(raised(root, 2 + DAY), (Severity::Critical, reasons));
}

#[test]
fn only_an_unfamiliar_activator_raises_the_severity() {
    let judged = |relation: Option<Relation>| {
        let mut finding = opened_by(actor("mallory"));
        finding.opener.as_mut().unwrap().relation = relation;
        finding
    };
    let policy = Policy::default();
    check(&judged(Some(Relation::Unfamiliar)), &policy, 3, UNFAMILIAR);
    let milder = [Relation::Own, Relation::Trusted, Relation::Familiar];
    for relation in milder.map(Some).into_iter().chain([None]) {
        check(&judged(relation), &policy, 3, MEDIUM);
    }
}

#[test]
fn untrusted_actor_replaces_the_unfamiliar_reason() {
    let mut finding = opened_by(actor("mallory"));
    for relation in [Relation::Familiar, Relation::Unfamiliar] {
        finding.opener.as_mut().unwrap().relation = Some(relation);
        check(&finding, &trusting(&["nobody"]), 3, UNTRUSTED);
    }
}

#[test]
fn unproven_activation_counts_only_as_the_opener() {
    let unproven = KeyActivation {
        created: false,
        relation: Some(Relation::Unfamiliar),
        ..opened_by(actor("mallory")).opener.unwrap()
    };
    let mut finding = opened_by(actor("alice"));
    finding.other_activations = vec![unproven.clone()];
    check(&finding, &Policy::default(), 3, MEDIUM);
    finding.opener = Some(unproven);
    check(&finding, &Policy::default(), 3, UNFAMILIAR);
}

#[test]
fn actor_without_a_trusted_pattern_raises_the_severity() {
    let policy = trusting(&["arn:aws:iam::111122223333:user/b?b", "*:assumed-role/ci/*"]);
    check(&opened_by(actor("bob")), &policy, 3, MEDIUM);
    check(&opened_by(actor("bobby")), &policy, 3, UNTRUSTED);
    check(&opened_by(actor("mallory")), &policy, 3, UNTRUSTED);
    let pipeline = role("arn:aws:sts::111122223333:assumed-role/ci/build-7");
    check(&opened_by(pipeline), &policy, 3, MEDIUM);
    let other = role("arn:aws:sts::111122223333:assumed-role/admin/ci");
    check(&opened_by(other), &policy, 3, UNTRUSTED);
    check(&opened_by(Actor::default()), &policy, 3, UNTRUSTED);
}

#[test]
fn an_unknown_opener_raises_nothing() {
    let finding = finding_of(&[("K1", None), ("K2", None)]);
    check(&finding, &trusting(&["nobody"]), 3, MEDIUM);
}

#[test]
fn the_user_itself_is_never_untrusted() {
    let policy = trusting(&["nobody"]);
    check(&opened_by(actor("alice")), &policy, 3, MEDIUM);
    check(&opened_by(actor("ALICE")), &policy, 3, MEDIUM);
    let without_account = Actor {
        account: None,
        ..actor("alice")
    };
    check(&opened_by(without_account), &policy, 3, MEDIUM);
}

#[test]
fn the_same_name_in_another_account_is_another_user() {
    let stranger = Actor {
        account: Some("999999999999".to_owned()),
        ..actor("alice")
    };
    check(&opened_by(stranger), &trusting(&["nobody"]), 3, UNTRUSTED);
}

#[test]
fn a_reactivation_after_more_than_thirty_days_is_high() {
    let policy = Policy::default();
    check(&reactivated_after(30 * DAY), &policy, 3, MEDIUM);
    check(&reactivated_after(30 * DAY + 1), &policy, 3, DORMANT);
}

#[test]
fn every_reason_that_holds_is_given() {
    let mut finding = reactivated_after(31 * DAY);
    finding.opener.as_mut().unwrap().actor = actor("mallory");
    check(
        &finding,
        &trusting(&["nobody"]),
        2 + DAY,
        (
            Severity::High,
            &[
                SeverityReason::OutlivedWindow,
                SeverityReason::UntrustedActor,
                SeverityReason::DormantKey,
            ],
        ),
    );
}

#[test]
fn two_active_keys_of_root_are_critical() {
    let policy = Policy::default();
    let expected = (Severity::Critical, &[SeverityReason::Root][..]);
    check(&of_root(finding_of(&[])), &policy, 3, expected);
    check(
        &of_root(finding_of(&[])),
        &policy,
        2 + DAY,
        (
            Severity::Critical,
            &[SeverityReason::Root, SeverityReason::OutlivedWindow],
        ),
    );
}

#[test]
fn root_itself_is_never_untrusted() {
    check(
        &of_root(opened_by(root())),
        &trusting(&["nobody"]),
        3,
        (Severity::Critical, &[SeverityReason::Root]),
    );
}

#[test]
fn root_that_makes_a_users_key_is_not_that_user() {
    check(&opened_by(root()), &trusting(&["nobody"]), 3, UNTRUSTED);
}
