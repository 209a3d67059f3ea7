//! Which of several keys is older: one order for the decision and for every output.

use crate::detect::Timestamp;

/// The place of a key in the order of age; the oldest key has the least. A key of unknown creation time
/// is older than all others, because it existed before any event was recorded.
pub(crate) fn age_order(created: Option<Timestamp>, id: &str) -> (Option<Timestamp>, &str) {
    (created, id)
}
