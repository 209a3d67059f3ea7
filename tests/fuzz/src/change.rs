//! What holds for every key change, whatever record it came from.

use chrono::Timelike;
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::key_change::{ChangeKind, KeyChange};
use secondkey::detect::events::text::MAX_BYTES;

/// The longest stored text of an event, in bytes. A truncated text ends in its length and hash.
const MAX_CHARS: usize = MAX_BYTES + 120;

/// Panics unless `change` is a valid key change.
pub fn check(change: &KeyChange) {
    let KeyChange {
        id,
        event_id,
        corrects,
        at,
        user,
        user_name,
        kind,
        actor,
        region,
    } = change;
    assert!(!user.account().is_empty() && !user.name().is_empty());
    assert!(
        user.is_root() || user.name() == user_name.to_lowercase(),
        "{user} is kept for `{user_name}`"
    );
    assert_eq!(user.name(), user.name().to_lowercase());
    assert_eq!(
        (at.nanosecond(), at.timestamp_subsec_nanos()),
        (0, 0),
        "{at:?} is no whole second"
    );

    let mut texts = vec![user.account(), user_name, id];
    texts.extend(
        [event_id, corrects, region]
            .into_iter()
            .flatten()
            .map(String::as_str),
    );
    match kind {
        ChangeKind::KeyCreated { key, .. }
        | ChangeKind::KeyUpdated { key, .. }
        | ChangeKind::KeyDeleted { key } => {
            assert!(!key.is_empty());
            texts.push(key);
        }
        ChangeKind::UserRenamed { to, to_name } => {
            assert!(!to_name.is_empty());
            assert_eq!(to.account(), user.account());
            assert_eq!(to.name(), to_name.to_lowercase());
            texts.push(to_name);
        }
        ChangeKind::KeyLeaked { key, .. } => texts.extend(key.as_deref()),
        ChangeKind::UserDeleted => {}
    }
    texts.extend(texts_of(actor));
    for text in texts {
        // An ID adds a dot and a fingerprint.
        assert!(text.len() <= MAX_CHARS + 17, "{} bytes: {text}", text.len());
    }

    let fingerprint = match event_id {
        Some(event_id) => id
            .strip_prefix(event_id.as_str())
            .and_then(|rest| rest.strip_prefix('.')),
        None => Some(id.as_str()),
    };
    let is_hexadecimal =
        |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(fingerprint.is_some_and(is_hexadecimal), "{id}");

    let affected = change.affected_users();
    assert!(affected.contains(user) && affected.len() <= 2);
}

fn texts_of(actor: &Actor) -> impl Iterator<Item = &str> {
    let Actor {
        kind,
        arn,
        name,
        account,
        access_key_id,
        source_ip,
        user_agent,
        mfa: _,
        console: _,
        invoked_by,
    } = actor;
    let texts = [
        kind,
        arn,
        name,
        account,
        access_key_id,
        source_ip,
        user_agent,
        invoked_by,
    ];
    texts.into_iter().flatten().map(String::as_str)
}
