//! Changes and leak reports as a replay stores them: in a temporary file if they do not fit into
//! memory, and in the embedded store so that older logs can be added later.

use serde::{Deserialize, Serialize};

use crate::detect::Timestamp;
use crate::detect::events::health::LeakReport;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::events::leak::LeakSignal;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::user::UserId;
use crate::stored::actor::ActorV1;
use crate::stored::word::{Stored, Time};

/// A [`KeyChange`] without its time and id, which are its key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChangeV1 {
    account: String,
    /// As spelled in the record; the lower-cased name is derived from it.
    user: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_root: bool,
    kind: ChangeKindV1,
    actor: ActorV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrects: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChangeKindV1 {
    Created(String, Stored<KeyStatus>),
    Updated(String, Stored<KeyStatus>),
    Deleted(String),
    UserDeleted,
    UserRenamed(String),
    Leaked(Option<String>, Stored<LeakSignal>),
}

impl From<&KeyChange> for ChangeV1 {
    fn from(change: &KeyChange) -> Self {
        Self {
            account: change.user.account().to_owned(),
            user: change.user_name.clone(),
            is_root: change.user.is_root(),
            kind: (&change.kind).into(),
            actor: (&change.actor).into(),
            event_id: change.event_id.clone(),
            corrects: change.corrects.clone(),
            region: change.region.clone(),
        }
    }
}

impl ChangeV1 {
    /// The change that is stored under `at` and `id`.
    pub(crate) fn filed(self, at: Timestamp, id: String) -> KeyChange {
        let user = if self.is_root {
            UserId::root(&self.account)
        } else {
            UserId::new(&self.account, &self.user)
        };
        KeyChange {
            id,
            event_id: self.event_id,
            corrects: self.corrects,
            at,
            user,
            user_name: self.user,
            kind: self.kind.of(&self.account),
            actor: self.actor.into(),
            region: self.region,
        }
    }
}

impl From<&ChangeKind> for ChangeKindV1 {
    fn from(kind: &ChangeKind) -> Self {
        match kind {
            ChangeKind::KeyCreated { key, status } => Self::Created(key.clone(), Stored(*status)),
            ChangeKind::KeyUpdated { key, status } => Self::Updated(key.clone(), Stored(*status)),
            ChangeKind::KeyDeleted { key } => Self::Deleted(key.clone()),
            ChangeKind::UserDeleted => Self::UserDeleted,
            ChangeKind::UserRenamed { to_name, .. } => Self::UserRenamed(to_name.clone()),
            ChangeKind::KeyLeaked { key, signal } => Self::Leaked(key.clone(), Stored(*signal)),
        }
    }
}

impl ChangeKindV1 {
    fn of(self, account: &str) -> ChangeKind {
        match self {
            Self::Created(key, Stored(status)) => ChangeKind::KeyCreated { key, status },
            Self::Updated(key, Stored(status)) => ChangeKind::KeyUpdated { key, status },
            Self::Deleted(key) => ChangeKind::KeyDeleted { key },
            Self::UserDeleted => ChangeKind::UserDeleted,
            Self::UserRenamed(to_name) => ChangeKind::UserRenamed {
                to: UserId::new(account, &to_name),
                to_name,
            },
            Self::Leaked(key, Stored(signal)) => ChangeKind::KeyLeaked { key, signal },
        }
    }
}

/// A [`LeakReport`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReportV1 {
    account: String,
    keys: Vec<String>,
    at: Time,
    signal: Stored<LeakSignal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
}

impl From<&LeakReport> for ReportV1 {
    fn from(report: &LeakReport) -> Self {
        Self {
            account: report.account.clone(),
            keys: report.keys.clone(),
            at: Time(report.at),
            signal: Stored(report.signal),
            event_id: report.event_id.clone(),
            region: report.region.clone(),
        }
    }
}

impl From<ReportV1> for LeakReport {
    fn from(stored: ReportV1) -> Self {
        Self {
            account: stored.account,
            keys: stored.keys,
            at: stored.at.0,
            signal: stored.signal.0,
            event_id: stored.event_id,
            region: stored.region,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::events::actor::Actor;
    use crate::detect::testing::at;

    /// A change of each kind, by an actor with every field, of an IAM user and of root.
    fn changes() -> Vec<KeyChange> {
        let user = UserId::new("111122223333", "Alice");
        let key = || "AKIA1".to_owned();
        let kinds = [
            ChangeKind::KeyCreated {
                key: key(),
                status: KeyStatus::Active,
            },
            ChangeKind::KeyUpdated {
                key: key(),
                status: KeyStatus::Inactive,
            },
            ChangeKind::KeyDeleted { key: key() },
            ChangeKind::UserDeleted,
            ChangeKind::UserRenamed {
                to: UserId::new("111122223333", "Bob"),
                to_name: "Bob".to_owned(),
            },
            ChangeKind::KeyLeaked {
                key: None,
                signal: LeakSignal::Quarantine,
            },
            ChangeKind::KeyLeaked {
                key: Some(key()),
                signal: LeakSignal::ExposureSuspected,
            },
        ];
        let text = |name: &str| Some(format!("{name} \"\u{1f511}\\"));
        let full = kinds.map(|kind| KeyChange {
            id: "id".to_owned(),
            event_id: text("event"),
            corrects: text("corrects"),
            at: at(7),
            user: user.clone(),
            user_name: "Alice".to_owned(),
            kind,
            actor: Actor {
                kind: text("kind"),
                arn: text("arn"),
                name: text("name"),
                account: text("account"),
                access_key_id: text("key"),
                source_ip: text("ip"),
                user_agent: text("agent"),
                mfa: Some(false),
                console: true,
                invoked_by: text("service"),
            },
            region: text("region"),
        });
        let root = KeyChange {
            user: UserId::root("111122223333"),
            user_name: "root".to_owned(),
            event_id: None,
            corrects: None,
            actor: Actor::default(),
            region: None,
            ..full[0].clone()
        };
        full.into_iter().chain([root]).collect()
    }

    #[test]
    fn a_change_that_is_kept_is_the_same_when_it_is_read() {
        for change in changes() {
            let kept = serde_json::to_vec(&ChangeV1::from(&change)).unwrap();
            let read: ChangeV1 = serde_json::from_slice(&kept).unwrap();
            assert_eq!(read.filed(change.at, change.id.clone()), change);
        }
    }
}
