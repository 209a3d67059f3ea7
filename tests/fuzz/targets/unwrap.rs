//! Wrapped records: any bytes are read without a panic, and a story is found completely in any
//! wrapper.

#![no_main]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use secondkey::local::log_reading::LogReading;
use serde_json::{Value, json};

/// How many layers wrap each record.
const MAX_LAYERS: usize = 12;

/// How many of them are strings: each doubles the quotes inside it.
const MAX_TEXTS: usize = 5;

fuzz_target!(|data: &[u8]| {
    read(data);
    let (form, layers) = data.split_first().unwrap_or((&0, &[]));
    let (layers, noise) = layers.split_at(layers.len().min(MAX_LAYERS));
    let noise = String::from_utf8_lossy(noise);
    let log = log(*form, layers, &noise);
    let reading = read(&log);
    let shown = || String::from_utf8_lossy(&log).into_owned();
    let changes = reading.changes.in_order().unwrap();
    let changes: Vec<_> = changes.map(Result::unwrap).collect();
    for record in story() {
        let id = record["eventID"].as_str();
        assert!(
            changes
                .iter()
                .any(|change| change.event_id.as_deref() == id),
            "{id:?}: {reading:?}\n{}",
            shown()
        );
    }
    if noise.is_empty() {
        assert_eq!(
            (reading.malformed, reading.records),
            (0, 3),
            "{reading:?}\n{}",
            shown()
        );
    }
});

fn read(log: &[u8]) -> LogReading {
    let mut reading = LogReading::default();
    let clock = DateTime::from_timestamp(1_720_000_000, 0).unwrap();
    reading.read("log", log, clock);
    reading
}

/// Alice gets two keys, and the first is deactivated.
fn story() -> [Value; 3] {
    let record = |day: u32, call: &str, request: Value, response: Value| {
        json!({
            "eventID": format!("event-{day}"), "eventName": call, "eventVersion": "1.08",
            "eventSource": "iam.amazonaws.com", "eventTime": format!("2024-03-0{day}T09:00:00Z"),
            "recipientAccountId": "111122223333", "requestParameters": request,
            "responseElements": response,
            "userIdentity": {"type": "IAMUser", "userName": "carol", "accountId": "111122223333"},
        })
    };
    let created = |day: u32| {
        let key =
            json!({"accessKeyId": format!("AKIA{day}"), "status": "Active", "userName": "alice"});
        record(
            day,
            "CreateAccessKey",
            json!({"userName": "alice"}),
            json!({"accessKey": key}),
        )
    };
    let request = json!({"userName": "alice", "accessKeyId": "AKIA1", "status": "Inactive"});
    [
        created(1),
        created(2),
        record(3, "UpdateAccessKey", request, Value::Null),
    ]
}

/// The story in layers, in one of the forms of a log.
fn log(form: u8, layers: &[u8], noise: &str) -> Vec<u8> {
    let wrapped = story().map(|record| wrap(record, layers, noise));
    let lines = |line: &dyn Fn(&str) -> String| -> Vec<u8> {
        let lines = wrapped
            .iter()
            .map(|record| line(&record.to_string()) + "\n");
        lines.collect::<String>().into_bytes()
    };
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    match form % 7 {
        0 => lines(&str::to_owned),
        1 => Value::from_iter(wrapped).to_string().into_bytes(),
        2 => json!({"Records": wrapped}).to_string().into_bytes(),
        3 => format!("{:#}", json!({"Items": wrapped})).into_bytes(),
        4 => lines(&|text| format!("2024-03-01T09:00:00Z host {text}")),
        5 => [
            b"id,raw\n".to_vec(),
            lines(&|text| format!("7,{}", cell(text))),
        ]
        .concat(),
        _ => lines(&|text| json!({"log": text}).to_string()),
    }
}

fn wrap(mut value: Value, layers: &[u8], noise: &str) -> Value {
    let mut texts = 0;
    for layer in layers {
        let kind = match layer % 8 {
            kind @ 3..=5 => {
                texts += 1;
                if texts > MAX_TEXTS { 0 } else { kind }
            }
            kind => kind,
        };
        value = match kind {
            1 => json!([value]),
            2 => json!({"list": [1, null, value, {"a": []}]}),
            3 => json!({"message": value.to_string()}),
            4 => json!({"data": STANDARD.encode(value.to_string())}),
            5 => json!({"data": STANDARD.encode(gzipped(&value.to_string()))}),
            6 if !noise.is_empty() => json!({"0": noise, "value": value, "z": [noise]}),
            _ => json!({format!("name{}", layer / 8): value}),
        };
    }
    value
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
