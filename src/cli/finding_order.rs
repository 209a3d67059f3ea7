//! The order in which findings are shown.

use std::cmp::{Ordering, Reverse};

use crate::detect::findings::finding::{Finding, FindingStatus};

/// The default order: the most severe first, then the oldest, then by name. Closed findings come after
/// all others that need attention, and suppressed ones last.
pub(crate) fn by_urgency(one: &Finding, other: &Finding) -> Ordering {
    let severity = (Reverse(one.severity), one.opened_at);
    let of_other = (Reverse(other.severity), other.opened_at);
    attention(one)
        .cmp(&attention(other))
        .then(severity.cmp(&of_other))
        .then_with(|| by_name(one, other))
}

/// Whether an exemption covers `finding`.
pub(crate) fn is_suppressed(finding: &Finding) -> bool {
    finding.status == FindingStatus::Suppressed
}

/// The place of the status of `finding`: those that need attention come first.
fn attention(finding: &Finding) -> u8 {
    match finding.status {
        FindingStatus::Open => 0,
        FindingStatus::Closed => 1,
        FindingStatus::Suppressed => 2,
    }
}

/// By user name, then account, then episode.
pub(crate) fn by_name(one: &Finding, other: &Finding) -> Ordering {
    let name = |finding: &Finding| finding.user().name().to_owned();
    name(one)
        .cmp(&name(other))
        .then_with(|| one.id.cmp(&other.id))
}
