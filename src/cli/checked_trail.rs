//! Reads an audit trail that a detector may be writing at the same time.

use crate::detect::Timestamp;
use crate::detect::trail::audit::{AuditEntry, BrokenTrailError, ChainHead, verify_trail};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// How many times to read a trail that changes while it is read.
const TRIES: usize = 5;

/// A trail, checked against a user record of the same moment.
pub struct CheckedTrail {
    /// The entries, by sequence number.
    pub entries: Vec<AuditEntry>,
    /// The end of the trail, according to the user's record.
    pub head: ChainHead,
    /// When the newest listing of the user's keys was requested, according to the user's record.
    pub listed_at: Option<Timestamp>,
    /// Whether the trail is whole.
    pub checked: Result<(), BrokenTrailError>,
}

/// Reads and checks the trail of `user`.
///
/// If the detector commits between the two reads, the record and the entries differ. So a trail
/// counts as broken only if the record has the same version before and after its entries were read;
/// otherwise both are read again. Returns an error if the version changed during every try.
pub async fn checked_trail(
    store: &dyn FindingReader,
    user: &UserId,
) -> Result<CheckedTrail, ServiceError> {
    for _ in 0..TRIES {
        let record = store.record(user).await?;
        let entries = store.history(user).await?;
        let checked = verify_trail(user, &entries, &record.audit);
        // If the check passes, record and entries are of the same moment.
        if checked.is_ok() || store.record(user).await?.version == record.version {
            return Ok(CheckedTrail {
                entries,
                head: record.audit,
                listed_at: record.last_listing.map(|listing| listing.requested_at),
                checked,
            });
        }
    }
    Err(ServiceError::retryable(format!(
        "the record of `{user}` changed during each of {TRIES} attempts to read its audit trail; try again \
         when the detector is less busy with this user"
    )))
}
