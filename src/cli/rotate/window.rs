//! The rotation window: an exemption that hides two active keys as long as the rotation may take.

use chrono::TimeDelta;

use crate::cli::exempt::new_id;
use crate::cli::rotate::work::Work;
use crate::cli::source::Store;
use crate::detect::Timestamp;
use crate::detect::exemption::{Exemption, ROTATION_PREFIX, is_rotation};
use crate::detect::finding::Finding;
use crate::detect::rotation::RotationKey;
use crate::pipeline::error::ServiceError;

/// The reason that such exemptions give. Whoever writes one for a user whose name begins like our ids gives another.
pub(super) const REASON: &str = "rotation of the access key, begun by secondkey rotate start";

/// How far apart an exemption and the making of its key may be, whose times come from two clocks.
const APART: TimeDelta = TimeDelta::minutes(10);

/// The exemption for a rotation that `work` starts: of this user, and of keys that we make ourselves.
pub(super) fn exemption(work: &Work<'_>, window: TimeDelta) -> Exemption {
    Exemption {
        id: new_id(&format!("{ROTATION_PREFIX}{}", work.user.name()), work.now),
        account: work.caller.account.clone(),
        user_pattern: work.name.clone(),
        actor_pattern: work.caller.arn.clone(),
        owner: work.caller.arn.clone(),
        reason: REASON.to_owned(),
        created_at: work.now,
        until: work.now + window,
    }
}

/// The exemptions that rotations of the user opened.
pub(super) async fn of_user(
    work: &Work<'_>,
    store: &Store,
) -> Result<Vec<Exemption>, ServiceError> {
    let mut exemptions = store.reader().exemptions(&work.caller.account).await?;
    exemptions.retain(|exemption| {
        is_rotation(&exemption.id) && exemption.user_pattern.to_lowercase() == work.user.name()
    });
    Ok(exemptions)
}

/// When the rotation window ends: as the exemption says that `rotate start` wrote when it made the newest of `keys`, or else
/// `usual` after two keys became active, by the user's open `finding` or by the age of the newest key.
pub(super) fn ends_at(
    keys: &[RotationKey],
    exemptions: &[Exemption],
    finding: Option<&Finding>,
    usual: TimeDelta,
) -> Option<Timestamp> {
    let newest = keys.iter().filter_map(|key| key.key.created).max();
    let opened_with_it = exemptions
        .iter()
        .filter(|exemption| {
            newest.is_some_and(|newest| (exemption.created_at - newest).abs() <= APART)
        })
        .map(|exemption| exemption.until)
        .max();
    let began = finding.map(|finding| finding.opened_at).or(newest);
    opened_with_it.or_else(|| began.map(|began| began + usual))
}
