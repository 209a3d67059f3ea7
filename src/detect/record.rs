//! A CloudTrail record as it really comes: fields missing, null, of another type, as a string of JSON, or from a version
//! not yet known.
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
    /// Set when the call failed, in words.
    #[serde(deserialize_with = "text")]
    pub error_message: Option<String>,
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
    #[serde(deserialize_with = "request")]
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

    /// Whether the call failed.
    ///
    /// Exports write words for an `errorCode` that is not there: those mean success. A record that
    /// says it succeeded and lacks the answer of a success is incomplete, but it did not fail.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !is_nothing(text));
        if has(&self.error_code) {
            return true;
        }
        // Without the code, only the calls that answer something tell a failure from a success.
        has(&self.error_message)
            && self.event_name.as_deref() == Some("CreateAccessKey")
            && self.response_elements.access_key.access_key_id.is_none()
    }

    /// The account whose credentials made the call, for a record that lost `recipientAccountId`.
    ///
    /// IAM has no calls into other accounts, so its caller is of the account that it acts on. Only
    /// `AWSAccount` is another account by definition (user guide, `userIdentity` element).
    #[must_use]
    pub fn callers_account(&self) -> Option<String> {
        let identity = &self.user_identity;
        if identity.kind.as_deref() == Some("AWSAccount") {
            return None;
        }
        let of_arn = || account_id(identity.arn.as_deref()?.split(':').nth(4)?);
        identity.account_id.clone().or_else(of_arn)
    }
}

/// The id in `text` in its twelve digits, `None` where `text` stands for nothing.
///
/// A tool that took the id for a number lost its leading zeros. An id of no digits is a masked one.
#[must_use]
pub fn account_id(text: &str) -> Option<String> {
    if is_nothing(text) {
        return None;
    }
    // A column of numbers with gaps becomes one of fractions.
    let trimmed = text.trim();
    let whole = trimmed.strip_suffix(".0").unwrap_or(trimmed);
    if whole.bytes().all(|byte| byte.is_ascii_digit()) {
        // Twelve zeros are the account of some emulators; fewer are a number that was missing.
        let is_zero = whole.len() < 12 && whole.bytes().all(|byte| byte == b'0');
        return (!is_zero).then(|| format!("{whole:0>12}"));
    }
    Some(text.to_owned())
}

/// Whether `text` is what an export writes where a record has nothing, or has no error.
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
    /// Whether the parameters are a text that is not JSON: nothing in it can be told.
    #[serde(skip)]
    pub is_unreadable: bool,
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

/// An account id, as text or as a number.
fn account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => account_id(&text),
        Value::Number(number) => account_id(&number.to_string()),
        _ => None,
    })
}

/// A nested object, or a string of JSON that is one; anything else counts as absent.
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

/// The same for the request, of which it matters whether it was absent or could not be read.
fn request<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RequestParameters, D::Error> {
    use serde::de::Error;
    match unwrapped(Value::deserialize(deserializer)?) {
        Ok(Some(object)) => serde_json::from_value(object).map_err(D::Error::custom),
        Ok(None) => Ok(RequestParameters::default()),
        Err(NotJson) => Ok(RequestParameters {
            is_unreadable: true,
            ..RequestParameters::default()
        }),
    }
}

/// A text that is neither JSON nor a word for nothing.
struct NotJson;

/// The object that `value` is, or that it is the JSON text of.
fn unwrapped(value: Value) -> Result<Option<Value>, NotJson> {
    let value = match value {
        Value::String(text) if is_nothing(&text) => Value::Null,
        Value::String(text) => serde_json::from_str(&text).map_err(|_| NotJson)?,
        value => value,
    };
    Ok(Some(value).filter(Value::is_object))
}
