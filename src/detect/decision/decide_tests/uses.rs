//! A key that signs a change of its own user was active then, so it is evidence.

use super::*;
use crate::detect::testing::{deleted, refused, signed};

/// While the keys cannot be listed, the alert names the key that signed, and the new one.
#[test]
fn unlisted_alert_names_the_key_that_signed() {
    let mut story = Story::new();
    let decision = story.check(
        &refused(100),
        &[signed("AKIA1", created("AKIA2", 99))],
        "opened: unconfirmed MEDIUM +AKIA1 +AKIA2 since 99 by alice, could not list: AccessDenied; \
         listing behind events; listing refused; again 5 900",
    );
    assert!(decision.alert.is_some());
}

/// A deletion signed by another key shows a pair that has not been listed: it is unconfirmed until
/// it is.
#[test]
fn opening_by_use_alone_waits_for_a_listing() {
    let gone = || signed("AKIA1", deleted("AKIA3", 99));
    let mut story = Story::new();
    story.step(at(1), &listing(0, &["+AKIA2", "-AKIA3"]), &[]);
    let mut confirmed = Story::new();
    for story in [&mut story, &mut confirmed] {
        story.step(at(1), &listing(0, &["+AKIA2", "-AKIA3"]), &[]);
        let decision = story.step(at(101), &listing(100, &["+AKIA2"]), &[gone()]);
        assert_eq!(decision.outcome, Outcome::Opened);
        assert!(!story.finding().confirmed);
    }
    let decision = story.step(at(106), &listing(105, &["+AKIA2"]), &[]);
    assert_eq!(decision.outcome, Outcome::StillOpen, "use closes nothing");
    let decision = story.step(at(171), &listing(170, &["+AKIA2"]), &[]);
    assert_eq!(decision.outcome, Outcome::Closed);
    confirmed.step(at(171), &listing(170, &["+AKIA1", "+AKIA2"]), &[]);
    assert!(confirmed.finding().confirmed);
}

/// Calls signed with many different keys do not fill the record.
#[test]
fn uses_are_kept_of_the_newest_keys_and_for_a_while() {
    let mut story = Story::new();
    let changes: Vec<KeyChange> = (0..20)
        .map(|second| signed(&format!("AKIA{second:02}"), deleted("AKIA99", second)))
        .collect();
    story.step(at(101), &refused(100), &changes);
    let kept = |story: &Story| {
        story
            .record
            .evidence
            .uses
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(kept(&story), ["AKIA16", "AKIA17", "AKIA18", "AKIA19"]);
    story.step(at(40 * DAY), &refused(40 * DAY - 1), &[]);
    assert!(kept(&story).is_empty());
}
