//! What tools make of the story of `log_formats`, in addition to the files in the directory.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::log_formats::{ACCOUNT, lines, story};

pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub(crate) fn csv_row(columns: &[&str]) -> String {
    let quoted = |column: &&str| format!("\"{}\"", column.replace('"', "\"\""));
    columns.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// `record` with all names in lower case, as `UNLOAD` writes them. Requests and responses are
/// strings.
pub(crate) fn lower(record: &Value) -> Value {
    let fields = record.as_object().unwrap().iter().map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("requestParameters" | "responseElements", value) => json!(value.to_string()),
            (_, Value::Object(_)) => lower(value),
            (_, value) => value.clone(),
        };
        (name.to_lowercase(), value)
    });
    Value::Object(fields.collect())
}

pub(crate) fn ecs(record: &Value) -> Value {
    let braces = |value: &Value| {
        let struct_of = |text: String| text.replace('"', "").replace(':', "=").replace(',', ", ");
        json!(struct_of(value.to_string()))
    };
    let mut response = record["responseElements"].clone();
    if let Some(key) = response
        .pointer_mut("/accessKey")
        .and_then(Value::as_object_mut)
    {
        key.remove("createDate");
    }
    json!({"_source": {
        "@timestamp": record["eventTime"],
        "event": {"action": record["eventName"], "provider": record["eventSource"], "id": record["eventID"]},
        "cloud": {"account": {"id": ACCOUNT}, "region": "us-east-1"},
        "aws": {"cloudtrail": {
            "request_parameters": braces(&record["requestParameters"]),
            "response_elements": braces(&response),
        }},
    }})
}

/// What tools make of the story, in addition to the files in the directory.
#[expect(clippy::too_many_lines, reason = "one entry per tool")]
pub(crate) fn made() -> Vec<(&'static str, Vec<u8>)> {
    let records = story();
    let json = |value: Value| value.to_string().into_bytes();
    let text = |record: &Value| record.to_string();
    let all = |wrap: &dyn Fn(&Value) -> Value| records.iter().map(wrap).collect::<Value>();
    let event = |record: &Value| {
        json!({"version": "0", "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam",
            "account": ACCOUNT, "detail": record})
    };
    let subscription = json!({"messageType": "DATA_MESSAGE", "owner": ACCOUNT,
        "logEvents": all(&|record| json!({"id": "1", "timestamp": 1, "message": text(record)}))});
    let packed = STANDARD.encode(gzipped(subscription.to_string().as_bytes()));
    let names = [
        "eventname",
        "eventsource",
        "eventtime",
        "recipientaccountid",
        "eventid",
        "useridentity",
        "requestparameters",
        "responseelements",
    ];
    let cells = |record: &Value| {
        let lower = lower(record);
        let cell = |name: &&str| match &lower[*name] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        names.iter().map(cell).collect::<Vec<String>>()
    };
    let data = |cells: Vec<String>| json!({"Data": cells.iter().map(|cell| json!({"VarCharValue": cell})).collect::<Value>()});
    let rows = std::iter::once(data(names.map(str::to_owned).to_vec()))
        .chain(records.iter().map(|record| data(cells(record))));
    let bzip2 = {
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
        bzip2.write_all(&lines(text)).unwrap();
        bzip2.finish().unwrap()
    };
    let csv = |head: &[&str], row: &dyn Fn(&Value) -> String| {
        (csv_row(head) + &records.iter().map(row).collect::<String>()).into_bytes()
    };
    vec![
        (
            "aws logs tail",
            lines(|record| format!("2024-03-01T09:00:00+00:00 stream {record}")),
        ),
        (
            "aws logs tail --format json",
            lines(|record| format!("2024-03-01 stream {record:#}")),
        ),
        (
            "syslog in brackets",
            lines(|record| format!("[INFO] <13> host app: {record}")),
        ),
        (
            "CloudWatch Logs to S3",
            gzipped(&lines(|record| {
                format!("2024-03-01T09:00:00.000Z {record}")
            })),
        ),
        (
            "subscription at a function",
            json(json!({"awslogs": {"data": packed}})),
        ),
        (
            "Firehose at a function",
            json(json!({"records": [{"recordId": "1", "data": packed}]})),
        ),
        (
            "Kinesis at a function",
            json(json!({"Records": all(&|record| json!({
            "eventSource": "aws:kinesis", "eventName": "aws:kinesis:record",
            "kinesis": {"data": STANDARD.encode(text(record))}}))})),
        ),
        (
            "SQS at a function",
            json(json!({"Records": all(&|record| json!({"messageId": "1",
            "eventSource": "aws:sqs", "body": event(record).to_string()}))})),
        ),
        (
            "SNS in SQS",
            json(json!({"Messages": all(&|record| json!({"Body": json!({
            "Type": "Notification", "Message": event(record).to_string()}).to_string()}))})),
        ),
        (
            "encoded twice",
            lines(|record| json!({"message": json!(text(record)).to_string()}).to_string()),
        ),
        (
            "base64 in a text in a text",
            lines(|record| {
                let packed = json!({"data": STANDARD.encode(text(record))}).to_string();
                json!({"log": json!({"message": packed}).to_string()}).to_string()
            }),
        ),
        (
            "base64 of a list in a text",
            lines(|record| {
                let list = json!([1, null, record]).to_string();
                json!({"log": json!({"a": STANDARD.encode(list)}).to_string()}).to_string()
            }),
        ),
        (
            "base64 of a text",
            lines(|record| {
                json!({"a": STANDARD.encode(json!(text(record)).to_string())}).to_string()
            }),
        ),
        (
            "a user agent that reads as a table's head",
            lines(|record| {
                let mut record = record.clone();
                let names = names.map(|name| format!("\"{name}\"")).join(",");
                record["userAgent"] = json!(format!("x\",{names},\"y"));
                format!("2024-03-01T09:00:00Z host {record}")
            }),
        ),
        ("Athena UNLOAD", lines(|record| lower(record).to_string())),
        (
            "Athena get-query-results",
            json(json!({"ResultSet": {"Rows": rows.collect::<Value>()}})),
        ),
        (
            "Athena CSV",
            csv(&names, &|record| {
                let cells = cells(record);
                csv_row(&cells.iter().map(String::as_str).collect::<Vec<_>>())
            }),
        ),
        (
            "Lake, a row of fields",
            json(
                json!({"QueryResultRows": all(&|record| lower(record).as_object().unwrap().iter().map(|(name, value)| json!({name: value})).collect::<Value>())}),
            ),
        ),
        (
            "Splunk CSV",
            csv(&["_time", "_raw"], &|record| {
                csv_row(&["1, \"quoted\"", &text(record)])
            }),
        ),
        (
            "Datadog",
            json(all(
                &|record| json!({"id": "1", "attributes": {"service": "cloudtrail", "attributes": record}}),
            )),
        ),
        (
            "Wazuh",
            lines(|record| {
                json!({"rule": {"level": 3}, "data": {"integration": "aws", "aws": record}})
                    .to_string()
            }),
        ),
        (
            "Logstash",
            lines(|record| {
                json!({"@version": "1", "event": {"original": text(record)}}).to_string()
            }),
        ),
        (
            "Fluent Bit",
            lines(|record| json!({"date": 1.5, "log": text(record)}).to_string()),
        ),
        (
            "ECS without the original",
            json(json!({"hits": {"hits": all(&ecs)}})),
        ),
        (
            "nested 40 deep",
            lines(|record| format!("{}{record}{}", "{\"a\":".repeat(40), "}".repeat(40))),
        ),
        ("bzip2", bzip2),
        ("gzip in gzip", gzipped(&gzipped(&lines(text)))),
        (
            "YAML",
            lines(|record| format!("- CloudTrailEvent: '{record}'\n  EventId: 1")),
        ),
        ("two wrappers in one file", {
            let mut log = text(&records[0]) + "\n";
            log += &json!({"Events": [{"CloudTrailEvent": text(&records[1])}]}).to_string();
            log += "\n2024-03-01 stream ";
            log += &text(&records[2]);
            log.into_bytes()
        }),
    ]
}
