//! The keys of the table's items.
//!
//! Partitions are separate so that `dynamodb:LeadingKeys` conditions of a role can distinguish
//! them.

use std::fmt::Write as _;

use crate::detect::events::text::sha256_hex;
use crate::detect::user::UserId;

/// The longest part of a key, in bytes. Two parts and a word stay below the 2,048 bytes of a
/// partition key; one part and a word stay below the 1,024 bytes of a sort key (`DynamoDB`
/// developer guide, limits).
const MAX_PART: usize = 900;

/// How much of a longer part is kept, in addition to its hash.
const KEPT_OF_LONGER: usize = 800;

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The partition key, `PK`.
    pub(super) partition: String,
    /// The sort key, `SK`.
    pub(super) sort: String,
}

/// The sort key of a record.
pub(super) const RECORD: &str = "RECORD";

/// The prefix of an audit trail's partition key.
pub(super) const AUDIT: &str = "AUDIT#";

/// The prefix of the partition key of a user's pending alerts.
pub(super) const OWED: &str = "OWED#";

pub(super) fn record(user: &UserId) -> Key {
    Key {
        partition: format!("USER#{}", of_user(user)),
        sort: RECORD.to_owned(),
    }
}

pub(super) fn finding(user: &UserId, episode: u32) -> Key {
    Key {
        partition: format!("USER#{}", of_user(user)),
        sort: format!("FINDING#{episode:010}"),
    }
}

pub(super) fn audit(user: &UserId, sequence: u64) -> Key {
    Key {
        partition: audit_partition(user),
        sort: format!("{sequence:020}"),
    }
}

pub(super) fn audit_partition(user: &UserId) -> String {
    format!("{AUDIT}{}", of_user(user))
}

pub(super) fn pending(user: &UserId, sequence: u64, sink: &str) -> Key {
    Key {
        partition: pending_partition(user),
        sort: format!("{sequence:020}#{}", part(sink)),
    }
}

pub(super) fn pending_partition(user: &UserId) -> String {
    format!("{OWED}{}", of_user(user))
}

/// The mark of a change. It names the user too, because a rename touches two users and is recorded
/// in both trails.
pub(super) fn change_mark(user: &UserId, change_id: &str) -> Key {
    Key {
        partition: format!("EVENT#{}#{}", part(user.account()), part(change_id)),
        sort: format!("SEEN#{}", part(user.name())),
    }
}

pub(super) fn exemption(account: &str, id: &str) -> Key {
    Key {
        partition: exemption_partition(account),
        sort: part(id),
    }
}

pub(super) fn exemption_partition(account: &str) -> String {
    format!("EXEMPTION#{}", part(account))
}

pub(super) fn familiar(account: &str, identity: &str) -> Key {
    Key {
        partition: familiar_partition(account),
        sort: part(identity),
    }
}

/// Separate from the exemptions, because the functions write this partition and must not be able to
/// write exemptions.
pub(super) fn familiar_partition(account: &str) -> String {
    format!("FAMILIAR#{}", part(account))
}

/// The partition of the account records.
pub(super) const ACCOUNT: &str = "ACCOUNT";

pub(super) fn account(account: &str) -> Key {
    Key {
        partition: ACCOUNT.to_owned(),
        sort: part(account),
    }
}

/// The record of a probe.
pub(super) fn probe(id: &str) -> Key {
    Key {
        partition: format!("PROBE#{}", part(id)),
        sort: "SEEN".to_owned(),
    }
}

fn of_user(user: &UserId) -> String {
    format!("{}#{}", part(user.account()), part(user.name()))
}

/// Encodes `text` as a part of a key: everything but visible ASCII is percent-encoded, so that
/// hostile text cannot make two keys equal or reach a log or console unescaped. A text that is too
/// long keeps its beginning and ends in the hash of the whole text. The `%~` before the hash does
/// not occur in encoded text.
fn part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b'#' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    if encoded.len() > MAX_PART {
        encoded.truncate(KEPT_OF_LONGER);
        encoded.push_str("%~");
        encoded.push_str(&sha256_hex(text.as_bytes()));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::events::text::{MAX_BYTES, bounded};

    #[test]
    fn keys_of_ordinary_names_are_readable() {
        let alice = UserId::new("111122223333", "Alice.B@example.com");
        assert_eq!(
            finding(&alice, 7),
            Key {
                partition: "USER#111122223333#alice.b@example.com".to_owned(),
                sort: "FINDING#0000000007".to_owned(),
            }
        );
        assert_eq!(
            pending(&alice, 12, "sns").sort,
            "00000000000000000012#sns".to_owned()
        );
    }

    #[test]
    fn hostile_text_does_not_merge_users() {
        let users = [
            ("1#2", "3"),
            ("1", "2#3"),
            ("1%232", "3"),
            ("1", "2%233"),
            ("1", "2\n3"),
            ("1", "2\u{202e}3"),
            ("", "1#2#3"),
        ];
        let mut keys: Vec<String> = users
            .iter()
            .map(|(account, name)| record(&UserId::new(account, name)).partition)
            .collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), users.len());
        assert!(keys.iter().all(|key| key.is_ascii()));
    }

    #[test]
    fn the_longest_texts_fit_and_stay_distinct() {
        let long = |end: &str| bounded(&("İ".repeat(MAX_BYTES) + end));
        let one = UserId::new(&long("one"), &long("one"));
        let two = UserId::new(&long("one"), &long("two"));
        let familiar = familiar(&long("one"), &long("actor"));
        for key in [
            record(&one),
            change_mark(&one, &long("x")),
            pending(&one, 1, "sns"),
            familiar,
        ] {
            assert!(key.partition.len() <= 2048 && key.sort.len() <= 1024);
        }
        assert_ne!(record(&one), record(&two));
        assert_ne!(change_mark(&one, &long("x")), change_mark(&one, &long("y")));
        assert_ne!(change_mark(&one, "x").sort, change_mark(&two, "x").sort);
    }
}
