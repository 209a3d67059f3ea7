//! The structs for what events show: who made which call, from where.

use serde::Serialize;

use crate::output::ocsf::wire::Account;

/// What an event shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Evidence {
    /// `opening` or `closing`.
    pub name: &'static str,
    /// Who called.
    pub actor: Actor,
    /// What was called.
    pub api: Api,
    /// Where the call came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_endpoint: Option<Endpoint>,
    /// The client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_request: Option<HttpRequest>,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Actor {
    /// The identity.
    pub user: User,
    /// Its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// The AWS service that made the call on its behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
}

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct User {
    /// The user's name, or the best name that is known.
    pub name: String,
    /// The ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// CloudTrail's type: `IAMUser`, `AssumedRole`, `Root`, …
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// 99: the type is CloudTrail's word, not OCSF's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_id: Option<u32>,
    /// The account that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Session {
    /// The access key that signed the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_uid: Option<String>,
    /// Whether it was authenticated with MFA, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_mfa: Option<bool>,
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Api {
    /// `CreateAccessKey`, …
    pub operation: &'static str,
    /// IAM.
    pub service: Service,
}

/// An AWS service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Service {
    /// `iam.amazonaws.com`.
    pub name: &'static str,
}

/// Where a call came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoint {
    /// The IP address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The service, if a service made the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svc_name: Option<String>,
}

/// The client of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct HttpRequest {
    /// The user agent.
    pub user_agent: String,
}
