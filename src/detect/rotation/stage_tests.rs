//! The rules of a rotation, as tables.

use chrono::TimeDelta;

use crate::detect::decision::verdict::{ContainReason, Verdict, VerdictInput, verdict};
use crate::detect::findings::finding::FindingKey;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::records::user_record::UserRecord;
use crate::detect::rotation::inactivity::{
    DeletionBlocked, inactive_since, may_delete, statuses_in_changes, statuses_in_trail,
};
use crate::detect::rotation::stage::{
    DeactivationRefused, Progress, RotationKey, Stage, key_to_deactivate, stage,
};
use crate::detect::testing::{at, created, deleted, updated, user};
use crate::detect::trail::audit::ChainHead;
use crate::detect::trail::change_entry::append_change;
use crate::detect::usage::last_use::LastUsed;

const HOUR: i64 = 3_600;
const NOW: i64 = 100 * HOUR;
const SOAK: TimeDelta = TimeDelta::hours(48);

/// When a key was last used.
#[derive(Clone, Copy)]
enum Use {
    Unknown,
    Never,
    At(i64),
}
use Use::{At, Never, Unknown};

/// `+OLD` is active, `-OLD` inactive.
fn key(id: &str, made: i64, used: Use) -> RotationKey {
    let (sign, id) = id.split_at(1);
    RotationKey {
        key: FindingKey {
            id: id.to_owned(),
            status: if sign == "+" {
                KeyStatus::Active
            } else {
                KeyStatus::Inactive
            },
            created: Some(at(made)),
        },
        last_used: match used {
            Unknown => None,
            Never => Some(LastUsed::Never),
            At(second) => Some(LastUsed::At {
                at: at(second),
                service: Some("s3".to_owned()),
                region: None,
            }),
        },
    }
}

fn pair(old: Use, new: Use) -> [RotationKey; 2] {
    // Not sorted by age.
    [key("+NEW", 90 * HOUR, new), key("+OLD", 0, old)]
}

#[test]
fn each_stage_has_its_name() {
    let end = Some(at(NOW + 1));
    for (keys, window_ends_at, expected) in [
        (vec![], end, "no_keys"),
        (vec![key("-A", 0, Never)], end, "no_active_key"),
        (
            vec![key("-A", 0, Never), key("-B", 1, Never)],
            end,
            "no_active_key",
        ),
        (vec![key("+A", 0, Unknown)], end, "one_key"),
        (pair(At(NOW), Never).to_vec(), end, "started"),
        (pair(Never, Never).to_vec(), None, "started"),
        (pair(At(91 * HOUR), At(NOW)).to_vec(), end, "new_in_use"),
        (pair(Never, At(NOW)).to_vec(), end, "new_in_use"),
        (
            pair(At(NOW - HOUR + 1), At(NOW)).to_vec(),
            end,
            "both_in_use",
        ),
        (
            pair(At(95 * HOUR), At(92 * HOUR)).to_vec(),
            end,
            "both_in_use",
        ),
        (pair(Unknown, At(NOW)).to_vec(), end, "use_unknown"),
        (pair(At(NOW), Unknown).to_vec(), end, "use_unknown"),
        (pair(At(NOW), Never).to_vec(), Some(at(NOW)), "forgotten"),
        (
            vec![key("+NEW", 9, Never), key("-OLD", 0, Never)],
            end,
            "finished",
        ),
    ] {
        assert_eq!(
            stage(&keys, window_ends_at, at(NOW)).code(),
            expected,
            "{keys:?}"
        );
    }
}

#[test]
fn the_older_key_is_the_one_made_first_and_idle_since_its_last_use() {
    let keys = pair(At(91 * HOUR), At(NOW));
    let Stage::TwoActive {
        old,
        new,
        progress,
        is_overdue: is_forgotten,
    } = stage(&keys, None, at(NOW))
    else {
        panic!("two keys are active");
    };
    assert_eq!((old.key.id.as_str(), new.key.id.as_str()), ("OLD", "NEW"));
    assert_eq!(progress, Progress::OldIdle(Some(at(91 * HOUR))));
    assert!(!is_forgotten, "the end of the window is unknown");
}

/// What to deactivate among `keys`: the key, with `!` if its id must be typed, or why there is
/// none. The rotation window has ended.
fn retired(keys: &[RotationKey], chosen: Option<&str>) -> String {
    let plain: Vec<FindingKey> = keys.iter().map(|key| key.key.clone()).collect();
    let last_uses = keys
        .iter()
        .filter_map(|key| Some((key.key.id.clone(), key.last_used.clone()?)))
        .collect();
    let known = VerdictInput::of_keys(&plain, &last_uses, Some(at(NOW)));
    let verdict = verdict(&known, at(NOW));
    match key_to_deactivate(keys, chosen, verdict.as_ref()) {
        Ok(retirement) => {
            let typed = if retirement.needs_typed_id { "!" } else { "" };
            assert_ne!(retirement.key.key.id, retirement.remaining.key.id);
            assert_eq!(retirement.remaining.key.status, KeyStatus::Active);
            format!("{}{typed}", retirement.key.key.id)
        }
        Err(why) => match why {
            DeactivationRefused::NotTwoActive => "not two active".to_owned(),
            DeactivationRefused::NoSuchKey => "no such key".to_owned(),
            DeactivationRefused::NotActive => "not active".to_owned(),
            DeactivationRefused::Verdict(verdict) => format!("{verdict:?}"),
        },
    }
}

#[test]
fn without_a_choice_only_the_key_to_retire_goes() {
    for (old, new, expected) in [
        (At(95 * HOUR), At(NOW), "OLD"),
        (At(NOW), Never, "NEW"),
        (At(NOW - 600), At(NOW - 60), "Ask { reason: BothInUse }"),
        (Unknown, At(NOW), "Ask { reason: UseUnknown }"),
    ] {
        let keys = pair(old, new);
        assert_eq!(retired(&keys, None), expected, "{keys:?}");
    }
}

#[test]
fn a_key_to_contain_goes_only_by_name_and_needs_no_typing() {
    let keys = pair(At(NOW), At(NOW));
    let contain = Verdict::Contain {
        key: "NEW".to_owned(),
        reason: ContainReason::CreatedByUnfamiliar,
    };
    let by_itself = key_to_deactivate(&keys, None, Some(&contain));
    assert_eq!(
        by_itself,
        Err(DeactivationRefused::Verdict(contain.clone()))
    );
    for (chosen, is_to_be_typed) in [("NEW", false), ("OLD", true)] {
        let retirement = key_to_deactivate(&keys, Some(chosen), Some(&contain)).unwrap();
        assert_eq!(retirement.key.key.id, chosen);
        assert_eq!(retirement.needs_typed_id, is_to_be_typed);
    }
}

#[test]
fn chosen_key_must_be_typed_unless_it_is_less_used() {
    for (old, new, chosen, expected) in [
        (At(NOW), Never, "OLD", "OLD!"),
        (At(NOW), Never, "NEW", "NEW"),
        (At(95 * HOUR), At(NOW), "OLD", "OLD"),
        (At(95 * HOUR), At(NOW), "NEW", "NEW!"),
        (At(95 * HOUR), At(95 * HOUR), "OLD", "OLD!"),
        (Unknown, At(NOW), "OLD", "OLD!"),
        (Never, Unknown, "OLD", "OLD!"),
        (Unknown, Unknown, "NEW", "NEW!"),
        (Never, Never, "NEW", "NEW"),
        (At(NOW), Never, "WHO", "no such key"),
    ] {
        let keys = pair(old, new);
        assert_eq!(retired(&keys, Some(chosen)), expected, "{keys:?}");
    }
}

#[test]
fn the_only_active_key_never_goes() {
    let keys = [key("+NEW", 9, Never), key("-OLD", 0, Never)];
    assert_eq!(retired(&keys, None), "not two active");
    assert_eq!(retired(&keys, Some("NEW")), "not two active");
    assert_eq!(retired(&keys, Some("OLD")), "not active");
    assert_eq!(retired(&[], None), "not two active");
}

#[test]
fn key_is_deleted_only_if_known_to_be_inactive_and_unused() {
    let since = NOW - 48 * HOUR;
    let until = at(NOW + HOUR);
    for (id, used, said, expected) in [
        ("-OLD", Never, Some(since), Ok(at(since))),
        ("-OLD", At(since), Some(since), Ok(at(since))),
        ("+OLD", Never, Some(since), Err(DeletionBlocked::Active)),
        ("-OLD", Never, None, Err(DeletionBlocked::SinceUnknown)),
        (
            "-OLD",
            Unknown,
            Some(since),
            Err(DeletionBlocked::UseUnknown),
        ),
        (
            "-OLD",
            At(since + 1),
            Some(since),
            Err(DeletionBlocked::UsedSince {
                since: at(since),
                at: at(since + 1),
            }),
        ),
        (
            "-OLD",
            Never,
            Some(since + HOUR),
            Err(DeletionBlocked::Soaking {
                since: at(since + HOUR),
                until,
            }),
        ),
    ] {
        let since = said.map(at);
        assert_eq!(
            may_delete(&key(id, 0, used), since, SOAK, at(NOW)),
            expected
        );
    }
}

#[test]
fn key_is_inactive_since_the_latest_report_of_it() {
    use KeyStatus::{Active, Gone, Inactive};
    for (words, expected) in [
        (vec![], None),
        (vec![(1, Active)], None),
        (vec![(1, Active), (5, Inactive)], Some(5)),
        (vec![(5, Inactive), (1, Active)], Some(5)),
        (vec![(5, Inactive), (7, Active)], None),
        (vec![(5, Inactive), (7, Active), (9, Inactive)], Some(9)),
        // From the command and from CloudTrail, a second apart: the later time is the safer one.
        (vec![(5, Inactive), (6, Inactive)], Some(6)),
        (vec![(5, Inactive), (5, Active)], None),
        (vec![(5, Inactive), (6, Gone)], None),
    ] {
        let words: Vec<_> = words
            .into_iter()
            .map(|(second, status)| (at(second), status))
            .collect();
        assert_eq!(inactive_since(&words), expected.map(at), "{words:?}");
    }
}

#[test]
fn the_trail_and_the_events_say_the_same_of_a_key() {
    let changes = [
        created("K1", 1),
        created("K2", 2),
        updated("K1", KeyStatus::Inactive, 3),
        deleted("K2", 4),
    ];
    let mut record = UserRecord::new(user());
    assert_eq!(record.audit, ChainHead::default());
    let mut entries = vec![];
    for change in &changes {
        let (next, entry) = append_change(&record, change, at(9));
        record = next;
        entries.push(entry);
    }
    for (key, expected) in [("K1", Some(at(3))), ("K2", None), ("K3", None)] {
        let words = statuses_in_trail(&entries, key);
        assert_eq!(words, statuses_in_changes(&changes, key));
        assert_eq!(inactive_since(&words), expected);
    }
}
