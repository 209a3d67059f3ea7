//! Alerts owed, handed to their sinks and ticked off one by one.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures::future::join_all;
use tracing::{error, info, warn};

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, OwedAlert};
use crate::detect::retire::LastUses;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ErrorKind;
use crate::pipeline::finding_store::FindingStore;
use crate::pipeline::turn::postponement;

/// What became of the alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The alerts that a sink took, and the sink's name.
    pub told: Vec<(Alert, &'static str)>,
    /// After how long the user is to be looked at again, because an alert is still owed.
    pub retries: Vec<TimeDelta>,
    /// The alerts that their sink did not take.
    pub failed: Vec<Undelivered>,
}

/// An alert that its sink did not take. It stays owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The sink's name.
    pub sink: String,
    /// The moment that the alert speaks of as now; since then it is owed.
    pub owed_since: Timestamp,
}

impl From<&OwedAlert> for Undelivered {
    fn from(owed: &OwedAlert) -> Self {
        Self {
            sink: owed.sink.clone(),
            owed_since: owed.alert.at,
        }
    }
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
    now: Timestamp,
) -> Delivered {
    let mut by_sink: BTreeMap<String, Vec<OwedAlert>> = BTreeMap::new();
    for alert in owed {
        by_sink.entry(alert.sink.clone()).or_default().push(alert);
    }
    let mut all = Delivered::default();
    let mut deliveries = vec![];
    for (name, mut owed) in by_sink {
        owed.sort_by_key(|owed| owed.alert.sequence);
        if let Some(sink) = sinks.iter().find(|sink| sink.name() == name) {
            deliveries.push(deliver_to(store, sink.as_ref(), owed, last_uses, now));
        } else {
            // Another release, or another configuration, may know the sink: the alert stays owed.
            warn!(
                sink = name,
                "an alert is owed to a sink that is not configured"
            );
            all.failed.extend(owed.iter().map(Undelivered::from));
        }
    }
    for one in join_all(deliveries).await {
        all.told.extend(one.told);
        all.retries.extend(one.retries);
        all.failed.extend(one.failed);
    }
    all
}

async fn deliver_to(
    store: &dyn FindingStore,
    sink: &dyn AlertSink,
    owed: Vec<OwedAlert>,
    last_uses: &LastUses,
    now: Timestamp,
) -> Delivered {
    let mut delivered = Delivered::default();
    for owed in owed {
        let finding_id = owed.alert.finding.id.to_string();
        let sequence = owed.alert.sequence;
        if let Err(failure) = sink.send(&owed.alert, last_uses).await {
            error!(sink = sink.name(), finding_id, sequence, %failure, "an alert could not be delivered and stays owed");
            delivered.failed.push(Undelivered::from(&owed));
            delivered.retries.extend(postponed(store, &owed, now).await);
            match failure.kind() {
                // The next one would fare no better, and would come out of order.
                ErrorKind::Retryable => return delivered,
                // One that the sink will not have must not hold up the others.
                ErrorKind::Permanent => continue,
            }
        }
        info!(sink = sink.name(), finding_id, sequence, "alert delivered");
        if let Err(failure) = store.tick_off(&owed).await {
            warn!(sink = sink.name(), finding_id, sequence, %failure, "a delivered alert could not be ticked off and will be repeated");
            delivered.retries.extend(postponed(store, &owed, now).await);
        }
        delivered.told.push((owed.alert, sink.name()));
    }
    delivered
}

/// Moves the alert's next try on and gives back how far. Of several workers only the one that moved it sees to the next
/// try, or their tries would multiply.
async fn postponed(
    store: &dyn FindingStore,
    owed: &OwedAlert,
    now: Timestamp,
) -> Option<TimeDelta> {
    let wait = postponement(owed, now);
    match store.postpone(owed, now + wait).await {
        Ok(is_ours) => is_ours.then_some(wait),
        Err(failure) => {
            warn!(%failure, "the next try of an alert could not be noted");
            Some(wait)
        }
    }
}
