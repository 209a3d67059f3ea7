//! The table's data for sweeps and probes: the progress of each account, and which probes were
//! seen.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use chrono::TimeDelta;
use futures::future::try_join_all;

use crate::aws::dynamodb::{DynamoDbStore, FINDINGS_INDEX, items, keys};
use crate::detect::Timestamp;
use crate::detect::findings::finding::FindingStatus;
use crate::detect::records::account_record::AccountRecord;
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::stored::{AccountRecordV1, SCHEMA, Word, time_text};

/// The index of pending work by due time.
pub(super) const DUE_INDEX: &str = "due";

/// How long the record of a probe is kept.
const PROBE_KEPT: TimeDelta = TimeDelta::days(1);

impl DynamoDbStore {
    /// The record of `account`, with a strongly consistent read. If there is none, a new one of
    /// version 0.
    pub async fn account(&self, account: &str) -> Result<AccountRecord, ServiceError> {
        let item = self.item(&keys::account(account)).await?;
        match item {
            Some(item) => Ok(items::read::<AccountRecordV1>(item)?.into()),
            None => Ok(AccountRecord::new(account)),
        }
    }

    /// The records of all accounts that were swept or registered by an event.
    pub async fn accounts(&self) -> Result<Vec<AccountRecord>, ServiceError> {
        let items = self.partition(keys::ACCOUNT).await?;
        items
            .into_iter()
            .map(|item| Ok(items::read::<AccountRecordV1>(item)?.into()))
            .collect()
    }

    /// Writes `record` if the stored record still has the previous version. Returns whether it did;
    /// if not, another sweep of the account was faster.
    pub async fn put_account(&self, record: &AccountRecord) -> Result<bool, ServiceError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(items::account(record)?));
        let put = match record.version.saturating_sub(1) {
            0 => put.condition_expression("attribute_not_exists(PK)"),
            expected => put
                .condition_expression("#version = :expected AND #schema <= :known")
                .expression_attribute_names("#version", "version")
                .expression_attribute_names("#schema", "schema")
                .expression_attribute_values(":expected", items::number(expected))
                .expression_attribute_values(":known", items::number(SCHEMA)),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.error("dynamodb:PutItem", &error)),
        }
    }

    /// The users with a finding of `status`. Reads as few attributes as possible, so that one
    /// unreadable item does not stop the others.
    pub async fn users_with_finding(
        &self,
        status: FindingStatus,
    ) -> Result<Vec<UserId>, ServiceError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(FINDINGS_INDEX)
            .key_condition_expression("finding_status = :status")
            .projection_expression("PK, SK, #account, #user")
            .expression_attribute_names("#account", "account")
            .expression_attribute_names("#user", "user")
            .expression_attribute_values(":status", items::text(status.to_word()));
        Ok(items::owners(&self.query(query).await?))
    }

    /// Registers `account` at `now` unless it is already known.
    pub async fn register_account(
        &self,
        account: &str,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        let record = AccountRecord::registered(account, now);
        self.put_account(&record).await.map(drop)
    }

    /// The users with a check that is due by `now` or with a pending alert that is due.
    pub async fn due(&self, now: Timestamp) -> Result<BTreeSet<UserId>, ServiceError> {
        let of_each = items::all_due().map(|partition| self.due_in(partition, now));
        Ok(try_join_all(of_each).await?.into_iter().flatten().collect())
    }

    async fn due_in(&self, partition: String, now: Timestamp) -> Result<Vec<UserId>, ServiceError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("#due = :due AND due_at <= :now")
            .projection_expression("PK, SK, #account, #user, finding")
            .expression_attribute_names("#due", "due")
            .expression_attribute_names("#account", "account")
            .expression_attribute_names("#user", "user")
            .expression_attribute_values(":due", items::text(&partition))
            .expression_attribute_values(":now", items::text(&time_text(now)));
        let due = self.query(query).await?;
        Ok(items::owners(&due))
    }

    /// Records that the probe `id` was seen at `now`.
    pub async fn put_probe(&self, id: &str, now: Timestamp) -> Result<(), ServiceError> {
        let mut item = items::key_attributes(&keys::probe(id));
        item.insert("schema".to_owned(), items::number(SCHEMA));
        item.insert("seen_at".to_owned(), items::text(&time_text(now)));
        let expires_at = (now + PROBE_KEPT).timestamp();
        item.insert("expires_at".to_owned(), items::number(expires_at));
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .send()
            .await
            .map(drop)
            .map_err(|error| self.error("dynamodb:PutItem", &error))
    }

    /// Whether the probe `id` was seen.
    pub async fn has_probe(&self, id: &str) -> Result<bool, ServiceError> {
        Ok(self.item(&keys::probe(id)).await?.is_some())
    }
}
