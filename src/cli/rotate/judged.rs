//! The verdict on the user's keys, by what IAM lists now and what is kept of the user.

use chrono::TimeDelta;

use crate::cli::rotate::window;
use crate::cli::rotate::work::Work;
use crate::cli::source::Store;
use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingKey};
use crate::detect::retire::LastUses;
use crate::detect::rotation::RotationKey;
use crate::detect::user_record::UserRecord;
use crate::detect::verdict::{Known, Verdict, verdict};
use crate::pipeline::error::ServiceError;

/// What is known of a rotation beside its keys.
pub(super) struct Judged {
    /// When the rotation window ends; none if that is not known.
    pub(super) window_ends_at: Option<Timestamp>,
    /// What to do; none if fewer than two keys are active.
    pub(super) verdict: Option<Verdict>,
}

impl Judged {
    /// Whether the rotation window is over.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        self.window_ends_at.is_some_and(|end| end <= now)
    }
}

/// Judges `keys`. The window is `usual` where `rotate start` did not set one. `store` holds the user's finding, if there is one.
pub(super) async fn judge(
    work: &Work<'_>,
    keys: &[RotationKey],
    store: Option<&Store>,
    usual: TimeDelta,
) -> Result<Judged, ServiceError> {
    let (record, exemptions) = match store {
        Some(store) => (
            store.reader().record(&work.user).await?,
            window::of_user(work, store).await?,
        ),
        None => (UserRecord::new(work.user.clone()), vec![]),
    };
    let live: Vec<FindingKey> = keys.iter().map(|key| key.key.clone()).collect();
    let last_uses: LastUses = keys
        .iter()
        .filter_map(|key| Some((key.key.id.clone(), key.last_used.clone()?)))
        .collect();
    let window_ends_at = window::ends_at(&record, &exemptions, &live, usual, work.now);
    let finding = record.open_finding().map(|finding| Finding {
        keys: live.clone(),
        ..finding.clone()
    });
    let known = match (&finding, window_ends_at) {
        (Some(finding), Some(end)) => Known::of(finding, &last_uses, end),
        _ => Known::of_keys(&live, &last_uses, window_ends_at),
    };
    Ok(Judged {
        window_ends_at,
        verdict: verdict(&known, work.now),
    })
}
