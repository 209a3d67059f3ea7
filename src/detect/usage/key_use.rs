//! What a `CloudTrail` record shows about the use of a long-term access key.
//!
//! A call counts as a use if the key itself signed it. Calls in a temporary session of the user are
//! recorded under the session's own key id (`ASIA…`); the key only signs the call that requests the
//! session.

use serde_json::Value;
use thiserror::Error;

use crate::detect::Timestamp;
use crate::detect::events::actor::Actor;
use crate::detect::events::cloudtrail_record::CloudTrailRecord;
use crate::detect::events::key_change::read_event_time;
use crate::detect::events::text::bounded;
use crate::detect::user::UserId;

/// Error codes of services that could not authenticate the caller, so that the call is not a use of
/// the key.
pub(crate) const NOT_AUTHENTICATED: [&str; 9] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// How many resources of one call are kept.
const MAX_RESOURCES: usize = 20;

/// The maximum length of a client's name, in characters.
const MAX_CLIENT_CHARS: usize = 64;

/// Prefixes before the name of the real client: Terraform's provider begins its user agent with
/// marks of the partner network.
const MARKS: [&str; 2] = ["APN", "HashiCorp"];

/// Programs that call through an SDK and add their own name after it.
const WRAPPERS: [&str; 6] = [
    "Terraform",
    "OpenTofu",
    "Pulumi",
    "ansible",
    "aws-cdk",
    "terragrunt",
];

/// The client name for calls from the console.
const CONSOLE: &str = "console";

/// The client name for calls without a user agent.
const NO_CLIENT: &str = "no user agent";

/// One call that a long-term key signed. Untrusted text, bounded in length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's user.
    pub user: UserId,
    /// The user's name as spelled in the record; `None` for root.
    pub display_name: Option<String>,
    /// The key's id.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// The record's id.
    pub event_id: Option<String>,
    /// The source and client of the call.
    pub consumer: Consumer,
    /// The user agent.
    pub user_agent: Option<String>,
    /// The service that was called: `s3.amazonaws.com`.
    pub service: String,
    /// The API's name: `GetObject`.
    pub event: String,
    /// The region that recorded the call.
    pub region: Option<String>,
    /// Why the call failed, if it did. A denied call is a use too: the key was accepted.
    pub error: Option<String>,
    /// The resources that the record names.
    pub resources: Vec<String>,
}

/// What uses a key, according to a record: a source and a kind of client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consumer {
    /// An IP address or a service's name.
    pub source: String,
    /// The family of the user agent: `aws-cli/2.x`.
    pub client: String,
}

/// What a record says about the use of the keys of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UseReading {
    /// One of the keys signed the call.
    Use(Box<KeyUse>),
    /// None of the keys signed the call.
    Other,
    /// The record names one of the keys, but AWS did not accept it.
    NotAuthenticated,
}

/// Why a use cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum UseError {
    /// The time of the call is unknown.
    #[error("a call signed by a key has no readable `eventTime`")]
    NoTime,
}

/// Reads the use of a key from a `CloudTrail` record. Only keys for which `is_wanted` returns true
/// are of interest.
pub(crate) fn read_key_use(
    json: &Value,
    is_wanted: impl FnOnce(&UserId, &str) -> bool,
) -> Result<UseReading, UseError> {
    let record = CloudTrailRecord::from_json(json);
    let actor = Actor::of(&record);
    let Some((user, key)) = actor.long_term_key() else {
        return Ok(UseReading::Other);
    };
    if !is_wanted(&user, key) {
        return Ok(UseReading::Other);
    }
    let error = record
        .is_failure()
        .then(|| bounded(record.error_code.as_deref().unwrap_or("unknown error")));
    let is_refused_key = |code: &String| NOT_AUTHENTICATED.contains(&code.as_str());
    if error.as_ref().is_some_and(is_refused_key) {
        return Ok(UseReading::NotAuthenticated);
    }
    let time = record.event_time.as_deref().and_then(read_event_time);
    let kept = |text: &Option<String>| bounded(text.as_deref().unwrap_or("unknown"));
    Ok(UseReading::Use(Box::new(KeyUse {
        at: time.ok_or(UseError::NoTime)?,
        display_name: actor.name.clone(),
        key: key.to_owned(),
        event_id: record.event_id.as_deref().map(bounded),
        consumer: Consumer {
            source: kept(&actor.source_ip),
            client: client(&actor),
        },
        service: kept(&record.event_source),
        event: kept(&record.event_name),
        region: record.aws_region.as_deref().map(bounded),
        error,
        resources: resources(json),
        user,
        user_agent: actor.user_agent,
    })))
}

/// The family of the actor's client.
fn client(actor: &Actor) -> String {
    match actor.user_agent.as_deref() {
        // AWS services use this name too.
        Some("AWS Internal") => "AWS Internal".to_owned(),
        _ if actor.console => CONSOLE.to_owned(),
        Some(user_agent) => family(user_agent),
        None => NO_CLIENT.to_owned(),
    }
}

/// The family of a user agent: the product and its major version (`aws-cli/2.x`), or the whole text
/// if it does not name a product, such as a service's host name.
#[must_use]
pub(crate) fn family(user_agent: &str) -> String {
    // Older records enclose it in brackets.
    let text = user_agent.trim();
    let text = text.strip_prefix('[').unwrap_or(text);
    let text = text.strip_suffix(']').unwrap_or(text).trim();
    let is_wrapper = |product: &&str| {
        let name = product.split('/').next().unwrap_or_default();
        WRAPPERS.iter().any(|one| one.eq_ignore_ascii_case(name)) && product.contains('/')
    };
    let wrapper = text.split_whitespace().find(is_wrapper);
    let is_mark = |product: &&str| {
        let name = product.split('/').next().unwrap_or_default();
        MARKS.contains(&name)
    };
    let after_marks = text.split_whitespace().find(|word| !is_mark(word));
    let has_marks = text
        .split_whitespace()
        .next()
        .is_some_and(|one| is_mark(&one));
    let text = wrapper
        .or_else(|| after_marks.filter(|_| has_marks))
        .unwrap_or(text);
    if text.is_empty() {
        return NO_CLIENT.to_owned();
    }
    let Some((product, version)) = text.split_once('/') else {
        return cut(text);
    };
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    let rest = version.get(major.len()..).unwrap_or_default();
    if major.is_empty() || major.len() > MAX_DIGITS {
        cut(product)
    } else if rest.starts_with('.') {
        format!("{}/{major}.x", cut(product))
    } else {
        format!("{}/{major}", cut(product))
    }
}

/// The maximum number of digits of a major version.
const MAX_DIGITS: usize = 6;

fn cut(text: &str) -> String {
    text.trim().chars().take(MAX_CLIENT_CHARS).collect()
}

/// The resources in a record: those it lists, or else the names, ARNs and ids in its request.
fn resources(record: &Value) -> Vec<String> {
    let arn = |resource: &Value| {
        let arn = ["ARN", "arn", "resourceName"]
            .iter()
            .find_map(|name| resource.get(name)?.as_str());
        arn.filter(|arn| !arn.is_empty()).map(bounded)
    };
    let listed = record.get("resources").and_then(Value::as_array);
    let listed: Vec<String> = listed
        .into_iter()
        .flatten()
        .filter_map(arn)
        .take(MAX_RESOURCES)
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    let request = record.get("requestParameters").and_then(Value::as_object);
    let named = request.into_iter().flatten().filter_map(|(name, value)| {
        let is_name = ["Name", "Arn", "ARN", "Id"]
            .iter()
            .any(|end| name.ends_with(end));
        let value = value
            .as_str()
            .filter(|value| is_name && !value.is_empty())?;
        Some(bounded(&format!("{name}={value}")))
    });
    named.take(MAX_RESOURCES).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_family(user_agent: &str, expected: &str) {
        assert_eq!(family(user_agent), expected, "{user_agent}");
    }

    #[test]
    fn user_agents_are_grouped_by_product_and_major_version() {
        for (user_agent, expected) in [
            (
                "aws-cli/2.15.30 Python/3.11.8 Linux/5.10 exe/x86_64",
                "aws-cli/2.x",
            ),
            ("aws-cli/1.18.147 Python/2.7 botocore/1.18.6", "aws-cli/1.x"),
            ("[aws-cli/2.1.0]", "aws-cli/2.x"),
            ("Boto3/1.34.1 md/Botocore#1.34.1 ua/2.0", "Boto3/1.x"),
            ("aws-sdk-rust/1.3.1 os/linux lang/rust", "aws-sdk-rust/1.x"),
            ("aws-sdk-go-v2/1.24.0 os/linux", "aws-sdk-go-v2/1.x"),
            (
                "APN/1.0 HashiCorp/1.0 Terraform/1.5.7 (+https://x) terraform-provider-aws/5.31",
                "Terraform/1.x",
            ),
            ("aws-sdk-go-v2/1.24 os/linux Pulumi/3.0 (aws)", "Pulumi/3.x"),
            ("APN/1.0 Example/7", "Example/7"),
            (
                "cloudformation.amazonaws.com",
                "cloudformation.amazonaws.com",
            ),
            ("AWS Internal", "AWS Internal"),
            ("My Tool/2 build 7", "My Tool/2"),
            ("curl/", "curl"),
            ("", "no user agent"),
            ("[]", "no user agent"),
        ] {
            check_family(user_agent, expected);
        }
        let long = "x".repeat(10_000);
        assert_eq!(family(&long).len(), MAX_CLIENT_CHARS);
        let long = format!("x/{}", "9".repeat(10_000));
        assert_eq!(family(&long), "x");
    }

    fn call() -> Value {
        json!({"eventName": "GetObject", "eventSource": "s3.amazonaws.com", "awsRegion": "eu-west-1",
            "eventTime": "2026-01-02T03:04:05Z", "eventID": "e1", "sourceIPAddress": "192.0.2.7",
            "userAgent": "Boto3/1.34.1", "userIdentity": {"type": "IAMUser", "userName": "Alice",
            "accountId": "111122223333", "accessKeyId": "AKIA1"}})
    }

    fn read(json: &Value) -> Result<UseReading, UseError> {
        read_key_use(json, |_, key| key == "AKIA1")
    }

    fn used(json: &Value) -> KeyUse {
        match read(json) {
            Ok(UseReading::Use(one)) => *one,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn denied_call_is_a_use_but_an_unauthenticated_one_is_not() {
        let mut record = call();
        assert_eq!(used(&record).error, None);
        assert_eq!(used(&record).user, UserId::new("111122223333", "alice"));
        record["errorCode"] = "AccessDenied".into();
        assert_eq!(used(&record).error.as_deref(), Some("AccessDenied"));
        record["errorCode"] = "InvalidClientTokenId".into();
        assert_eq!(read(&record), Ok(UseReading::NotAuthenticated));
        record["userIdentity"]["accessKeyId"] = "AKIA2".into();
        assert_eq!(read(&record), Ok(UseReading::Other));
        record["userIdentity"]["accessKeyId"] = "ASIA1".into();
        assert_eq!(read(&record), Ok(UseReading::Other));
    }

    #[test]
    fn only_a_call_of_a_wanted_key_needs_a_time() {
        let mut record = call();
        record["eventTime"] = "yesterday".into();
        assert_eq!(read(&record), Err(UseError::NoTime));
        record["userIdentity"]["accessKeyId"] = "AKIA2".into();
        assert_eq!(read(&record), Ok(UseReading::Other));
    }

    #[test]
    fn resources_are_those_listed_or_what_the_request_names() {
        let mut record = call();
        record["requestParameters"] =
            json!({"bucketName": "b", "key": "k", "roleArn": "arn:x", "maxKeys": 5, "hostId": ""});
        assert_eq!(used(&record).resources, ["bucketName=b", "roleArn=arn:x"]);
        record["resources"] = json!([{"ARN": "arn:aws:s3:::b", "type": "AWS::S3::Bucket"}, {}]);
        assert_eq!(used(&record).resources, ["arn:aws:s3:::b"]);
    }
}
