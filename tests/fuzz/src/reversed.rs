//! JSON with reversed field order.

use serde_json::Value;

/// `value` as JSON text with the fields of every object in the reverse of their usual order.
#[must_use]
pub fn reversed(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .rev()
                .map(|(name, value)| {
                    format!("{}: {}", Value::String(name.clone()), reversed(value))
                })
                .collect();
            format!("{{{}}}", fields.join(" ,\n"))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(reversed).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}
