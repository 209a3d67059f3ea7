//! When to send an open finding again to sinks that forget findings, such as Security Hub.

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::finding::FindingStatus;
use crate::detect::records::user_record::UserRecord;

/// The refresh of the open finding of `record`, if it is due at `now`. An alert is as good as a
/// refresh, so none is due beside `alert`. Notes in `record` when the finding was last sent.
pub(in crate::detect) fn due(
    record: &mut UserRecord,
    alert: Option<&Alert>,
    policy: &Policy,
    now: Timestamp,
) -> Option<Alert> {
    let open = record
        .finding
        .as_ref()
        .filter(|finding| finding.status == FindingStatus::Open);
    let (Some(every), Some(open)) = (policy.refresh_every, open) else {
        // Once there is a sink that forgets, it gets what is open at once.
        record.refreshed_at = None;
        return None;
    };
    let is_due = record
        .refreshed_at
        .is_none_or(|refreshed_at| now - refreshed_at >= every);
    if alert.is_none() && !is_due {
        return None;
    }
    record.refreshed_at = Some(now);
    alert.is_none().then(|| Alert {
        // Nothing about the finding changed, so the trail has no entry for this.
        kind: AlertKind::Updated(vec![]),
        sequence: record.audit.sequence,
        audit_hash: record.audit.hash.clone(),
        at: now,
        window_ends_at: open.window_ends_at(policy.rotation_window),
        in_digest: false,
        finding: open.clone(),
    })
}
