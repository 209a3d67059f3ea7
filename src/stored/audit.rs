//! An audit entry as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::trail::audit::{AuditDraft, AuditEntry, AuditKind};
use crate::detect::user::UserId;
use crate::stored::word::{Stored, Time};

/// An [`AuditEntry`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuditV1 {
    account: String,
    user: String,
    sequence: u64,
    at: Time,
    recorded_at: Time,
    kind: Stored<AuditKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    details: BTreeMap<String, String>,
    previous_hash: String,
    hash: String,
}

impl From<&AuditEntry> for AuditV1 {
    fn from(entry: &AuditEntry) -> Self {
        Self {
            account: entry.user.account().to_owned(),
            user: entry.user.name().to_owned(),
            sequence: entry.sequence,
            at: Time(entry.draft.at),
            recorded_at: Time(entry.draft.recorded_at),
            kind: Stored(entry.draft.kind),
            finding_id: entry.draft.finding_id.clone(),
            event_id: entry.draft.event_id.clone(),
            actor: entry.draft.actor.clone(),
            details: entry.draft.details.clone(),
            previous_hash: entry.previous_hash.clone(),
            hash: entry.hash.clone(),
        }
    }
}

impl From<AuditV1> for AuditEntry {
    fn from(stored: AuditV1) -> Self {
        Self {
            user: UserId::new(&stored.account, &stored.user),
            sequence: stored.sequence,
            draft: AuditDraft {
                at: stored.at.0,
                recorded_at: stored.recorded_at.0,
                kind: stored.kind.0,
                finding_id: stored.finding_id,
                event_id: stored.event_id,
                actor: stored.actor,
                details: stored.details,
            },
            previous_hash: stored.previous_hash,
            hash: stored.hash,
        }
    }
}
