//! An exemption as it is stored.

use serde::{Deserialize, Serialize};

use crate::detect::decision::exemption::Exemption;
use crate::detect::events::text::bounded;
use crate::stored::word::Time;

/// An [`Exemption`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExemptionV1 {
    id: String,
    account: String,
    user_pattern: String,
    actor_pattern: String,
    owner: String,
    reason: String,
    created_at: Time,
    until: Time,
}

impl From<&Exemption> for ExemptionV1 {
    fn from(exemption: &Exemption) -> Self {
        Self {
            id: exemption.id.clone(),
            account: exemption.account.clone(),
            user_pattern: exemption.user_pattern.clone(),
            actor_pattern: exemption.actor_pattern.clone(),
            owner: exemption.owner.clone(),
            reason: exemption.reason.clone(),
            created_at: Time(exemption.created_at),
            until: Time(exemption.until),
        }
    }
}

impl From<ExemptionV1> for Exemption {
    fn from(stored: ExemptionV1) -> Self {
        Self {
            // Anyone with write access to the store could write very long texts, which findings and
            // alerts repeat.
            id: bounded(&stored.id),
            account: stored.account,
            user_pattern: stored.user_pattern,
            actor_pattern: stored.actor_pattern,
            owner: bounded(&stored.owner),
            reason: bounded(&stored.reason),
            created_at: stored.created_at.0,
            until: stored.until.0,
        }
    }
}
