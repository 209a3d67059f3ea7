//! Items of the table: the stored structs with their keys, their schema and the attributes of the indexes.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

use crate::aws::dynamodb::keys::{self, Key};
use crate::detect::Timestamp;
use crate::detect::account_record::AccountRecord;
use crate::detect::alert::OwedAlert;
use crate::detect::audit::AuditEntry;
use crate::detect::exemption::Exemption;
use crate::detect::familiar::Familiar;
use crate::detect::finding::Finding;
use crate::detect::text::sha256_hex;
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::pipeline::error::ServiceError;
use crate::stored::{
    AccountV1, AuditV1, ExemptionV1, FamiliarV1, FindingV1, OwedV1, RecordV1, SCHEMA, SEEN_FOR,
    check_schema, time_text, unreadable,
};

/// An item of the table.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The partition of the index `due` into which an older release wrote everything.
const ONLY_DUE: &str = "due";

/// The hexadecimal digits, one for each partition of the index `due`.
const SHARDS: &str = "0123456789abcdef";

/// The partition of the index `due` for what has to be done about `user`. One partition of an index takes a thousand writes
/// a second, which a sweep of ten thousand accounts can exceed. Source: `DynamoDB` developer guide, partition keys.
fn due(user: &UserId) -> String {
    let hash = sha256_hex(keys::record(user).partition.as_bytes());
    let shard = hash.chars().next().unwrap_or_default();
    format!("{ONLY_DUE}#{shard}")
}

/// Every partition of the index `due`.
pub(super) fn all_due() -> impl Iterator<Item = String> {
    let sharded = SHARDS.chars().map(|shard| format!("{ONLY_DUE}#{shard}"));
    std::iter::once(ONLY_DUE.to_owned()).chain(sharded)
}

pub(super) fn record(record: &UserRecord) -> Result<Item, ServiceError> {
    let mut item = item(&keys::record(&record.user), &RecordV1::from(record))?;
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

pub(super) fn owed(user: &UserId, owed: &OwedAlert) -> Result<Item, ServiceError> {
    let key = keys::owed(user, owed.alert.sequence, &owed.sink);
    let mut item = item(&key, &OwedV1::from(owed))?;
    item.insert("due".to_owned(), text(&due(user)));
    Ok(item)
}

pub(super) fn account(record: &AccountRecord) -> Result<Item, ServiceError> {
    item(&keys::account(&record.account), &AccountV1::from(record))
}

pub(super) fn exemption(exemption: &Exemption) -> Result<Item, ServiceError> {
    item(
        &keys::exemption(&exemption.account, &exemption.id),
        &ExemptionV1::from(exemption),
    )
}

pub(super) fn familiar(familiar: &Familiar) -> Result<Item, ServiceError> {
    let key = keys::familiar(&familiar.account, &familiar.identity);
    let mut item = item(&key, &FamiliarV1::from(familiar))?;
    let expires_at = familiar.until().timestamp();
    item.insert("expires_at".to_owned(), number(expires_at));
    Ok(item)
}

/// The mark that the change `change_id` is in the trail of `user`.
pub(super) fn seen(user: &UserId, change_id: &str, at: Timestamp) -> Item {
    let mut item = key_attributes(&keys::seen(user, change_id));
    item.insert("schema".to_owned(), number(SCHEMA));
    item.insert("expires_at".to_owned(), number((at + SEEN_FOR).timestamp()));
    item
}

/// The key as an item holds it.
pub(super) fn key_attributes(key: &Key) -> Item {
    HashMap::from([
        ("PK".to_owned(), text(&key.partition)),
        ("SK".to_owned(), text(&key.sort)),
    ])
}

/// Reads an item as what it stores.
pub(super) fn read<T: DeserializeOwned>(item: Item) -> Result<T, ServiceError> {
    let name = name(&item);
    match schema(&item) {
        Some(schema) => check_schema(&name, schema)?,
        None => return Err(unreadable(&name, &"it has no `schema`")),
    }
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item).map_err(|error| unreadable(&name, &error))
}

/// The schema of an item.
pub(super) fn schema(item: &Item) -> Option<u32> {
    item.get("schema")?.as_n().ok()?.parse().ok()
}

/// The users of records and audit entries. The items name them; their keys do not where a name is long and stands in them
/// as a hash, but have to fit: or a trail that is said to be another's would be nobody's.
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
                        let why =
                            format!("it says that it is `{user}`'s, and stands among another's");
                        Err(unreadable(&name(item), &why))
                    }
                }
                _ => Err(unreadable(&name(item), &"it does not say whose it is")),
            }
        })
        .collect()
}

/// Whose the records and owed alerts are, each user once. One that does not say is left out: it cannot be looked at.
pub(super) fn owners(items: &[Item]) -> Vec<UserId> {
    let owner = |item: &Item| {
        // A record says so itself, an owed alert's finding does.
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
                    "an item that is due does not say whose it is"
                );
            }
            owner
        })
        .collect();
    owners.into_iter().collect()
}

/// The item's name in an error.
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
    fn a_user_keeps_one_partition_of_what_is_due_and_users_share_them_all() {
        let used: BTreeSet<String> = (0..1_000)
            .map(|number| due(&UserId::new("111122223333", &format!("user-{number}"))))
            .collect();
        let all: BTreeSet<String> = all_due()
            .filter(|partition| partition != ONLY_DUE)
            .collect();
        assert_eq!(used, all);
        let alice = UserId::new("111122223333", "alice");
        // What is stored stays where it is looked for.
        assert_eq!(due(&alice), "due#b");
    }

    #[test]
    fn the_table_drops_a_familiar_actor_when_it_is_one_no_longer() {
        let known = crate::detect::testing::familiar("bob");
        let item = familiar(&known).unwrap();
        let expires_at = item["expires_at"].as_n().unwrap();
        assert_eq!(*expires_at, known.until().timestamp().to_string());
    }
}
