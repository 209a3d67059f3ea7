//! Which activations count, from when and for which key, and that each is announced.

use super::*;
use crate::detect::records::user_record::ListedInactive;
use crate::detect::testing::exemption;

fn exempting(name: &str) -> Exemption {
    Exemption {
        actor_pattern: format!("*:user/{name}"),
        ..exemption(name)
    }
}

/// `K1` was listed as the only key.
fn one_key() -> Story {
    let mut story = Story::new();
    story.check(&listing(0, &["+K1"]), &[], "nothing open");
    story
}

fn opener(story: &Story) -> Option<String> {
    let opener = story.finding().opener.as_ref()?;
    opener.actor.name.clone()
}

#[test]
fn update_to_active_of_an_active_key_takes_no_blame() {
    let makes = by("mallory", created("K2", 100));
    let nothing = by("alice", updated("K1", KeyStatus::Active, 101));
    let listed = || dated_listing(120, &[("+K1", -1_000), ("+K2", 100)]);
    // Both orders of the two events, and both in one batch.
    for (first, then) in [
        (vec![makes.clone()], vec![nothing.clone()]),
        (vec![nothing.clone()], vec![makes.clone()]),
        (vec![makes.clone(), nothing.clone()], vec![]),
    ] {
        for mut story in [one_key(), Story::new()] {
            story.exemptions = vec![exempting("alice")];
            story.step(at(121), &listed(), &first);
            story.step(
                at(190),
                &dated_listing(189, &[("+K1", -1_000), ("+K2", 100)]),
                &then,
            );
            assert_eq!(opener(&story).as_deref(), Some("mallory"));
            assert_eq!(story.finding().status, FindingStatus::Open);
            assert_eq!(story.finding().opened_at, at(100));
        }
    }
}

#[test]
fn an_update_to_active_long_after_a_sweep_changes_nothing() {
    let mut story = Story::swept_open();
    story.exemptions = vec![exempting("farm")];
    let later = 20 * 3_600;
    story.check(
        &listing(later + 5, &["+K1", "+K2"]),
        &[by("farm", updated("K1", KeyStatus::Active, later))],
        "still open",
    );
}

#[test]
fn unproven_reactivation_is_shown_and_unlocks_nothing() {
    let mut story = Story::new();
    story.exemptions = vec![exempting("farm")];
    story.check(
        &listing(100, &["+K1", "+K2"]),
        &[by("farm", updated("K2", KeyStatus::Active, 95))],
        "opened: confirmed HIGH +K1 +K2 since 95 by farm",
    );
    assert_eq!(story.finding().activators().last(), Some(&None));
    // The event that deactivated the key is late. Now the activation is proven.
    story.step(
        at(201),
        &listing(200, &["+K1", "+K2"]),
        &[by("farm", updated("K2", KeyStatus::Inactive, 50))],
    );
    assert_eq!(story.finding().status, FindingStatus::Suppressed);
}

#[test]
fn an_update_of_a_key_whose_creation_was_missed_unlocks_nothing() {
    let mut story = one_key();
    story.exemptions = vec![exempting("farm")];
    story.check(
        &listing(111, &["+K1", "+K2"]),
        &[by("farm", updated("K2", KeyStatus::Active, 110))],
        "opened: confirmed HIGH +K1 +K2 since 110 by farm",
    );
    assert_eq!(story.finding().activators().last(), Some(&None));
    let created_late = [by("mallory", created("K2", 100))];
    story.step(at(131), &listing(130, &["+K1", "+K2"]), &created_late);
    assert_eq!(opener(&story).as_deref(), Some("mallory"));
    assert_eq!(story.finding().status, FindingStatus::Open);
}

#[test]
fn exemption_must_cover_every_activator_in_any_order() {
    let events = [
        by("mallory", updated("K1", KeyStatus::Inactive, 99)),
        by("mallory", created("K2", 100)),
        by("farm", updated("K1", KeyStatus::Active, 101)),
    ];
    for order in [
        [0, 1, 2],
        [2, 1, 0],
        [1, 2, 0],
        [2, 0, 1],
        [0, 2, 1],
        [1, 0, 2],
    ] {
        let mut story = one_key();
        story.exemptions = vec![exempting("farm")];
        for (step, place) in (0..).zip(order) {
            let second = 105 + 2 * step;
            let listed = listing(second, &["+K1", "+K2"]);
            story.step(at(second + 1), &listed, &[events[place].clone()]);
        }
        assert_eq!(story.finding().status, FindingStatus::Open, "{order:?}");
        let activators = story.finding().activators();
        for name in ["mallory", "farm"] {
            let label = format!("arn:aws:iam::111122223333:user/{name}");
            assert!(
                activators.contains(&Some(label.as_str())),
                "{order:?} {name}"
            );
        }
    }
}

#[test]
fn second_key_is_announced_at_once_while_listing_is_refused() {
    let mut story = Story::new();
    story.step(at(6), &refused(5), &[created("K1", 4)]);
    let decision = story.step(
        at(3_601),
        &refused(3_600),
        &[by("mallory", created("K2", 3_595))],
    );
    let alert = decision.alert.unwrap();
    assert_eq!(alert.finding.active_keys().count(), 2);
    assert_eq!(opener(&story).as_deref(), Some("mallory"));
    assert_eq!(
        story.finding().opened_at,
        at(4),
        "the window is not begun anew"
    );
    assert_eq!(
        story.step(at(3_700), &refused(3_699), &[]).alert,
        None,
        "once"
    );
}

#[test]
fn contradicting_events_hide_no_new_key() {
    let mut story = Story::open();
    let toggled = |second| {
        [KeyStatus::Inactive, KeyStatus::Active].map(|status| updated("K3", status, second))
    };
    let mut alerts = 0;
    for minute in 0..60 {
        let second = 200 + 50 * minute;
        let listed = listing(second, &["+K2", "+K3"]);
        let decision = story.step(at(second + 1), &listed, &toggled(second - 5));
        alerts += usize::from(decision.alert.is_some());
    }
    assert_eq!(alerts, 1);
    assert!(story.finding().active_keys().any(|key| key == "K3"));
}

#[test]
fn key_deleted_before_its_event_arrives_is_announced_and_closed() {
    let make = by("mallory", created("K2", 100));
    let delete = by("mallory", deleted("K2", 140));
    let mut story = one_key();
    story.check(
        &listing(170, &["+K1"]),
        std::slice::from_ref(&make),
        "opened: unconfirmed HIGH +K1 -K2 since 100 by mallory; again 5 65",
    );
    story.check(
        &listing(175, &["+K1"]),
        std::slice::from_ref(&delete),
        "closed: key deleted at 140 by mallory",
    );
    story.check(
        &listing(300, &["+K1"]),
        &[make.clone(), delete.clone()],
        "nothing open",
    );

    let mut at_once = one_key();
    at_once.check(
        &listing(145, &["+K1"]),
        &[make.clone(), delete.clone()],
        "opened: unconfirmed HIGH +K1 -K2 since 100 by mallory; again 5 65",
    );
    let mut late_end = one_key();
    late_end.check(&listing(400, &["-K1", "+K2"]), &[make], "nothing open");
    late_end.check(
        &listing(500, &["-K1", "+K2"]),
        &[by("mallory", updated("K1", KeyStatus::Inactive, 130))],
        "opened: unconfirmed HIGH -K1 +K2 since 100 by mallory; again 5 65",
    );
}

#[test]
fn rotation_without_two_active_keys_announces_nothing() {
    let mut story = one_key();
    story.check(
        &listing(200, &["-K1", "+K2"]),
        &[updated("K1", KeyStatus::Inactive, 99), created("K2", 100)],
        "nothing open",
    );
    story.check(
        &listing(400, &["+K2"]),
        &[deleted("K1", 300)],
        "nothing open",
    );
}

#[test]
fn cloudtrail_history_is_not_news() {
    let story = one_key();
    let changes = [created("K2", 100), deleted("K2", 140)];
    let situation = Situation {
        record: &story.record,
        listing: &listing(300, &["+K1"]),
        changes: &changes,
        already_recorded: &BTreeSet::new(),
        is_retry: false,
        former_users: &[],
        exemptions: &[],
        familiar: &[],
        sweep: None,
        unwatched: None,
        is_history: true,
        foreign_entry: None,
    };
    let decision = decide(&situation, &Policy::default(), at(301));
    assert_eq!(decision.outcome, Outcome::NothingOpen);
    let next = Situation {
        record: &decision.record,
        listing: &listing(400, &["+K1"]),
        changes: &[],
        is_history: false,
        ..situation
    };
    assert_eq!(
        decide(&next, &Policy::default(), at(401)).outcome,
        Outcome::NothingOpen,
        "nor later"
    );
}

#[test]
fn suppression_after_a_renaming_is_announced() {
    let open = Story::open();
    let mut new = alicia();
    new.exemptions = vec![Exemption {
        user_pattern: "alicia".to_owned(),
        ..exemption("all")
    }];
    new.former = vec![open.as_former()];
    let decision = new.step(
        at(201),
        &listing(200, &["+K1", "+K2"]),
        &[renamed("Alicia", 195)],
    );
    assert_eq!(decision.outcome, Outcome::Suppressed);
    let alert = decision.alert.unwrap();
    assert_eq!(
        alert.kind,
        AlertKind::Updated(vec![FindingUpdate::Exempted])
    );
}

#[test]
fn finding_of_a_sweep_continues_after_a_late_renaming() {
    let mut old = Story::open();
    old.step(at(80_011), &no_such_user(80_010), &[]);
    old.step(at(80_081), &no_such_user(80_080), &[]);
    assert_eq!(old.finding().status, FindingStatus::Closed);
    let mut new = alicia();
    new.sweep = Some(Sweep::Routine);
    new.step(at(80_100), &listing(80_099, &["+K1", "+K2"]), &[]);
    new.sweep = None;
    new.former = vec![old.as_former()];
    let rename = [renamed("Alicia", 80_000)];
    let decision = new.step(at(80_180), &listing(80_179, &["+K1", "+K2"]), &rename);
    let finding = decision.record.finding.unwrap();
    assert_eq!(finding.continues, Some(old.finding().id.clone()));
    assert_eq!(finding.opened_at, at(95), "the window continues");
    let outlived = new.step(at(95 + DAY), &listing(94 + DAY, &["+K1", "+K2"]), &[]);
    assert_eq!(outlived.record.finding.unwrap().severity, Severity::High);
}

#[test]
fn a_name_that_is_used_again_continues_nothing() {
    let mut old = Story::open();
    old.step(at(201), &no_such_user(200), &[renamed("other", 195)]);
    let mut new = alicia();
    new.former = vec![old.as_former()];
    let later = 90 * DAY;
    let decision = new.step(
        at(later + 1),
        &listing(later, &["+K3", "+K4"]),
        &[renamed("Alicia", later - 5)],
    );
    let finding = decision.record.finding.unwrap();
    assert_eq!((finding.continues, finding.opener), (None, None));
}

#[test]
fn evidence_on_a_key_moves_along_with_a_renaming() {
    let mut old = one_key();
    old.record.evidence = old
        .record
        .evidence
        .with_change(&user(), &by("carol", created("K2", 100)));
    let mut new = alicia();
    new.former = vec![old.as_former()];
    new.check(
        &dated_listing(200, &[("+K1", -1_000), ("+K2", 100)]),
        &[renamed("Alicia", 110)],
        "opened: confirmed HIGH +K1 +K2 since 100 by carol",
    );
    old.check(
        &no_such_user(200),
        &[renamed("Alicia", 110)],
        "nothing open; no such user, unexplained; again 5 65",
    );
}

#[test]
fn closing_as_renamed_after_a_refusal_leads_to_the_new_name() {
    let mut story = Story::open();
    story.step(at(201), &refused(200), &[renamed("Alicia", 195)]);
    story.step(at(1_201), &no_such_user(1_200), &[]);
    let decision = story.step(at(1_271), &no_such_user(1_270), &[]);
    assert_eq!(decision.outcome, Outcome::Closed);
    let alicia = UserId::new("111122223333", "alicia");
    assert_eq!(decision.follow_up, Some(alicia));
}

#[test]
fn an_entry_that_is_not_ours_is_passed_and_named() {
    let story = Story::open();
    let taken = story.record.audit.sequence + 3;
    let situation = Situation {
        record: &story.record,
        listing: &listing(300, &["+K1"]),
        changes: &[deleted("K2", 290)],
        already_recorded: &BTreeSet::new(),
        is_retry: false,
        former_users: &[],
        exemptions: &[],
        familiar: &[],
        sweep: None,
        unwatched: None,
        is_history: false,
        foreign_entry: Some(taken),
    };
    let decision = decide(&situation, &Policy::default(), at(301));
    let expected = [
        AuditKind::ForeignEntry,
        AuditKind::KeyDeleted,
        AuditKind::FindingClosed,
    ];
    assert_eq!(kinds(&decision), expected);
    assert_eq!(decision.audit[0].sequence, taken + 1);
    let places = format!("{} to {taken}", taken - 2);
    assert_eq!(decision.audit[0].draft.details["places"], places);
    assert!(decision.alert.is_some());
}

#[test]
fn root_finding_stays_open_if_the_report_may_predate_the_change() {
    let mut story = root();
    story.step(
        at(5),
        &report(-3_700, &["+access_key_1"]),
        &[of_root(created("K2", 0))],
    );
    for generated in [70, 3_599] {
        let decision = story.step(
            at(generated + 60),
            &report(generated, &["+access_key_1"]),
            &[],
        );
        assert_eq!(decision.outcome, Outcome::StillOpen, "{generated}");
    }
    let decision = story.step(at(9_000), &report(8_000, &["+access_key_1"]), &[]);
    assert_eq!(decision.outcome, Outcome::Closed);
}

#[test]
fn finding_of_an_unwatched_account_is_closed_and_announced() {
    for (unwatched, reason) in [
        (Unwatched::Left, "account left the organization"),
        (Unwatched::Excluded, "account excluded"),
    ] {
        let story = Story::open();
        let situation = Situation {
            record: &story.record,
            listing: &refused(500),
            changes: &[],
            already_recorded: &BTreeSet::new(),
            is_retry: true,
            former_users: &[],
            exemptions: &[],
            familiar: &[],
            sweep: None,
            unwatched: Some(unwatched),
            is_history: false,
            foreign_entry: None,
        };
        let decision = decide(&situation, &Policy::default(), at(501));
        assert_eq!(
            words(&decision),
            format!("closed: {reason} at 501; listing refused")
        );
        assert_eq!(decision.alert.unwrap().kind, AlertKind::Closed);
        let later = Situation {
            record: &decision.record,
            changes: &[created("K3", 490)],
            ..situation
        };
        let decision = decide(&later, &Policy::default(), at(600));
        assert_eq!(decision.outcome, Outcome::NothingOpen);
        assert_eq!(decision.rechecks, []);
    }
}

#[test]
fn reactivation_by_an_exempt_actor_hides_no_earlier_activator() {
    let events = [
        by("mallory", created("K2", 100)),
        by("mallory", updated("K2", KeyStatus::Inactive, 110)),
        by("farm", updated("K2", KeyStatus::Active, 120)),
    ];
    let listed = |second| dated_listing(second, &[("+K1", -1_000), ("+K2", 100)]);
    let batches: [Vec<Vec<usize>>; 4] = [
        vec![vec![0, 1, 2]],
        vec![vec![2], vec![1], vec![0]],
        vec![vec![0], vec![1], vec![2]],
        vec![vec![2, 0], vec![1]],
    ];
    for batches in batches {
        let mut story = one_key();
        story.exemptions = vec![exempting("farm")];
        let mut alerts = 0;
        for (batch, second) in batches.iter().zip((130..).step_by(2)) {
            let changes: Vec<KeyChange> =
                batch.iter().map(|place| events[*place].clone()).collect();
            let decision = story.step(at(second + 1), &listed(second), &changes);
            alerts += usize::from(decision.alert.is_some());
        }
        assert!(alerts > 0, "{batches:?}");
        assert_eq!(story.finding().status, FindingStatus::Open, "{batches:?}");
        let mallory = Some("arn:aws:iam::111122223333:user/mallory");
        assert!(
            story.finding().activators().contains(&mallory),
            "{batches:?}"
        );
    }
}

#[test]
fn brief_key_is_announced_while_listing_is_refused_in_any_batches() {
    let make = by("mallory", created("K2", 100));
    let delete = by("mallory", deleted("K2", 140));
    for batches in [
        vec![vec![make.clone(), delete.clone()]],
        vec![vec![make.clone()], vec![delete.clone()]],
        vec![vec![delete.clone()], vec![make.clone()]],
    ] {
        let mut story = Story::new();
        let mut opened = 0;
        for (batch, second) in batches.iter().zip((170..).step_by(5)) {
            let decision = story.step(at(second + 1), &refused(second), batch);
            opened += usize::from(decision.outcome == Outcome::Opened);
        }
        assert_eq!(opened, 1, "{batches:?}");
        assert_eq!(opener(&story).as_deref(), Some("mallory"));
        let closed = story.step(at(2_001), &listing(2_000, &["+K1"]), &[]);
        assert_eq!(closed.outcome, Outcome::Closed);
    }
}

#[test]
fn key_that_was_alone_is_not_news_during_a_later_refusal() {
    let mut story = Story::new();
    story.step(at(101), &listing(100, &["+K2"]), &[created("K2", 95)]);
    story.check(&listing(200, &[]), &[deleted("K2", 150)], "nothing open");
    let decision = story.step(at(1_001), &refused(1_000), &[]);
    assert_eq!(decision.outcome, Outcome::NothingOpen);
}

#[test]
fn key_with_a_missed_reactivation_has_an_unknown_activator() {
    let mut story = Story::new();
    story.check(&listing(0, &["-K1"]), &[], "nothing open");
    story.exemptions = vec![exempting("farm")];
    let made = [by("farm", created("K2", 100))];
    story.step(at(111), &listing(110, &["+K1", "+K2"]), &made);
    assert_eq!(story.finding().status, FindingStatus::Open);
    assert_eq!(story.finding().activators().last(), Some(&None));
}

#[test]
fn brief_key_is_announced_if_its_end_arrives_first() {
    let mut story = one_key();
    let ended = [deleted("K2", 110)];
    story.step(at(201), &dated_listing(200, &[("+K1", -1_000)]), &ended);
    let decision = story.step(at(211), &refused(210), &[created("K2", 100)]);
    assert!(decision.alert.is_some());
}

#[test]
fn two_stale_listings_in_a_row_clear_no_maker() {
    let mut story = Story::open();
    story.step(at(401), &listing(400, &["+K1", "+K2"]), &[]);
    for second in [430, 435] {
        story.step(at(second + 1), &listing(second, &["-K1", "+K2"]), &[]);
    }
    assert_eq!(story.record.below_two_at, None);
}

#[test]
fn update_without_effect_is_no_opener_after_a_day_of_refusals() {
    let mut story = Story::new();
    story.step(at(6), &refused(5), &[by("alice", created("K2", 4))]);
    let nothing = [by("eve", updated("K1", KeyStatus::Active, DAY + 4))];
    story.step(at(DAY + 6), &refused(DAY + 5), &nothing);
    assert_eq!(opener(&story).as_deref(), Some("alice"));
    let keys = &story.record.evidence.keys;
    assert!(keys.contains_key("K2"), "an open finding names it");
}

#[test]
fn key_changed_thrice_in_one_second_keeps_all_actors() {
    let mut story = one_key();
    story.exemptions = vec![exempting("alice")];
    let changes = [
        KeyChange {
            event_id: Some("1".to_owned()),
            ..by("alice", created("K2", 100))
        },
        KeyChange {
            event_id: Some("2".to_owned()),
            ..by("alice", updated("K2", KeyStatus::Inactive, 100))
        },
        KeyChange {
            event_id: Some("3".to_owned()),
            ..by("mallory", updated("K2", KeyStatus::Active, 100))
        },
    ];
    story.step(at(106), &listing(105, &["+K1", "+K2"]), &changes);
    let mallory = Some("arn:aws:iam::111122223333:user/mallory");
    assert!(story.finding().activators().contains(&mallory));
    assert_eq!(story.finding().status, FindingStatus::Open);
}

#[test]
fn stale_listing_clears_no_activator() {
    // The listing at 21 still shows K1 as it was before its deactivation at 19.
    let mut story = Story::new();
    story.step(at(22), &listing(21, &["+K1"]), &[]);
    let changes = [
        by("mallory", updated("K1", KeyStatus::Inactive, 19)),
        by("bob", created("K2", 20)),
        by("mallory", updated("K1", KeyStatus::Active, 21)),
    ];
    story.step(at(90), &listing(89, &["+K1", "+K2"]), &changes);
    let mallory = Some("arn:aws:iam::111122223333:user/mallory");
    assert!(story.finding().activators().contains(&mallory));
}

/// `K1` was active and `K2` inactive at 0. `K2` was activated at 100 and `K1` deactivated at 120,
/// which listings show from 300 on. The events arrive at the given seconds; a listing at 125 is
/// `early`.
fn swapped(early: &[&str], events: &[(i64, KeyChange)]) -> (Vec<Outcome>, Story) {
    let mut story = Story::new();
    story.check(&listing(0, &["+K1", "-K2"]), &[], "nothing open");
    let mut outcomes = Vec::new();
    for second in [125, 300, 399, 500, 600, 700, 800] {
        let coming = events.iter().filter(|(comes_at, _)| *comes_at == second);
        let changes: Vec<KeyChange> = coming.map(|(_, change)| change.clone()).collect();
        let listed = match second {
            125 => listing(second, early),
            _ => listing(second, &["-K1", "+K2"]),
        };
        let decision = story.step(at(second + 1), &listed, &changes);
        if decision.outcome != Outcome::NothingOpen {
            outcomes.push(decision.outcome);
        }
    }
    (outcomes, story)
}

#[test]
fn brief_overlap_by_reactivation_is_announced_in_any_order() {
    let on = by("mallory", updated("K2", KeyStatus::Active, 100));
    let off = updated("K1", KeyStatus::Inactive, 120);
    let seconds = [125, 300, 399, 500, 600];
    for (on_at, off_at) in seconds
        .into_iter()
        .flat_map(|one| seconds.map(|other| (one, other)))
    {
        // IAM is a few seconds behind.
        for early in [&["-K1", "+K2"], &["+K1", "-K2"], &["-K1", "-K2"]] {
            let label = format!("on at {on_at}, off at {off_at}, at 125 {early:?}");
            let (outcomes, story) = swapped(early, &[(on_at, on.clone()), (off_at, off.clone())]);
            assert!(outcomes.contains(&Outcome::Opened), "{label}");
            assert_eq!(outcomes.last(), Some(&Outcome::Closed), "{label}");
            let opener = story.finding().opener.as_ref().unwrap();
            assert_eq!(opener.actor.name.as_deref(), Some("mallory"), "{label}");
            assert_eq!(opener.inactive_since, Some(at(0)), "{label}");
        }
    }
}

#[test]
fn late_update_of_a_key_listed_as_active_takes_no_blame() {
    let mut story = Story::new();
    // The event that activated K2 before 100 is lost.
    for (second, listed) in [(0, ["+K1", "-K2"]), (100, ["+K1", "+K2"])] {
        story.step(at(second + 1), &listing(second, &listed), &[]);
    }
    let off = [updated("K1", KeyStatus::Inactive, 190)];
    let closed = story.step(at(261), &listing(260, &["-K1", "+K2"]), &off);
    assert_eq!(closed.outcome, Outcome::Closed);
    let nothing = [by("farm", updated("K2", KeyStatus::Active, 150))];
    story.check(&listing(400, &["-K1", "+K2"]), &nothing, "nothing open");
}

#[test]
fn listed_inactivity_is_dropped_when_it_no_longer_matters() {
    let mut story = Story::new();
    for second in [0, 10, 100] {
        story.step(at(second + 1), &listing(second, &["+K1", "-K2"]), &[]);
    }
    let since = |story: &Story| story.record.listed_inactive.get("K2").copied();
    let mut expected = ListedInactive {
        since: at(0),
        active_at: None,
    };
    assert_eq!(since(&story), Some(expected));
    // The listing in the middle may be staler than the first.
    for (second, listed) in [(300, "+K2"), (305, "-K2"), (365, "+K2")] {
        story.step(at(second + 1), &listing(second, &["-K1", listed]), &[]);
        expected.active_at = Some(at(300));
        assert_eq!(since(&story), Some(expected), "{second}");
    }
    story.step(at(DAY), &refused(DAY), &[]);
    assert_eq!(since(&story), Some(expected));
    story.step(at(DAY + 301), &listing(DAY + 300, &["-K1", "+K2"]), &[]);
    assert_eq!(since(&story), None);
    assert!(story.record.listed_inactive.contains_key("K1"));
    story.step(at(DAY + 401), &listing(DAY + 400, &["+K2"]), &[]);
    assert!(story.record.listed_inactive.is_empty());
}

/// Mallory's key came first. Then an admin, whose event is late, activated the other one, so the
/// admin made the pair, and it began then.
#[test]
fn a_late_event_corrects_the_opener_and_the_beginning() {
    let off = updated("K0", KeyStatus::Inactive, 2);
    let made = by("mallory", created("K3", 8));
    let on = by("admin", updated("K0", KeyStatus::Active, 23));
    let mut story = Story::new();
    story.step(at(1), &listing(0, &["+K0"]), &[]);
    story.step(at(3), &listing(3, &["+K0"]), &[off]);
    story.step(at(13), &listing(13, &["+K0"]), &[made]);
    assert!(story.record.open_finding().is_none());
    story.step(at(75), &listing(75, &["+K0", "+K3"]), &[]);
    let open = story.record.open_finding().unwrap();
    assert_eq!(open.opener.as_ref().unwrap().key, "K3");
    story.step(at(146), &listing(146, &["+K0", "+K3"]), &[on]);
    let open = story.record.open_finding().unwrap();
    let opener = open.opener.as_ref().unwrap();
    assert_eq!((opener.key.as_str(), open.opened_at), ("K0", at(23)));
    let joined: Vec<&str> = open
        .other_activations
        .iter()
        .map(|event| &*event.key)
        .collect();
    assert_eq!(joined, ["K3"], "its activator stays named");
}
