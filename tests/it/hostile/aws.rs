//! A stand-in for an AWS account in which every text is hostile: STS and IAM in Query XML,
//! CloudTrail in JSON 1.1.
//!
//! Character references carry any text: XML 1.0 forbids those of NUL and of other control
//! characters, but the SDK accepts them.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{cut, record, used};
use crate::rotate::front::{serve, write};

/// The state of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Two active keys with complete information.
    TwoActive,
    /// The same, and nothing can be changed.
    Unchangeable,
    /// The same, without further information from IAM or CloudTrail.
    Untold,
    /// One active key.
    OneKey,
    /// An active and an inactive key.
    Finished,
    /// The same, and CloudTrail does not show since when.
    FinishedUntold,
    /// Keys and users must not be listed.
    Denied,
    /// Keys are not listed, for an unknown reason.
    Odd,
    /// The user does not exist.
    Gone,
    /// The caller's credentials are unknown.
    Stranger,
}

/// The stand-in. It lives as long as the test process.
pub(super) struct Aws {
    pub(super) url: String,
    said: Arc<Mutex<(String, State)>>,
}

impl Aws {
    pub(super) fn start() -> Self {
        let said = Arc::new(Mutex::new((String::new(), State::Stranger)));
        let shared = said.clone();
        let url = serve(move |request, mut client| {
            let (text, state) = shared.lock().unwrap().clone();
            async move {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                if request.head.contains("LookupEvents") {
                    let (status, answer) = history(&body, &text, state);
                    let kind = "application/x-amz-json-1.1";
                    return write(&mut client, status, kind, &answer.to_string()).await;
                }
                let action = body.split("Action=").nth(1).unwrap_or_default();
                let action = action.split('&').next().unwrap_or_default();
                let (status, answer) = match query(action, &body, &text, state) {
                    Ok(result) => {
                        let result = format!("<{action}Result>{result}</{action}Result>");
                        let id = "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>";
                        (
                            200,
                            format!("<{action}Response>{result}{id}</{action}Response>"),
                        )
                    }
                    Err(code) => {
                        let (code, message) = (xml(&code), xml(&text));
                        let error = format!("<Code>{code}</Code><Message>{message}</Message>");
                        let error = format!("<Error><Type>Sender</Type>{error}</Error>");
                        let id = "<RequestId>1</RequestId>";
                        let status = if code == "AccessDenied" { 403 } else { 400 };
                        (
                            status,
                            format!("<ErrorResponse>{error}{id}</ErrorResponse>"),
                        )
                    }
                };
                write(&mut client, status, "text/xml", &answer).await
            }
        });
        Self { url, said }
    }

    /// From now on every text is `text`.
    pub(super) fn set(&self, text: &str, state: State) {
        *self.said.lock().unwrap() = (text.to_owned(), state);
    }
}

/// The account ID for `text`.
fn account(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The ID of a key. It has the length to which stored IDs are limited, because IAM and CloudTrail
/// must return the same ID.
fn key_id(number: u32, text: &str) -> String {
    format!("{number:02}{}", account(text))
}

/// The result of a Query `action`, or the code of its error.
fn query(action: &str, body: &str, text: &str, state: State) -> Result<String, String> {
    let (whole, text, account) = (text, xml(&cut(text)), xml(&account(text)));
    let is_denied = match action {
        "ListUsers" => state == State::Denied,
        "ListAccessKeys" => matches!(state, State::Denied | State::Odd | State::Gone),
        "GetAccessKeyLastUsed" => state == State::Untold,
        "UpdateAccessKey" | "CreateAccessKey" | "DeleteAccessKey" => state == State::Unchangeable,
        "GetCallerIdentity" => state == State::Stranger,
        _ => false,
    };
    if is_denied {
        return Err(match state {
            State::Odd | State::Unchangeable => format!("x{}", cut(whole)),
            State::Gone => "NoSuchEntity".to_owned(),
            State::Stranger => "ExpiredToken".to_owned(),
            _ => "AccessDenied".to_owned(),
        });
    }
    let key = |number: u32, status: &str| {
        let id = xml(&key_id(number, whole));
        format!(
            "<member><UserName>{text}</UserName><AccessKeyId>{id}</AccessKeyId><Status>{status}</Status>\
             <CreateDate>2024-01-{number:02}T00:00:00Z</CreateDate></member>"
        )
    };
    Ok(match action {
        "GetCallerIdentity" => format!(
            "<Arn>arn:aws:iam::{account}:user/{text}</Arn><UserId>{text}</UserId><Account>{account}</Account>"
        ),
        "ListUsers" => format!(
            "<IsTruncated>false</IsTruncated><Users><member><Path>{text}</Path><UserName>{text}</UserName>\
             <UserId>{text}</UserId><Arn>{text}</Arn><CreateDate>2024-01-01T00:00:00Z</CreateDate></member></Users>"
        ),
        "ListAccessKeys" => {
            let keys = match state {
                State::OneKey => key(1, "Active"),
                State::Finished | State::FinishedUntold => key(1, "Inactive") + &key(2, "Active"),
                _ => key(1, "Active") + &key(2, "Active"),
            };
            format!("<IsTruncated>false</IsTruncated><AccessKeyMetadata>{keys}</AccessKeyMetadata>")
        }
        "GetAccessKeyLastUsed" => {
            let day = if body.contains("AccessKeyId=01") {
                1
            } else {
                2
            };
            format!(
                "<UserName>{text}</UserName><AccessKeyLastUsed><LastUsedDate>2024-02-{day:02}T00:00:00Z</LastUsedDate>\
                 <ServiceName>{text}</ServiceName><Region>{text}</Region></AccessKeyLastUsed>"
            )
        }
        "GenerateCredentialReport" => {
            format!("<State>COMPLETE</State><Description>{text}</Description>")
        }
        "GetCredentialReport" => {
            let report = STANDARD.encode(report(&cut(whole)));
            format!(
                "<Content>{report}</Content><ReportFormat>text/csv</ReportFormat>\
                 <GeneratedTime>2024-06-01T00:00:00Z</GeneratedTime>"
            )
        }
        _ => String::new(),
    })
}

/// A credential report in which the user `name` has two active keys, and root has none.
fn report(name: &str) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(vec![]);
    let header = [
        "user",
        "access_key_1_active",
        "access_key_1_last_rotated",
        "access_key_2_active",
        "access_key_2_last_rotated",
    ];
    csv.write_record(header).unwrap();
    let row = |name, active| [name, active, "2024-01-01T00:00:00Z", active, "N/A"];
    csv.write_record(row("<root_account>", "false")).unwrap();
    csv.write_record(row(name, "true")).unwrap();
    csv.into_inner().unwrap()
}

/// CloudTrail's response.
fn history(body: &str, text: &str, state: State) -> (u16, Value) {
    if matches!(state, State::Untold | State::FinishedUntold) {
        return (
            400,
            json!({"__type": "AccessDeniedException", "Message": text}),
        );
    }
    let asked: Value = serde_json::from_str(body).unwrap();
    let attribute = &asked["LookupAttributes"][0];
    if attribute["AttributeKey"] == "AccessKeyId" {
        let record = used("mid", 1, 20, text).to_string();
        let resources = json!([{"ResourceName": cut(text), "ResourceType": text}]);
        let event = json!({"EventName": text, "CloudTrailEvent": record, "Resources": resources});
        return (200, json!({"Events": [event]}));
    }
    let id = &attribute["AttributeValue"];
    let number = if id.as_str().is_some_and(|id| id.starts_with("01")) {
        1
    } else {
        2
    };
    let record = |event, second| {
        let mut record = record(event, &cut(text), number, second, text);
        record["recipientAccountId"] = account(text).into();
        record["requestParameters"]["accessKeyId"] = key_id(number, text).into();
        record["responseElements"]["accessKey"]["accessKeyId"] = key_id(number, text).into();
        record
    };
    let mut records = vec![record("CreateAccessKey", number)];
    if state == State::Finished && number == 1 {
        let mut deactivated = record("UpdateAccessKey", 10);
        // After its last use.
        deactivated["eventTime"] = "2024-06-01T00:00:00Z".into();
        records.push(deactivated);
    }
    let events: Vec<Value> = records
        .iter()
        .map(|record| json!({"EventName": text, "Username": text, "CloudTrailEvent": record.to_string()}))
        .collect();
    (200, json!({"Events": events}))
}

/// `text` in XML.
fn xml(text: &str) -> String {
    let mut xml = String::new();
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            xml.push(character);
        } else {
            write!(xml, "&#x{:x};", u32::from(character)).unwrap();
        }
    }
    xml
}
