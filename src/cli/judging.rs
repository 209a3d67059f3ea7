//! Computes verdicts for the findings of a store.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::findings::finding::Finding;
use crate::output::judged::Judged;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// Computes the verdict on each of `findings` at `now`, from what `store` knows about the use of its
/// keys. Two active keys count as a rotation for the length of `window`.
pub(crate) async fn judge(
    store: &dyn FindingReader,
    findings: Vec<Finding>,
    window: TimeDelta,
    now: Timestamp,
) -> Result<Vec<Judged>, ServiceError> {
    let mut judged = Vec::with_capacity(findings.len());
    for finding in findings {
        let account = finding.user().account();
        let known = store.known_uses(account, &finding.key_ids()).await?;
        judged.push(Judged::of(finding, known, window, now));
    }
    Ok(judged)
}
