//! A familiar actor as it is stored.

use serde::{Deserialize, Serialize};

use crate::detect::decision::familiar::FamiliarActor;
use crate::stored::word::Time;

/// A [`FamiliarActor`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FamiliarV1 {
    account: String,
    actor: String,
    since: Time,
    last_at: Time,
}

impl From<&FamiliarActor> for FamiliarV1 {
    fn from(familiar: &FamiliarActor) -> Self {
        Self {
            account: familiar.account.clone(),
            actor: familiar.identity.clone(),
            since: Time(familiar.since),
            last_at: Time(familiar.last_at),
        }
    }
}

impl From<FamiliarV1> for FamiliarActor {
    fn from(stored: FamiliarV1) -> Self {
        Self {
            account: stored.account,
            identity: stored.actor,
            since: stored.since.0,
            last_at: stored.last_at.0,
        }
    }
}
