//! Reads CloudTrail records whose fields have other names: the lower case of Athena and Lake,
//! Steampipe's `event_name`, Sentinel's `EventName`, columns such as `useridentity.arn`, and
//! Elastic's ECS.

use serde_json::{Map, Value};

/// The fields that are read, as CloudTrail spells them.
const NAMES: [&str; 36] = [
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventVersion",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "recipientAccountId",
    "sessionCredentialFromConsole",
    "userIdentity",
    "requestParameters",
    "responseElements",
    "addendum",
    "type",
    "arn",
    "principalId",
    "userName",
    "accountId",
    "accessKeyId",
    "invokedBy",
    "sessionContext",
    "attributes",
    "assumedRoot",
    "mfaAuthenticated",
    "newUserName",
    "policyArn",
    "status",
    "omitted",
    "accessKey",
    "createDate",
    "reason",
    "originalEventID",
    "sessionIssuer",
];

const OTHER_NAMES: [(&str, &str); 6] = [
    ("timegenerated", "eventTime"),
    ("awseventid", "eventID"),
    ("sourceip", "sourceIPAddress"),
    ("useridentityusername", "userIdentity.userName"),
    ("useridentityaccesskeyid", "userIdentity.accessKeyId"),
    ("sessionmfaauthenticated", "userIdentity.mfaAuthenticated"),
];

/// The fields that are objects. Their names are looked up too.
const OBJECTS: [&str; 9] = [
    "userIdentity",
    "requestParameters",
    "responseElements",
    "addendum",
    "accessKey",
    "sessionContext",
    "attributes",
    "sessionIssuer",
    "tlsDetails",
];

/// The objects that tools flatten into fields with dots in their names.
const FLATTENED: [&str; 3] = ["userIdentity", "requestParameters", "responseElements"];

/// How deep structs may be nested.
const MAX_STRUCTS: usize = 8;

/// `name` in lower case, reduced to letters, digits and dots.
pub(super) fn folded(name: &str) -> String {
    name.chars()
        .filter(|char| char.is_ascii_alphanumeric() || *char == '.')
        .map(|char| char.to_ascii_lowercase())
        .collect()
}

/// CloudTrail's name for the field with the folded name `folded`. A dot separates an object from
/// its field.
fn known(folded: &str) -> Option<String> {
    let is = |name: &&&str| name.eq_ignore_ascii_case(folded);
    if let Some(name) = NAMES.iter().find(is) {
        return Some((*name).to_owned());
    }
    if let Some((_, name)) = OTHER_NAMES.iter().find(|(other, _)| *other == folded) {
        return Some((*name).to_owned());
    }
    // Sentinel has `UserIdentityType`.
    let field = known(folded.strip_prefix("useridentity")?)?;
    Some(format!("userIdentity.{field}"))
}

/// Whether an object with these names is a record, in any spelling.
pub(super) fn is_record_like<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let (mut has_name, mut marks) = (false, 0);
    for name in names {
        match folded(name).as_str() {
            "eventname" => has_name = true,
            "eventsource" | "eventtime" | "timegenerated" | "useridentity"
            | "requestparameters" | "useridentity.type" | "useridentity.arn" => marks += 1,
            _ => {}
        }
    }
    has_name && marks > 0
}

/// Whether the record's objects are structs or flattened into names with dots.
pub(super) fn is_flattened(fields: &Map<String, Value>) -> bool {
    fields.iter().any(|(name, value)| {
        let (object, field) = name.split_once('.').unwrap_or((name, ""));
        let is_struct = || value.as_str().is_some_and(is_struct);
        FLATTENED.contains(&object) && (!field.is_empty() || is_struct())
    })
}

/// Whether `text` begins a struct rather than a JSON object.
fn is_struct(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('{').map(str::trim_start);
    inner.is_some_and(|inner| !inner.starts_with(['"', '}']) && inner.contains('='))
}

/// Returns `fields` under CloudTrail's names.
pub(super) fn as_record(fields: &Map<String, Value>) -> Value {
    let mut record = Map::new();
    // Sentinel and others store the time under two names. `eventTime` is the correct one.
    let has_time = fields.keys().any(|name| folded(name) == "eventtime");
    for (name, value) in fields {
        let folded_name = folded(name);
        if has_time && folded_name == "timegenerated" {
            continue;
        }
        let mut place: Vec<String> = Vec::new();
        for part in folded_name.split('.') {
            match known(part) {
                Some(known) => place.extend(known.split('.').map(str::to_owned)),
                None => place.push(part.to_owned()),
            }
        }
        let is_object = place.last().is_some_and(|last| is_object(last));
        let value = if is_object {
            object(value, 0)
        } else {
            value.clone()
        };
        put(&mut record, &place, value);
    }
    Value::Object(record)
}

fn is_object(name: &str) -> bool {
    OBJECTS.contains(&name)
}

/// Puts `value` at `place`, unless a better value is already there.
fn put(record: &mut Map<String, Value>, place: &[String], value: Value) {
    let Some((name, rest)) = place.split_first() else {
        return;
    };
    let there = record.entry(name.clone()).or_insert(Value::Null);
    if rest.is_empty() {
        if there.is_null() {
            *there = value;
        }
        return;
    }
    if there.is_null() {
        *there = Value::Object(Map::new());
    }
    if let Value::Object(inner) = there {
        put(inner, rest, value);
    }
}

/// Returns an object under CloudTrail's names. The input is an object, a JSON string or an Athena
/// struct.
pub(super) fn object(value: &Value, depth: usize) -> Value {
    match value {
        Value::Object(fields) if depth < MAX_STRUCTS => Value::Object(
            fields
                .iter()
                .map(|(name, value)| {
                    let name = known(&folded(name)).unwrap_or_else(|| name.clone());
                    let value = if is_object(&name) {
                        object(value, depth + 1)
                    } else {
                        value.clone()
                    };
                    (name, value)
                })
                .collect(),
        ),
        Value::String(text) => {
            let text = text.trim();
            match serde_json::from_str(text) {
                Ok(inner @ Value::Object(_)) => object(&inner, depth + 1),
                _ if text.starts_with('{') => {
                    structure(text).map_or(Value::Null, |inner| object(&inner, depth + 1))
                }
                _ => Value::Null,
            }
        }
        other => other.clone(),
    }
}

/// Parses a struct as Athena prints it: `{type=IAMUser, sessioncontext={attributes={…}}}`.
fn structure(text: &str) -> Option<Value> {
    let mut rest = text;
    read_struct(&mut rest, 0)
}

fn read_struct(rest: &mut &str, depth: usize) -> Option<Value> {
    if depth >= MAX_STRUCTS {
        return None;
    }
    *rest = rest.strip_prefix('{')?.trim_start();
    let mut fields = Map::new();
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            *rest = behind;
            return Some(Value::Object(fields));
        }
        let (name, behind) = rest.split_once('=')?;
        *rest = behind;
        let value = if rest.starts_with('{') {
            read_struct(rest, depth + 1)?
        } else {
            let end = value_end(rest)?;
            let (value, behind) = rest.split_at_checked(end)?;
            *rest = behind;
            match value {
                "null" => Value::Null,
                value => Value::String(value.to_owned()),
            }
        };
        fields.insert(name.trim().to_owned(), value);
        *rest = rest.trim_start_matches([',', ' ']);
    }
}

/// Where a value ends: before `}`, or before a comma that is followed by a name and `=`. Dates
/// contain commas.
fn value_end(text: &str) -> Option<usize> {
    text.char_indices().find_map(|(at, char)| {
        let ends = match char {
            '}' => true,
            ',' => text
                .get(at..)
                .and_then(|behind| behind.strip_prefix(", "))
                .and_then(|behind| behind.split_once('='))
                .is_some_and(|(name, _)| {
                    !name.is_empty()
                        && name
                            .chars()
                            .all(|char| char.is_ascii_alphanumeric() || char == '_')
                }),
            _ => false,
        };
        ends.then_some(at)
    })
}

/// Returns the record in an Elastic ECS document that did not keep the original.
pub(super) fn of_ecs(document: &Map<String, Value>) -> Option<Value> {
    let at = |place: &str| {
        // A field may be nested in objects, or have one name with dots.
        document.get(place).or_else(|| {
            let mut names = place.split('.');
            let first = document.get(names.next()?)?;
            names.try_fold(first, |value, name| value.get(name))
        })
    };
    let source = at("event.provider")?.as_str()?;
    if !source.ends_with(".amazonaws.com") {
        return None;
    }
    let cloudtrail = |name: &str| {
        at(&format!("aws.cloudtrail.{name}"))
            .or_else(|| at(&format!("aws.cloudtrail.flattened.{name}")))
    };
    let mut record = Map::new();
    let mut set = |name: &str, value: Option<&Value>| {
        if let Some(value) = value {
            record.insert(name.to_owned(), value.clone());
        }
    };
    set("eventName", Some(at("event.action")?));
    set("eventSource", at("event.provider"));
    set("eventTime", at("@timestamp"));
    set("eventID", at("event.id"));
    set("awsRegion", at("cloud.region"));
    set(
        "sourceIPAddress",
        at("source.ip").or_else(|| at("source.address")),
    );
    set("userAgent", at("user_agent.original"));
    set("errorCode", cloudtrail("error_code"));
    set(
        "recipientAccountId",
        cloudtrail("recipient_account_id").or_else(|| at("cloud.account.id")),
    );
    set("userIdentity", cloudtrail("user_identity"));
    set("requestParameters", cloudtrail("request_parameters"));
    set("responseElements", cloudtrail("response_elements"));
    Some(as_record(&record))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_athena_struct_is_read_whatever_its_values_contain() {
        let text = "{type=IAMUser, username=null, sessioncontext={attributes={mfaauthenticated=true}}, \
                    createDate=Jul 10, 2023 12:24:29 PM, arn=arn:aws:iam::1:user/a=b}";
        assert_eq!(
            object(&json!(text), 0),
            json!({
                "type": "IAMUser",
                "userName": null,
                "sessionContext": {"attributes": {"mfaAuthenticated": "true"}},
                "createDate": "Jul 10, 2023 12:24:29 PM",
                "arn": "arn:aws:iam::1:user/a=b",
            })
        );
        for broken in ["{", "{a", "{a=b", &"{a=".repeat(100)] {
            assert_eq!(object(&json!(broken), 0), Value::Null, "{broken}");
        }
    }

    #[test]
    fn every_spelling_of_a_name_is_the_same_field() {
        for (name, place) in [
            ("useridentity.arn", "/userIdentity/arn"),
            ("userIdentity_arn", "/userIdentity/arn"),
            ("UserIdentityArn", "/userIdentity/arn"),
            ("user_identity.account_id", "/userIdentity/accountId"),
            ("recipient_account_id", "/recipientAccountId"),
            ("Source IP address", "/sourceIPAddress"),
            (
                "responseElements.accessKey.accessKeyId",
                "/responseElements/accessKey/accessKeyId",
            ),
        ] {
            let fields = Map::from_iter([(name.to_owned(), json!("x"))]);
            assert_eq!(
                as_record(&fields).pointer(place),
                Some(&json!("x")),
                "{name}"
            );
        }
    }
}
