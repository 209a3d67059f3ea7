//! Finds CloudTrail records inside any wrapper: nested at any depth and under any name, as an
//! object, as a JSON string, or as base64 of either.

use std::io::Read;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use flate2::bufread::MultiGzDecoder;
use memchr::{memchr_iter, memmem};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::detect::events::health;
use crate::local::log_records::MAX_RECORD_BYTES;
use crate::local::wrappers::{athena_rows, kind_of, row_of_fields};
use crate::local::{ocsf_activity, record_names};

/// How deep records may be wrapped. Objects, lists and strings all count.
const MAX_DEPTH: usize = 64;

/// How many bytes of strings in a document are parsed as JSON or unpacked.
const MAX_DECODED: usize = MAX_RECORD_BYTES;

/// How many braces in a line are tried as the start of an object.
const MAX_TRIED: usize = 64;

/// What a string must contain to hold a record or a wrapper.
const HINTS: [&str; 8] = [
    "ventName",
    "ventname",
    "vent_name",
    "ventSource",
    "ventVersion",
    "class_uid",
    "awslogs",
    "aws.cloudtrail",
];

/// How many base64 letters show what was encoded.
const PACKED_BEGIN: usize = 8;

/// Base64 with or without padding, as senders differ.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The record fields that callers can fill with text. They are not searched for records.
const CONTENTS: [&str; 6] = [
    "requestparameters",
    "responseelements",
    "additionaleventdata",
    "serviceeventdetails",
    "useridentity",
    "resources",
];

/// The `eventName` of a Kinesis event for a function. It is not a call.
pub(super) const KINESIS: &str = "aws:kinesis:record";

/// The source name of EventBridge events.
const EVENTS: &str = "EventBridge";

/// An error inside a document. The records beside it are still read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum UnwrapError {
    #[error("records are nested more than {MAX_DEPTH} levels deep here, so the rest is not read")]
    TooDeep,
    #[error(
        "this unpacks to more than {} MiB, so the rest is not read",
        MAX_DECODED / 1024 / 1024
    )]
    TooLarge,
    #[error("a JSON string that contains a record is incomplete or broken: {0}")]
    BrokenText(String),
    #[error("base64 that contains a record or gzip is incomplete or broken: {0}")]
    BrokenPacked(String),
}

/// Searches one document, line or row for records, and passes each to `take`.
pub(super) struct Unwrapper<F> {
    take: F,
    decoded: usize,
    pub(super) found: u64,
    /// The first error.
    pub(super) error: Option<UnwrapError>,
    /// What the records are wrapped in: the outermost known wrapper.
    pub(super) kind: Option<&'static str>,
}

impl<F: FnMut(Value)> Unwrapper<F> {
    pub(super) fn new(take: F) -> Self {
        Self {
            take,
            decoded: 0,
            found: 0,
            error: None,
            kind: None,
        }
    }

    fn fail(&mut self, error: UnwrapError) {
        self.error.get_or_insert(error);
    }

    fn record(&mut self, record: Value, kind: Option<&'static str>) {
        self.found += 1;
        if self.kind.is_none() {
            self.kind = kind;
        }
        (self.take)(record);
    }

    /// Searches `value` for records.
    pub(super) fn value(&mut self, value: Value, depth: usize, kind: Option<&'static str>) {
        match value {
            Value::Object(_) | Value::Array(_) if depth >= MAX_DEPTH => {
                self.fail(UnwrapError::TooDeep);
            }
            Value::Object(fields) => self.object(fields, depth, kind),
            Value::Array(items) => self.list(items, depth, kind),
            Value::String(text) => self.text(&text, depth, kind),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, fields: Map<String, Value>, depth: usize, kind: Option<&'static str>) {
        if is_envelope(&fields) {
            return self.record(Value::Object(fields), kind.or(Some(EVENTS)));
        }
        if is_record(&fields) {
            return self.record(own_names(Value::Object(fields)), kind);
        }
        let kind = kind.or_else(|| kind_of(&fields));
        if let Some(record) = ocsf_activity::record_of(&fields) {
            let kind = kind.or(Some("OCSF API Activity"));
            // The original is more complete than the OCSF event derived from it.
            let before = self.found;
            if let Some(Value::String(raw)) = fields.get("raw_data") {
                self.text(raw, depth + 1, kind);
            }
            if self.found == before {
                self.record(record, kind);
            }
            return;
        }
        let before = (self.found, self.error.is_some());
        // The fields of an ECS document or a table row are used only if nothing in it is the
        // record.
        let own = record_names::of_ecs(&fields)
            .map(|record| (record, "Elastic"))
            .or_else(|| {
                let is_like = record_names::is_record_like(fields.keys().map(String::as_str));
                is_like.then(|| (record_names::as_record(&fields), "table"))
            });
        let incomplete = own.is_none() && lacks_name(&fields);
        let kept = incomplete.then(|| Value::Object(fields.clone()));
        for (name, value) in fields {
            let is_content = matches!(value, Value::Object(_) | Value::Array(_) | Value::String(_))
                && !CONTENTS.contains(&record_names::folded(&name).as_str());
            if is_content {
                self.value(value, depth + 1, kind);
            }
        }
        if (self.found, self.error.is_some()) != before {
            return;
        }
        if let Some((record, own_kind)) = own {
            self.record(record, kind.or(Some(own_kind)));
        } else if let Some(incomplete) = kept {
            // The record's reader reports what is missing.
            self.record(incomplete, kind);
        }
    }

    fn list(&mut self, items: Vec<Value>, depth: usize, kind: Option<&'static str>) {
        if let Some(rows) = athena_rows(&items) {
            for row in rows {
                self.value(row, depth + 1, kind.or(Some("Athena")));
            }
        } else if let Some((row, row_kind)) = row_of_fields(&items) {
            self.object(row, depth + 1, kind.or(Some(row_kind)));
        } else {
            for item in items {
                self.value(item, depth + 1, kind);
            }
        }
    }

    /// Searches a string for records: JSON, base64, or lines that contain JSON.
    pub(super) fn text(&mut self, text: &str, depth: usize, kind: Option<&'static str>) {
        let text = text.trim();
        if text.len() < "{\"eventName\":\"\"}".len() {
            return;
        }
        if depth >= MAX_DEPTH {
            if may_hold(text.as_bytes()) {
                self.fail(UnwrapError::TooDeep);
            }
            return;
        }
        if begins_packed(text.as_bytes()) && self.base64(text, depth, kind) {
            return;
        }
        if !text.contains('{') || !may_hold(text.as_bytes()) {
            return;
        }
        if !self.has_room(text.len()) {
            return;
        }
        if !text.starts_with(['{', '[', '"']) {
            for line in text.lines() {
                self.line(line.as_bytes(), depth, kind);
            }
            return;
        }
        // Firehose joins documents without a separator.
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            match document {
                Ok(document) => self.value(document, depth + 1, kind),
                Err(error) => return self.fail(broken(&error)),
            }
        }
    }

    /// Searches what `text` encodes as base64. Returns false if it is not base64.
    fn base64(&mut self, text: &str, depth: usize, kind: Option<&'static str>) -> bool {
        if !self.has_room(text.len()) {
            return true;
        }
        let letters: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let Ok(bytes) = DECODER.decode(&letters) else {
            // A name may begin with the same letters.
            let whole = letters.get(..letters.len() / 4 * 4).unwrap_or_default();
            let has_record = || DECODER.decode(whole).is_ok_and(|bytes| may_hold(&bytes));
            let is_cut = text.starts_with("H4sIA") || has_record();
            if is_cut {
                self.fail(UnwrapError::BrokenPacked("it is not complete".to_owned()));
            }
            return is_cut;
        };
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let room = (MAX_DECODED - self.decoded) as u64;
            let mut unpacked = Vec::new();
            let read = MultiGzDecoder::new(bytes.as_slice())
                .take(room + 1)
                .read_to_end(&mut unpacked);
            if let Err(error) = read {
                self.fail(UnwrapError::BrokenPacked(error.to_string()));
                return true;
            }
            if !self.has_room(unpacked.len()) {
                return true;
            }
            let kind = kind.or(Some("CloudWatch Logs"));
            self.text(&String::from_utf8_lossy(&unpacked), depth + 1, kind);
        } else {
            self.text(&String::from_utf8_lossy(&bytes), depth + 1, kind);
        }
        true
    }

    /// Searches a line of text for records: objects after a prefix, or JSON strings.
    pub(super) fn line(&mut self, line: &[u8], depth: usize, kind: Option<&'static str>) {
        let trimmed = line.trim_ascii();
        if begins_packed(trimmed) && self.base64(&String::from_utf8_lossy(trimmed), depth, kind) {
            return;
        }
        if !may_hold(line) {
            return;
        }
        let before = (self.found, self.error.is_some());
        let mut broken_at = None;
        let mut from = 0;
        let mut tried = 0;
        for brace in memchr_iter(b'{', line) {
            if brace < from || tried >= MAX_TRIED {
                continue;
            }
            tried += 1;
            // A JSON string begins with its quote.
            let is_in_text = line.get(brace + 1) == Some(&b'\\');
            let begin = match brace.checked_sub(1).and_then(|at| line.get(at)) {
                Some(b'"') if is_in_text => brace - 1,
                _ => brace,
            };
            let rest = line.get(begin..).unwrap_or_default();
            let mut documents = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
            match documents.next() {
                Some(Ok(document)) => {
                    from = begin + documents.byte_offset();
                    self.value(document, depth + 1, kind);
                }
                Some(Err(error)) => {
                    broken_at.get_or_insert(error);
                }
                None => {}
            }
        }
        if let Some(error) = broken_at
            && (self.found, self.error.is_some()) == before
        {
            self.fail(broken(&error));
        }
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        self.decoded = (self.decoded + bytes).min(MAX_DECODED + 1);
        if self.decoded > MAX_DECODED {
            self.decoded = MAX_DECODED;
            self.fail(UnwrapError::TooLarge);
            return false;
        }
        true
    }
}

fn broken(error: &serde_json::Error) -> UnwrapError {
    UnwrapError::BrokenText(error.to_string())
}

/// Whether `text`, or what is encoded in it, can contain a record.
fn may_hold(text: &[u8]) -> bool {
    has_hint(text)
        || memchr_iter(b'"', text)
            .filter_map(|quote| text.get(quote + 1..))
            .any(begins_packed)
}

/// Whether `text` begins with the base64 of gzip or JSON.
fn begins_packed(text: &[u8]) -> bool {
    let Some(letters) = text.get(..PACKED_BEGIN) else {
        return false;
    };
    let Ok(begin) = DECODER.decode(letters) else {
        return false;
    };
    match begin.trim_ascii_start() {
        [0x1f, 0x8b, ..] | [b'{' | b'['] => true,
        [b'{', next, ..] => *next == b'"' || next.is_ascii_whitespace(),
        [b'[', next, ..] => {
            matches!(next, b'{' | b'[' | b'"' | b'-' | b'n' | b't' | b'f')
                || next.is_ascii_digit()
                || next.is_ascii_whitespace()
        }
        [b'"', next, ..] => matches!(next, b'{' | b'['),
        _ => false,
    }
}

/// Whether `text` itself contains a record.
pub(super) fn has_hint(text: &[u8]) -> bool {
    HINTS
        .iter()
        .any(|hint| memmem::find(text, hint.as_bytes()).is_some())
}

fn is_text(fields: &Map<String, Value>, name: &str) -> bool {
    fields
        .get(name)
        .and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty())
}

/// Whether this is an EventBridge event. Such an event is read as a whole.
fn is_envelope(fields: &Map<String, Value>) -> bool {
    let source = fields.get("source").and_then(Value::as_str);
    let detail = fields.get("detail").and_then(Value::as_object);
    source == Some(health::SOURCE)
        || detail.is_some_and(|detail| {
            is_record(detail) || source.is_some() && fields.contains_key("detail-type")
        })
}

/// The source name of `document`, if it is a single record or an event with one. CloudTrail's own
/// records count as `plain`.
pub(super) fn kind_of_record(document: &Value, plain: &'static str) -> Option<&'static str> {
    let fields = document.as_object()?;
    if is_envelope(fields) {
        return Some(EVENTS);
    }
    is_record(fields).then_some(plain)
}

/// Returns a record with CloudTrail's own names and nesting. Splunk, New Relic and others store
/// `userIdentity.arn` as one name, and Lake results store `{userName=alice}` as a string.
pub(super) fn own_names(record: Value) -> Value {
    match record.as_object() {
        Some(fields) if record_names::is_flattened(fields) => record_names::as_record(fields),
        _ => record,
    }
}

/// Whether this is a record with CloudTrail's own names. Its contents come from callers and are not
/// searched for records.
fn is_record(fields: &Map<String, Value>) -> bool {
    is_text(fields, "eventName") && fields.get("eventName") != Some(&Value::from(KINESIS))
}

/// Whether this must be a record although its event name is missing.
fn lacks_name(fields: &Map<String, Value>) -> bool {
    let marks = [
        "eventTime",
        "eventSource",
        "userIdentity",
        "requestParameters",
    ];
    !fields.contains_key("eventName")
        && marks
            .iter()
            .filter(|mark| fields.contains_key(**mark))
            .count()
            > 1
}
