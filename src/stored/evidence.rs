//! Evidence as it is stored in a record.

use serde::{Deserialize, Serialize};

use crate::detect::evidence::{
    Activation, Evidence, KeyEvidence, Removal, Source, UserEvidence, UserState,
};
use crate::detect::listing::KeyStatus;
use crate::stored::actor::{ActorV1, UserV1};
use crate::stored::word::{Stored, Time};

/// An [`Evidence`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EvidenceV1 {
    // A list and no map: a key id is somebody else's text, and no attribute name.
    keys: Vec<KeyEvidenceV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserEvidenceV1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeyEvidenceV1 {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Stored<KeyStatus>>,
    at: Time,
    by: SourceV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<ActivationV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<RemovalV1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ActivationV1 {
    at: Time,
    created: bool,
    by: SourceV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    inactive_since: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RemovalV1 {
    at: Time,
    status: Stored<KeyStatus>,
    by: SourceV1,
}

#[derive(Debug, Serialize, Deserialize)]
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
                .map(|(id, key)| KeyEvidenceV1::of(id, key))
                .collect(),
            user: evidence.user.as_ref().map(Into::into),
        }
    }
}

impl From<EvidenceV1> for Evidence {
    fn from(stored: EvidenceV1) -> Self {
        Self {
            keys: stored.keys.into_iter().map(Into::into).collect(),
            user: stored.user.map(Into::into),
        }
    }
}

impl KeyEvidenceV1 {
    fn of(id: &str, key: &KeyEvidence) -> Self {
        Self {
            id: id.to_owned(),
            status: key.status.map(Stored),
            at: Time(key.at),
            by: (&key.by).into(),
            activation: key.activation.as_ref().map(Into::into),
            end: key.end.as_ref().map(Into::into),
        }
    }
}

impl From<KeyEvidenceV1> for (String, KeyEvidence) {
    fn from(stored: KeyEvidenceV1) -> Self {
        let evidence = KeyEvidence {
            status: stored.status.map(|status| status.0),
            at: stored.at.0,
            by: stored.by.into(),
            activation: stored.activation.map(Into::into),
            end: stored.end.map(Into::into),
        };
        (stored.id, evidence)
    }
}

impl From<&Activation> for ActivationV1 {
    fn from(activation: &Activation) -> Self {
        Self {
            at: Time(activation.at),
            created: activation.created,
            by: (&activation.by).into(),
            inactive_since: activation.inactive_since.map(Time),
        }
    }
}

impl From<ActivationV1> for Activation {
    fn from(stored: ActivationV1) -> Self {
        Self {
            at: stored.at.0,
            created: stored.created,
            by: stored.by.into(),
            inactive_since: stored.inactive_since.map(|since| since.0),
        }
    }
}

impl From<&Removal> for RemovalV1 {
    fn from(removal: &Removal) -> Self {
        Self {
            at: Time(removal.at),
            status: Stored(removal.status),
            by: (&removal.by).into(),
        }
    }
}

impl From<RemovalV1> for Removal {
    fn from(stored: RemovalV1) -> Self {
        Self {
            at: stored.at.0,
            status: stored.status.0,
            by: stored.by.into(),
        }
    }
}

impl From<&Source> for SourceV1 {
    fn from(source: &Source) -> Self {
        Self {
            event_id: source.event_id.clone(),
            actor: (&source.actor).into(),
        }
    }
}

impl From<SourceV1> for Source {
    fn from(stored: SourceV1) -> Self {
        Self {
            event_id: stored.event_id,
            actor: stored.actor.into(),
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
