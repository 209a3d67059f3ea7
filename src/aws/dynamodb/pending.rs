//! The alerts that are pending, read from the index `due`.

use futures::future::try_join_all;
use tracing::error;

use crate::aws::dynamodb::items::Item;
use crate::aws::dynamodb::{DynamoDbStore, items, keys, sweeps};
use crate::detect::Timestamp;
use crate::pipeline::error::ServiceError;

/// An alert that is committed and not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAlert {
    /// The name of the sink that did not take it yet.
    pub sink: String,
    /// The moment that the alert speaks of as now; since then it is owed.
    pub owed_since: Timestamp,
}

impl DynamoDbStore {
    /// All alerts that are pending, whether they are due or were postponed. Eventually consistent,
    /// as every index is: an alert of the last seconds may be missing, or be listed although it was
    /// just delivered.
    pub async fn pending_alerts(&self) -> Result<Vec<PendingAlert>, ServiceError> {
        let of_each = items::all_due().map(|partition| self.pending_in(partition));
        Ok(try_join_all(of_each).await?.concat())
    }

    async fn pending_in(&self, partition: String) -> Result<Vec<PendingAlert>, ServiceError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(sweeps::DUE_INDEX)
            .key_condition_expression("#due = :due")
            // The records to look at again share the index.
            .filter_expression("begins_with(PK, :owed)")
            .projection_expression("PK, SK, #sink, #at")
            .expression_attribute_names("#due", "due")
            .expression_attribute_names("#sink", "sink")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":due", items::text(&partition))
            .expression_attribute_values(":owed", items::text(keys::OWED));
        let found = self.query(query).await?;
        Ok(found.iter().filter_map(pending).collect())
    }
}

/// The alert in `item`. One that cannot be read is left out, and logged: it must not hide the
/// others.
fn pending(item: &Item) -> Option<PendingAlert> {
    let attribute = |name: &str| item.get(name)?.as_s().ok();
    let read = || {
        Some(PendingAlert {
            sink: attribute("sink")?.clone(),
            owed_since: attribute("at")?.parse().ok()?,
        })
    };
    let alert = read();
    if alert.is_none() {
        error!(
            item = items::name(item),
            "a pending alert does not say to which sink or since when it is owed"
        );
    }
    alert
}
