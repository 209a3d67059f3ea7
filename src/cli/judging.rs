//! Computes verdicts for the findings of a store.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::findings::finding::Finding;
use crate::output::snapshot::FindingSnapshot;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// Computes the verdict on each of `findings` at `now`, from what `store` knows about the use of its
/// keys. Two active keys count as a rotation for the length of `window`.
pub(crate) async fn judge(
    store: &dyn FindingReader,
    findings: Vec<Finding>,
    window: TimeDelta,
    now: Timestamp,
) -> Result<Vec<FindingSnapshot>, ServiceError> {
    let mut judged = Vec::with_capacity(findings.len());
    for finding in findings {
        let account = finding.user().account();
        let known = store.known_uses(account, &finding.key_ids()).await?;
        judged.push(FindingSnapshot::stored(finding, known, window, now));
    }
    Ok(judged)
}

/// Adds to each of `snapshots` the end of its audit trail.
pub(crate) async fn add_trails(
    store: &dyn FindingReader,
    snapshots: &mut [FindingSnapshot],
) -> Result<(), ServiceError> {
    for snapshot in snapshots {
        let record = store.record(snapshot.alert.finding.user()).await?;
        *snapshot = snapshot.clone().with_trail(&record.audit);
    }
    Ok(())
}
