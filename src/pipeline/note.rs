//! A change that we made ourselves, noted in the audit trail of a table.

use std::time::Duration;

use chrono::SubsecRound;

use crate::detect::Timestamp;
use crate::detect::key_change::KeyChange;
use crate::detect::note::note as noted;
use crate::pipeline::commit::{Commit, Committed};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingStore;
use crate::stored::broken_trail;

/// How often a note starts anew because somebody else wrote the record.
const MAX_ATTEMPTS: u32 = 12;

/// The longest wait before a note starts anew, in milliseconds.
const MAX_BACKOFF_MS: u64 = 1_000;

/// Appends the entry of `change` to its user's trail, and nothing else: nothing is decided and nothing is owed.
///
/// Whoever works on a deployed table must not decide there: the alerts of a decision are owed to the sinks of the one who
/// commits it, and a command line has none of those that the detector has, so what it opened or closed nobody would hear of.
/// The detector hears of the change by CloudTrail, and decides. Doing it twice with the same change is no error.
pub async fn note(
    store: &dyn FindingStore,
    change: &KeyChange,
    now: Timestamp,
) -> Result<(), ServiceError> {
    // Times are stored in milliseconds; what is hashed must equal what is read back.
    let now = now.trunc_subsecs(3);
    for attempt in 0..MAX_ATTEMPTS {
        let record = store.record(&change.user).await?;
        let (record, entry) = noted(&record, change, now);
        let commit = Commit {
            record,
            finding_changed: false,
            audit: vec![entry],
            recorded: vec![change.id.clone()],
            owed: vec![],
            at: now,
        };
        match store.commit(&commit).await? {
            Committed::Written | Committed::AlreadyRecorded(_) => return Ok(()),
            Committed::TrailTaken(place) => return Err(broken_trail(&change.user, place)),
            Committed::VersionConflict => tokio::time::sleep(backoff(attempt)).await,
        }
    }
    Err(ServiceError::retryable(format!(
        "the record of `{}` was written by others {MAX_ATTEMPTS} times in a row while a change was being noted",
        change.user
    )))
}

/// A random wait that doubles its bound from one attempt to the next.
fn backoff(attempt: u32) -> Duration {
    let bound_ms = (20_u64 << attempt).min(MAX_BACKOFF_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}
