//! Reads the pending alerts from the index `due`.

use futures::future::try_join_all;
use tracing::error;

use crate::aws::dynamodb::items::Item;
use crate::aws::dynamodb::{DynamoDbStore, items, keys, sweeps};
use crate::detect::Timestamp;
use crate::pipeline::error::ServiceError;

/// An alert that is committed but not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDelivery {
    /// The sink that has not accepted the alert yet.
    pub sink: String,
    /// When the alert became pending. The text of the alert refers to this moment as now.
    pub pending_since: Timestamp,
}

impl DynamoDbStore {
    /// All pending alerts, including those whose delivery was rescheduled. Like every index, this
    /// is eventually consistent: a new alert may be missing, and a delivered one may still be
    /// listed, for a few seconds.
    pub async fn pending_deliveries(&self) -> Result<Vec<PendingDelivery>, ServiceError> {
        let of_each = items::all_due().map(|partition| self.pending_in(partition));
        Ok(try_join_all(of_each).await?.concat())
    }

    async fn pending_in(&self, partition: String) -> Result<Vec<PendingDelivery>, ServiceError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(sweeps::DUE_INDEX)
            .key_condition_expression("#due = :due")
            // The index also contains the records to check again.
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

/// The alert in `item`. An unreadable item is skipped and logged, so that it does not hide the
/// others.
fn pending(item: &Item) -> Option<PendingDelivery> {
    let attribute = |name: &str| item.get(name)?.as_s().ok();
    let read = || {
        Some(PendingDelivery {
            sink: attribute("sink")?.clone(),
            pending_since: attribute("at")?.parse().ok()?,
        })
    };
    let alert = read();
    if alert.is_none() {
        error!(
            item = items::name(item),
            "a pending alert does not name its sink or its time"
        );
    }
    alert
}
