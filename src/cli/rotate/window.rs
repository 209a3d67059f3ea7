//! The rotation window: an exemption that hides two active keys as long as the rotation may take.

use chrono::TimeDelta;

use crate::cli::exempt::new_id;
use crate::cli::rotate::work::Work;
use crate::cli::source::Store;
use crate::detect::Timestamp;
use crate::detect::exemption::{Exemption, ROTATION_PREFIX, is_rotation};
use crate::detect::finding::FindingKey;
use crate::detect::since::since;
use crate::detect::user_record::UserRecord;
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

/// When the window of the rotation ends that made the newest of `keys`: as its exemption says, if
/// one of `exemptions` is it, or else `usual` after the time since when the finding of two active
/// keys counts. `scan` and `check` count from the same time.
pub(super) fn ends_at(
    record: &UserRecord,
    exemptions: &[Exemption],
    keys: &[FindingKey],
    usual: TimeDelta,
    now: Timestamp,
) -> Option<Timestamp> {
    let newest = keys.iter().filter_map(|key| key.created).max();
    let opened_with_it = newest.and_then(|newest| end_of_one_opened_at(exemptions, newest));
    opened_with_it.or_else(|| Some(since(record, keys, now)?.window_ends_at(usual)))
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

/// When the exemption ends that was written when the `newest` key was made, if one of `exemptions` was.
fn end_of_one_opened_at(exemptions: &[Exemption], newest: Timestamp) -> Option<Timestamp> {
    exemptions
        .iter()
        .filter(|exemption| (exemption.created_at - newest).abs() <= APART)
        .map(|exemption| exemption.until)
        .max()
}
