//! A pending alert as it is stored.

use serde::{Deserialize, Serialize};

use crate::detect::findings::alert::{Alert, AlertKind, FindingUpdate, PendingAlert};
use crate::stored::finding::FindingV1;
use crate::stored::word::{Stored, Time};

/// A [`PendingAlert`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PendingAlertV1 {
    sink: String,
    // The name of the attribute in the index of due items.
    due_at: Time,
    sequence: u64,
    audit_hash: String,
    kind: AlertKindV1,
    at: Time,
    window_ends_at: Time,
    #[serde(default)]
    in_digest: bool,
    finding: FindingV1,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
enum AlertKindV1 {
    Opened,
    Updated { updates: Vec<Stored<FindingUpdate>> },
    Closed,
}

impl From<&PendingAlert> for PendingAlertV1 {
    fn from(pending: &PendingAlert) -> Self {
        let alert = &pending.alert;
        Self {
            sink: pending.sink.clone(),
            due_at: Time(pending.due_at),
            sequence: alert.sequence,
            audit_hash: alert.audit_hash.clone(),
            kind: match &alert.kind {
                AlertKind::Opened => AlertKindV1::Opened,
                AlertKind::Updated(updates) => AlertKindV1::Updated {
                    updates: updates.iter().copied().map(Stored).collect(),
                },
                AlertKind::Closed => AlertKindV1::Closed,
            },
            at: Time(alert.at),
            window_ends_at: Time(alert.window_ends_at),
            in_digest: alert.in_digest,
            finding: (&alert.finding).into(),
        }
    }
}

impl From<PendingAlertV1> for PendingAlert {
    fn from(stored: PendingAlertV1) -> Self {
        Self {
            sink: stored.sink,
            due_at: stored.due_at.0,
            alert: Alert {
                kind: match stored.kind {
                    AlertKindV1::Opened => AlertKind::Opened,
                    AlertKindV1::Updated { updates } => {
                        AlertKind::Updated(updates.into_iter().map(|update| update.0).collect())
                    }
                    AlertKindV1::Closed => AlertKind::Closed,
                },
                sequence: stored.sequence,
                audit_hash: stored.audit_hash,
                at: stored.at.0,
                window_ends_at: stored.window_ends_at.0,
                in_digest: stored.in_digest,
                finding: stored.finding.into(),
            },
        }
    }
}
