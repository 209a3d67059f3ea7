//! Test vocabulary of the core: one user, and seconds from an arbitrary start.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::{FamiliarActor, identity};
use crate::detect::decision::severity::Severity;
use crate::detect::events::actor::Actor;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::events::leak::LeakSignal;
use crate::detect::findings::finding::{Finding, FindingId, FindingKey, FindingStatus, FoundBy};
use crate::detect::keys::listing::{AccessKey, KeyListing, KeyStatus, PageResult, PartialListing};
use crate::detect::user::UserId;

pub(crate) fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(second)
}

/// The number of seconds from the start to `time`.
pub(crate) fn second(time: Timestamp) -> i64 {
    (time - at(0)).num_seconds()
}

pub(crate) fn user() -> UserId {
    UserId::new("111122223333", "alice")
}

pub(crate) fn change(kind: ChangeKind, second: i64) -> KeyChange {
    KeyChange {
        id: format!("{kind:?} at {second}"),
        event_id: Some(format!("event-{second}")),
        corrects: None,
        at: at(second),
        user: user(),
        user_name: "Alice".to_owned(),
        kind,
        actor: actor("bob"),
        region: Some("us-east-1".to_owned()),
    }
}

pub(crate) fn actor(name: &str) -> Actor {
    Actor {
        kind: Some("IAMUser".to_owned()),
        arn: Some(format!("arn:aws:iam::111122223333:user/{name}")),
        name: Some(name.to_owned()),
        account: Some("111122223333".to_owned()),
        ..Actor::default()
    }
}

pub(crate) fn created(key: &str, second: i64) -> KeyChange {
    let (key, status) = (key.to_owned(), KeyStatus::Active);
    change(ChangeKind::KeyCreated { key, status }, second)
}

pub(crate) fn updated(key: &str, status: KeyStatus, second: i64) -> KeyChange {
    let key = key.to_owned();
    change(ChangeKind::KeyUpdated { key, status }, second)
}

pub(crate) fn deleted(key: &str, second: i64) -> KeyChange {
    change(
        ChangeKind::KeyDeleted {
            key: key.to_owned(),
        },
        second,
    )
}

pub(crate) fn user_deleted(second: i64) -> KeyChange {
    change(ChangeKind::UserDeleted, second)
}

/// A report at `second` that `key` leaked. A quarantine does not name a key.
pub(crate) fn leaked(key: Option<&str>, signal: LeakSignal, second: i64) -> KeyChange {
    let key = key.map(ToOwned::to_owned);
    change(ChangeKind::KeyLeaked { key, signal }, second)
}

pub(crate) fn renamed(to_name: &str, second: i64) -> KeyChange {
    let to = UserId::new("111122223333", to_name);
    let to_name = to_name.to_owned();
    change(ChangeKind::UserRenamed { to, to_name }, second)
}

/// `change`, made by the IAM user `name`. The default is `bob`.
pub(crate) fn by(name: &str, change: KeyChange) -> KeyChange {
    KeyChange {
        actor: actor(name),
        ..change
    }
}

/// `change`, signed with `key`, a long-term key of alice.
pub(crate) fn signed(key: &str, change: KeyChange) -> KeyChange {
    let access_key_id = Some(key.to_owned());
    KeyChange {
        actor: Actor {
            access_key_id,
            ..actor("alice")
        },
        ..change
    }
}

/// A listing requested at `second`, with key ids marked `+` if active and `-` if inactive.
pub(crate) fn listing(second: i64, keys: &[&str]) -> KeyListing {
    let dated: Vec<(&str, i64)> = keys.iter().map(|key| (*key, -1_000_000)).collect();
    dated_listing(second, &dated)
}

/// The same, with the second of each key's creation.
pub(crate) fn dated_listing(second: i64, keys: &[(&str, i64)]) -> KeyListing {
    let keys = keys.iter().map(|(key, created)| listed_key(key, *created));
    match PartialListing::requested(at(second)).page(Some("Alice".to_owned()), keys, false) {
        PageResult::Complete(listing) => listing,
        PageResult::More(_) => panic!("the last page completes a listing"),
    }
}

/// A credential report generated at `second`, with slots written like the keys of a listing.
pub(crate) fn report(second: i64, slots: &[&str]) -> KeyListing {
    let slots: BTreeMap<String, AccessKey> = slots
        .iter()
        .map(|slot| listed_key(slot, -1_000_000))
        .collect();
    KeyListing::from_report(at(second), slots)
}

pub(crate) fn no_such_user(second: i64) -> KeyListing {
    KeyListing::no_such_user(at(second))
}

pub(crate) fn refused(second: i64) -> KeyListing {
    KeyListing::refused(at(second), "AccessDenied")
}

fn listed_key(key: &str, created: i64) -> (String, AccessKey) {
    let (status, id) = key.split_at(1);
    let status = match status {
        "+" => KeyStatus::Active,
        "-" => KeyStatus::Inactive,
        other => panic!("a key of a listing begins with `+` or `-`, not with `{other}`"),
    };
    let created = Some(at(created));
    (id.to_owned(), AccessKey { status, created })
}

pub(crate) fn finding_of(active: &[(&str, Option<i64>)]) -> Finding {
    Finding {
        id: FindingId {
            user: user(),
            episode: 1,
        },
        display_name: "Alice".to_owned(),
        status: FindingStatus::Open,
        confirmed: true,
        severity: Severity::Medium,
        severity_reasons: vec![],
        opened_at: at(2),
        is_opened_at_estimated: false,
        detected_at: at(3),
        opener: None,
        listing_refusal: None,
        keys: active
            .iter()
            .map(|(id, created)| FindingKey {
                id: (*id).to_owned(),
                status: KeyStatus::Active,
                created: created.map(at),
            })
            .collect(),
        continues: None,
        found_by: FoundBy::Event,
        other_activations: vec![],
        has_unknown_activator: false,
        leaks: vec![],
        announced: true,
        exemption: None,
        closing: None,
    }
}

/// The IAM user `name`, who completed a first rotation two days before second 0 and the latest one
/// at second 0.
pub(crate) fn familiar(name: &str) -> FamiliarActor {
    FamiliarActor {
        account: "111122223333".to_owned(),
        identity: identity(&actor(name)).unwrap(),
        since: at(0) - TimeDelta::days(2),
        last_at: at(0),
    }
}

/// An exemption of `user()` for any actor, for 30 days from second 0.
pub(crate) fn exemption(id: &str) -> Exemption {
    Exemption {
        id: id.to_owned(),
        account: "111122223333".to_owned(),
        user_pattern: "alice".to_owned(),
        actor_pattern: "*".to_owned(),
        owner: "platform team".to_owned(),
        reason: "migration of the build farm".to_owned(),
        created_at: at(0),
        until: at(0) + TimeDelta::days(30),
    }
}
