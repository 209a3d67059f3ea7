//! Recognizes known wrappers of CloudTrail records, and reassembles records that a wrapper spreads
//! over a list.

use serde_json::{Map, Value};

/// The name of the wrapper that these fields identify.
pub(super) fn kind_of(fields: &Map<String, Value>) -> Option<&'static str> {
    let has = |name: &str| fields.contains_key(name);
    let kind = if has("CloudTrailEvent") {
        "lookup-events"
    } else if has("awslogs")
        || has("logEvents")
        || has("logStreamName")
        || has("timestamp") && has("message") && (has("id") || has("ingestionTime"))
        || has("@message")
        || has("field") && has("value")
    {
        "CloudWatch Logs"
    } else if has("eventJson") || has("eventjson") || has("QueryResultRows") {
        "CloudTrail Lake"
    } else if has("ReceiptHandle") || has("receiptHandle") || has("Body") || has("messageId") {
        "SQS"
    } else if has("Message") || has("Sns") {
        "SNS"
    } else if has("_raw") {
        "Splunk"
    } else if has("_source") || has("hits") {
        "Elastic"
    } else if has("kinesis") || has("kinesisDataStream") {
        "Kinesis"
    } else {
        return None;
    };
    Some(kind)
}

/// A result row that arrives as a list of its fields: `{"field": …, "value": …}` in CloudWatch Logs
/// Insights, or `{"eventName": …}` and so on in CloudTrail Lake.
pub(super) fn row_of_fields(items: &[Value]) -> Option<(Map<String, Value>, &'static str)> {
    let mut row = Map::new();
    let mut kind = "CloudTrail Lake";
    for item in items {
        let item = item.as_object()?;
        match (item.get("field"), item.get("value")) {
            (Some(Value::String(name)), Some(value)) => {
                kind = "CloudWatch Logs";
                row.insert(name.clone(), value.clone());
            }
            _ if item.len() == 1 => {
                let (name, value) = item.iter().next()?;
                // A duplicate name means two rows, or no row at all.
                if row.insert(name.clone(), value.clone()).is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    (!row.is_empty()).then_some((row, kind))
}

/// The rows that `aws athena get-query-results` returns. The first row holds the names.
pub(super) fn athena_rows(items: &[Value]) -> Option<Vec<Value>> {
    let cells = |row: &Value| -> Option<Vec<Value>> {
        let cells = row.as_object().filter(|row| row.len() == 1)?.get("Data")?;
        let cell = |cell: &Value| cell.get("VarCharValue").cloned().unwrap_or_default();
        Some(cells.as_array()?.iter().map(cell).collect())
    };
    let (head, rows) = items.split_first()?;
    let names = cells(head)?;
    rows.iter()
        .map(|row| {
            let fields = names.iter().zip(cells(row)?);
            let field = |(name, value): (&Value, Value)| Some((name.as_str()?.to_owned(), value));
            Some(Value::Object(fields.filter_map(field).collect()))
        })
        .collect()
}
