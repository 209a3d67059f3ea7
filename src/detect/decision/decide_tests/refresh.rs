//! Open findings are sent again to sinks that forget them.

use super::exempt::exempt;
use super::*;

const WEEK: i64 = 7 * DAY;

/// Decides at `at_second`, with both keys active. Returns whether the decision alerts and whether
/// it refreshes.
fn look(story: &mut Story, at_second: i64) -> [bool; 2] {
    let decision = story.step(at(at_second), &listing(at_second, &["+K1", "+K2"]), &[]);
    if let Some(refresh) = &decision.refresh {
        assert_eq!(refresh.kind, AlertKind::Updated(vec![]));
        assert_eq!(refresh.at, at(at_second), "later than any alert before");
        let head = &decision.record.audit;
        assert_eq!(
            (refresh.sequence, &refresh.audit_hash),
            (head.sequence, &head.hash)
        );
        assert_eq!(Some(&refresh.finding), decision.record.finding.as_ref());
        assert_eq!(decision.audit, [], "nothing about the finding changed");
    }
    [decision.alert.is_some(), decision.refresh.is_some()]
}

const QUIET: [bool; 2] = [false, false];
const ALERT: [bool; 2] = [true, false];
const REFRESH: [bool; 2] = [false, true];

/// Bob created `K2` at second 95, which was announced at second 101 and raised a day later.
fn announced() -> Story {
    let mut story = Story::new();
    story.policy.refresh_every = Some(TimeDelta::days(7));
    story.check(
        &listing(100, &["+K1", "+K2"]),
        &[created("K2", 95)],
        "opened: confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    assert_eq!(look(&mut story, 95 + DAY), ALERT);
    story
}

#[test]
fn an_open_finding_is_refreshed_a_week_after_it_was_last_sent() {
    let mut story = announced();
    let alerted = 95 + DAY;
    assert_eq!(look(&mut story, alerted + WEEK - 1), QUIET);
    assert_eq!(look(&mut story, alerted + WEEK), REFRESH);
    assert_eq!(look(&mut story, alerted + WEEK), QUIET);
    assert_eq!(look(&mut story, alerted + 2 * WEEK - 1), QUIET);
    assert_eq!(look(&mut story, alerted + 2 * WEEK), REFRESH);
}

#[test]
fn what_is_open_is_sent_once_when_the_import_is_switched_on() {
    let mut story = announced();
    story.policy.refresh_every = None;
    let mut now = 2 * DAY;
    for _ in 0..2 {
        story.policy.refresh_every = None;
        assert_eq!(look(&mut story, now), QUIET);
        story.policy.refresh_every = Some(TimeDelta::days(7));
        assert_eq!(look(&mut story, now + 60), REFRESH);
        assert_eq!(look(&mut story, now + 120), QUIET);
        now += DAY;
    }
}

#[test]
fn a_closed_finding_is_not_refreshed() {
    let mut story = announced();
    let closed = story.step(at(9 * DAY), &listing(9 * DAY, &["+K1"]), &[]);
    assert_eq!(closed.outcome, Outcome::Closed);
    assert_eq!(closed.refresh, None);
    let later = story.step(at(30 * DAY), &listing(30 * DAY, &["+K1"]), &[]);
    assert_eq!((later.refresh, later.record.refreshed_at), (None, None));
}

#[test]
fn a_suppressed_finding_is_not_refreshed() {
    let mut story = announced();
    story.exemptions = vec![exempt("*")];
    assert_eq!(look(&mut story, 2 * DAY), ALERT, "it is suppressed");
    assert_eq!(look(&mut story, 2 * DAY + WEEK), QUIET);
    story.exemptions.clear();
    assert_eq!(look(&mut story, 3 * DAY + WEEK), ALERT);
    assert_eq!(look(&mut story, 3 * DAY + 2 * WEEK), REFRESH);
}

#[test]
fn a_finding_is_refreshed_while_its_keys_cannot_be_listed() {
    let mut story = announced();
    let decision = story.step(at(9 * DAY), &refused(9 * DAY), &[]);
    assert!(decision.refresh.is_some());
}
