//! What to believe about a user's keys, and when a view is settled.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::detect::decision::policy::Policy;
use crate::detect::events::key_change::KeyChange;
use crate::detect::keys::evidence::Evidence;
use crate::detect::keys::listing::{AccessKey, KeyListing, KeyStatus};
use crate::detect::keys::view::{View, is_explained, view};
use crate::detect::records::user_record::{LastListing, UserRecord};
use crate::detect::testing::{
    at, by, change, created, deleted, listing, no_such_user, refused, renamed, report, signed,
    updated, user, user_deleted,
};

fn evidence(changes: &[KeyChange]) -> Evidence {
    changes
        .iter()
        .fold(Evidence::default(), |evidence, change| {
            evidence.with_change(&user(), change)
        })
}

fn nothing_known() -> UserRecord {
    UserRecord::new(user())
}

/// The record of a user whose last listing was requested at `second`.
fn last_listed(second: i64, keys: &[&str]) -> UserRecord {
    let last = listing(second, keys);
    UserRecord {
        last_listing: Some(LastListing {
            requested_at: at(second),
            keys: last
                .keys()
                .map(|(id, key)| (id.clone(), key.status))
                .collect(),
        }),
        ..nothing_known()
    }
}

fn words(view: &View) -> String {
    let keys = view.keys.iter().map(|(id, key)| match key.status {
        KeyStatus::Active => format!("+{id}"),
        KeyStatus::Inactive => format!("-{id}"),
        KeyStatus::Gone => format!("~{id}"),
    });
    let keys = keys.collect::<Vec<_>>().join(" ");
    let reasons: Vec<&str> = view.unsettled.iter().map(|reason| reason.words()).collect();
    if reasons.is_empty() {
        format!("{keys}; settled")
    } else {
        format!("{keys}; {}", reasons.join(", "))
    }
}

/// Describes the view: its keys, `+` active, `-` inactive and `~` gone, and whether it is settled,
/// or why not.
fn check(record: &UserRecord, changes: &[KeyChange], listing: &KeyListing, expected: &str) {
    let view = view(
        record,
        &evidence(changes),
        listing,
        Policy::default().consistency_window,
    );
    assert_eq!(words(&view), expected);
}

#[test]
fn without_evidence_the_listing_is_the_view() {
    check(
        &nothing_known(),
        &[],
        &listing(100, &["+K1", "-K2"]),
        "+K1 -K2; settled",
    );
    check(&nothing_known(), &[], &listing(100, &[]), "; settled");
}

#[test]
fn fresh_evidence_that_contradicts_the_listing_wins() {
    for (changes, keys, expected) in [
        (created("K2", 99), vec!["+K1"], "+K1 +K2"),
        (deleted("K2", 99), vec!["+K1", "+K2"], "+K1 ~K2"),
        (
            updated("K2", KeyStatus::Inactive, 99),
            vec!["+K1", "+K2"],
            "+K1 -K2",
        ),
        (
            updated("K2", KeyStatus::Active, 99),
            vec!["+K1", "-K2"],
            "+K1 +K2",
        ),
    ] {
        check(
            &nothing_known(),
            &[changes],
            &listing(100, &keys),
            &format!("{expected}; listing behind events"),
        );
    }
}

/// The key that signs a change is active, whether the keys can be listed or not.
#[test]
fn a_key_that_signed_a_change_was_active_then() {
    let made = signed("AKIA1", created("AKIA2", 99));
    let blind = "listing behind events, listing refused";
    for (record, listing, expected) in [
        (
            nothing_known(),
            refused(100),
            format!("+AKIA1 +AKIA2; {blind}"),
        ),
        (
            last_listed(50, &["-AKIA1"]),
            refused(100),
            format!("+AKIA1 +AKIA2; {blind}"),
        ),
        (
            nothing_known(),
            listing(100, &["-AKIA1", "+AKIA2"]),
            "+AKIA1 +AKIA2; listing behind events".to_owned(),
        ),
        (
            nothing_known(),
            listing(100, &["+AKIA1", "+AKIA2"]),
            "+AKIA1 +AKIA2; settled".to_owned(),
        ),
        (
            nothing_known(),
            listing(159, &["-AKIA1", "+AKIA2"]),
            "-AKIA1 +AKIA2; settled".to_owned(),
        ),
    ] {
        check(&record, std::slice::from_ref(&made), &listing, &expected);
    }
}

#[test]
fn use_of_a_just_deactivated_key_or_by_other_users_is_ignored() {
    let made = signed("AKIA1", created("AKIA2", 99));
    let off = |second| updated("AKIA1", KeyStatus::Inactive, second);
    for (changes, expected) in [
        (vec![off(-201), made.clone()], "+AKIA1 +AKIA2"),
        (vec![off(-200), made.clone()], "-AKIA1 +AKIA2"),
        (vec![made.clone(), off(99)], "-AKIA1 +AKIA2"),
        (vec![deleted("AKIA1", 98), made.clone()], "+AKIA2"),
        (vec![made.clone(), user_deleted(100)], ""),
        (vec![by("bob", created("AKIA2", 99))], "+AKIA2"),
    ] {
        let view = view(
            &nothing_known(),
            &evidence(&changes),
            &refused(101),
            Policy::default().consistency_window,
        );
        let shown = words(&view);
        let keys = shown.split(';').next().unwrap_or_default();
        assert_eq!(keys, expected);
    }
    check(
        &nothing_known(),
        &[made],
        &report(200, &["+slot 1", "-slot 2"]),
        "+AKIA2 +slot 1 -slot 2; listing behind events",
    );
}

#[test]
fn fresh_evidence_that_agrees_leaves_the_view_settled() {
    check(
        &nothing_known(),
        &[created("K2", 99)],
        &listing(100, &["+K1", "+K2"]),
        "+K1 +K2; settled",
    );
    check(
        &nothing_known(),
        &[deleted("K2", 99)],
        &listing(100, &["+K1"]),
        "+K1; settled",
    );
}

#[test]
fn evidence_younger_than_the_window_at_the_request_is_fresh() {
    let unseen = [created("K2", 40)];
    check(
        &nothing_known(),
        &unseen,
        &listing(99, &["+K1"]),
        "+K1 +K2; listing behind events",
    );
    check(
        &nothing_known(),
        &unseen,
        &listing(100, &["+K1"]),
        "+K1; settled",
    );
}

#[test]
fn evidence_later_than_the_listing_is_fresh() {
    check(
        &nothing_known(),
        &[created("K2", 150)],
        &listing(100, &["+K1"]),
        "+K1 +K2; listing behind events",
    );
}

#[test]
fn contradicting_events_keep_the_listing_unsettled() {
    let contradiction = [
        updated("K2", KeyStatus::Active, 99),
        updated("K2", KeyStatus::Inactive, 99),
    ];
    for keys in [["+K1", "+K2"], ["+K1", "-K2"]] {
        check(
            &nothing_known(),
            &contradiction,
            &listing(100, &keys),
            &format!(
                "{}; events of one second contradict each other",
                keys.join(" ")
            ),
        );
    }
    check(
        &nothing_known(),
        &contradiction,
        &listing(159, &["+K1", "-K2"]),
        "+K1 -K2; settled",
    );
}

#[test]
fn fresh_deletion_of_the_user_removes_every_listed_key() {
    check(
        &nothing_known(),
        &[user_deleted(99)],
        &listing(100, &["+K1", "-K2"]),
        "~K1 ~K2; listing behind events",
    );
    check(
        &nothing_known(),
        &[renamed("alicia", 99)],
        &listing(100, &["+K1", "-K2"]),
        "~K1 ~K2; listing behind events",
    );
    check(
        &nothing_known(),
        &[user_deleted(40)],
        &listing(100, &["+K1", "-K2"]),
        "+K1 -K2; settled",
    );
}

#[test]
fn key_created_before_the_users_deletion_is_gone() {
    check(
        &nothing_known(),
        &[created("K2", 98), user_deleted(99)],
        &listing(100, &["+K1"]),
        "~K1; listing behind events",
    );
}

#[test]
fn key_created_after_the_users_deletion_means_the_name_is_reused() {
    check(
        &nothing_known(),
        &[user_deleted(90), created("K3", 95)],
        &listing(100, &["+K3"]),
        "+K3; settled",
    );
}

#[test]
fn rename_to_another_spelling_changes_nothing() {
    check(
        &nothing_known(),
        &[renamed("ALICE", 99)],
        &listing(100, &["+K1"]),
        "+K1; settled",
    );
}

#[test]
fn a_listing_that_differs_from_one_shortly_before_is_unsettled() {
    let changed = "listing changed without an event";
    for (before, after) in [
        (vec!["+K1", "+K2"], vec!["+K1"]),
        (vec!["+K1"], vec!["+K1", "+K2"]),
        (vec!["+K1"], vec!["-K1"]),
        (vec!["-K1"], vec!["+K1"]),
    ] {
        let record = last_listed(50, &before);
        let keys = after.join(" ");
        check(
            &record,
            &[],
            &listing(109, &after),
            &format!("{keys}; {changed}"),
        );
        check(
            &record,
            &[],
            &listing(110, &after),
            &format!("{keys}; settled"),
        );
    }
}

#[test]
fn only_a_later_event_with_that_status_explains_a_change() {
    let record = last_listed(50, &["+K1", "+K2"]);
    let unexplained = "+K1; listing changed without an event";
    let now = listing(60, &["+K1"]);
    check(&record, &[deleted("K2", 51)], &now, "+K1; settled");
    check(&record, &[deleted("K2", 50)], &now, unexplained);
    check(&record, &[deleted("K2", 49)], &now, unexplained);
    check(
        &record,
        &[updated("K2", KeyStatus::Inactive, 55)],
        &listing(60, &["+K1", "-K2"]),
        "+K1 -K2; settled",
    );
    check(
        &record,
        &[updated("K1", KeyStatus::Active, 55)],
        &now,
        unexplained,
    );
}

#[test]
fn the_end_of_the_user_explains_that_its_keys_are_gone() {
    let record = last_listed(50, &["+K1", "+K2"]);
    check(&record, &[user_deleted(55)], &no_such_user(60), "; settled");
    for not_later in [49, 50] {
        check(
            &record,
            &[user_deleted(not_later)],
            &no_such_user(60),
            "; listing changed without an event",
        );
    }
}

#[test]
fn no_such_user_is_unsettled_without_fresh_evidence() {
    let unexplained = "; no such user, unexplained";
    check(&nothing_known(), &[], &no_such_user(100), unexplained);
    check(
        &nothing_known(),
        &[user_deleted(41)],
        &no_such_user(100),
        "; settled",
    );
    check(
        &nothing_known(),
        &[renamed("alicia", 41)],
        &no_such_user(100),
        "; settled",
    );
    check(
        &nothing_known(),
        &[user_deleted(40)],
        &no_such_user(100),
        unexplained,
    );
    check(
        &nothing_known(),
        &[user_deleted(90), created("K1", 95)],
        &no_such_user(100),
        "+K1; listing behind events, no such user, unexplained",
    );
}

#[test]
fn no_such_user_repeated_for_the_window_is_settled() {
    let record = UserRecord {
        no_such_user_since: Some(at(40)),
        ..nothing_known()
    };
    check(
        &record,
        &[],
        &no_such_user(99),
        "; no such user, unexplained",
    );
    check(&record, &[], &no_such_user(100), "; settled");
}

#[test]
fn refused_listing_falls_back_to_the_last_listing_and_later_events() {
    let record = last_listed(50, &["+K1", "-K2"]);
    check(&record, &[], &refused(10_000), "+K1 -K2; listing refused");
    check(
        &record,
        &[updated("K2", KeyStatus::Active, -10)],
        &refused(10_000),
        "+K1 -K2; listing refused",
    );
    for unseen in [-9, 49, 5_000] {
        check(
            &record,
            &[updated("K2", KeyStatus::Active, unseen)],
            &refused(10_000),
            "+K1 +K2; listing behind events, listing refused",
        );
    }
    check(
        &nothing_known(),
        &[created("K1", 1)],
        &refused(10_000),
        "+K1; listing behind events, listing refused",
    );
}

#[test]
fn events_after_a_report_add_keys_and_remove_none() {
    let old = report(4_000, &["+access_key_1", "-access_key_2"]);
    check(
        &nothing_known(),
        &[created("K", 400)],
        &old,
        "+access_key_1 -access_key_2; settled",
    );
    // A report's rows may have been read up to an hour before it was finished.
    for second in [401, 3_999, 4_000, 4_001] {
        check(
            &nothing_known(),
            &[created("K", second)],
            &old,
            "+K +access_key_1 -access_key_2; listing behind events",
        );
    }
    check(
        &nothing_known(),
        &[deleted("K", 4_001)],
        &old,
        "+access_key_1 -access_key_2; listing behind events",
    );
}

#[test]
fn key_already_in_a_report_slot_is_not_counted_twice() {
    let slots = BTreeMap::from([(
        "access_key_1".to_owned(),
        AccessKey {
            status: KeyStatus::Active,
            created: Some(at(98)),
        },
    )]);
    check(
        &nothing_known(),
        &[created("K", 99)],
        &KeyListing::from_report(at(120), slots),
        "+access_key_1; listing behind events",
    );
}

fn check_explained(change: &KeyChange, later: &[KeyChange], listing: &KeyListing, expected: bool) {
    let evidence = later.iter().fold(
        Evidence::default().with_change(&user(), change),
        |evidence, later| evidence.with_change(&user(), later),
    );
    assert_eq!(is_explained(change, &evidence, listing), expected);
}

#[test]
fn an_event_is_explained_by_the_listing_or_by_a_later_event() {
    let one = created("K2", 10);
    let unseen = listing(1_000, &["+K1"]);
    check_explained(&one, &[], &listing(1_000, &["+K1", "+K2"]), true);
    check_explained(&one, &[], &unseen, false);
    check_explained(&one, &[deleted("K2", 20)], &unseen, true);
    check_explained(&one, &[deleted("K2", 9)], &unseen, false);
    check_explained(&one, &[user_deleted(20)], &no_such_user(1_000), true);
    check_explained(&one, &[created("K3", 20)], &unseen, false);
    check_explained(&deleted("K2", 10), &[], &unseen, true);
    check_explained(&deleted("K2", 10), &[], &listing(1_000, &["+K2"]), false);
    check_explained(&one, &[], &report(10_000, &[]), true);
    check_explained(&one, &[], &report(11, &[]), true);
    for not_later in [9, 10] {
        check_explained(&one, &[], &report(not_later, &[]), false);
    }
}

#[test]
fn the_end_of_a_user_that_still_has_keys_is_not_explained() {
    for end in [user_deleted(10), renamed("alicia", 10)] {
        check_explained(&end, &[], &no_such_user(1_000), true);
        check_explained(&end, &[], &listing(1_000, &["+K1"]), false);
        check_explained(&end, &[created("K1", 20)], &listing(1_000, &["+K1"]), true);
        let last_key = deleted("K1", 10);
        check_explained(&last_key, &[end], &listing(1_000, &["+K1"]), false);
    }
}

fn any_change() -> impl Strategy<Value = KeyChange> {
    (0..7, prop::sample::select(vec!["K1", "K2"]), 0..4_i64).prop_map(|(kind, key, second)| {
        match kind {
            0 => created(key, second),
            1 => updated(key, KeyStatus::Active, second),
            2 => updated(key, KeyStatus::Inactive, second),
            3 => deleted(key, second),
            4 => user_deleted(second),
            5 => renamed("alicia", second),
            _ => renamed("ALICE", second),
        }
    })
}

fn changes_and_a_shuffle_with_repeats() -> impl Strategy<Value = (Vec<KeyChange>, Vec<KeyChange>)> {
    prop::collection::vec(any_change(), 1..7).prop_flat_map(|changes| {
        let repeats = prop::collection::vec(prop::sample::select(changes.clone()), 0..5);
        (Just(changes), repeats).prop_flat_map(|(changes, repeats)| {
            let all = [changes.clone(), repeats].concat();
            (Just(changes), Just(all).prop_shuffle())
        })
    })
}

proptest! {
    // A failure prints its smallest case; nothing is written to disk.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evidence_is_the_same_in_any_order_and_number(
        (changes, shuffled) in changes_and_a_shuffle_with_repeats()
    ) {
        let states = |evidence: &Evidence| {
            let keys: BTreeMap<_, _> = evidence
                .keys
                .iter()
                .map(|(id, known)| (id.clone(), (known.status(), known.at())))
                .collect();
            let user = evidence.user.as_ref().map(|user| (user.state.clone(), user.at));
            (keys, user)
        };
        prop_assert_eq!(states(&evidence(&changes)), states(&evidence(&shuffled)));
    }

    #[test]
    fn the_view_is_the_same_for_any_order_of_events(
        (changes, shuffled) in changes_and_a_shuffle_with_repeats()
    ) {
        let now = listing(5, &["+K1", "-K2"]);
        let consistency_window = Policy::default().consistency_window;
        let view_of = |changes: &[KeyChange]| {
            view(&nothing_known(), &evidence(changes), &now, consistency_window)
        };
        prop_assert_eq!(view_of(&changes), view_of(&shuffled));
    }

    #[test]
    fn start_and_end_of_an_active_period_are_known_in_any_order(
        (told, shuffled) in prop::collection::btree_map(0..100_i64, any::<bool>(), 1..6)
            .prop_flat_map(|told| {
                let order = told.clone().into_iter().collect::<Vec<_>>();
                (Just(told), Just(order).prop_shuffle())
            })
    ) {
        let changes: Vec<KeyChange> = shuffled
            .into_iter()
            .map(|(second, active)| {
                let status = if active { KeyStatus::Active } else { KeyStatus::Inactive };
                updated("K", status, second)
            })
            .collect();
        let known = evidence(&changes).keys["K"].clone();
        let (mut is_active, mut began, mut ended) = (false, None, None);
        for (second, active) in &told {
            if *active && !is_active {
                (began, ended) = (Some(at(*second)), None);
            } else if !active {
                ended = ended.or(Some(at(*second)));
            }
            is_active = *active;
        }
        prop_assert_eq!(known.activation().map(|activation| activation.at), began);
        prop_assert_eq!(known.end().map(|end| end.at), ended);
    }
}

#[test]
fn a_late_activation_does_not_hide_what_ended_the_key_after_it() {
    // CloudTrail delivers the second activation last; the key has been inactive since second 9.
    let known = evidence(&[
        created("K", 1),
        updated("K", KeyStatus::Inactive, 5),
        updated("K", KeyStatus::Inactive, 9),
        updated("K", KeyStatus::Active, 7),
    ]);
    let key = &known.keys["K"];
    assert_eq!((key.status(), key.at()), (Some(KeyStatus::Inactive), at(9)));
    assert_eq!(key.end().map(|end| end.at), Some(at(9)));
}

#[test]
fn evidence_on_a_change_without_a_key_speaks_of_the_user_only() {
    let known = evidence(&[change(
        crate::detect::events::key_change::ChangeKind::UserDeleted,
        1,
    )]);
    assert!(known.keys.is_empty());
    assert!(known.user.unwrap().is_gone());
}
