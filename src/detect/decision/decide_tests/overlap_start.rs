//! Since when two keys have been active, if the event is unknown.

use super::*;
use crate::detect::keys::listing::{AccessKey, PageResult, PartialListing};

/// Both keys are active, and were created 800 and 790 days before second 0.
const OLD_PAIR: [(&str, i64); 2] = [("+K1", -800 * DAY), ("+K2", -790 * DAY)];

/// The same keys from a source without creation times.
fn undated(second: i64) -> KeyListing {
    let keys = ["K1", "K2"].map(|key| {
        let status = KeyStatus::Active;
        let created = None;
        (key.to_owned(), AccessKey { status, created })
    });
    match PartialListing::requested(at(second)).page(None, keys, false) {
        PageResult::Complete(listing) => listing,
        PageResult::More(_) => panic!("the last page completes a listing"),
    }
}

/// What an earlier release stored about the old pair: it used the time of its check, 100, as the
/// start.
fn of_earlier_release() -> Story {
    let mut story = Story::new();
    story.step(at(100), &dated_listing(99, &OLD_PAIR), &[]);
    let finding = story.record.finding.as_mut().unwrap();
    finding.opened_at = finding.detected_at;
    finding.is_opened_at_estimated = false;
    finding.severity = Severity::Medium;
    finding.severity_reasons = vec![];
    story
}

#[test]
fn pair_older_than_the_window_is_high_at_the_first_check() {
    for sweep in [None, Some(Sweep::Baseline), Some(Sweep::Routine)] {
        let mut story = Story::new();
        story.sweep = sweep;
        let decision = story.check(
            &dated_listing(100, &OLD_PAIR),
            &[],
            &format!(
                "opened: confirmed HIGH +K1 +K2 since {} at the earliest",
                -790 * DAY
            ),
        );
        let alert = decision.alert.unwrap();
        assert_eq!(alert.window_ends_at, at(-789 * DAY));
        assert_eq!(
            alert.finding.severity_reasons,
            [SeverityReason::OutlivedWindow]
        );
        let entry = &decision.audit[0].draft;
        assert_eq!(entry.at, at(101), "it was opened now, and not then");
        assert_eq!(
            entry.details["since"],
            "at the earliest 2021-09-15T22:13:20Z"
        );
        story.check(&dated_listing(200, &OLD_PAIR), &[], "still open");
    }
}

#[test]
fn estimate_is_after_the_last_listing_below_two_and_not_after_now() {
    let mut story = Story::new();
    let one_inactive = [("+K1", -800 * DAY), ("-K2", -790 * DAY)];
    story.check(&dated_listing(100, &one_inactive), &[], "nothing open");
    story.check(
        &dated_listing(1_000, &OLD_PAIR),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 100 at the earliest",
    );
    Story::new().check(
        &dated_listing(1_000, &[("+K1", 0), ("+K2", 5_000)]),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 1001 at the earliest",
    );
}

#[test]
fn without_creation_times_a_finding_starts_at_the_check() {
    let mut story = Story::new();
    story.check(
        &undated(100),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 101",
    );
    story.check(&undated(200), &[], "still open");
    story.check(
        &dated_listing(300, &[("+K1", -5), ("+K2", 50)]),
        &[],
        "updated (the beginning was corrected to the earliest possible time): \
         confirmed MEDIUM +K1 +K2 since 50 at the earliest",
    );
}

#[test]
fn what_an_earlier_release_stored_is_corrected_once() {
    let mut story = of_earlier_release();
    let decision = story.check(
        &dated_listing(500, &OLD_PAIR),
        &[],
        &format!(
            "updated (the beginning was corrected to the earliest possible time, the severity was raised): \
             confirmed HIGH +K1 +K2 since {} at the earliest",
            -790 * DAY
        ),
    );
    assert_eq!(kinds(&decision), [AuditKind::FindingUpdated]);
    let details = &decision.audit[0].draft.details;
    assert_eq!(details["since"], "at the earliest 2021-09-15T22:13:20Z");
    story.check(&dated_listing(600, &OLD_PAIR), &[], "still open");
}

#[test]
fn keys_that_came_later_do_not_move_the_beginning() {
    let mut story = of_earlier_release();
    let exchanged = [("+K1", -800 * DAY), ("+K3", 300)];
    story.check(
        &dated_listing(500, &exchanged),
        &[],
        "updated (the active keys have changed): confirmed MEDIUM +K1 +K3 since 100",
    );
}

#[test]
fn the_event_that_made_the_second_key_active_replaces_the_estimate() {
    let mut story = Story::new();
    let one_inactive = [("+K1", -800 * DAY), ("-K2", -790 * DAY)];
    story.check(&dated_listing(100, &one_inactive), &[], "nothing open");
    story.check(
        &dated_listing(3 * DAY, &OLD_PAIR),
        &[],
        "opened: confirmed HIGH +K1 +K2 since 100 at the earliest",
    );
    let reactivated = by("bob", updated("K2", KeyStatus::Active, 3 * DAY - 50));
    let decision = story.check(
        &dated_listing(3 * DAY + 100, &OLD_PAIR),
        &[reactivated],
        &format!(
            "updated (it is now known who made the second key active): confirmed MEDIUM +K1 +K2 since {} by bob",
            3 * DAY - 50
        ),
    );
    let finding = decision.record.finding.unwrap();
    assert_eq!(finding.severity_reasons, []);
    let later = by("mallory", updated("K1", KeyStatus::Active, 3 * DAY + 190));
    story.check(
        &dated_listing(3 * DAY + 200, &OLD_PAIR),
        &[later],
        "still open",
    );
    story.check(
        &dated_listing(4 * DAY, &OLD_PAIR),
        &[],
        &format!(
            "updated (the severity was raised): confirmed HIGH +K1 +K2 since {} by bob",
            3 * DAY - 50
        ),
    );
}

#[test]
fn end_of_a_key_long_before_detection_is_not_the_closing() {
    let mut story = Story::new();
    let long_ago = by("mallory", updated("K1", KeyStatus::Inactive, -100 * DAY));
    story.check(
        &dated_listing(100, &OLD_PAIR),
        &[long_ago],
        &format!(
            "opened: confirmed HIGH +K1 +K2 since {} at the earliest; again 5 65",
            -790 * DAY
        ),
    );
    story.check(
        &dated_listing(1_000, &[("-K1", -800 * DAY), ("+K2", -790 * DAY)]),
        &[],
        "closed: key deactivated at 1000",
    );
}

#[test]
fn an_event_ends_a_finding_of_an_estimated_beginning_at_its_time() {
    let mut story = Story::new();
    story.step(at(100), &dated_listing(99, &OLD_PAIR), &[]);
    story.check(
        &dated_listing(1_000, &[("-K1", -800 * DAY), ("+K2", -790 * DAY)]),
        &[updated("K1", KeyStatus::Inactive, 900)],
        "closed: key deactivated at 900 by bob",
    );
}

#[test]
fn only_what_happened_since_the_estimate_is_blamed() {
    let mut story = Story::new();
    let decision = story.step(
        at(10_000),
        &dated_listing(9_999, &[("+K1", 0), ("+K2", 5_000)]),
        &[by("mallory", created("K1", 0))],
    );
    let finding = decision.record.finding.unwrap();
    assert_eq!(
        (finding.opened_at, finding.is_opened_at_estimated),
        (at(5_000), true)
    );
    assert_eq!(
        finding.other_activations,
        [],
        "the first of two keys does not make two active"
    );
}

#[test]
fn under_a_new_name_the_estimate_goes_on() {
    let mut old = Story::new();
    old.step(at(100), &dated_listing(99, &OLD_PAIR), &[]);
    let mut new = alicia();
    new.former = vec![old.as_former()];
    let with_another = [("+K1", -800 * DAY), ("+K2", -790 * DAY), ("+K3", 250)];
    new.check(
        &dated_listing(300, &with_another),
        &[created("K3", 250)],
        &format!(
            "opened: confirmed HIGH +K1 +K2 +K3 since {} at the earliest by bob",
            -790 * DAY
        ),
    );
}
