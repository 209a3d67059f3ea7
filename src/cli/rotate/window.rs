//! The rotation window: an exemption that suppresses the finding while the rotation may take place.

use chrono::TimeDelta;

use crate::cli::exempt::new_id;
use crate::cli::rotate::context::RotationContext;
use crate::cli::store::Store;
use crate::detect::Timestamp;
use crate::detect::decision::exemption::{Exemption, ROTATION_PREFIX, is_rotation};
use crate::detect::findings::finding::FindingKey;
use crate::detect::keys::overlap_start::since;
use crate::detect::records::user_record::UserRecord;
use crate::pipeline::error::ServiceError;

/// The reason in such exemptions. It distinguishes them from an operator's exemption whose id has the
/// same prefix because the user's name begins with it.
pub(super) const REASON: &str = "rotation of the access key, begun by secondkey rotate start";

/// How far apart the times of an exemption and of its key may be. They come from two clocks.
const APART: TimeDelta = TimeDelta::minutes(10);

/// The exemption for a rotation by `context`: for this user, and only for keys that the caller creates.
pub(super) fn exemption(context: &RotationContext<'_>, window: TimeDelta) -> Exemption {
    Exemption {
        id: new_id(
            &format!("{ROTATION_PREFIX}{}", context.user.name()),
            context.now,
        ),
        account: context.caller.account.clone(),
        user_pattern: context.name.clone(),
        actor_pattern: context.caller.arn.clone(),
        owner: context.caller.arn.clone(),
        reason: REASON.to_owned(),
        created_at: context.now,
        until: context.now + window,
    }
}

/// When the window of the rotation that created the newest of `keys` ends: at the end of its exemption
/// if `exemptions` has it, otherwise `usual` after the time from which the finding counts. `scan` and
/// `check` count from the same time.
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

/// The exemptions that rotations of the user created.
pub(super) async fn of_user(
    context: &RotationContext<'_>,
    store: &Store,
) -> Result<Vec<Exemption>, ServiceError> {
    let mut exemptions = store.reader().exemptions(&context.caller.account).await?;
    exemptions.retain(|exemption| {
        is_rotation(&exemption.id) && exemption.user_pattern.to_lowercase() == context.user.name()
    });
    Ok(exemptions)
}

/// The end of the exemption that was created together with the `newest` key, if there is one.
fn end_of_one_opened_at(exemptions: &[Exemption], newest: Timestamp) -> Option<Timestamp> {
    exemptions
        .iter()
        .filter(|exemption| (exemption.created_at - newest).abs() <= APART)
        .map(|exemption| exemption.until)
        .max()
}
