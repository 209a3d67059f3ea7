//! The verdict on the user's keys, from IAM's current listing and the user's record.

use chrono::TimeDelta;

use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::window;
use crate::cli::store::Store;
use crate::detect::Timestamp;
use crate::detect::decision::verdict::{Verdict, VerdictInput, verdict};
use crate::detect::findings::finding::{Finding, FindingKey};
use crate::detect::records::user_record::UserRecord;
use crate::detect::rotation::stage::RotationKey;
use crate::detect::usage::last_use::LastUses;
use crate::pipeline::error::ServiceError;

/// The window and the verdict of a rotation.
pub(super) struct RotationVerdict {
    /// When the rotation window ends; `None` if that is not known.
    pub(super) window_ends_at: Option<Timestamp>,
    /// What to do; `None` if fewer than two keys are active.
    pub(super) verdict: Option<Verdict>,
}

impl RotationVerdict {
    /// Whether the rotation window has ended.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.window_ends_at.is_some_and(|end| end <= now)
    }
}

/// Computes the verdict on `keys`. The window is `usual` if `rotate start` did not set one. `store` has
/// the user's finding, if there is one.
pub(super) async fn judge(
    context: &RotationContext<'_>,
    keys: &[RotationKey],
    store: Option<&Store>,
    usual: TimeDelta,
) -> Result<RotationVerdict, ServiceError> {
    let (record, exemptions) = match store {
        Some(store) => (
            store.reader().record(&context.user).await?,
            window::of_user(context, store).await?,
        ),
        None => (UserRecord::new(context.user.clone()), vec![]),
    };
    let live: Vec<FindingKey> = keys.iter().map(|key| key.key.clone()).collect();
    let last_uses: LastUses = keys
        .iter()
        .filter_map(|key| Some((key.key.id.clone(), key.last_used.clone()?)))
        .collect();
    let window_ends_at = window::ends_at(&record, &exemptions, &live, usual, context.now);
    let finding = record.open_finding().map(|finding| Finding {
        keys: live.clone(),
        ..finding.clone()
    });
    let known = match (&finding, window_ends_at) {
        (Some(finding), Some(end)) => VerdictInput::of(finding, &last_uses, end),
        _ => VerdictInput::of_keys(&live, &last_uses, window_ends_at),
    };
    Ok(RotationVerdict {
        window_ends_at,
        verdict: verdict(&known, context.now),
    })
}
