//! The findings table in `DynamoDB`: records, findings, audit trails, pending alerts and the marks
//! of recorded changes.
//!
//! | item | `PK` | `SK` |
//! |---|---|---|
//! | record | `USER#<account>#<user>` | `RECORD` |
//! | finding | the same | `FINDING#<episode>` |
//! | audit entry | `AUDIT#<account>#<user>` | its sequence number |
//! | pending alert | `OWED#<account>#<user>` | `<sequence>#<sink>` |
//! | recorded change | `EVENT#<account>#<change>` | `SEEN#<user>` |
//! | exemption | `EXEMPTION#<account>` | its id |
//! | familiar actor | `FAMILIAR#<account>` | the actor |
//! | account | `ACCOUNT` | `<account>` |
//!
//! Two sparse indexes: `findings` (`finding_status`, `opened_at`) and `due` (`due`, `due_at`:
//! records to check again and pending alerts). `due` has one of sixteen values, chosen by user, so
//! that writes do not all go to one partition of the index.

mod items;
mod keys;
mod pending;
mod sweeps;
mod transaction;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

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
pub(crate) use crate::aws::dynamodb::pending::PendingDelivery;
use crate::aws::dynamodb::transaction::Transaction;
use crate::aws::sdk_errors::service_error;
use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::decision::familiar::FamiliarActor;
use crate::detect::findings::alert::PendingAlert;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::records::coverage::AccountCoverage;
use crate::detect::records::user_record::UserRecord;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::user::UserId;
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::stored::{
    AuditV1, ExemptionV1, FamiliarV1, FindingV1, PendingAlertV1, SCHEMA, UserRecordV1, Word,
    time_text,
};

/// The index of findings by status and opening time.
const FINDINGS_INDEX: &str = "findings";

/// The findings table.
#[derive(Debug, Clone)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
}

impl DynamoDbStore {
    /// Uses the existing table `table`.
    #[must_use]
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// All items that match `query`, over all pages.
    async fn query(&self, query: QueryFluentBuilder) -> Result<Vec<Item>, ServiceError> {
        query
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| self.error("dynamodb:Query", &error))
    }

    async fn item(&self, key: &Key) -> Result<Option<Item>, ServiceError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(key)))
            // INVARIANT (load before list): the record is read as of the last commit.
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.error("dynamodb:GetItem", &error))?;
        Ok(answer.item)
    }

    /// The items of one partition, sorted by sort key, with a strongly consistent read.
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
                "{what} failed: the table or index does not exist in region `{region}`; deploy it with `sam deploy`, or name another region with --region"
            ));
        }
        service_error(&what, error)
    }
}

#[async_trait]
impl FindingStore for DynamoDbStore {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        match self.item(&keys::record(user)).await? {
            Some(item) => Ok(items::read::<UserRecordV1>(item)?.into()),
            None => Ok(UserRecord::new(user.clone())),
        }
    }

    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError> {
        let items = self.partition(&keys::pending_partition(user)).await?;
        items
            .into_iter()
            .map(|item| Ok(items::read::<PendingAlertV1>(item)?.into()))
            .collect()
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        let items = self.partition(&keys::exemption_partition(account)).await?;
        Ok(items
            .into_iter()
            .map(items::read::<ExemptionV1>)
            .filter_map(|read| {
                read.inspect_err(|failure| error!(account, %failure, "an exemption cannot be read and is ignored"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError> {
        let items = self.partition(&keys::familiar_partition(account)).await?;
        Ok(items
            .into_iter()
            .map(items::read::<FamiliarV1>)
            .filter_map(|read| {
                read.inspect_err(|failure| error!(account, %failure, "a familiar actor cannot be read and is treated as unfamiliar"))
                    .ok()
            })
            .map(Into::into)
            .collect())
    }

    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError> {
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
            // A newer release already knows the actor.
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

    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError> {
        let transaction = Transaction::of(commit, &self.table)?;
        // The SDK adds a client request token to each call and keeps it across retries. So a retry
        // succeeds even if the response to the first attempt was lost.
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(transaction.actions.clone()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(CommitResult::Written),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    transaction.cancelled(cancelled.cancellation_reasons())
                }
                _ => Err(self.error("dynamodb:TransactWriteItems", &error)),
            },
        }
    }

    async fn reschedule(
        &self,
        pending: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        let key = keys::pending(
            pending.alert.finding.user(),
            pending.alert.sequence,
            &pending.sink,
        );
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(items::key_attributes(&key)))
            .update_expression("SET due_at = :until")
            .condition_expression("due_at = :due_at")
            .expression_attribute_values(":due_at", items::text(&time_text(pending.due_at)))
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

    async fn mark_delivered(&self, pending: &PendingAlert) -> Result<(), ServiceError> {
        let key = keys::pending(
            pending.alert.finding.user(),
            pending.alert.sequence,
            &pending.sink,
        );
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
        // The index does not define the order of findings with the same time.
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

    async fn coverage(&self) -> Result<Vec<AccountCoverage>, ServiceError> {
        let swept = self.accounts().await?;
        Ok(swept.into_iter().map(Into::into).collect())
    }

    async fn users(&self) -> Result<Vec<UserId>, ServiceError> {
        // This scans the table rather than an index or a separate list of users: someone who hides
        // a trail would first remove its user from those. A trail whose record was removed must be
        // found too.
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
