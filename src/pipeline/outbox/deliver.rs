//! Delivers pending alerts to their sinks and ticks them off one by one.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures::future::join_all;
use tracing::{error, info, warn};

use crate::detect::Timestamp;
use crate::detect::findings::alert::{Alert, PendingAlert};
use crate::detect::usage::last_use::LastUses;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ErrorKind;
use crate::pipeline::finding_store::FindingStore;
use crate::pipeline::outbox::schedule::retry_delay;

/// The result of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeliveryOutcome {
    /// The delivered alerts, with the name of their sink.
    pub delivered: Vec<(Alert, &'static str)>,
    /// The delays after which to check the user again, because an alert is still pending.
    pub retries: Vec<TimeDelta>,
    /// The alerts that their sink did not accept.
    pub failed: Vec<FailedDelivery>,
}

/// An alert that its sink did not accept. It stays pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// The sink's name.
    pub sink: String,
    /// The alert's time, since when it has been pending.
    pub pending_since: Timestamp,
}

impl From<&PendingAlert> for FailedDelivery {
    fn from(pending: &PendingAlert) -> Self {
        Self {
            sink: pending.sink.clone(),
            pending_since: pending.alert.at,
        }
    }
}

/// Delivers `pending` to `sinks`: concurrently across sinks, and in order of sequence for each
/// sink. So a failing sink does not delay the others, and does not get its alerts out of order.
///
/// INVARIANT (commit, then alert, then tick off): at worst, a crash in here repeats an alert.
pub(crate) async fn deliver(
    store: &dyn FindingStore,
    sinks: &[Box<dyn AlertSink>],
    pending: Vec<PendingAlert>,
    last_uses: &LastUses,
    now: Timestamp,
) -> DeliveryOutcome {
    let mut by_sink: BTreeMap<String, Vec<PendingAlert>> = BTreeMap::new();
    for alert in pending {
        by_sink.entry(alert.sink.clone()).or_default().push(alert);
    }
    let mut all = DeliveryOutcome::default();
    let mut deliveries = vec![];
    for (name, mut pending) in by_sink {
        pending.sort_by_key(|pending| pending.alert.sequence);
        if let Some(sink) = sinks.iter().find(|sink| sink.name() == name) {
            deliveries.push(deliver_in_order(
                store,
                sink.as_ref(),
                pending,
                last_uses,
                now,
            ));
        } else {
            // Another release or configuration may know the sink, so the alert stays pending.
            warn!(
                sink = name,
                "an alert is pending for a sink that is not configured"
            );
            all.failed.extend(pending.iter().map(FailedDelivery::from));
        }
    }
    for one in join_all(deliveries).await {
        all.delivered.extend(one.delivered);
        all.retries.extend(one.retries);
        all.failed.extend(one.failed);
    }
    all
}

async fn deliver_in_order(
    store: &dyn FindingStore,
    sink: &dyn AlertSink,
    pending: Vec<PendingAlert>,
    last_uses: &LastUses,
    now: Timestamp,
) -> DeliveryOutcome {
    let mut delivered = DeliveryOutcome::default();
    for pending in pending {
        let finding_id = pending.alert.finding.id.to_string();
        let sequence = pending.alert.sequence;
        if let Err(failure) = sink.send(&pending.alert, last_uses).await {
            error!(sink = sink.name(), finding_id, sequence, %failure, "an alert could not be delivered and stays pending");
            delivered.failed.push(FailedDelivery::from(&pending));
            delivered
                .retries
                .extend(reschedule_retry(store, &pending, now).await);
            match failure.kind() {
                // The next alert would fail too, and must not arrive out of order.
                ErrorKind::Retryable => return delivered,
                // An alert that the sink rejects must not delay the others.
                ErrorKind::Permanent => continue,
            }
        }
        info!(sink = sink.name(), finding_id, sequence, "alert delivered");
        if let Err(failure) = store.mark_delivered(&pending).await {
            warn!(sink = sink.name(), finding_id, sequence, %failure, "a delivered alert could not be ticked off and will be sent again");
            delivered
                .retries
                .extend(reschedule_retry(store, &pending, now).await);
        }
        delivered.delivered.push((pending.alert, sink.name()));
    }
    delivered
}

/// Reschedules the alert; returns the delay, or `None` if another worker already did. Only the
/// worker that rescheduled it tries again, or their attempts would multiply.
async fn reschedule_retry(
    store: &dyn FindingStore,
    pending: &PendingAlert,
    now: Timestamp,
) -> Option<TimeDelta> {
    let wait = retry_delay(pending, now);
    match store.reschedule(pending, now + wait).await {
        Ok(is_ours) => is_ours.then_some(wait),
        Err(failure) => {
            warn!(%failure, "the next attempt of an alert could not be stored");
            Some(wait)
        }
    }
}
