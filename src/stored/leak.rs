//! A leak report as it is stored.

use serde::{Deserialize, Serialize};

use crate::detect::events::leak::{Leak, LeakSignal};
use crate::stored::word::{Stored, Time};

/// A [`Leak`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LeakV1 {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    at: Time,
    signal: Stored<LeakSignal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
}

impl From<&Leak> for LeakV1 {
    fn from(leak: &Leak) -> Self {
        Self {
            key: leak.key.clone(),
            at: Time(leak.at),
            signal: Stored(leak.signal),
            event_id: leak.event_id.clone(),
        }
    }
}

impl From<LeakV1> for Leak {
    fn from(stored: LeakV1) -> Self {
        Self {
            key: stored.key,
            at: stored.at.0,
            signal: stored.signal.0,
            event_id: stored.event_id,
        }
    }
}
