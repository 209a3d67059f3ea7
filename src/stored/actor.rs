//! Actors and users as they are stored.

use serde::{Deserialize, Serialize};

use crate::detect::events::actor::Actor;
use crate::detect::user::UserId;

/// A user that an item refers to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserV1 {
    account: String,
    user: String,
}

impl From<&UserId> for UserV1 {
    fn from(user: &UserId) -> Self {
        Self {
            account: user.account().to_owned(),
            user: user.name().to_owned(),
        }
    }
}

impl From<UserV1> for UserId {
    fn from(stored: UserV1) -> Self {
        Self::new(&stored.account, &stored.user)
    }
}

/// An [`Actor`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ActorV1 {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mfa: Option<bool>,
    console: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_by: Option<String>,
}

impl From<&Actor> for ActorV1 {
    fn from(actor: &Actor) -> Self {
        let Actor {
            kind,
            arn,
            name,
            account,
            access_key_id,
            source_ip,
            user_agent,
            mfa,
            console,
            invoked_by,
        } = actor.clone();
        Self {
            kind,
            arn,
            name,
            account,
            access_key_id,
            source_ip,
            user_agent,
            mfa,
            console,
            invoked_by,
        }
    }
}

impl From<ActorV1> for Actor {
    fn from(stored: ActorV1) -> Self {
        Self {
            kind: stored.kind,
            arn: stored.arn,
            name: stored.name,
            account: stored.account,
            access_key_id: stored.access_key_id,
            source_ip: stored.source_ip,
            user_agent: stored.user_agent,
            mfa: stored.mfa,
            console: stored.console,
            invoked_by: stored.invoked_by,
        }
    }
}
