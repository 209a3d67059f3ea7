//! Records a change that secondkey made itself in the audit trail of a table.

use std::time::Duration;

use chrono::SubsecRound;

use crate::detect::Timestamp;
use crate::detect::events::key_change::KeyChange;
use crate::detect::trail::change_entry::append_change as noted;
use crate::pipeline::commit::{Commit, CommitResult};
use crate::pipeline::error::{ServiceError, broken_trail};
use crate::pipeline::finding_store::FindingStore;

/// How often to start again after another worker wrote the record.
const MAX_ATTEMPTS: u32 = 12;

/// The longest wait before starting again, in milliseconds.
const MAX_BACKOFF_MS: u64 = 1_000;

/// Appends the entry of `change` to its user's trail, and nothing else: nothing is decided, and no
/// alert becomes pending.
///
/// A command that uses a deployed table must not decide. The alerts of a decision are pending for
/// the sinks of the process that commits it, and the command line does not have the detector's
/// sinks, so its openings and closings would not be reported. The detector receives the change
/// through CloudTrail, and decides. Recording the same change twice is harmless.
pub async fn record_change(
    store: &dyn FindingStore,
    change: &KeyChange,
    now: Timestamp,
) -> Result<(), ServiceError> {
    // Times are stored in milliseconds, and what is hashed must equal what is read back.
    let now = now.trunc_subsecs(3);
    for attempt in 0..MAX_ATTEMPTS {
        let record = store.record(&change.user).await?;
        let (record, entry) = noted(&record, change, now);
        let commit = Commit {
            record,
            finding_changed: false,
            audit: vec![entry],
            recorded: vec![change.id.clone()],
            pending_alerts: vec![],
            at: now,
        };
        match store.commit(&commit).await? {
            CommitResult::Written | CommitResult::AlreadyRecorded(_) => return Ok(()),
            CommitResult::TrailTaken(place) => return Err(broken_trail(&change.user, place)),
            CommitResult::VersionConflict => tokio::time::sleep(backoff(attempt)).await,
        }
    }
    Err(ServiceError::retryable(format!(
        "the record of `{}` changed {MAX_ATTEMPTS} times in a row while secondkey was recording a change",
        change.user
    )))
}

/// A random wait, with a limit that doubles with each attempt.
fn backoff(attempt: u32) -> Duration {
    let bound_ms = (20_u64 << attempt).min(MAX_BACKOFF_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}
