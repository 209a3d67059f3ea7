//! The verdict's table, and what holds for every row.

use chrono::TimeDelta;
use proptest::prelude::*;

use crate::detect::decision::relation::Relation;
use crate::detect::decision::verdict::{Verdict, verdict_on};
use crate::detect::events::leak::{Leak, LeakSignal};
use crate::detect::findings::finding::{AppliedExemption, Finding, FindingStatus, KeyActivation};
use crate::detect::testing::{actor, at, finding_of};
use crate::detect::usage::last_use::{LastUsed, LastUses};
use crate::detect::user::UserId;

const HOUR: i64 = 3_600;
/// When the rotation window ends.
const END: i64 = 24 * HOUR;
const WITHIN: i64 = 10 * HOUR;
const AFTER: i64 = 30 * HOUR;

/// The user's keys: OLD, much older, and NEW, created at 0.
fn pair() -> Finding {
    finding_of(&[("OLD", Some(-1_000 * HOUR)), ("NEW", Some(0))])
}

fn made(key: &str, created: bool, relation: Option<Relation>) -> KeyActivation {
    KeyActivation {
        key: key.to_owned(),
        created,
        at: at(0),
        inactive_since: (!created).then(|| at(-HOUR)),
        actor: actor("bob"),
        relation,
        event_id: None,
    }
}

fn leak(key: Option<&str>, second: i64, signal: LeakSignal) -> Leak {
    Leak {
        key: key.map(str::to_owned),
        at: at(second),
        signal,
        event_id: None,
    }
}

/// `OLD:NEW` in seconds, `never` or `?`, before `now`.
fn uses(words: &str, now: i64) -> LastUses {
    let (old, new) = words.split_once(':').unwrap();
    [("OLD", old), ("NEW", new)]
        .into_iter()
        .filter_map(|(key, word)| {
            let used = match word {
                "?" => return None,
                "never" => LastUsed::Never,
                ago => LastUsed::At {
                    at: at(now) - TimeDelta::seconds(ago.parse().unwrap()),
                    service: None,
                    region: None,
                },
            };
            Some((key.to_owned(), used))
        })
        .collect()
}

/// The verdict in short: `retire OLD NeverUsed`.
fn short(verdict: Option<&Verdict>) -> String {
    match verdict {
        None => "none".to_owned(),
        Some(Verdict::Contain { key, reason }) => format!("contain {key} {reason:?}"),
        Some(Verdict::Retire { key, reason }) => format!("retire {key} {reason:?}"),
        Some(Verdict::Ask { reason }) => format!("ask {reason:?}"),
        Some(Verdict::InProgress {
            old, new, reason, ..
        }) => format!("wait {old}>{new} {reason:?}"),
    }
}

#[track_caller]
fn check(finding: &Finding, used: &str, now: i64, expected: &str) {
    let verdict = verdict_on(finding, &uses(used, now), at(END), at(now));
    assert_eq!(short(verdict.as_ref()), expected, "{used} at {now}");
}

#[test]
fn use_and_the_window_decide_if_no_other_rule_does() {
    for (used, within, after) in [
        (
            "60:never",
            "wait OLD>NEW NewNotUsed",
            "retire NEW NeverUsed",
        ),
        (
            "never:never",
            "wait OLD>NEW NewNotUsed",
            "retire OLD OlderOfUnused",
        ),
        ("never:60", "retire OLD NeverUsed", "retire OLD NeverUsed"),
        (
            "3600:60",
            "retire OLD LeastRecentlyUsed",
            "retire OLD LeastRecentlyUsed",
        ),
        ("3599:60", "wait OLD>NEW OldInUse", "ask BothInUse"),
        (
            "60:3600",
            "wait OLD>NEW OldInUse",
            "retire NEW LeastRecentlyUsed",
        ),
        ("60:60", "wait OLD>NEW OldInUse", "ask BothInUse"),
        ("9000:9000", "wait OLD>NEW OldInUse", "ask BothInUse"),
        ("?:60", "wait OLD>NEW UseUnknown", "ask UseUnknown"),
        ("60:?", "wait OLD>NEW UseUnknown", "ask UseUnknown"),
        ("?:never", "wait OLD>NEW UseUnknown", "ask UseUnknown"),
        ("?:?", "wait OLD>NEW UseUnknown", "ask UseUnknown"),
    ] {
        check(&pair(), used, WITHIN, within);
        check(&pair(), used, END, after);
        check(&pair(), used, AFTER, after);
    }
}

#[test]
fn nothing_is_retired_on_an_unconfirmed_view() {
    let finding = Finding {
        confirmed: false,
        ..pair()
    };
    check(&finding, "never:60", WITHIN, "wait OLD>NEW Unconfirmed");
    check(&finding, "never:60", AFTER, "ask Unconfirmed");
    let alone = Finding {
        confirmed: false,
        ..finding_of(&[("NEW", Some(0))])
    };
    check(&alone, "?:?", WITHIN, "ask Unconfirmed");
}

#[test]
fn without_ages_no_key_counts_as_the_new_one() {
    for created in [None, Some(0)] {
        let finding = finding_of(&[("NEW", created), ("OLD", created)]);
        check(&finding, "never:60", WITHIN, "ask AgeUnknown");
        check(&finding, "60:60", WITHIN, "ask BothInUse");
        check(&finding, "?:?", WITHIN, "ask UseUnknown");
        check(&finding, "never:never", AFTER, "ask AgeUnknown");
        check(&finding, "never:60", AFTER, "retire OLD NeverUsed");
    }
    // The event shows which key is new if a listing does not.
    let mut finding = finding_of(&[("NEW", None), ("OLD", None)]);
    finding.opener = Some(made("NEW", true, Some(Relation::Own)));
    check(&finding, "60:never", WITHIN, "wait OLD>NEW NewNotUsed");
}

#[test]
fn key_activated_by_an_unfamiliar_actor_is_contained_whatever_its_use() {
    for (key, created, expected) in [
        ("NEW", true, "contain NEW CreatedByUnfamiliar"),
        ("OLD", false, "contain OLD ReactivatedByUnfamiliar"),
    ] {
        let unfamiliar = Some(Relation::Unfamiliar);
        let by_opener = Finding {
            opener: Some(made(key, created, unfamiliar)),
            ..pair()
        };
        let by_joined = Finding {
            other_activations: vec![made(key, created, unfamiliar)],
            ..pair()
        };
        for finding in [by_opener, by_joined] {
            for used in ["60:never", "never:60", "?:?"] {
                check(&finding, used, WITHIN, expected);
                check(&finding, used, AFTER, expected);
            }
            let unconfirmed = Finding {
                confirmed: false,
                ..finding
            };
            check(&unconfirmed, "?:?", WITHIN, expected);
        }
    }
    for relation in [Relation::Own, Relation::Trusted, Relation::Familiar] {
        let finding = Finding {
            opener: Some(made("NEW", true, Some(relation))),
            ..pair()
        };
        check(&finding, "60:never", WITHIN, "wait OLD>NEW NewNotUsed");
    }
}

#[test]
fn reactivation_by_a_familiar_actor_removes_the_contain_verdict() {
    let friend = KeyActivation {
        at: at(5),
        ..made("NEW", false, Some(Relation::Own))
    };
    let finding = Finding {
        opener: Some(friend),
        other_activations: vec![made("NEW", true, Some(Relation::Unfamiliar))],
        ..pair()
    };
    check(&finding, "60:60", WITHIN, "wait OLD>NEW OldInUse");
}

#[test]
fn of_two_keys_by_an_unfamiliar_actor_the_later_one_goes() {
    let unfamiliar = Some(Relation::Unfamiliar);
    let earlier = KeyActivation {
        at: at(-5),
        ..made("OLD", false, unfamiliar)
    };
    let finding = Finding {
        opener: Some(made("NEW", true, unfamiliar)),
        other_activations: vec![earlier],
        ..pair()
    };
    check(&finding, "60:60", WITHIN, "contain NEW CreatedByUnfamiliar");
}

#[test]
fn a_leaked_key_goes_whichever_is_newer() {
    use LeakSignal::{Exposed, ExposureSuspected, Quarantine};
    for (leaks, expected) in [
        (
            vec![leak(Some("OLD"), -1, Exposed)],
            "contain OLD Leaked(Exposed)",
        ),
        (
            vec![leak(Some("NEW"), 1, Exposed)],
            "contain NEW Leaked(Exposed)",
        ),
        (
            vec![leak(Some("NEW"), 1, ExposureSuspected)],
            "contain NEW Leaked(ExposureSuspected)",
        ),
        (
            vec![leak(Some("OLD"), -1, Quarantine)],
            "contain OLD Leaked(Quarantine)",
        ),
        // It is unknown which of the keys that existed then leaked.
        (vec![leak(None, -1, Quarantine)], "ask OneLeaked"),
        (
            vec![leak(None, -2_000 * HOUR, Quarantine)],
            "wait OLD>NEW NewNotUsed",
        ),
        (vec![leak(None, 1, Quarantine)], "ask OneLeaked"),
        (
            vec![leak(None, 1, Quarantine), leak(Some("OLD"), 2, Exposed)],
            "contain OLD Leaked(Exposed)",
        ),
        (
            vec![leak(Some("GONE"), 1, Exposed)],
            "wait OLD>NEW NewNotUsed",
        ),
    ] {
        let finding = Finding { leaks, ..pair() };
        check(&finding, "60:never", WITHIN, expected);
    }
}

#[test]
fn of_two_leaked_keys_the_one_that_nothing_uses_goes_first() {
    let leaks = vec![
        leak(Some("OLD"), 1, LeakSignal::Exposed),
        leak(Some("NEW"), 1, LeakSignal::Exposed),
    ];
    let finding = Finding { leaks, ..pair() };
    check(&finding, "60:never", AFTER, "contain NEW Leaked(Exposed)");
    check(&finding, "9000:60", AFTER, "contain OLD Leaked(Exposed)");
}

#[test]
fn root_and_dormant_keys_are_for_a_person_to_decide() {
    let mut root = pair();
    root.id.user = UserId::root("111122223333");
    check(&root, "never:60", WITHIN, "ask Root");
    check(&root, "never:60", AFTER, "ask Root");
    let dormant = KeyActivation {
        inactive_since: Some(at(-31 * 24 * HOUR)),
        ..made("OLD", false, Some(Relation::Own))
    };
    let finding = Finding {
        opener: Some(dormant),
        ..pair()
    };
    check(&finding, "60:never", WITHIN, "ask Dormant");
}

#[test]
fn an_exemption_leaves_both_keys_until_it_ends_or_one_leaks() {
    let exempt = |id: &str| Finding {
        status: FindingStatus::Suppressed,
        exemption: Some(AppliedExemption {
            id: id.to_owned(),
            owner: "x".to_owned(),
            reason: "x".to_owned(),
            created_at: at(0),
            until: at(100 * HOUR),
        }),
        opener: Some(made("NEW", true, Some(Relation::Unfamiliar))),
        ..pair()
    };
    check(&exempt("farm"), "never:60", AFTER, "wait OLD>NEW Exempt");
    // An exemption by `rotate start` is a longer window.
    check(
        &exempt("rotation-x"),
        "60:never",
        AFTER,
        "wait OLD>NEW NewNotUsed",
    );
    check(
        &exempt("rotation-x"),
        "never:60",
        AFTER,
        "retire OLD NeverUsed",
    );
    let leaked = Finding {
        leaks: vec![leak(Some("OLD"), 1, LeakSignal::Exposed)],
        ..exempt("farm")
    };
    check(&leaked, "60:60", AFTER, "contain OLD Leaked(Exposed)");
}

#[test]
fn a_closed_finding_has_no_verdict() {
    let closed = Finding {
        status: FindingStatus::Closed,
        ..pair()
    };
    check(&closed, "never:60", AFTER, "none");
}

fn a_use() -> impl Strategy<Value = Option<LastUsed>> {
    prop_oneof![
        Just(None),
        Just(Some(LastUsed::Never)),
        (-50 * HOUR..AFTER).prop_map(|second| {
            Some(LastUsed::At {
                at: at(second),
                service: None,
                region: None,
            })
        }),
    ]
}

fn a_leak() -> impl Strategy<Value = Leak> {
    let key = prop_oneof![Just(None), Just(Some("OLD")), Just(Some("NEW"))];
    let signal = prop_oneof![
        Just(LeakSignal::Quarantine),
        Just(LeakSignal::Exposed),
        Just(LeakSignal::ExposureSuspected),
    ];
    (key, -10..10_i64, signal).prop_map(|(key, second, signal)| leak(key, second, signal))
}

fn a_maker() -> impl Strategy<Value = KeyActivation> {
    let relation = prop_oneof![
        Just(None),
        Just(Some(Relation::Own)),
        Just(Some(Relation::Trusted)),
        Just(Some(Relation::Familiar)),
        Just(Some(Relation::Unfamiliar)),
    ];
    let key = prop_oneof![Just("OLD"), Just("NEW")];
    (key, any::<bool>(), relation, -5..5_i64).prop_map(|(key, created, relation, second)| {
        KeyActivation {
            at: at(second),
            ..made(key, created, relation)
        }
    })
}

fn a_finding() -> impl Strategy<Value = Finding> {
    (
        proptest::option::of(a_maker()),
        proptest::collection::vec(a_maker(), 0..3),
        proptest::collection::vec(a_leak(), 0..3),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(opener, joined, leaks, confirmed, is_root)| {
            let mut finding = Finding {
                confirmed,
                opener,
                other_activations: joined,
                leaks,
                ..pair()
            };
            if is_root {
                finding.id.user = UserId::root("111122223333");
            }
            finding
        })
}

/// How strongly a verdict calls for action. If it is unknown which key leaked, a person must decide
/// before any key is deactivated.
fn strength(verdict: Option<&Verdict>) -> u8 {
    match verdict {
        None => 0,
        Some(Verdict::InProgress { .. }) => 1,
        Some(Verdict::Retire { .. } | Verdict::Ask { .. }) => 2,
        Some(Verdict::Contain { .. }) => 3,
    }
}

proptest! {
    #[test]
    fn a_verdict_names_an_active_key_or_none(
        finding in a_finding(), old in a_use(), new in a_use(), now in 0..AFTER,
    ) {
        let uses = [("OLD", old), ("NEW", new)];
        let uses: LastUses = uses.into_iter().filter_map(|(key, used)| Some((key.to_owned(), used?))).collect();
        let verdict = verdict_on(&finding, &uses, at(END), at(now));
        prop_assert!(verdict.is_some());
        if let Some(key) = verdict.as_ref().and_then(Verdict::key) {
            prop_assert!(finding.active_keys().any(|active| active == key));
        }
    }

    #[test]
    fn unknown_use_never_counts_as_never(finding in a_finding(), other in a_use(), now in 0..AFTER) {
        for (unknown, known) in [("OLD", "NEW"), ("NEW", "OLD")] {
            let uses: LastUses = other.clone().map(|used| (known.to_owned(), used)).into_iter().collect();
            prop_assert!(!uses.contains_key(unknown));
            let verdict = verdict_on(&finding, &uses, at(END), at(now));
            let is_retired = matches!(verdict, Some(Verdict::Retire { .. }));
            prop_assert!(!is_retired, "{verdict:?}");
        }
    }

    #[test]
    fn a_leak_signal_never_makes_the_verdict_milder(
        finding in a_finding(), more in a_leak(), old in a_use(), new in a_use(), now in 0..AFTER,
    ) {
        let uses = [("OLD", old), ("NEW", new)];
        let uses: LastUses = uses.into_iter().filter_map(|(key, used)| Some((key.to_owned(), used?))).collect();
        let before = verdict_on(&finding, &uses, at(END), at(now));
        let mut leaks = finding.leaks.clone();
        leaks.push(more.clone());
        let finding = Finding { leaks, ..finding };
        let after = verdict_on(&finding, &uses, at(END), at(now));
        prop_assert!(strength(after.as_ref()) >= strength(before.as_ref()), "{before:?} {after:?}");
        if more.key.is_some() {
            prop_assert!(matches!(after, Some(Verdict::Contain { .. })), "{after:?}");
        }
    }
}
