//! Decisions for one user, step by step.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use chrono::TimeDelta;
use proptest::prelude::*;

use crate::detect::Timestamp;
use crate::detect::decision::decide::{Decision, decide};
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::decision::situation::{FormerUser, Outcome, Situation, Sweep, Unwatched};
use crate::detect::events::key_change::KeyChange;
use crate::detect::findings::alert::{AlertKind, FindingUpdate};
use crate::detect::findings::finding::{CloseReason, Closing, Finding, FindingStatus};
use crate::detect::keys::listing::{KeyListing, KeyStatus};
use crate::detect::records::user_record::UserRecord;
use crate::detect::testing::{
    at, by, created, dated_listing, deleted, familiar, listing, no_such_user, refused, renamed,
    report, second, updated, user, user_deleted,
};
use crate::detect::trail::audit::{AuditEntry, AuditKind, verify_trail};
use crate::detect::user::UserId;

mod activations;
mod exempt;
mod leaks;
mod overlap_start;
mod refresh;
mod related;
mod swept;
mod uses;

const DAY: i64 = 24 * 60 * 60;

/// One user's record and audit trail, from one re-check to the next.
struct Story {
    record: UserRecord,
    trail: Vec<AuditEntry>,
    recorded: BTreeSet<String>,
    former: Vec<FormerUser>,
    exemptions: Vec<Exemption>,
    /// The actors who have completed rotations in the account before; by default only Bob.
    familiar: Vec<FamiliarActor>,
    sweep: Option<Sweep>,
    policy: Policy,
}

fn finding_of_record(record: &UserRecord) -> &Finding {
    record.finding.as_ref().unwrap()
}

impl Story {
    fn new() -> Self {
        Self::of(user())
    }

    fn of(user: UserId) -> Self {
        Self {
            record: UserRecord::new(user),
            trail: vec![],
            recorded: BTreeSet::new(),
            former: vec![],
            exemptions: vec![],
            familiar: vec![familiar("bob")],
            sweep: None,
            policy: Policy::default(),
        }
    }

    /// Bob created `K2` at second 95. The finding has been open and confirmed since, with no
    /// re-check left.
    fn open() -> Self {
        let mut story = Self::new();
        story.check(
            &listing(100, &["+K1", "+K2"]),
            &[created("K2", 95)],
            "opened: confirmed MEDIUM +K1 +K2 since 95 by bob",
        );
        story
    }

    /// The same, opened by a sweep, without an event.
    fn swept_open() -> Self {
        let mut story = Self::new();
        story.check(
            &dated_listing(100, &[("+K1", -1_000_000), ("+K2", 95)]),
            &[],
            "opened: confirmed MEDIUM +K1 +K2 since 95 at the earliest",
        );
        story
    }

    /// Bob created `K2` at second 4; no listing has shown it.
    fn unconfirmed() -> Self {
        let mut story = Self::new();
        story.check(
            &listing(5, &["+K1"]),
            &[created("K2", 4)],
            "opened: unconfirmed MEDIUM +K1 +K2 since 4 by bob; listing behind events; again 5 65",
        );
        story
    }

    /// Decides one second after the listing was requested, and stores the result.
    fn check(&mut self, listing: &KeyListing, changes: &[KeyChange], expected: &str) -> Decision {
        let now = listing.requested_at() + TimeDelta::seconds(1);
        self.check_at(now, listing, changes, expected)
    }

    fn check_at(
        &mut self,
        now: Timestamp,
        listing: &KeyListing,
        changes: &[KeyChange],
        expected: &str,
    ) -> Decision {
        let decision = self.step(now, listing, changes);
        assert_eq!(words(&decision), expected);
        decision
    }

    /// Decides, checks what holds for every decision, and stores the result.
    fn step(&mut self, now: Timestamp, listing: &KeyListing, changes: &[KeyChange]) -> Decision {
        let decision = self.decided(now, listing, changes);
        self.trail.extend(decision.audit.iter().cloned());
        self.recorded.extend(decision.recorded.iter().cloned());
        self.check_invariants(&decision);
        self.record = decision.record.clone();
        decision
    }

    fn decided(&self, now: Timestamp, listing: &KeyListing, changes: &[KeyChange]) -> Decision {
        let situation = Situation {
            record: &self.record,
            listing,
            changes,
            already_recorded: &self.recorded,
            is_retry: false,
            former_users: &self.former,
            exemptions: &self.exemptions,
            familiar: &self.familiar,
            sweep: self.sweep,
            unwatched: None,
            is_history: false,
            foreign_entry: None,
        };
        decide(&situation, &self.policy, now)
    }

    fn check_invariants(&self, decision: &Decision) {
        let (before, after) = (&self.record, &decision.record);
        assert_eq!(after.version, before.version + 1, "every re-check writes");
        verify_trail(&after.user, &self.trail, &after.audit).unwrap();
        assert!(
            after.last_unsettled_at >= before.last_unsettled_at,
            "never lowered"
        );
        let opened = u32::from(matches!(
            decision.outcome,
            Outcome::Opened | Outcome::Suppressed
        ));
        assert_eq!(after.episodes, before.episodes + opened);
        if !decision.finding_changed {
            assert_eq!(after.finding, before.finding);
        }
        if let Some(finding) = &after.finding {
            assert_eq!(finding.id.episode, after.episodes);
            assert_eq!(
                finding.status == FindingStatus::Closed,
                finding.closing.is_some()
            );
        }
        if decision.outcome == Outcome::Closed {
            assert!(decision.unsettled.is_empty(), "close late");
        }
        let is_hidden = |finding: &Finding| finding.status == FindingStatus::Suppressed;
        let open = before.open_finding();
        let is_announced = match decision.outcome {
            Outcome::Opened => true,
            Outcome::Updated => {
                !(open.is_some_and(is_hidden) && is_hidden(finding_of_record(after)))
            }
            Outcome::Closed => open.is_some_and(|open| open.announced),
            Outcome::Suppressed => finding_of_record(after).announced,
            _ => false,
        };
        assert_eq!(decision.alert.is_some(), is_announced);
        if let Some(alert) = &decision.alert {
            let entry = decision.audit.last().unwrap();
            assert_eq!(
                (alert.sequence, &alert.audit_hash),
                (entry.sequence, &entry.hash)
            );
            assert_eq!(entry.draft.finding_id, Some(alert.finding.id.to_string()));
            assert_eq!(Some(&alert.finding), after.finding.as_ref());
        }
    }

    fn finding(&self) -> &Finding {
        finding_of_record(&self.record)
    }

    /// This user as its next name sees it.
    fn as_former(&self) -> FormerUser {
        FormerUser {
            user: self.record.user.clone(),
            finding: self.record.finding.clone(),
            evidence: self.record.evidence.clone(),
        }
    }
}

/// A decision in short: the outcome, why the view is unsettled, when to check again.
fn words(decision: &Decision) -> String {
    let mut words = decision.outcome.word().to_owned();
    if let Some(AlertKind::Updated(updates)) = decision.alert.as_ref().map(|alert| &alert.kind) {
        let updates: Vec<&str> = updates.iter().map(|update| update.words()).collect();
        let _ = write!(words, " ({})", updates.join(", "));
    }
    if decision.finding_changed {
        let finding = decision.record.finding.as_ref().unwrap();
        let _ = write!(words, ": {}", finding_words(finding));
    }
    for reason in &decision.unsettled {
        let _ = write!(words, "; {}", reason.words());
    }
    if !decision.rechecks.is_empty() {
        words.push_str("; again");
    }
    for delay in &decision.rechecks {
        let _ = write!(words, " {}", delay.num_seconds());
    }
    words
}

fn finding_words(finding: &Finding) -> String {
    if let Some(closing) = &finding.closing {
        let reason = closing.reason.words();
        let mut words = format!("{reason} at {}", second(closing.at));
        if let Some(actor) = &closing.actor {
            let _ = write!(words, " by {}", actor.name.as_deref().unwrap());
        }
        return words;
    }
    let confirmed = if finding.confirmed {
        "confirmed"
    } else {
        "unconfirmed"
    };
    let mut words = format!("{confirmed} {}", finding.severity.word());
    for key in &finding.keys {
        let sign = if key.status == KeyStatus::Active {
            '+'
        } else {
            '-'
        };
        let _ = write!(words, " {sign}{}", key.id);
    }
    let _ = write!(words, " since {}", second(finding.opened_at));
    if finding.is_opened_at_estimated {
        words.push_str(" at the earliest");
    }
    if let Some(opener) = &finding.opener {
        let _ = write!(words, " by {}", opener.actor.name.as_deref().unwrap());
    }
    if let Some(reason) = &finding.listing_refusal {
        let _ = write!(words, ", could not list: {reason}");
    }
    words
}

fn kinds(decision: &Decision) -> Vec<AuditKind> {
    decision
        .audit
        .iter()
        .map(|entry| entry.draft.kind)
        .collect()
}

// The table: two or more active.

#[test]
fn two_active_keys_on_a_settled_view_open_a_confirmed_finding() {
    let decision = Story::new().check(
        &listing(100, &["+K1", "+K2", "-K3"]),
        &[],
        "opened: confirmed HIGH +K1 +K2 -K3 since -1000000 at the earliest",
    );
    assert_eq!(decision.alert.unwrap().kind, AlertKind::Opened);
    assert_eq!(
        kinds(&Story::new().step(at(101), &listing(100, &["+K1", "+K2"]), &[])),
        [AuditKind::FindingOpened]
    );
}

#[test]
fn second_key_missing_in_the_listing_opens_unconfirmed() {
    let story = Story::unconfirmed();
    let finding = story.finding();
    assert_eq!(finding.detected_at, at(6));
    assert_eq!(finding.opener.as_ref().unwrap().key, "K2");
    assert_eq!(
        finding.opener.as_ref().unwrap().event_id.as_deref(),
        Some("event-4")
    );
    assert_eq!(finding.display_name, "Alice");
    assert_eq!(finding.id.to_string(), "111122223333/alice/1");
}

#[test]
fn a_settled_listing_of_both_keys_confirms_without_an_alert() {
    let mut story = Story::unconfirmed();
    let decision = story.check(
        &listing(71, &["+K1", "+K2"]),
        &[],
        "confirmed: confirmed MEDIUM +K1 +K2 since 4 by bob",
    );
    assert_eq!(kinds(&decision), [AuditKind::FindingConfirmed]);
    story.check(&listing(200, &["+K1", "+K2"]), &[], "still open");
}

#[test]
fn listing_of_two_right_after_a_listing_of_one_confirms_nothing() {
    let decision = Story::unconfirmed().check(
        &listing(10, &["+K1", "+K2"]),
        &[],
        "still open; listing changed without an event; again 65",
    );
    assert!(decision.audit.is_empty());
}

#[test]
fn another_active_key_is_announced_once() {
    let exchange = [deleted("K2", 190), created("K3", 191)];
    let mut story = Story::open();
    story.check(
        &listing(200, &["+K1", "+K2"]),
        &exchange,
        "updated (the active keys have changed): confirmed MEDIUM +K1 +K3 since 95 by bob; \
         listing behind events; again 5 65",
    );
    story.check(&listing(265, &["+K1", "+K3"]), &[], "still open");

    let decision = Story::open().check(
        &listing(200, &["+K1", "+K3"]),
        &exchange,
        "updated (the active keys have changed): confirmed MEDIUM +K1 +K3 since 95 by bob",
    );
    let expected = [
        AuditKind::KeyDeleted,
        AuditKind::KeyCreated,
        AuditKind::FindingUpdated,
    ];
    assert_eq!(kinds(&decision), expected);
}

#[test]
fn an_inactive_key_that_comes_or_goes_is_no_news() {
    let mut story = Story::open();
    story.check(&listing(200, &["+K1", "+K2", "-K3"]), &[], "still open");
    story.check(&listing(300, &["+K1", "+K2"]), &[], "still open");
}

#[test]
fn a_finding_may_be_confirmed_and_updated_at_once() {
    let decision = Story::unconfirmed().check(
        &listing(200, &["+K1", "+K3"]),
        &[deleted("K2", 190), created("K3", 191)],
        "updated (the active keys have changed): confirmed MEDIUM +K1 +K3 since 4 by bob",
    );
    let expected = [
        AuditKind::KeyDeleted,
        AuditKind::KeyCreated,
        AuditKind::FindingConfirmed,
        AuditKind::FindingUpdated,
    ];
    assert_eq!(kinds(&decision), expected);
}

// The table: fewer than two active, a finding open.

#[test]
fn a_deactivation_closes_with_its_time_and_actor() {
    let decision = Story::open().check(
        &listing(200, &["+K1", "-K2"]),
        &[by("carol", updated("K2", KeyStatus::Inactive, 195))],
        "closed: key deactivated at 195 by carol",
    );
    assert_eq!(
        kinds(&decision),
        [AuditKind::KeyUpdated, AuditKind::FindingClosed]
    );
    let closing = decision.record.finding.unwrap().closing.unwrap();
    assert_eq!(closing.event_id.as_deref(), Some("event-195"));
}

#[test]
fn a_deletion_closes_with_its_time_and_actor() {
    let decision = Story::open().check(
        &listing(200, &["+K1"]),
        &[by("carol", deleted("K2", 195))],
        "closed: key deleted at 195 by carol",
    );
    let finding = decision.record.finding.unwrap();
    let keys: Vec<(&str, KeyStatus)> = finding
        .keys
        .iter()
        .map(|key| (key.id.as_str(), key.status))
        .collect();
    assert_eq!(keys, [("K1", KeyStatus::Active), ("K2", KeyStatus::Gone)]);
}

#[test]
fn without_an_event_a_finding_closes_at_the_listing() {
    Story::open().check(
        &listing(200, &["+K1", "-K2"]),
        &[],
        "closed: key deactivated at 200",
    );
    Story::open().check(&listing(200, &["+K1"]), &[], "closed: key deleted at 200");
    Story::open().check(&listing(200, &[]), &[], "closed: key deleted at 200");
}

#[test]
fn a_key_deactivated_and_then_deleted_ended_with_the_deactivation() {
    Story::open().check(
        &listing(200, &["+K1"]),
        &[
            by("carol", updated("K2", KeyStatus::Inactive, 180)),
            by("dave", deleted("K2", 195)),
        ],
        "closed: key deactivated at 180 by carol",
    );
}

#[test]
fn if_both_keys_ended_the_first_end_is_the_closing() {
    let ends = [
        by("carol", updated("K1", KeyStatus::Inactive, 180)),
        by("dave", deleted("K2", 195)),
    ];
    Story::open().check(
        &listing(200, &["-K1"]),
        &ends,
        "closed: key deactivated at 180 by carol",
    );
}

#[test]
fn end_of_a_third_key_is_not_the_closing() {
    let mut story = Story::open();
    story.step(
        at(201),
        &listing(200, &["+K1", "+K3"]),
        &[by("carol", deleted("K2", 190)), created("K3", 191)],
    );
    story.check(
        &listing(300, &["+K3", "-K1"]),
        &[by("dave", updated("K1", KeyStatus::Inactive, 290))],
        "closed: key deactivated at 290 by dave",
    );
}

#[test]
fn earlier_end_of_another_key_is_not_the_closing() {
    for ended in [98, 101] {
        Story::open().check(
            &listing(200, &["+K1"]),
            &[by("dave", deleted("K7", ended))],
            "closed: key deleted at 200",
        );
    }
}

#[test]
fn a_deletion_of_the_user_closes_with_its_time_and_actor() {
    Story::open().check(
        &no_such_user(200),
        &[by("carol", user_deleted(195))],
        "closed: user deleted at 195 by carol",
    );
}

#[test]
fn a_user_deleted_key_by_key_was_below_two_with_the_first() {
    Story::open().check(
        &no_such_user(200),
        &[deleted("K1", 190), deleted("K2", 191), user_deleted(192)],
        "closed: user deleted at 190 by bob",
    );
}

#[test]
fn keys_deleted_before_the_name_was_reused_close_as_deleted() {
    let mut story = Story::open();
    let ends = [deleted("K1", 190), deleted("K2", 191), user_deleted(192)];
    story.step(at(201), &listing(200, &["+K1", "+K2"]), &ends);
    story.step(at(301), &listing(300, &["+K9"]), &[]);
    let closing = story.finding().closing.as_ref().unwrap();
    assert_eq!(closing.reason, CloseReason::Deleted);
}

#[test]
fn a_deletion_of_the_user_closes_nothing_while_the_name_is_in_use() {
    let mut story = Story::open();
    story.check(
        &listing(200, &["+K1", "+K2"]),
        &[user_deleted(195)],
        "still open; listing behind events; again 5 65",
    );
    story.check(&listing(270, &["+K1", "+K2"]), &[], "still open");
}

#[test]
fn no_such_user_closes_when_repeated_after_the_window() {
    let mut story = Story::open();
    story.check(
        &no_such_user(200),
        &[],
        "still open; no such user, unexplained; again 65",
    );
    story.check(
        &no_such_user(259),
        &[],
        "still open; no such user, unexplained; again 65",
    );
    story.check(&no_such_user(319), &[], "closed: user deleted at 319");
}

#[test]
fn returning_user_restarts_the_wait_for_no_such_user() {
    let mut story = Story::open();
    story.step(at(201), &no_such_user(200), &[]);
    story.step(at(231), &listing(230, &["+K1", "+K2"]), &[]);
    story.check(
        &no_such_user(265),
        &[],
        "still open; listing changed without an event; no such user, unexplained; again 65",
    );
    story.check(&no_such_user(325), &[], "closed: user deleted at 325");
}

#[test]
fn a_rename_closes_the_finding_of_the_old_name() {
    Story::open().check(
        &no_such_user(200),
        &[by("carol", renamed("alicia", 195))],
        "closed: user renamed at 195 by carol",
    );
}

#[test]
fn rename_closes_the_finding_even_if_the_name_is_taken_again() {
    let mut story = Story::open();
    let rename = [by("carol", renamed("alicia", 195))];
    story.step(at(201), &listing(200, &["+K1", "+K2"]), &rename);
    story.check(
        &listing(300, &["+K9"]),
        &[],
        "closed: user renamed at 195 by carol",
    );
}

#[test]
fn a_finding_that_no_listing_ever_showed_closes_as_never_confirmed() {
    let mut story = Story::unconfirmed();
    let decision = story.check(
        &listing(70, &["+K1"]),
        &[],
        "closed: never confirmed at 70; again 600",
    );
    assert_eq!(decision.alert.unwrap().kind, AlertKind::Closed);
    assert_eq!(story.record.recheck_at, Some(at(71 + 600)));
    story.check(&listing(671, &["+K1"]), &[], "nothing open");
    assert_eq!(story.record.recheck_at, None);
}

#[test]
fn unconfirmed_finding_closes_with_the_event_that_ended_it() {
    let mut story = Story::unconfirmed();
    story.step(
        at(21),
        &listing(20, &["+K1"]),
        &[by("carol", deleted("K2", 19))],
    );
    story.check(
        &listing(90, &["+K1"]),
        &[],
        "closed: key deleted at 19 by carol",
    );
}

#[test]
fn fewer_than_two_active_on_an_unsettled_view_keep_the_finding_open() {
    for (listing, changes, expected) in [
        (
            listing(150, &["+K1"]),
            vec![],
            "still open; listing changed without an event; again 65",
        ),
        (
            listing(200, &["+K1", "+K2"]),
            vec![deleted("K2", 199)],
            "still open; listing behind events; again 5 65",
        ),
        (
            listing(200, &["+K1", "-K2"]),
            vec![
                updated("K2", KeyStatus::Inactive, 199),
                updated("K2", KeyStatus::Active, 199),
            ],
            "still open; events of one second contradict each other; again 5 65",
        ),
    ] {
        let decision = Story::swept_open().check(&listing, &changes, expected);
        assert!(!decision.finding_changed);
    }
}

#[test]
fn without_a_finding_only_the_record_is_written() {
    let mut story = Story::new();
    for second in [0, 100, 200] {
        let decision = story.check(&listing(second, &["+K1", "-K2"]), &[], "nothing open");
        assert!(decision.audit.is_empty() && decision.alert.is_none());
    }
    assert_eq!(story.record.version, 3);
    Story::new().check(
        &listing(100, &["+K1"]),
        &[deleted("K2", 99)],
        "nothing open",
    );
    Story::new().check(
        &listing(100, &["+K1", "+K2"]),
        &[deleted("K2", 99)],
        "nothing open; listing behind events; again 5 65",
    );
}

// The three rules in bold.

#[test]
fn freshness_is_measured_at_the_request() {
    for now in [6, 10_000, 80_000] {
        Story::new().check_at(
            at(now),
            &listing(5, &["+K1"]),
            &[created("K2", 4)],
            "opened: unconfirmed MEDIUM +K1 +K2 since 4 by bob; listing behind events; again 5 65",
        );
        Story::open().check_at(
            at(200 + now),
            &listing(200, &["+K1", "+K2"]),
            &[deleted("K2", 199)],
            "still open; listing behind events; again 5 65",
        );
    }
}

#[test]
fn evidence_as_old_as_the_window_at_the_request_is_ignored() {
    Story::new().check(
        &listing(63, &["+K1"]),
        &[created("K2", 4)],
        "opened: unconfirmed MEDIUM +K1 +K2 since 4 by bob; listing behind events; again 5 65",
    );
    // The listing is believed, but the key was active beside the other one, so that is announced.
    Story::new().check(
        &listing(64, &["+K1"]),
        &[created("K2", 4)],
        "opened: unconfirmed MEDIUM +K1 -K2 since 4 by bob; again 5 65",
    );
}

#[test]
fn event_before_the_last_listing_explains_no_change() {
    for second in [50, 99, 100] {
        Story::swept_open().check(
            &listing(105, &["+K1"]),
            &[deleted("K2", second)],
            "still open; listing changed without an event; again 5 65",
        );
    }
    Story::swept_open().check(
        &listing(105, &["+K1"]),
        &[deleted("K2", 101)],
        "closed: key deleted at 101 by bob",
    );
}

#[test]
fn two_stale_sweeps_in_a_row_close_nothing() {
    let mut story = Story::swept_open();
    story.check(
        &listing(101, &["+K1"]),
        &[],
        "still open; listing changed without an event; again 65",
    );
    story.check(&listing(102, &["+K1"]), &[], "still open; again 65");
    story.check(&listing(160, &["+K1"]), &[], "still open; again 65");
    story.check(&listing(161, &["+K1"]), &[], "closed: key deleted at 161");
}

#[test]
fn last_unsettled_at_is_the_request_of_the_latest_unsettled_listing() {
    let mut story = Story::open();
    assert_eq!(story.record.last_unsettled_at, None);
    story.step(at(151), &listing(150, &["+K1"]), &[]);
    assert_eq!(story.record.last_unsettled_at, Some(at(150)));
    story.step(at(161), &listing(160, &["+K1"]), &[]);
    assert_eq!(
        story.record.last_unsettled_at,
        Some(at(150)),
        "that one was settled"
    );
    story.step(
        at(171),
        &listing(170, &["+K1"]),
        &[updated("K1", KeyStatus::Inactive, 170)],
    );
    assert_eq!(story.record.last_unsettled_at, Some(at(170)));
}

#[test]
fn last_unsettled_at_is_never_lowered() {
    let mut story = Story::open();
    story.step(at(151), &listing(150, &["+K1"]), &[]);
    // By a clock that differs from the previous worker's.
    story.step(at(152), &listing(140, &["+K1", "+K2"]), &[]);
    assert_eq!(story.record.last_unsettled_at, Some(at(150)));
}

#[test]
fn the_last_listing_is_kept_also_when_its_view_was_unsettled() {
    let story = Story::unconfirmed();
    let last = story.record.last_listing.unwrap();
    assert_eq!(last.requested_at, at(5));
    assert_eq!(
        last.keys.into_keys().collect::<Vec<_>>(),
        ["K1"],
        "the listing, not the view"
    );
}

#[test]
fn the_last_listing_is_kept_through_a_refusal() {
    let mut story = Story::open();
    story.step(at(201), &refused(200), &[]);
    assert_eq!(story.record.last_listing.unwrap().requested_at, at(100));
}

// When to check again.

#[test]
fn a_settled_and_explained_event_queues_nothing() {
    let decision = Story::new().check(
        &listing(100, &["+K1"]),
        &[created("K1", 99)],
        "nothing open",
    );
    assert_eq!(decision.record.recheck_at, None);
}

#[test]
fn recheck_without_events_is_not_repeated_after_five_seconds() {
    Story::swept_open().check(
        &listing(150, &["+K1"]),
        &[],
        "still open; listing changed without an event; again 65",
    );
}

#[test]
fn old_unexplained_event_queues_rechecks() {
    Story::new().check(
        &listing(10_000, &["-K1"]),
        &[created("K2", 4)],
        "nothing open; again 5 65",
    );
    Story::new().check(
        &listing(10_000, &["-K1"]),
        &[created("K2", 4), deleted("K2", 5)],
        "nothing open",
    );
    Story::new().check(
        &no_such_user(10_000),
        &[created("K2", 4), user_deleted(9_990)],
        "nothing open",
    );
}

#[test]
fn old_deletion_missing_in_the_listing_queues_rechecks() {
    Story::open().check(
        &listing(10_000, &["+K1", "+K2"]),
        &[user_deleted(9_000)],
        "still open; again 5 65",
    );
}

#[test]
fn the_record_has_the_latest_recheck_time() {
    let mut story = Story::unconfirmed();
    assert_eq!(story.record.recheck_at, Some(at(6 + 65)));
    story.step(at(11), &listing(10, &["+K1", "+K2"]), &[created("K2", 4)]);
    assert_eq!(
        story.record.recheck_at,
        Some(at(11 + 65)),
        "moved to the later one"
    );
    story.step(at(75), &listing(74, &["+K1", "+K2"]), &[]);
    assert_eq!(story.record.recheck_at, Some(at(76)), "still to come");
    story.step(at(76), &listing(75, &["+K1", "+K2"]), &[]);
    assert_eq!(story.record.recheck_at, None, "that was it");
}

#[test]
fn scheduled_recheck_is_not_moved_forward() {
    let mut story = Story::unconfirmed();
    story.step(at(71), &listing(70, &["+K1"]), &[]);
    assert_eq!(story.record.recheck_at, Some(at(671)));
    story.check(
        &listing(200, &["+K1", "+K3"]),
        &[created("K2", 150)],
        "opened: unconfirmed MEDIUM +K1 +K2 +K3 since 150 by bob; listing behind events; again 5 65",
    );
    assert_eq!(story.record.recheck_at, Some(at(671)));
}

// Blindness is news.

#[test]
fn activation_of_an_unlisted_user_opens_unconfirmed() {
    let refused_words = "could not list: AccessDenied; listing behind events; listing refused";
    let decision = Story::new().check(
        &refused(5),
        &[created("K1", 4)],
        &format!("opened: unconfirmed MEDIUM +K1 since 4 by bob, {refused_words}; again 5 900"),
    );
    assert_eq!(decision.record.recheck_at, Some(at(6 + 900)));
    Story::new().check(
        &refused(10_000),
        &[updated("K1", KeyStatus::Active, 4)],
        &format!("opened: unconfirmed MEDIUM +K1 since 4 by bob, {refused_words}; again 5 900"),
    );
}

#[test]
fn a_refused_listing_without_an_activation_opens_nothing() {
    Story::new().check(&refused(5), &[], "nothing open; listing refused");
    for change in [
        updated("K1", KeyStatus::Inactive, 4),
        deleted("K1", 4),
        user_deleted(4),
        renamed("alicia", 4),
    ] {
        let decision = Story::new().step(at(6), &refused(5), &[change]);
        assert_eq!(decision.outcome, Outcome::NothingOpen);
        assert_eq!(decision.rechecks, [TimeDelta::seconds(5)]);
    }
}

#[test]
fn activation_in_the_last_listing_is_not_news_during_a_refusal() {
    let again = [updated("K1", KeyStatus::Active, 4_990)];
    for (last_listed, outcome) in [
        ("+K1", Outcome::NothingOpen),
        ("-K1", Outcome::Opened),
        ("+K2", Outcome::Opened),
    ] {
        let mut story = Story::new();
        story.check(&listing(100, &[last_listed]), &[], "nothing open");
        let decision = story.step(at(5_001), &refused(5_000), &again);
        assert_eq!(decision.outcome, outcome, "{last_listed}");
    }
}

#[test]
fn undone_activation_is_news_during_a_refusal() {
    // Any other key may have been active at the same time.
    let decision = Story::new().step(at(6), &refused(5), &[created("K1", 3), deleted("K1", 4)]);
    assert_eq!(decision.outcome, Outcome::Opened);
}

#[test]
fn a_refused_listing_never_closes() {
    let mut story = Story::open();
    let refusal = "still open; listing behind events; listing refused";
    story.check(
        &refused(200),
        &[deleted("K2", 190)],
        &format!("{refusal}; again 5 900"),
    );
    story.check(&refused(50_000), &[], &format!("{refusal}; again 900"));
    story.check(
        &refused(60_000),
        &[deleted("K1", 59_000), user_deleted(59_001)],
        &format!("{refusal}; again 5 900"),
    );
}

#[test]
fn undecided_events_during_a_refusal_are_rechecked() {
    let mut new = alicia();
    let why = "listing refused; renamed just now";
    new.check(
        &refused(200),
        &[renamed("Alicia", 195)],
        &format!("nothing open; {why}; again 5 900"),
    );
    new.check(
        &refused(1_200),
        &[],
        &format!("nothing open; {why}; again 900"),
    );
    new.check(
        &listing(2_200, &["+K1", "+K2"]),
        &[],
        "opened: confirmed HIGH +K1 +K2 since -1000000 at the earliest",
    );

    let mut contradicted = Story::new();
    let why = "events of one second contradict each other; listing refused";
    contradicted.check(
        &refused(200),
        &[
            updated("K2", KeyStatus::Active, 195),
            updated("K2", KeyStatus::Inactive, 195),
        ],
        &format!("nothing open; {why}; again 5 900"),
    );
    contradicted.check(
        &refused(1_200),
        &[],
        &format!("nothing open; {why}; again 900"),
    );
    contradicted.check(&listing(2_200, &["-K1", "-K2"]), &[], "nothing open");
}

#[test]
fn refused_listing_is_retried_every_15_minutes() {
    let mut story = Story::new();
    story.step(at(1), &refused(0), &[created("K1", 0)]);
    let refusal = "still open; listing behind events; listing refused";
    story.check(&refused(6), &[], refusal);
    story.check(&refused(300), &[], refusal);
    assert_eq!(story.record.recheck_at, Some(at(901)));
    let too_early = story.decided(at(895), &refused(894), &[]);
    assert_eq!(too_early.rechecks, []);
    let with_the_first_look = story.decided(at(896), &refused(895), &[]);
    assert_eq!(with_the_first_look.rechecks, [TimeDelta::seconds(900)]);
    story.check(&refused(900), &[], &format!("{refusal}; again 900"));
    assert_eq!(story.record.recheck_at, Some(at(901 + 900)));
}

#[test]
fn unlisted_finding_closes_as_never_confirmed_after_the_window() {
    let mut story = Story::new();
    story.step(at(101), &refused(100), &[created("K1", 99)]);
    story.check(&listing(130, &["+K1"]), &[], "still open; again 65");
    story.check(&listing(159, &["+K1"]), &[], "still open; again 65");
    story.check(
        &listing(160, &["+K1"]),
        &[],
        "closed: never confirmed at 160; again 600",
    );
}

#[test]
fn unlisted_finding_is_confirmed_by_a_settled_listing() {
    let mut story = Story::new();
    story.step(at(101), &refused(100), &[created("K2", 99)]);
    story.check(
        &listing(130, &["+K1", "+K2"]),
        &[],
        "updated (the active keys have changed): confirmed MEDIUM +K1 +K2 since 99 by bob, could not list: AccessDenied",
    );
}

#[test]
fn second_key_opens_even_if_the_listing_is_refused() {
    let mut story = Story::new();
    story.check(&listing(100, &["+K1", "-K2"]), &[], "nothing open");
    let decision = story.step(
        at(5_001),
        &refused(5_000),
        &[updated("K2", KeyStatus::Active, 4_990)],
    );
    let finding = decision.record.finding.unwrap();
    assert_eq!(finding.active_keys().collect::<Vec<_>>(), ["K1", "K2"]);
    assert!(!finding.confirmed);
}

// Who opened it.

#[test]
fn a_late_event_fills_in_who_opened_it_and_when() {
    let mut story = Story::swept_open();
    let decision = story.check(
        &listing(300, &["+K1", "+K2"]),
        &[by("carol", created("K2", 95))],
        "updated (it is now known who made the second key active, the severity was raised): confirmed HIGH +K1 +K2 since 95 by carol",
    );
    assert_eq!(
        decision.alert.unwrap().kind,
        AlertKind::Updated(vec![FindingUpdate::Opener, FindingUpdate::Severity])
    );
    story.check(
        &listing(400, &["+K1", "+K2"]),
        &[by("carol", created("K2", 95))],
        "still open",
    );
}

#[test]
fn an_event_on_a_key_that_is_not_in_view_is_not_blamed() {
    Story::swept_open().check(
        &listing(300, &["+K1", "+K2"]),
        &[created("K9", 50), deleted("K9", 60)],
        "updated (the active keys have changed): confirmed MEDIUM +K1 +K2 -K9 since 95 at the earliest",
    );
}

#[test]
fn the_latest_activation_of_an_active_key_is_the_opener() {
    Story::new().check(
        &listing(100, &["+K1", "+K2"]),
        &[by("carol", created("K2", 95)), by("bob", created("K1", 90))],
        "opened: confirmed HIGH +K1 +K2 since 95 by carol",
    );
    Story::new().check(
        &listing(100, &["+K1", "+K2"]),
        &[
            by("carol", created("K2", 80)),
            by("eve", updated("K1", KeyStatus::Inactive, 85)),
            by("dave", updated("K1", KeyStatus::Active, 95)),
        ],
        "opened: confirmed HIGH +K1 +K2 since 95 by dave",
    );
}

#[test]
fn older_keys_event_is_not_blamed_if_the_other_key_is_younger() {
    Story::new().check(
        &dated_listing(100, &[("+K1", 10), ("+K2", 90)]),
        &[created("K1", 10)],
        "opened: confirmed MEDIUM +K1 +K2 since 90 at the earliest",
    );
}

#[test]
fn an_event_in_the_second_in_which_the_other_key_was_made_is_blamed() {
    Story::new().check(
        &dated_listing(100, &[("+K1", 10), ("+K2", 10)]),
        &[created("K1", 10)],
        "opened: confirmed MEDIUM +K1 +K2 since 10 by bob",
    );
}

#[test]
fn an_event_soon_after_fewer_than_two_were_active_is_blamed() {
    let mut story = Story::new();
    story.check(&listing(100, &["+K1"]), &[], "nothing open");
    story.check(
        &listing(165, &["+K1", "+K2"]),
        &[created("K2", 110)],
        "opened: confirmed MEDIUM +K1 +K2 since 110 by bob",
    );
}

#[test]
fn event_before_fewer_than_two_were_active_is_not_blamed() {
    let mut story = Story::new();
    story.check(
        &listing(500, &["+K1", "-K2"]),
        &[created("K1", 10)],
        "nothing open",
    );
    story.check(
        &listing(1_000, &["+K1", "+K2"]),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 500 at the earliest",
    );
    story.check(
        &listing(1_100, &["+K1", "+K2"]),
        &[by("carol", updated("K2", KeyStatus::Active, 990))],
        "updated (it is now known who made the second key active, the severity was raised): confirmed HIGH +K1 +K2 since 990 by carol",
    );
}

#[test]
fn activation_listed_alone_is_never_blamed() {
    // The usual course of one event: the listing follows within seconds, and no check follows for a
    // while.
    let mut story = Story::new();
    story.check(
        &listing(5, &["+K1", "-K2"]),
        &[created("K1", 0)],
        "nothing open",
    );
    story.check(
        &listing(DAY, &["+K1", "+K2"]),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 5 at the earliest",
    );
    story.check(
        &listing(DAY + 50, &["+K1", "+K2"]),
        &[],
        "updated (the severity was raised): confirmed HIGH +K1 +K2 since 5 at the earliest",
    );
    let reactivation = by("carol", updated("K2", KeyStatus::Active, DAY - 10));
    story.check(
        &listing(DAY + 100, &["+K1", "+K2"]),
        &[reactivation],
        &format!(
            "updated (it is now known who made the second key active): confirmed HIGH +K1 +K2 since {} by carol",
            DAY - 10
        ),
    );
}

// Another name.

fn alicia() -> Story {
    Story::of(UserId::new("111122223333", "alicia"))
}

#[test]
fn after_a_rename_the_finding_goes_on_under_the_new_name() {
    let mut old = Story::open();
    let mut new = alicia();
    let rename = [by("carol", renamed("Alicia", 195))];
    new.former = vec![old.as_former()];
    let decision = new.check(
        &listing(200, &["+K1", "+K2"]),
        &rename,
        "opened: confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    let continued = decision.record.finding.unwrap();
    assert_eq!(continued.continues, Some(old.finding().id.clone()));
    assert_eq!(continued.id.to_string(), "111122223333/alicia/1");
    assert_eq!(continued.opener, old.finding().opener);
    assert_eq!(decision.record.renamed_from, None, "taken over");
    old.check(
        &no_such_user(200),
        &rename,
        "closed: user renamed at 195 by carol",
    );
}

#[test]
fn former_finding_closed_by_the_rename_is_continued() {
    let mut old = Story::open();
    let rename = [renamed("Alicia", 195)];
    old.step(at(201), &no_such_user(200), &rename);
    let mut new = alicia();
    new.check(
        &no_such_user(200),
        &rename,
        "nothing open; no such user, unexplained; renamed just now; again 5 65",
    );
    assert_eq!(new.record.renamed_from, Some(user()), "until it is listed");
    new.former = vec![old.as_former()];
    new.check(
        &listing(266, &["+K1", "+K2"]),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
}

#[test]
fn former_finding_closed_for_another_reason_is_not_continued() {
    let mut old = Story::open();
    old.step(at(191), &listing(190, &["+K1"]), &[deleted("K2", 180)]);
    assert_eq!(old.finding().status, FindingStatus::Closed);
    let mut new = alicia();
    new.former = vec![old.as_former()];
    let decision = new.check(
        &listing(400, &["+K1", "+K3"]),
        &[],
        "opened: confirmed HIGH +K1 +K3 since -1000000 at the earliest",
    );
    assert_eq!(decision.record.finding.unwrap().continues, None);
}

#[test]
fn a_new_name_with_one_key_forgets_the_former_finding() {
    let mut new = alicia();
    new.check(
        &listing(200, &["+K1"]),
        &[renamed("Alicia", 195)],
        "nothing open; renamed just now; again 5 65",
    );
    assert_eq!(
        new.record.renamed_from,
        Some(user()),
        "the listing may be behind"
    );
    new.check(
        &listing(254, &["+K1"]),
        &[],
        "nothing open; renamed just now; again 65",
    );
    new.check(&listing(255, &["+K1"]), &[], "nothing open");
    assert_eq!(new.record.renamed_from, None);
}

#[test]
fn stale_listing_after_a_rename_does_not_lose_the_finding() {
    let mut old = Story::open();
    let rename = [renamed("Alicia", 195)];
    let mut new = alicia();
    new.former = vec![old.as_former()];
    new.check(
        &listing(200, &["+K1"]),
        &rename,
        "nothing open; renamed just now; again 5 65",
    );
    old.step(at(201), &no_such_user(200), &rename);
    new.former = vec![old.as_former()];
    let decision = new.step(at(266), &listing(265, &["+K1", "+K2"]), &[]);
    assert_eq!(decision.outcome, Outcome::Opened);
    assert_eq!(
        decision.record.finding.unwrap().continues,
        Some(old.finding().id.clone())
    );
}

#[test]
fn retry_queues_the_recheck_of_a_worker_that_died() {
    let mut story = Story::open();
    story.record.recheck_at = Some(at(900));
    let listing = listing(400, &["+K1", "+K2"]);
    let recorded = BTreeSet::new();
    let mut situation = Situation {
        record: &story.record,
        listing: &listing,
        changes: &[],
        already_recorded: &recorded,
        is_retry: false,
        former_users: &[],
        exemptions: &[],
        familiar: &[],
        sweep: None,
        unwatched: None,
        is_history: false,
        foreign_entry: None,
    };
    assert_eq!(decide(&situation, &story.policy, at(400)).rechecks, []);
    situation.is_retry = true;
    assert_eq!(
        decide(&situation, &story.policy, at(400)).rechecks,
        [TimeDelta::seconds(500)]
    );
    let due_now = decide(&situation, &story.policy, at(900));
    assert_eq!(due_now.rechecks, [], "this is the scheduled check");
}

#[test]
fn another_spelling_of_the_name_changes_nothing_but_the_spelling() {
    let mut story = Story::open();
    story.check(
        &listing(200, &["+K1", "+K2"]),
        &[renamed("ALICE", 195)],
        "still open",
    );
    assert_eq!(story.record.renamed_from, None);
}

// The audit trail.

#[test]
fn recorded_change_is_not_recorded_again() {
    let change = created("K2", 95);
    let fresh = Story::new();
    let mut repeated = Story::new();
    repeated.recorded.insert(change.id.clone());
    let now = listing(100, &["+K1"]);
    let one = fresh.decided(at(101), &now, std::slice::from_ref(&change));
    let two = repeated.decided(at(101), &now, std::slice::from_ref(&change));
    assert_eq!(
        kinds(&one),
        [AuditKind::KeyCreated, AuditKind::FindingOpened]
    );
    assert_eq!(one.recorded, [change.id]);
    assert_eq!(kinds(&two), [AuditKind::FindingOpened]);
    assert!(two.recorded.is_empty());
    assert_eq!(words(&one), words(&two));
    assert_eq!(one.record.finding, two.record.finding);
    assert_eq!(one.record.evidence, two.record.evidence);
}

#[test]
fn a_change_that_comes_twice_at_once_is_recorded_once() {
    let change = created("K2", 95);
    let decision = Story::new().check(
        &listing(100, &["+K1", "+K2"]),
        &[change.clone(), created("K1", 90), change.clone()],
        "opened: confirmed MEDIUM +K1 +K2 since 95 by bob",
    );
    let expected = [
        AuditKind::KeyCreated,
        AuditKind::KeyCreated,
        AuditKind::FindingOpened,
    ];
    assert_eq!(kinds(&decision), expected);
    let keys: Vec<&str> = decision.audit[..2]
        .iter()
        .map(|entry| entry.draft.details["key"].as_str())
        .collect();
    assert_eq!(keys, ["K1", "K2"], "in the order in which they happened");
}

#[test]
fn an_entry_says_what_happened_when_by_whom_and_when_it_was_written() {
    let decision = Story::new().step(
        at(101),
        &listing(100, &["+K1", "+K2"]),
        &[created("K2", 95)],
    );
    let [change, opening] = decision.audit.as_slice() else {
        panic!("two entries");
    };
    assert_eq!(
        (change.draft.at, change.draft.recorded_at),
        (at(95), at(101))
    );
    assert_eq!(change.draft.event_id.as_deref(), Some("event-95"));
    let bob = Some("arn:aws:iam::111122223333:user/bob");
    assert_eq!(change.draft.actor.as_deref(), bob);
    assert_eq!(change.draft.details["key"], "K2");
    assert_eq!(
        (opening.draft.at, opening.draft.recorded_at),
        (at(95), at(101))
    );
    assert_eq!(opening.draft.actor.as_deref(), bob);
    assert_eq!(
        opening.draft.finding_id.as_deref(),
        Some("111122223333/alice/1")
    );
    assert_eq!(opening.draft.details["keys"], "K1 Active, K2 Active");
    assert_eq!(opening.draft.details["confirmed"], "true");
    let alert = decision.alert.unwrap();
    assert_eq!(alert.sequence, 2);
    assert_eq!(alert.window_ends_at, at(95 + DAY));
}

#[test]
fn an_update_says_in_the_trail_what_changed_and_who_opened_it() {
    let decision = Story::swept_open().step(
        at(301),
        &listing(300, &["+K1", "+K2"]),
        &[by("bob", created("K2", 95))],
    );
    let details = &decision.audit.last().unwrap().draft.details;
    assert_eq!(details["update"], FindingUpdate::Opener.words());
    assert_eq!(details["opened_by"], "arn:aws:iam::111122223333:user/bob");
    assert_eq!(details["keys"], "K1 Active, K2 Active");
}

#[test]
fn a_closing_says_in_the_trail_why_and_who_did_it() {
    let decision = Story::open().step(
        at(201),
        &listing(200, &["+K1"]),
        &[by("carol", deleted("K2", 195))],
    );
    let closing = &decision.audit.last().unwrap().draft;
    assert_eq!(closing.kind, AuditKind::FindingClosed);
    assert_eq!(closing.details["reason"], "key deleted");
    assert_eq!(closing.details["keys"], "K1 Active, K2 Deleted");
    assert_eq!(closing.event_id.as_deref(), Some("event-195"));
    assert_eq!(
        closing.actor.as_deref(),
        Some("arn:aws:iam::111122223333:user/carol")
    );
}

#[test]
fn unlisted_opening_says_so_in_the_trail() {
    let decision = Story::new().step(at(6), &refused(5), &[created("K1", 4)]);
    let details = &decision.audit.last().unwrap().draft.details;
    assert_eq!(details["could_not_list"], "AccessDenied");
    assert_eq!(details["confirmed"], "false");
}

// Episodes.

#[test]
fn each_opening_is_an_episode_of_its_own() {
    let mut story = Story::open();
    story.step(at(201), &listing(200, &["+K1"]), &[deleted("K2", 190)]);
    let decision = story.check(
        &listing(300, &["+K1", "+K3"]),
        &[created("K3", 295)],
        "opened: confirmed MEDIUM +K1 +K3 since 295 by bob",
    );
    assert_eq!(story.finding().id.to_string(), "111122223333/alice/2");
    assert_eq!(decision.alert.unwrap().sequence, 6);
    story.check(&listing(400, &["+K1"]), &[], "closed: key deleted at 400");
    assert_eq!(story.record.episodes, 2);
}

#[test]
fn reopening_after_a_false_closing_does_not_repeat_the_opener() {
    let mut story = Story::unconfirmed();
    story.step(at(71), &listing(70, &["+K1"]), &[]);
    // The re-check ten minutes later finds the key after all.
    story.check(
        &listing(671, &["+K1", "+K2"]),
        &[],
        "opened: confirmed MEDIUM +K1 +K2 since 70 at the earliest",
    );
}

// Severity over time.

#[test]
fn finding_that_outlives_its_window_is_raised_and_announced_once() {
    let mut story = Story::open();
    let both = ["+K1", "+K2"];
    story.check(&listing(95 + DAY - 2, &both), &[], "still open");
    let decision = story.check(
        &listing(95 + DAY - 1, &both),
        &[],
        "updated (the severity was raised): confirmed HIGH +K1 +K2 since 95 by bob",
    );
    assert_eq!(
        decision.record.finding.unwrap().severity_reasons,
        [SeverityReason::OutlivedWindow]
    );
    story.check(&listing(95 + DAY + 100, &both), &[], "still open");
    story.check(&listing(95 + 9 * DAY, &both), &[], "still open");
}

#[test]
fn closed_finding_has_the_severity_at_its_end() {
    let mut story = Story::open();
    let late = listing(95 + 2 * DAY, &["+K1"]);
    let decision = story.step(late.requested_at(), &late, &[deleted("K2", 195)]);
    assert_eq!(decision.outcome, Outcome::Closed);
    assert_eq!(decision.record.finding.unwrap().severity, Severity::Medium);

    let mut story = Story::open();
    let decision = story.step(late.requested_at(), &late, &[]);
    assert_eq!(decision.record.finding.unwrap().severity, Severity::High);
}

#[test]
fn what_was_raised_stays_raised() {
    let mut story = Story::open();
    let both = ["+K1", "+K2"];
    story.step(at(95 + DAY), &listing(95 + DAY, &both), &[]);
    story.policy.rotation_window = TimeDelta::days(30);
    story.check(&listing(100 + DAY, &both), &[], "still open");
    assert_eq!(story.finding().severity, Severity::High);
    story.step(at(200 + DAY), &listing(200 + DAY, &["+K1"]), &[]);
    assert_eq!(story.finding().severity, Severity::High);
}

#[test]
fn a_late_event_that_names_an_untrusted_actor_raises_the_severity() {
    let mut story = Story::swept_open();
    story.policy.trusted_actors = vec!["*:user/bob".to_owned()];
    let decision = story.step(
        at(301),
        &listing(300, &["+K1", "+K2"]),
        &[by("mallory", created("K2", 95))],
    );
    assert_eq!(
        decision.alert.unwrap().kind,
        AlertKind::Updated(vec![FindingUpdate::Opener, FindingUpdate::Severity])
    );
    assert_eq!(
        story.finding().severity_reasons,
        [SeverityReason::UntrustedActor]
    );
}

#[test]
fn a_key_reactivated_after_a_long_sleep_opens_high() {
    let mut story = Story::new();
    story.step(
        at(1),
        &listing(0, &["+K1", "-K2"]),
        &[updated("K2", KeyStatus::Inactive, 0)],
    );
    let woken = 31 * DAY;
    story.check(
        &listing(woken + 5, &["+K1", "+K2"]),
        &[updated("K2", KeyStatus::Active, woken)],
        &format!("opened: confirmed HIGH +K1 +K2 since {woken} by bob"),
    );
    assert_eq!(
        story.finding().severity_reasons,
        [SeverityReason::DormantKey]
    );
}

// Root.

fn root() -> Story {
    Story::of(UserId::root("111122223333"))
}

fn of_root(change: KeyChange) -> KeyChange {
    KeyChange {
        user: UserId::root("111122223333"),
        user_name: "root".to_owned(),
        ..change
    }
}

const BOTH_SLOTS: [&str; 2] = ["+access_key_1", "+access_key_2"];
const ONE_SLOT: [&str; 2] = ["+access_key_1", "-access_key_2"];

#[test]
fn two_active_slots_of_root_open_a_critical_finding() {
    root().check_at(
        at(5_000),
        &report(100, &BOTH_SLOTS),
        &[],
        "opened: confirmed CRITICAL +access_key_1 +access_key_2 since -1000000 at the earliest",
    );
}

#[test]
fn a_root_event_later_than_the_report_adds_its_key() {
    let mut story = root();
    story.check(&report(100, &ONE_SLOT), &[], "nothing open");
    story.check_at(
        at(5_000),
        &report(100, &ONE_SLOT),
        &[of_root(created("K", 4_990))],
        "opened: unconfirmed CRITICAL +K +access_key_1 -access_key_2 since 4990 by bob; listing behind events; again 5 900",
    );
    story.check_at(
        at(5_005),
        &report(100, &ONE_SLOT),
        &[],
        "still open; listing behind events",
    );
}

#[test]
fn root_finding_closes_only_on_a_report_after_the_last_event() {
    let mut story = root();
    story.step(at(5_000), &report(100, &BOTH_SLOTS), &[]);
    let end = [of_root(by("root", deleted("K", 9_000)))];
    story.check_at(
        at(9_005),
        &report(100, &BOTH_SLOTS),
        &end,
        "still open; listing behind events; again 5 900",
    );
    story.check_at(
        at(9_910),
        &report(8_999, &ONE_SLOT),
        &[],
        "still open; listing behind events; again 900",
    );
    story.check_at(
        at(20_000),
        &report(19_000, &ONE_SLOT),
        &[],
        "closed: key deleted at 9000 by root",
    );
}

#[test]
fn report_of_the_same_second_as_roots_event_closes_nothing() {
    let mut story = root();
    story.step(at(5_000), &report(100, &BOTH_SLOTS), &[]);
    let activation = of_root(created("K", 9_000));
    let decision = story.step(at(9_005), &report(9_000, &ONE_SLOT), &[activation]);
    assert!(decision.record.open_finding().is_some());
}

#[test]
fn unlisted_root_opens_like_any_user() {
    let decision = root().step(at(6), &refused(5), &[of_root(created("K", 4))]);
    assert_eq!(decision.outcome, Outcome::Opened);
    let finding = decision.record.finding.unwrap();
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(finding.listing_refusal.as_deref(), Some("AccessDenied"));
}

// Names.

#[test]
fn displayed_name_is_the_events_until_iams_is_known() {
    let mut story = Story::new();
    let change = KeyChange {
        user_name: "ALICE".to_owned(),
        ..created("K1", 4)
    };
    story.step(at(6), &refused(5), &[change]);
    assert_eq!(story.record.display_name, "ALICE");
    assert_eq!(story.finding().display_name, "ALICE");
    story.step(at(101), &listing(100, &["+K1"]), &[]);
    assert_eq!(story.record.display_name, "Alice");
}

#[test]
fn an_event_spells_the_name_only_until_iam_has() {
    let mut story = Story::new();
    let shouted = [KeyChange {
        user_name: "ALICE".to_owned(),
        ..created("K1", 99)
    }];
    story.step(at(101), &listing(100, &["+K1"]), &shouted);
    assert_eq!(story.record.display_name, "Alice");
    story.step(at(201), &refused(200), &shouted);
    assert_eq!(story.record.display_name, "Alice");
}

#[test]
fn a_renaming_spells_each_name_under_that_name() {
    let (mut old, mut new) = (Story::new(), alicia());
    old.step(at(201), &no_such_user(200), &[renamed("Alicia", 195)]);
    new.step(at(201), &refused(200), &[renamed("Alicia", 195)]);
    assert_eq!(old.record.display_name, "Alice");
    assert_eq!(new.record.display_name, "Alicia");
    new.step(at(301), &refused(300), &[renamed("ALICIA", 295)]);
    assert_eq!(new.record.display_name, "Alicia", "known already");
}

// A key source that is never stale.

#[test]
fn source_that_is_never_stale_settles_at_once() {
    let mut story = Story::new();
    story.policy.consistency_window = TimeDelta::zero();
    story.step(at(4), &listing(4, &["+K1"]), &[created("K1", 4)]);
    story.check(
        &listing(4, &["+K1", "+K2"]),
        &[created("K2", 4)],
        "opened: confirmed MEDIUM +K1 +K2 since 4 by bob",
    );
    story.check(
        &listing(4, &["+K1"]),
        &[deleted("K2", 4)],
        "closed: key deleted at 4 by bob",
    );
}

// What holds for every decision.

#[derive(Debug, Clone)]
struct Step {
    wait: i64,
    pause: i64,
    listing: u8,
    keys: (u8, u8),
    changes: Vec<(u8, bool, i64)>,
}

fn any_step() -> impl Strategy<Value = Step> {
    (
        0..90_i64,
        prop_oneof![Just(0_i64), 0..400_i64],
        0..8_u8,
        (0..3_u8, 0..3_u8),
        prop::collection::vec((0..6_u8, any::<bool>(), 0..120_i64), 0..3),
    )
        .prop_map(|(wait, pause, listing, keys, changes)| Step {
            wait,
            pause,
            listing,
            keys,
            changes,
        })
}

impl Step {
    fn listing(&self, second: i64) -> KeyListing {
        let keys: Vec<&str> = [self.keys.0, self.keys.1]
            .into_iter()
            .zip([["+K1", "-K1"], ["+K2", "-K2"]])
            .filter_map(|(status, words)| words.get(usize::from(status)).copied())
            .collect();
        match self.listing {
            0 => no_such_user(second),
            1 => refused(second),
            _ => listing(second, &keys),
        }
    }

    fn changes(&self, second: i64) -> Vec<KeyChange> {
        self.changes
            .iter()
            .map(|(kind, first, age)| {
                let key = if *first { "K1" } else { "K2" };
                let second = second - age;
                match kind {
                    0 => created(key, second),
                    1 => updated(key, KeyStatus::Active, second),
                    2 => updated(key, KeyStatus::Inactive, second),
                    3 => deleted(key, second),
                    4 => user_deleted(second),
                    _ => renamed("alicia", second),
                }
            })
            .collect()
    }
}

proptest! {
    // A failure prints its smallest case; nothing is written to disk.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(steps in prop::collection::vec(any_step(), 1..12)) {
        let mut story = Story::new();
        let mut requested_at = 1_000;
        for step in steps {
            requested_at += step.wait;
            let (listing, changes) = (step.listing(requested_at), step.changes(requested_at));
            let before = story.record.clone();
            let paused = story.decided(at(requested_at + step.pause), &listing, &changes);
            let decision = story.step(at(requested_at), &listing, &changes);
            // INVARIANT (freshness at the request): a pause between listing and deciding changes
            // nothing.
            prop_assert_eq!(paused.outcome, decision.outcome);
            prop_assert_eq!(&paused.unsettled, &decision.unsettled);
            prop_assert_eq!(&paused.record.evidence, &decision.record.evidence);
            // INVARIANT (open early, close late).
            if decision.outcome == Outcome::Closed {
                let consistency_window = story.policy.consistency_window;
                prop_assert!(before.last_unsettled_at.is_none_or(|after| at(requested_at) - after >= consistency_window));
                prop_assert!(step.listing != 1, "a refused listing closes nothing");
            }
            if !decision.unsettled.is_empty() {
                prop_assert!(decision.record.last_unsettled_at >= Some(at(requested_at)));
            }
            // INVARIANT (at most one open finding per user): one opens only where none is open.
            if decision.outcome == Outcome::Opened {
                prop_assert!(before.open_finding().is_none());
            }
            // An unsettled view with an open finding always leads to another check.
            if decision.record.open_finding().is_some() && !decision.unsettled.is_empty() {
                prop_assert!(decision.record.recheck_at > Some(at(requested_at)));
            }
            if let Some(Finding { opened_at, closing: Some(Closing { at, .. }), .. }) = &decision.record.finding {
                prop_assert!(at >= opened_at);
            }
        }
    }

    #[test]
    fn duplicates_of_the_changes_decide_the_same(step in any_step(), order in any::<bool>()) {
        let (listing, mut changes) = (step.listing(1_000), step.changes(1_000));
        let story = Story::open();
        let once = story.decided(at(1_001), &listing, &changes);
        let mut again = changes.clone();
        if order {
            again.reverse();
        }
        changes.extend(again);
        let twice = story.decided(at(1_001), &listing, &changes);
        prop_assert_eq!(once.outcome, twice.outcome);
        prop_assert_eq!(once.unsettled, twice.unsettled);
        prop_assert_eq!(once.audit.len(), twice.audit.len());
    }
}

#[test]
fn a_never_confirmed_closing_names_nobody() {
    let mut story = Story::unconfirmed();
    story.step(at(71), &listing(70, &["+K1"]), &[]);
    let expected = Closing {
        reason: CloseReason::NeverConfirmed,
        at: at(70),
        actor: None,
        event_id: None,
    };
    assert_eq!(story.finding().closing, Some(expected));
}
