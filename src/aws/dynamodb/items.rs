//! The table's items: stored structs with their keys, schemas and index attributes.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

use crate::aws::dynamodb::keys::{self, Key};
use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::events::text::sha256_hex;
use crate::detect::findings::alert::PendingAlert;
use crate::detect::findings::finding::Finding;
use crate::detect::records::account_record::AccountRecord;
use crate::detect::records::user_record::UserRecord;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::stored::{
    AccountRecordV1, AuditV1, ExemptionV1, FamiliarV1, FindingV1, PendingAlertV1, SCHEMA, SEEN_FOR,
    UserRecordV1, check_schema, time_text, unreadable,
};

/// An item of the table.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The partition of the index `due` that older releases use for everything.
const ONLY_DUE: &str = "due";

/// The hexadecimal digits, one for each partition of the index `due`.
const SHARDS: &str = "0123456789abcdef";

/// The partition of the index `due` for the work about `user`. One partition of an index accepts a
/// thousand writes per second, which a sweep of ten thousand accounts can exceed. Source:
/// `DynamoDB` developer guide, partition keys.
fn due(user: &UserId) -> String {
    let hash = sha256_hex(keys::record(user).partition.as_bytes());
    let shard = hash.chars().next().unwrap_or_default();
    format!("{ONLY_DUE}#{shard}")
}

pub(super) fn all_due() -> impl Iterator<Item = String> {
    let sharded = SHARDS.chars().map(|shard| format!("{ONLY_DUE}#{shard}"));
    std::iter::once(ONLY_DUE.to_owned()).chain(sharded)
}

pub(super) fn record(record: &UserRecord) -> Result<Item, ServiceError> {
    let mut item = item(&keys::record(&record.user), &UserRecordV1::from(record))?;
    if let Some(recheck_at) = record.recheck_at {
        item.insert("due".to_owned(), text(&due(&record.user)));
        item.insert("due_at".to_owned(), text(&time_text(recheck_at)));
    }
    Ok(item)
}

pub(super) fn finding(finding: &Finding) -> Result<Item, ServiceError> {
    item(
        &keys::finding(finding.user(), finding.id.episode),
        &FindingV1::from(finding),
    )
}

pub(super) fn audit(entry: &AuditEntry) -> Result<Item, ServiceError> {
    item(
        &keys::audit(&entry.user, entry.sequence),
        &AuditV1::from(entry),
    )
}

pub(super) fn pending(user: &UserId, pending: &PendingAlert) -> Result<Item, ServiceError> {
    let key = keys::pending(user, pending.alert.sequence, &pending.sink);
    let mut item = item(&key, &PendingAlertV1::from(pending))?;
    item.insert("due".to_owned(), text(&due(user)));
    Ok(item)
}

pub(super) fn account(record: &AccountRecord) -> Result<Item, ServiceError> {
    item(
        &keys::account(&record.account),
        &AccountRecordV1::from(record),
    )
}

pub(super) fn exemption(exemption: &Exemption) -> Result<Item, ServiceError> {
    item(
        &keys::exemption(&exemption.account, &exemption.id),
        &ExemptionV1::from(exemption),
    )
}

pub(super) fn familiar(familiar: &FamiliarActor) -> Result<Item, ServiceError> {
    let key = keys::familiar(&familiar.account, &familiar.identity);
    let mut item = item(&key, &FamiliarV1::from(familiar))?;
    let expires_at = familiar.until().timestamp();
    item.insert("expires_at".to_owned(), number(expires_at));
    Ok(item)
}

/// The mark that the change `change_id` is in the trail of `user`.
pub(super) fn change_mark(user: &UserId, change_id: &str, at: Timestamp) -> Item {
    let mut item = key_attributes(&keys::change_mark(user, change_id));
    item.insert("schema".to_owned(), number(SCHEMA));
    item.insert("expires_at".to_owned(), number((at + SEEN_FOR).timestamp()));
    item
}

/// The key as an item stores it.
pub(super) fn key_attributes(key: &Key) -> Item {
    HashMap::from([
        ("PK".to_owned(), text(&key.partition)),
        ("SK".to_owned(), text(&key.sort)),
    ])
}

/// Reads an item as the struct that it stores.
pub(super) fn read<T: DeserializeOwned>(item: Item) -> Result<T, ServiceError> {
    let name = name(&item);
    match schema(&item) {
        Some(schema) => check_schema(&name, schema)?,
        None => return Err(unreadable(&name, &"it has no `schema`")),
    }
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item).map_err(|error| unreadable(&name, &error))
}

pub(super) fn schema(item: &Item) -> Option<u32> {
    item.get("schema")?.as_n().ok()?.parse().ok()
}

/// The users of records and audit entries. Items name their users; keys may contain only a hash of
/// a long name, but must match the user. Otherwise a trail could claim to belong to another user
/// and would be missed.
pub(super) fn users(items: &[Item]) -> Result<BTreeSet<UserId>, ServiceError> {
    items
        .iter()
        .map(|item| {
            let attribute = |name: &str| item.get(name)?.as_s().ok();
            match (attribute("account"), attribute("user")) {
                (Some(account), Some(user)) => {
                    let user = UserId::new(account, user);
                    let partition = attribute("PK");
                    let is_in_place = [keys::record(&user).partition, keys::audit_partition(&user)]
                        .iter()
                        .any(|own| Some(own) == partition);
                    if is_in_place {
                        Ok(user)
                    } else {
                        let why = format!(
                            "it claims to belong to `{user}`, but its key belongs to another user"
                        );
                        Err(unreadable(&name(item), &why))
                    }
                }
                _ => Err(unreadable(&name(item), &"it does not name its user")),
            }
        })
        .collect()
}

/// The owners of records and pending alerts, each user once. Items without an owner are skipped,
/// because they cannot be checked.
pub(super) fn owners(items: &[Item]) -> Vec<UserId> {
    let owner = |item: &Item| {
        // A record names its user itself; a pending alert has a finding that does.
        let holder = match item.get("finding").and_then(|finding| finding.as_m().ok()) {
            Some(finding) if !item.contains_key("user") => finding,
            _ => item,
        };
        let attribute = |name: &str| holder.get(name)?.as_s().ok();
        Some(UserId::new(attribute("account")?, attribute("user")?))
    };
    let owners: BTreeSet<UserId> = items
        .iter()
        .filter_map(|item| {
            let owner = owner(item);
            if owner.is_none() {
                error!(
                    item = name(item),
                    "an item that is due does not name its user"
                );
            }
            owner
        })
        .collect();
    owners.into_iter().collect()
}

/// The item's name for an error.
pub(super) fn name(item: &Item) -> String {
    let part = |name: &str| {
        item.get(name)
            .and_then(|value| value.as_s().ok())
            .map_or("?", String::as_str)
    };
    format!("item `{}`, `{}`", part("PK"), part("SK"))
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

fn item(key: &Key, stored: &impl Serialize) -> Result<Item, ServiceError> {
    let mut item: Item = serde_dynamo::aws_sdk_dynamodb_1::to_item(stored).map_err(|error| {
        ServiceError::permanent(format!(
            "item `{}`, `{}` cannot be written: {error}",
            key.partition, key.sort
        ))
    })?;
    item.extend(key_attributes(key));
    item.insert("schema".to_owned(), number(SCHEMA));
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_spread_over_all_due_partitions() {
        let used: BTreeSet<String> = (0..1_000)
            .map(|number| due(&UserId::new("111122223333", &format!("user-{number}"))))
            .collect();
        let all: BTreeSet<String> = all_due()
            .filter(|partition| partition != ONLY_DUE)
            .collect();
        assert_eq!(used, all);
        let alice = UserId::new("111122223333", "alice");
        // An existing user must keep its partition.
        assert_eq!(due(&alice), "due#b");
    }

    #[test]
    fn a_familiar_actor_expires_with_its_familiarity() {
        let known = crate::detect::testing::familiar("bob");
        let item = familiar(&known).unwrap();
        let expires_at = item["expires_at"].as_n().unwrap();
        assert_eq!(*expires_at, known.until().timestamp().to_string());
    }
}
