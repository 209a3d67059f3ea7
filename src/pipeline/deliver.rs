//! Alerts owed, handed to their sinks and ticked off one by one.

use std::collections::BTreeMap;

use futures::future::join_all;
use tracing::{error, info, warn};

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, OwedAlert};
use crate::detect::retire::LastUses;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::finding_store::FindingStore;

/// What became of the alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The alerts that a sink took, and the sink's name.
    pub told: Vec<(Alert, &'static str)>,
    /// When the alerts were decided that are still owed and that a later try may deliver.
    pub owed_since: Vec<Timestamp>,
}

/// Hands `owed` to `sinks`: side by side from sink to sink, and for each sink in order of sequence, so that one that is
/// down neither holds up the others nor gets its alerts out of order.
///
/// INVARIANT (commit, then alert, then tick off): a crash anywhere in here repeats an alert at worst.
pub async fn deliver(
    store: &dyn FindingStore,
    sinks: &[Box<dyn AlertSink>],
    owed: Vec<OwedAlert>,
    last_uses: &LastUses,
) -> Delivered {
    let mut by_sink: BTreeMap<String, Vec<OwedAlert>> = BTreeMap::new();
    for alert in owed {
        by_sink.entry(alert.sink.clone()).or_default().push(alert);
    }
    let deliveries = by_sink.into_iter().filter_map(|(name, mut owed)| {
        owed.sort_by_key(|owed| owed.alert.sequence);
        let sink = sinks.iter().find(|sink| sink.name() == name);
        if sink.is_none() {
            // Another release, or another configuration, may know the sink: the alert stays owed.
            warn!(
                sink = name,
                "an alert is owed to a sink that is not configured"
            );
        }
        Some(deliver_to(store, sink?.as_ref(), owed, last_uses))
    });
    join_all(deliveries)
        .await
        .into_iter()
        .fold(Delivered::default(), |mut all, one| {
            all.told.extend(one.told);
            all.owed_since.extend(one.owed_since);
            all
        })
}

async fn deliver_to(
    store: &dyn FindingStore,
    sink: &dyn AlertSink,
    owed: Vec<OwedAlert>,
    last_uses: &LastUses,
) -> Delivered {
    let mut delivered = Delivered::default();
    for owed in owed {
        let finding_id = owed.alert.finding.id.to_string();
        let sequence = owed.alert.sequence;
        if let Err(failure) = sink.send(&owed.alert, last_uses).await {
            error!(sink = sink.name(), finding_id, sequence, %failure, "an alert could not be delivered and stays owed");
            delivered.owed_since.push(owed.alert.at);
            return delivered;
        }
        info!(sink = sink.name(), finding_id, sequence, "alert delivered");
        if let Err(failure) = store.tick_off(&owed).await {
            warn!(sink = sink.name(), finding_id, sequence, %failure, "a delivered alert could not be ticked off and will be repeated");
            delivered.owed_since.push(owed.alert.at);
        }
        delivered.told.push((owed.alert, sink.name()));
    }
    delivered
}
