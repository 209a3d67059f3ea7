//! A CloudTrail record as found in practice: fields may be missing, null, of another type, JSON in
//! a string, or from a newer version.
//!
//! Source: `CloudTrail` user guide, record contents and `userIdentity` element; the deviations are
//! from published records.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::detect::arn::Arn;

/// The fields of a CloudTrail record that secondkey reads. Each is optional. Unknown fields are
/// ignored, so a new `eventVersion` can be read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CloudTrailRecord {
    /// The record's unique id, unless a relay lost it or made it constant.
    #[serde(rename = "eventID", deserialize_with = "text")]
    pub event_id: Option<String>,
    /// The API call, such as `CreateAccessKey`.
    #[serde(deserialize_with = "text")]
    pub event_name: Option<String>,
    /// The service, such as `iam.amazonaws.com`.
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
    /// The error message of a failed call.
    #[serde(deserialize_with = "text")]
    pub error_message: Option<String>,
    /// The account that the call acted on.
    #[serde(deserialize_with = "account")]
    pub recipient_account_id: Option<String>,
    /// `"true"` for a call made in the console.
    #[serde(deserialize_with = "text")]
    pub session_credential_from_console: Option<String>,
    /// Who made the call.
    #[serde(deserialize_with = "object")]
    pub user_identity: UserIdentity,
    /// The request.
    #[serde(deserialize_with = "request")]
    pub request_parameters: RequestParameters,
    /// The response.
    #[serde(deserialize_with = "object")]
    pub response_elements: ResponseElements,
    /// Set on a late or corrected copy of an earlier record.
    #[serde(deserialize_with = "object")]
    pub addendum: Addendum,
}

impl CloudTrailRecord {
    /// Reads a record from any JSON value. A value that is not an object becomes an empty record,
    /// which is not a key change.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        object(value).unwrap_or_default()
    }

    /// Whether the call failed.
    ///
    /// Exports may write a placeholder for an absent `errorCode`, which means success. A record of
    /// a successful call without a response is incomplete, but the call did not fail.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !is_nothing(text));
        if has(&self.error_code) {
            return true;
        }
        // Without the code, only calls that return something show whether they failed.
        has(&self.error_message)
            && self.event_name.as_deref() == Some("CreateAccessKey")
            && self.response_elements.access_key.access_key_id.is_none()
    }

    /// The account whose credentials made the call, for a record that lost `recipientAccountId`.
    ///
    /// IAM has no calls across accounts, so the caller belongs to the account that the call acted
    /// on. Only `AWSAccount` is another account by definition (user guide, `userIdentity` element).
    #[must_use]
    pub fn callers_account(&self) -> Option<String> {
        let identity = &self.user_identity;
        if identity.kind.as_deref() == Some("AWSAccount") {
            return None;
        }
        let of_arn = || account_id(Arn::parse(identity.arn.as_deref()?)?.account);
        identity.account_id.clone().or_else(of_arn)
    }
}

/// The account id in `text`, with twelve digits; `None` if `text` is a placeholder.
///
/// A tool that read the id as a number dropped its leading zeros. An id without digits is masked.
#[must_use]
pub(crate) fn account_id(text: &str) -> Option<String> {
    if is_nothing(text) {
        return None;
    }
    // A numeric column with gaps is exported as floating-point numbers.
    let trimmed = text.trim();
    let whole = trimmed.strip_suffix(".0").unwrap_or(trimmed);
    if whole.bytes().all(|byte| byte.is_ascii_digit()) {
        // Some emulators use twelve zeros as the account id; fewer zeros are a missing number.
        let is_zero = whole.len() < 12 && whole.bytes().all(|byte| byte == b'0');
        return (!is_zero).then(|| format!("{whole:0>12}"));
    }
    Some(text.to_owned())
}

/// Whether `text` is a placeholder that exports write for an absent value.
fn is_nothing(text: &str) -> bool {
    const WORDS: [&str; 8] = ["", "-", "none", "null", "nil", "nan", "n/a", "success"];
    WORDS
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word))
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
    /// The caller's name. For root this is the account alias, so it is not used.
    #[serde(deserialize_with = "text")]
    pub user_name: Option<String>,
    /// The caller's account, which may differ from the account that the call acted on.
    #[serde(deserialize_with = "account")]
    pub account_id: Option<String>,
    /// The access key that signed the call.
    #[serde(deserialize_with = "text")]
    pub access_key_id: Option<String>,
    /// The AWS service that made the call on behalf of a principal.
    #[serde(deserialize_with = "text")]
    pub invoked_by: Option<String>,
    /// Details of the session, for temporary credentials.
    #[serde(deserialize_with = "object")]
    pub session_context: SessionContext,
}

impl UserIdentity {
    /// Whether the call was made by root or in a session of `sts:AssumeRoot`.
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

/// The parts of `sessionContext` that identify the actor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionContext {
    /// The session's attributes.
    #[serde(deserialize_with = "object")]
    pub attributes: SessionAttributes,
    /// `"true"` for a session of `sts:AssumeRoot`: a management account or a delegated
    /// administrator acts as the root of a member account.
    #[serde(deserialize_with = "text")]
    pub assumed_root: Option<String>,
}

/// The attributes of a session.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionAttributes {
    /// `"true"` or `"false"`.
    #[serde(deserialize_with = "text")]
    pub mfa_authenticated: Option<String>,
}

/// The request's parameters. Null for a denied call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestParameters {
    /// The user acted on; absent if the caller acts on itself.
    #[serde(deserialize_with = "text")]
    pub user_name: Option<String>,
    /// The new name, in `UpdateUser`.
    #[serde(deserialize_with = "text")]
    pub new_user_name: Option<String>,
    /// The key acted on.
    #[serde(deserialize_with = "text")]
    pub access_key_id: Option<String>,
    /// The requested status, in `UpdateAccessKey`.
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    /// The managed policy, in `AttachUserPolicy`.
    #[serde(deserialize_with = "text")]
    pub policy_arn: Option<String>,
    /// `"true"` if `CloudTrail` omitted the parameters because the record was too large (user
    /// guide, record contents).
    #[serde(deserialize_with = "text")]
    pub omitted: Option<String>,
    /// Whether the parameters are a string that is not JSON, so that nothing can be read from it.
    #[serde(skip)]
    pub is_unreadable: bool,
}

/// The response.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResponseElements {
    /// The new key, in `CreateAccessKey`.
    #[serde(deserialize_with = "object")]
    pub access_key: CreatedKey,
}

/// The key that `CreateAccessKey` returned. Its `createDate` is US text and is not read; dates come
/// from `ListAccessKeys`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CreatedKey {
    /// The key's user.
    #[serde(deserialize_with = "text")]
    pub user_name: Option<String>,
    /// The key's id.
    #[serde(deserialize_with = "text")]
    pub access_key_id: Option<String>,
    /// Always `Active` in the records known so far.
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

/// A string, number or boolean as text; any other value counts as absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// An account id, as a string or number.
fn account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => account_id(&text),
        Value::Number(number) => account_id(&number.to_string()),
        _ => None,
    })
}

/// A nested object, or a string that contains one as JSON; any other value counts as absent.
fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    D::Error: serde::de::Error,
    T: serde::de::DeserializeOwned + Default,
{
    use serde::de::Error;
    let value = Value::deserialize(deserializer).map_err(D::Error::custom)?;
    unwrapped(value)
        .ok()
        .flatten()
        .map_or_else(|| Ok(T::default()), serde_json::from_value)
        .map_err(D::Error::custom)
}

/// Like [`object`], but distinguishes an absent request from an unreadable one.
fn request<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RequestParameters, D::Error> {
    use serde::de::Error;
    match unwrapped(Value::deserialize(deserializer)?) {
        Ok(Some(object)) => serde_json::from_value(object).map_err(D::Error::custom),
        Ok(None) => Ok(RequestParameters::default()),
        Err(NotJsonError) => Ok(RequestParameters {
            is_unreadable: true,
            ..RequestParameters::default()
        }),
    }
}

/// A string that is neither JSON nor a placeholder.
struct NotJsonError;

/// The object in `value`, which may be JSON in a string.
fn unwrapped(value: Value) -> Result<Option<Value>, NotJsonError> {
    let value = match value {
        Value::String(text) if is_nothing(&text) => Value::Null,
        Value::String(text) => serde_json::from_str(&text).map_err(|_| NotJsonError)?,
        value => value,
    };
    Ok(Some(value).filter(Value::is_object))
}
