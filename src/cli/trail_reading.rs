//! Reading an audit trail beside a detector that may be writing it.

use crate::detect::audit::{AuditEntry, ChainBreak, ChainHead, verify_trail};
use crate::detect::user::UserId;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// How often a trail is read that changes while it is read.
const TRIES: usize = 5;

/// A trail, checked against the user's record of the same moment.
pub struct CheckedTrail {
    /// The entries, in order of sequence.
    pub entries: Vec<AuditEntry>,
    /// The end of the trail as the record knows it.
    pub head: ChainHead,
    /// Whether it is whole.
    pub checked: Result<(), ChainBreak>,
}

/// Reads and checks the trail of `user`.
///
/// A commit between two reads makes record and entries differ. So a trail counts as broken only if
/// the record is the same version before and after its entries were read; otherwise it is read
/// again. Fails if every try met another version.
pub async fn checked_trail(
    store: &dyn FindingReader,
    user: &UserId,
) -> Result<CheckedTrail, ServiceError> {
    for _ in 0..TRIES {
        let record = store.record(user).await?;
        let entries = store.history(user).await?;
        let checked = verify_trail(user, &entries, &record.audit);
        // A trail that is whole is one moment's, whatever was written meanwhile.
        if checked.is_ok() || store.record(user).await?.version == record.version {
            return Ok(CheckedTrail {
                entries,
                head: record.audit,
                checked,
            });
        }
    }
    Err(ServiceError::retryable(format!(
        "the record of `{user}` was written each of the {TRIES} times that its audit trail was read; try again when the \
         detector is less busy with this user"
    )))
}
