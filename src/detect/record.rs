//! A CloudTrail record as it really comes: fields missing, null, of another type, or from a version not yet known.
//!
//! Source: `CloudTrail` user guide, record contents and `userIdentity` element; the quirks are those of published records.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The fields of a CloudTrail record that secondkey reads. Every one may be absent; what it has no use for is ignored,
/// so a new `eventVersion` does not stop it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CloudTrailRecord {
    /// Unique id of the record, unless a relay lost it or made it constant.
    #[serde(rename = "eventID", deserialize_with = "text")]
    pub event_id: Option<String>,
    /// The API's name, `CreateAccessKey`.
    #[serde(deserialize_with = "text")]
    pub event_name: Option<String>,
    /// The service, `iam.amazonaws.com`.
    #[serde(deserialize_with = "text")]
    pub event_source: Option<String>,
    /// When the call was made, in whole seconds.
    #[serde(deserialize_with = "text")]
    pub event_time: Option<String>,
    /// The region that recorded the call.
    #[serde(deserialize_with = "text")]
    pub aws_region: Option<String>,
    /// An IP address or a service's name.
    #[serde(rename = "sourceIPAddress", deserialize_with = "text")]
    pub source_ip_address: Option<String>,
    /// The caller's user agent.
    #[serde(deserialize_with = "text")]
    pub user_agent: Option<String>,
    /// Set when the call failed.
    #[serde(deserialize_with = "text")]
    pub error_code: Option<String>,
    /// The account that the call acted on.
    #[serde(deserialize_with = "account")]
    pub recipient_account_id: Option<String>,
    /// `"true"` for a call made in the console.
    #[serde(deserialize_with = "text")]
    pub session_credential_from_console: Option<String>,
    /// Who called.
    #[serde(deserialize_with = "object")]
    pub user_identity: UserIdentity,
    /// What was asked for.
    #[serde(deserialize_with = "object")]
    pub request_parameters: RequestParameters,
    /// What was answered.
    #[serde(deserialize_with = "object")]
    pub response_elements: ResponseElements,
    /// Set on a late or corrected copy of an earlier record.
    #[serde(deserialize_with = "object")]
    pub addendum: Addendum,
}

impl CloudTrailRecord {
    /// Reads a record out of any JSON value. A value that is no object gives an empty record, which is no key change.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        object(value).unwrap_or_default()
    }

    /// The error code of a failed call. Absent, `null` and `""` all mean that the call succeeded.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.error_code.as_deref().filter(|code| !code.is_empty())
    }
}

/// Who made the call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UserIdentity {
    /// `IAMUser`, `AssumedRole`, `Root`, `AWSService`, …
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: Option<String>,
    /// The caller's ARN.
    #[serde(deserialize_with = "text")]
    pub arn: Option<String>,
    /// The caller's name; for root it is the account alias, so it names nobody.
    #[serde(deserialize_with = "text")]
    pub user_name: Option<String>,
    /// The caller's account, which may be another than the one acted on.
    #[serde(deserialize_with = "account")]
    pub account_id: Option<String>,
    /// The access key that signed the call.
    #[serde(deserialize_with = "text")]
    pub access_key_id: Option<String>,
    /// The AWS service that called on somebody's behalf.
    #[serde(deserialize_with = "text")]
    pub invoked_by: Option<String>,
    /// The session's circumstances, for temporary credentials.
    #[serde(deserialize_with = "object")]
    pub session_context: SessionContext,
}

impl UserIdentity {
    /// Whether root made the call, or a session of `sts:AssumeRoot`.
    ///
    /// Such a session acts as the member account's root (IAM user guide, "Track privileged tasks in
    /// AWS `CloudTrail`"). `CloudTrail` marks it with `assumedRoot` (user guide, `userIdentity`
    /// element). Its `type` is `Root` too, but a record may lack either of them.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.kind.as_deref() == Some("Root")
            || self.session_context.assumed_root.as_deref() == Some("true")
    }
}

/// The parts of `sessionContext` that say who acts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionContext {
    /// Attributes of the session.
    #[serde(deserialize_with = "object")]
    pub attributes: SessionAttributes,
    /// `"true"` for a session of `sts:AssumeRoot`: a management account or a delegated
    /// administrator acts as the root of a member account.
    #[serde(deserialize_with = "text")]
    pub assumed_root: Option<String>,
}

/// Attributes of a session.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionAttributes {
    /// `"true"` or `"false"`.
    #[serde(deserialize_with = "text")]
    pub mfa_authenticated: Option<String>,
}

/// What the call asked for. Null on a denied call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestParameters {
    /// The user acted on; absent where the caller acts on itself.
    #[serde(deserialize_with = "text")]
    pub user_name: Option<String>,
    /// The new name, in `UpdateUser`.
    #[serde(deserialize_with = "text")]
    pub new_user_name: Option<String>,
    /// The key acted on.
    #[serde(deserialize_with = "text")]
    pub access_key_id: Option<String>,
    /// The status asked for, in `UpdateAccessKey`.
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    /// The managed policy, in `AttachUserPolicy`.
    #[serde(deserialize_with = "text")]
    pub policy_arn: Option<String>,
    /// `"true"` where `CloudTrail` left the parameters out because the record was too large
    /// (user guide, record contents).
    #[serde(deserialize_with = "text")]
    pub omitted: Option<String>,
}

/// What the call answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResponseElements {
    /// The new key, in `CreateAccessKey`.
    #[serde(deserialize_with = "object")]
    pub access_key: CreatedKey,
}

/// The key that `CreateAccessKey` made. Its `createDate` is US text and is not read: dates come from `ListAccessKeys`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CreatedKey {
    /// Whose key it is.
    #[serde(deserialize_with = "text")]
    pub user_name: Option<String>,
    /// The key's id.
    #[serde(deserialize_with = "text")]
    pub access_key_id: Option<String>,
    /// `Active`, as far as anybody has seen.
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
}

/// Why a record was sent again.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Addendum {
    /// `DELIVERY_DELAY`, `UPDATED_DATA` or `SERVICE_OUTAGE`.
    #[serde(deserialize_with = "text")]
    pub reason: Option<String>,
    /// The record that this one corrects.
    #[serde(rename = "originalEventID", deserialize_with = "text")]
    pub original_event_id: Option<String>,
}

/// Text, or a number or truth value where text belongs; anything else counts as absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// An account id; a relay that made a number of it lost the leading zeros of its twelve digits.
fn account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(format!("{:0>12}", number.to_string())),
        _ => None,
    })
}

/// A nested object; `null`, text or anything else that is no object counts as absent.
fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    D::Error: serde::de::Error,
    T: serde::de::DeserializeOwned + Default,
{
    use serde::de::Error;
    match Value::deserialize(deserializer).map_err(D::Error::custom)? {
        value @ Value::Object(_) => serde_json::from_value(value).map_err(D::Error::custom),
        _ => Ok(T::default()),
    }
}
