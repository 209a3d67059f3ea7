//! Evidence as it is stored in a record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::detect::keys::evidence::{
    EventOrigin, Evidence, KeyEvent, KeyEvidence, PriorStatus, UserEvidence, UserState,
};
use crate::detect::keys::listing::KeyStatus;
use crate::stored::actor::{ActorV1, UserV1};
use crate::stored::leak::LeakV1;
use crate::stored::word::{Stored, Time};

/// An [`Evidence`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EvidenceV1 {
    // A list rather than a map: a key id is untrusted text and must not be an attribute name.
    keys: Vec<StoredKeyEvidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserEvidenceV1>,
    // Optional since schema 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaks: Vec<LeakV1>,
    // Optional since schema 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uses: Vec<UseV3>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UseV3 {
    id: String,
    at: Time,
}

/// The evidence on one key: as written now, or by releases before schema 3.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum StoredKeyEvidence {
    V3(KeyEvidenceV3),
    V1(Box<KeyEvidenceV1>),
}

#[derive(Debug, Serialize, Deserialize)]
struct KeyEvidenceV3 {
    id: String,
    words: Vec<WordV3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<BeforeV3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settled: Option<BeforeV3>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WordV3 {
    at: Time,
    status: Stored<KeyStatus>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    created: bool,
    by: SourceV1,
}

#[derive(Debug, Serialize, Deserialize)]
struct BeforeV3 {
    at: Time,
    status: Stored<KeyStatus>,
}

/// The latest status, the latest activation and what ended it. Read, but no longer written.
#[derive(Debug, Serialize, Deserialize)]
struct KeyEvidenceV1 {
    id: String,
    status: Option<Stored<KeyStatus>>,
    at: Time,
    by: SourceV1,
    activation: Option<ActivationV1>,
    end: Option<RemovalV1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ActivationV1 {
    at: Time,
    created: bool,
    by: SourceV1,
    inactive_since: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RemovalV1 {
    at: Time,
    status: Stored<KeyStatus>,
    by: SourceV1,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SourceV1 {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    actor: ActorV1,
}

#[derive(Debug, Serialize, Deserialize)]
struct UserEvidenceV1 {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<UserStateV1>,
    at: Time,
    by: SourceV1,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
enum UserStateV1 {
    Exists,
    KeyDeleted,
    Deleted,
    RenamedTo(UserV1),
}

impl From<&Evidence> for EvidenceV1 {
    fn from(evidence: &Evidence) -> Self {
        Self {
            keys: evidence
                .keys
                .iter()
                .map(|(id, key)| StoredKeyEvidence::of(id, key))
                .collect(),
            user: evidence.user.as_ref().map(Into::into),
            leaks: evidence.leaks.iter().map(Into::into).collect(),
            uses: evidence
                .uses
                .iter()
                .map(|(id, at)| UseV3 {
                    id: id.clone(),
                    at: Time(*at),
                })
                .collect(),
        }
    }
}

impl From<EvidenceV1> for Evidence {
    fn from(stored: EvidenceV1) -> Self {
        Self {
            keys: stored.keys.into_iter().map(Into::into).collect(),
            user: stored.user.map(Into::into),
            leaks: stored.leaks.into_iter().map(Into::into).collect(),
            uses: stored
                .uses
                .into_iter()
                .map(|used| (used.id, used.at.0))
                .collect(),
        }
    }
}

impl StoredKeyEvidence {
    fn of(id: &str, key: &KeyEvidence) -> Self {
        Self::V3(KeyEvidenceV3 {
            id: id.to_owned(),
            words: key.events.iter().map(Into::into).collect(),
            before: key.prior.map(Into::into),
            reported: key.announced.map(Time),
            settled: key.status_after_conflict.map(Into::into),
        })
    }
}

impl From<StoredKeyEvidence> for (String, KeyEvidence) {
    fn from(stored: StoredKeyEvidence) -> Self {
        match stored {
            StoredKeyEvidence::V3(stored) => {
                let evidence = KeyEvidence {
                    events: stored.words.into_iter().map(Into::into).collect(),
                    prior: stored.before.map(Into::into),
                    announced: stored.reported.map(|reported| reported.0),
                    status_after_conflict: stored.settled.map(Into::into),
                };
                (stored.id, evidence)
            }
            StoredKeyEvidence::V1(stored) => (*stored).into(),
        }
    }
}

impl From<KeyEvidenceV1> for (String, KeyEvidence) {
    fn from(stored: KeyEvidenceV1) -> Self {
        let mut evidence = KeyEvidence::default();
        let mut add = |at: &Time, status, created, by: &SourceV1| {
            evidence.add(KeyEvent {
                at: at.0,
                status,
                created,
                by: by.clone().into(),
            });
        };
        if let Some(activation) = &stored.activation {
            add(
                &activation.at,
                KeyStatus::Active,
                activation.created,
                &activation.by,
            );
        }
        if let Some(end) = &stored.end {
            add(&end.at, end.status.0, false, &end.by);
        }
        if let Some(status) = &stored.status {
            let is_told = |at: &Time| at.0 == stored.at.0;
            let by_activation = status.0 == KeyStatus::Active
                && stored
                    .activation
                    .as_ref()
                    .is_some_and(|known| is_told(&known.at));
            let by_end = stored
                .end
                .as_ref()
                .is_some_and(|known| known.status.0 == status.0 && is_told(&known.at));
            if !by_activation && !by_end {
                add(&stored.at, status.0, false, &stored.by);
            }
        } else {
            // Two events of the same second contradicted each other.
            add(&stored.at, KeyStatus::Active, false, &stored.by);
            add(&stored.at, KeyStatus::Inactive, false, &stored.by);
        }
        let activation = stored.activation.as_ref();
        evidence.prior = activation
            .and_then(|activation| activation.inactive_since.as_ref())
            .map(|since| PriorStatus {
                at: since.0,
                status: KeyStatus::Inactive,
            });
        // Those releases opened findings for what they saw, and what they did not see ended long
        // ago.
        evidence.mark_announced();
        (stored.id, evidence)
    }
}

impl From<PriorStatus> for BeforeV3 {
    fn from(before: PriorStatus) -> Self {
        Self {
            at: Time(before.at),
            status: Stored(before.status),
        }
    }
}

impl From<BeforeV3> for PriorStatus {
    fn from(stored: BeforeV3) -> Self {
        Self {
            at: stored.at.0,
            status: stored.status.0,
        }
    }
}

impl From<&KeyEvent> for WordV3 {
    fn from(word: &KeyEvent) -> Self {
        Self {
            at: Time(word.at),
            status: Stored(word.status),
            created: word.created,
            by: (&word.by).into(),
        }
    }
}

impl From<WordV3> for KeyEvent {
    fn from(stored: WordV3) -> Self {
        Self {
            at: stored.at.0,
            status: stored.status.0,
            created: stored.created,
            by: stored.by.into(),
        }
    }
}

impl From<&EventOrigin> for SourceV1 {
    fn from(source: &EventOrigin) -> Self {
        Self {
            event_id: source.event_id.clone(),
            actor: source.actor.as_ref().into(),
        }
    }
}

impl From<SourceV1> for EventOrigin {
    fn from(stored: SourceV1) -> Self {
        Self {
            event_id: stored.event_id,
            actor: Arc::new(stored.actor.into()),
        }
    }
}

impl From<&UserEvidence> for UserEvidenceV1 {
    fn from(evidence: &UserEvidence) -> Self {
        Self {
            state: evidence.state.as_ref().map(|state| match state {
                UserState::Exists => UserStateV1::Exists,
                UserState::KeyDeleted => UserStateV1::KeyDeleted,
                UserState::Deleted => UserStateV1::Deleted,
                UserState::RenamedTo(user) => UserStateV1::RenamedTo(user.into()),
            }),
            at: Time(evidence.at),
            by: (&evidence.by).into(),
        }
    }
}

impl From<UserEvidenceV1> for UserEvidence {
    fn from(stored: UserEvidenceV1) -> Self {
        Self {
            state: stored.state.map(|state| match state {
                UserStateV1::Exists => UserState::Exists,
                UserStateV1::KeyDeleted => UserState::KeyDeleted,
                UserStateV1::Deleted => UserState::Deleted,
                UserStateV1::RenamedTo(user) => UserState::RenamedTo(user.into()),
            }),
            at: stored.at.0,
            by: stored.by.into(),
        }
    }
}
