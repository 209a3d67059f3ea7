//! OCSF API Activity (class 6003), the format in which Security Lake stores CloudTrail records.
//!
//! Source: OCSF schema, API Activity; Security Lake's mapping of CloudTrail management events.

use chrono::DateTime;
use serde_json::{Map, Value, json};

use crate::local::record_names;

const CLASS: u64 = 6003;

/// Returns the CloudTrail record behind `event`, or `None` if it is not API Activity.
pub(super) fn record_of(event: &Map<String, Value>) -> Option<Value> {
    let api = event.get("api")?.as_object()?;
    let operation = api.get("operation")?.as_str()?;
    let class = event.get("class_uid");
    // Athena and DuckDB write numbers; some relays convert them to strings.
    let is_class = |class: &Value| {
        class.as_u64() == Some(CLASS) || class.as_str() == Some(CLASS.to_string().as_str())
    };
    if !class.is_none_or(is_class) {
        return None;
    }
    let at = |place: &str| pointer(event, place).filter(|value| !value.is_null());
    let service = at("api/service/name");
    if class.is_none() && service.is_none() {
        return None;
    }
    let succeeded = at("status_id").and_then(Value::as_u64) == Some(1)
        || at("status").and_then(Value::as_str) == Some("Success");
    let unmapped = at("unmapped").map(unmapped_fields).unwrap_or_default();
    let unmapped = record_names::as_record(&unmapped);
    // Security Lake stores the request and the response as JSON strings or field by field.
    let data = |value: Option<&Value>, name: &str| match value {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(value) => value.clone(),
        None => unmapped.get(name).cloned().unwrap_or_default(),
    };
    let error = at("api/response/error").or_else(|| at("api/response/code"));
    Some(json!({
        "eventID": at("metadata/uid"),
        "eventName": operation,
        "eventSource": service,
        "eventTime": time(event),
        "awsRegion": at("cloud/region"),
        "sourceIPAddress": at("src_endpoint/ip").or_else(|| at("src_endpoint/domain")),
        "userAgent": at("http_request/user_agent"),
        "errorCode": error.filter(|_| !succeeded),
        "recipientAccountId": at("cloud/account/uid")
            .or_else(|| at("cloud/account_uid"))
            .or_else(|| at("actor/user/account/uid"))
            .or_else(|| at("actor/user/account_uid"))
            .or_else(|| unmapped.get("recipientAccountId")),
        "userIdentity": {
            "type": at("actor/user/type"),
            "arn": at("actor/user/uid"),
            "userName": at("actor/user/name"),
            "accountId": at("actor/user/account/uid").or_else(|| at("actor/user/account_uid")),
            "accessKeyId": at("actor/user/credential_uid"),
            "invokedBy": at("actor/invoked_by"),
        },
        "requestParameters": data(at("api/request/data"), "requestParameters"),
        "responseElements": data(at("api/response/data"), "responseElements"),
    }))
}

/// The fields that have no equivalent in OCSF, stored as an object, as a list of pairs (Parquet),
/// or as a JSON string.
fn unmapped_fields(value: &Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields.clone(),
        Value::Array(pairs) => pairs.iter().filter_map(pair).collect(),
        Value::String(_) => match record_names::object(value, 0) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

fn pair(pair: &Value) -> Option<(String, Value)> {
    let (name, value) = match pair {
        Value::Array(pair) => (pair.first(), pair.get(1)),
        _ => (pair.get("key"), pair.get("value")),
    };
    Some((name?.as_str()?.to_owned(), value?.clone()))
}

fn pointer<'a>(event: &'a Map<String, Value>, place: &str) -> Option<&'a Value> {
    let mut names = place.split('/');
    let first = event.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

/// `time` in milliseconds since 1970, else `time_dt`.
fn time(event: &Map<String, Value>) -> Option<String> {
    let time = event.get("time");
    let millis = time.and_then(|time| time.as_i64().or_else(|| time.as_str()?.parse().ok()));
    millis
        .and_then(DateTime::from_timestamp_millis)
        .map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .or_else(|| Some(event.get("time_dt")?.as_str()?.to_owned()))
}
