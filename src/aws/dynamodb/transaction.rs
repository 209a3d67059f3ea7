//! A commit as one `DynamoDB` transaction, and the meaning of its cancellation reasons.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};

use crate::aws::dynamodb::items::{self, Item};
use crate::aws::sdk_errors::is_throttling;
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::ServiceError;
use crate::stored::{SCHEMA, newer_schema};

/// The most actions in one transaction (`DynamoDB` developer guide, limits).
const MAX_ACTIONS: usize = 100;

/// Allows overwriting unless a newer release wrote the item.
pub(super) const NOT_NEWER: &str = "attribute_not_exists(PK) OR #schema <= :known";

/// The actions of a transaction and what each of them writes. The service refers to them by
/// position.
pub(super) struct Transaction {
    /// The user, for errors.
    user: String,
    /// What each action writes, by position.
    places: Vec<Place>,
    /// The actions, in the same order.
    pub(super) actions: Vec<TransactWriteItem>,
}

/// What one action of a transaction writes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Record,
    /// A finding or a pending alert.
    Overwritable,
    /// The audit entry with this sequence number.
    Audit(u64),
    /// The mark of this change.
    Seen(String),
}

impl Transaction {
    /// Builds the transaction that writes `commit` to `table`.
    ///
    /// INVARIANT (one transaction): everything that a commit writes is in this one request.
    pub(super) fn of(commit: &Commit, table: &str) -> Result<Self, ServiceError> {
        let user = &commit.record.user;
        let mut transaction = Self {
            user: user.to_string(),
            places: Vec::new(),
            actions: Vec::new(),
        };
        let put = |item: Item| {
            Put::builder()
                .table_name(table)
                .set_item(Some(item))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
        };
        let if_not_newer = |item: Item| {
            put(item)
                .condition_expression(NOT_NEWER)
                .expression_attribute_names("#schema", "schema")
                .expression_attribute_values(":known", items::number(SCHEMA))
        };

        let record = put(items::record(&commit.record)?);
        let record = match commit.expected_version() {
            0 => record.condition_expression("attribute_not_exists(PK)"),
            version => record
                .condition_expression("#version = :expected AND #schema <= :known")
                .expression_attribute_names("#version", "version")
                .expression_attribute_names("#schema", "schema")
                .expression_attribute_values(":expected", items::number(version))
                .expression_attribute_values(":known", items::number(SCHEMA)),
        };
        transaction.add(Place::Record, record)?;

        if let Some(finding) = commit.finding() {
            transaction.add(Place::Overwritable, if_not_newer(items::finding(finding)?))?;
        }
        // INVARIANT (the audit trail only grows): an existing entry is not written again.
        for entry in &commit.audit {
            let put = put(items::audit(entry)?).condition_expression("attribute_not_exists(PK)");
            transaction.add(Place::Audit(entry.sequence), put)?;
        }
        for change_id in &commit.recorded {
            // DynamoDB deletes an expired item only within days, so this condition treats it as
            // deleted.
            let put = put(items::change_mark(user, change_id, commit.at))
                .condition_expression("attribute_not_exists(PK) OR expires_at <= :now")
                .expression_attribute_values(":now", items::number(commit.at.timestamp()));
            transaction.add(Place::Seen(change_id.clone()), put)?;
        }
        for pending in &commit.pending_alerts {
            transaction.add(
                Place::Overwritable,
                if_not_newer(items::pending(user, pending)?),
            )?;
        }

        if transaction.actions.len() > MAX_ACTIONS {
            return Err(ServiceError::permanent(format!(
                "the commit for `{}` has {} actions but a DynamoDB transaction takes at most {MAX_ACTIONS}; configure fewer alert sinks",
                transaction.user,
                transaction.actions.len()
            )));
        }
        Ok(transaction)
    }

    fn add(&mut self, place: Place, put: PutBuilder) -> Result<(), ServiceError> {
        let put = put.build().map_err(|error: BuildError| {
            ServiceError::permanent(format!(
                "the commit for `{}` cannot be built: {error}",
                self.user
            ))
        })?;
        self.places.push(place);
        self.actions
            .push(TransactWriteItem::builder().put(put).build());
        Ok(())
    }

    /// Interprets the `reasons` why a transaction was cancelled, one per action.
    pub(super) fn cancelled(
        &self,
        reasons: &[CancellationReason],
    ) -> Result<CommitResult, ServiceError> {
        let refused: Vec<(&Place, &str, &CancellationReason)> = self
            .places
            .iter()
            .zip(reasons)
            .filter_map(|(place, reason)| Some((place, reason.code()?, reason)))
            .filter(|(_, code, _)| *code != "None")
            .collect();
        let conditions = || {
            refused
                .iter()
                .filter(|(_, code, _)| *code == "ConditionalCheckFailed")
        };

        // A newer release's item takes precedence over a conflict, because a retry would not help.
        for (place, _, reason) in conditions() {
            if matches!(place, Place::Record | Place::Overwritable)
                && let Some((item, schema)) = newer_item(reason)
            {
                return Err(newer_schema(&items::name(item), schema));
            }
        }
        if refused.iter().any(|(place, code, _)| {
            *code == "TransactionConflict"
                || (**place == Place::Record && *code == "ConditionalCheckFailed")
        }) {
            return Ok(CommitResult::VersionConflict);
        }
        if let Some((_, code, reason)) = refused
            .iter()
            .find(|(_, code, _)| *code != "ConditionalCheckFailed")
        {
            let text = format!(
                "the commit for `{}` was canceled: {code}: {}",
                self.user,
                reason.message().unwrap_or("no further explanation")
            );
            // These reasons have their own names: `ThrottlingError`,
            // `ProvisionedThroughputExceeded`.
            return Err(
                if code.starts_with("Throttling")
                    || code.starts_with("ProvisionedThroughput")
                    || is_throttling(code)
                {
                    ServiceError::retryable(text)
                } else {
                    ServiceError::permanent(text)
                },
            );
        }
        for (place, _, _) in conditions() {
            if let Place::Audit(sequence) = place {
                return Ok(CommitResult::TrailTaken(*sequence));
            }
        }
        let already_recorded: BTreeSet<String> = conditions()
            .filter_map(|(place, _, _)| match place {
                Place::Seen(change_id) => Some(change_id.clone()),
                _ => None,
            })
            .collect();
        if already_recorded.is_empty() {
            return Err(ServiceError::retryable(format!(
                "the commit for `{}` was canceled and DynamoDB gave no reason",
                self.user
            )));
        }
        Ok(CommitResult::AlreadyRecorded(already_recorded))
    }
}

/// The existing item and its schema, if a newer release wrote it.
fn newer_item(reason: &CancellationReason) -> Option<(&Item, u32)> {
    let item = reason.item()?;
    let schema = items::schema(item).filter(|schema| *schema > SCHEMA)?;
    Some((item, schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::records::user_record::UserRecord;
    use crate::detect::testing::{at, user};
    use crate::pipeline::error::ErrorKind;

    /// A transaction of a record and the marks of two changes.
    fn transaction() -> Transaction {
        let mut record = UserRecord::new(user());
        record.version = 1;
        let commit = Commit {
            record,
            finding_changed: false,
            audit: vec![],
            recorded: vec!["one".to_owned(), "two".to_owned()],
            pending_alerts: vec![],
            at: at(0),
        };
        Transaction::of(&commit, "findings").unwrap()
    }

    fn cancelled(codes: [&str; 3]) -> Result<CommitResult, ServiceError> {
        let reasons = codes.map(|code| CancellationReason::builder().code(code).build());
        transaction().cancelled(&reasons)
    }

    // DynamoDB Local produces neither conflicts nor throttling.
    #[test]
    fn a_transaction_on_the_same_items_is_a_conflict() {
        assert_eq!(
            cancelled(["TransactionConflict", "None", "None"]),
            Ok(CommitResult::VersionConflict)
        );
        assert_eq!(
            cancelled(["None", "ConditionalCheckFailed", "TransactionConflict"]),
            Ok(CommitResult::VersionConflict)
        );
    }

    #[test]
    fn a_concurrent_record_write_precedes_recorded_changes() {
        assert_eq!(
            cancelled(["ConditionalCheckFailed", "ConditionalCheckFailed", "None"]),
            Ok(CommitResult::VersionConflict)
        );
        assert_eq!(
            cancelled(["None", "None", "ConditionalCheckFailed"]),
            Ok(CommitResult::AlreadyRecorded(BTreeSet::from([
                "two".to_owned()
            ])))
        );
    }

    #[test]
    fn only_temporary_reasons_are_retryable() {
        for (code, kind) in [
            ("ThrottlingError", ErrorKind::Retryable),
            ("ProvisionedThroughputExceeded", ErrorKind::Retryable),
            ("ValidationError", ErrorKind::Permanent),
            ("ItemCollectionSizeLimitExceeded", ErrorKind::Permanent),
        ] {
            let error = cancelled(["None", code, "None"]).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
        assert_eq!(
            cancelled(["None", "None", "None"]).unwrap_err().kind(),
            ErrorKind::Retryable
        );
    }

    #[test]
    fn too_many_actions_are_refused_before_sending() {
        let mut record = UserRecord::new(user());
        record.version = 1;
        let commit = Commit {
            record,
            finding_changed: false,
            audit: vec![],
            recorded: (0..100).map(|number| number.to_string()).collect(),
            pending_alerts: vec![],
            at: at(0),
        };
        let error = Transaction::of(&commit, "findings").err().unwrap();
        assert!(error.to_string().contains("has 101 actions"), "{error}");
    }
}
