//! The findings table in `DynamoDB`: records, findings, audit trails, owed alerts and the marks of changes recorded.
//!
//! | item | `PK` | `SK` |
//! |---|---|---|
//! | record | `USER#<account>#<user>` | `RECORD` |
//! | finding | the same | `FINDING#<episode>` |
//! | audit entry | `AUDIT#<account>#<user>` | its sequence number |
//! | alert owed | `OWED#<account>#<user>` | `<sequence>#<sink>` |
//! | change recorded | `EVENT#<account>#<change>` | `SEEN#<user>` |
//! | exemption | `EXEMPTION#<account>` | its id |
//! | familiar actor | `FAMILIAR#<account>` | who it is |
//! | account | `ACCOUNT` | `<account>` |
//!
//! Two sparse indexes: `findings` (`finding_status`, `opened_at`) and `due` (`due`, `due_at`: records to look at again
//! and alerts owed). `due` is one of sixteen values by the user, so that not all writes go to one partition of the index.

mod items;
mod keys;
mod pending;
mod sweeps;
mod transaction;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValue;
use tracing::error;

use crate::aws::dynamodb::items::Item;
use crate::aws::dynamodb::keys::Key;
pub use crate::aws::dynamodb::pending::PendingAlert;
use crate::aws::dynamodb::transaction::Transaction;
use crate::aws::errors::service_error;
use crate::detect::Timestamp;
use crate::detect::alert::OwedAlert;
use crate::detect::audit::AuditEntry;
use crate::detect::exemption::Exemption;
use crate::detect::familiar::Familiar;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::pipeline::commit::{Commit, Committed};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::stored::{
    AuditV1, ExemptionV1, FamiliarV1, FindingV1, OwedV1, RecordV1, SCHEMA, Word, time_text,
};

/// The index of findings by status and opening.
const FINDINGS_INDEX: &str = "findings";

/// The findings table.
#[derive(Debug, Clone)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
}

impl DynamoDbStore {
    /// The table named `table`, which must exist.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// All items that `query` finds, page by page.
    async fn query(&self, query: QueryFluentBuilder) -> Result<Vec<Item>, ServiceError> {
        query
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| self.error("dynamodb:Query", &error))
    }

    /// The item at `key`.
    async fn item(&self, key: &Key) -> Result<Option<Item>, ServiceError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(key)))
            // INVARIANT (load before list): the record as the last commit left it, not as it was some time ago.
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.error("dynamodb:GetItem", &error))?;
        Ok(answer.item)
    }

    /// The items of one partition in order of their sort keys, strongly consistent.
    async fn partition(&self, partition: &str) -> Result<Vec<Item>, ServiceError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("PK = :partition")
            .expression_attribute_values(":partition", items::text(partition));
        self.query(query).await
    }

    fn error<E>(&self, action: &str, error: &SdkError<E, HttpResponse>) -> ServiceError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let what = format!("{action} on table `{}`", self.table);
        if let SdkError::ServiceError(answer) = error
            && answer.err().code() == Some("ResourceNotFoundException")
        {
            let region = self
                .client
                .config()
                .region()
                .map_or("none", |region| region.as_ref());
            return ServiceError::permanent(format!(
                "{what} failed: there is no such table or index in region `{region}`; deploy it with `sam deploy`, or name another region with --region"
            ));
        }
        service_error(&what, error)
    }
}

#[async_trait]
impl FindingStore for DynamoDbStore {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        match self.item(&keys::record(user)).await? {
            Some(item) => Ok(items::read::<RecordV1>(item)?.into()),
            None => Ok(UserRecord::new(user.clone())),
        }
    }

    async fn owed(&self, user: &UserId) -> Result<Vec<OwedAlert>, ServiceError> {
        let items = self.partition(&keys::owed_partition(user)).await?;
        items
            .into_iter()
            .map(|item| Ok(items::read::<OwedV1>(item)?.into()))
            .collect()
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        let items = self.partition(&keys::exemption_partition(account)).await?;
        Ok(items
            .into_iter()
            .map(items::read::<ExemptionV1>)
            .filter_map(|read| {
                read.inspect_err(|failure| error!(account, %failure, "an exemption cannot be read and counts as none"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn familiar(&self, account: &str) -> Result<Vec<Familiar>, ServiceError> {
        let items = self.partition(&keys::familiar_partition(account)).await?;
        Ok(items
            .into_iter()
            .map(items::read::<FamiliarV1>)
            .filter_map(|read| {
                read.inspect_err(|failure| error!(account, %failure, "a familiar actor cannot be read and counts as unfamiliar"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn put_familiar(&self, familiar: &Familiar) -> Result<(), ServiceError> {
        let written = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(items::familiar(familiar)?))
            .condition_expression(transaction::NOT_NEWER)
            .expression_attribute_names("#schema", "schema")
            .expression_attribute_values(":known", items::number(SCHEMA))
            .send()
            .await;
        match written {
            Ok(_) => Ok(()),
            // A newer release knows the actor already.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(self.error("dynamodb:PutItem", &error)),
        }
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, ServiceError> {
        let transaction = Transaction::of(commit, &self.table)?;
        // The SDK puts a client request token of its own on each call and keeps it from one try to the next, so that a
        // try whose predecessor's answer was lost succeeds too.
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(transaction.actions.clone()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Committed::Written),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    transaction.cancelled(cancelled.cancellation_reasons())
                }
                _ => Err(self.error("dynamodb:TransactWriteItems", &error)),
            },
        }
    }

    async fn postpone(&self, owed: &OwedAlert, until: Timestamp) -> Result<bool, ServiceError> {
        let key = keys::owed(owed.alert.finding.user(), owed.alert.sequence, &owed.sink);
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(&key)))
            .update_expression("SET due_at = :until")
            .condition_expression("due_at = :due_at")
            .expression_attribute_values(":due_at", items::text(&time_text(owed.due_at)))
            .expression_attribute_values(":until", items::text(&time_text(until)))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.error("dynamodb:UpdateItem", &error)),
        }
    }

    async fn tick_off(&self, owed: &OwedAlert) -> Result<(), ServiceError> {
        let key = keys::owed(owed.alert.finding.user(), owed.alert.sequence, &owed.sink);
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(&key)))
            .send()
            .await
            .map_err(|error| self.error("dynamodb:DeleteItem", &error))?;
        Ok(())
    }
}

#[async_trait]
impl FindingReader for DynamoDbStore {
    async fn findings(&self, status: FindingStatus) -> Result<Vec<Finding>, ServiceError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(FINDINGS_INDEX)
            .key_condition_expression("finding_status = :status")
            .expression_attribute_values(":status", items::text(status.to_word()));
        let mut findings = self
            .query(query)
            .await?
            .into_iter()
            .map(|item| Ok(items::read::<FindingV1>(item)?.into()))
            .collect::<Result<Vec<Finding>, ServiceError>>()?;
        // The index leaves open in which order findings of one moment come.
        findings.sort_by(|one, other| (one.opened_at, &one.id).cmp(&(other.opened_at, &other.id)));
        Ok(findings)
    }

    async fn put_exemption(&self, exemption: &Exemption) -> Result<(), ServiceError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(items::exemption(exemption)?))
            .condition_expression(transaction::NOT_NEWER)
            .expression_attribute_names("#schema", "schema")
            .expression_attribute_values(":known", items::number(SCHEMA))
            .send()
            .await
            .map_err(|error| self.error("dynamodb:PutItem", &error))?;
        Ok(())
    }

    async fn remove_exemption(&self, account: &str, id: &str) -> Result<bool, ServiceError> {
        let removed = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(&keys::exemption(account, id))))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| self.error("dynamodb:DeleteItem", &error))?;
        Ok(removed.attributes.is_some())
    }

    async fn history(&self, user: &UserId) -> Result<Vec<AuditEntry>, ServiceError> {
        let items = self.partition(&keys::audit_partition(user)).await?;
        items
            .into_iter()
            .map(|item| Ok(items::read::<AuditV1>(item)?.into()))
            .collect()
    }

    async fn account_ids(&self) -> Result<BTreeSet<String>, ServiceError> {
        let swept = self.accounts().await?;
        Ok(swept.into_iter().map(|record| record.account).collect())
    }

    async fn users(&self) -> Result<Vec<UserId>, ServiceError> {
        // A scan, and no index or list of users kept beside: whoever hides a trail would remove its user from there
        // first. A trail whose record was removed must be found too.
        let items = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .projection_expression("PK, SK, #account, #user")
            .filter_expression("SK = :record OR begins_with(PK, :audit)")
            .expression_attribute_names("#account", "account")
            .expression_attribute_names("#user", "user")
            .expression_attribute_values(":record", items::text(keys::RECORD))
            .expression_attribute_values(":audit", items::text(keys::AUDIT))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| self.error("dynamodb:Scan", &error))?;
        Ok(items::users(&items)?.into_iter().collect())
    }
}
