//! The few plain HTTP requests that no SDK makes.

use std::time::Duration;

use serde_json::Value;

/// The status of the answer to a GET, if there is one.
pub fn get_status(url: &str) -> Option<u16> {
    match ureq::get(url).call() {
        Ok(answer) => Some(answer.status().as_u16()),
        Err(ureq::Error::StatusCode(status)) => Some(status),
        Err(_) => None,
    }
}

/// The body of the answer to a POST of `body`.
pub async fn post(url: String, body: String) -> String {
    tokio::task::spawn_blocking(move || {
        ureq::post(&url)
            .send(body)
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .unwrap_or_else(|error| panic!("POST {url} failed: {error}"))
    })
    .await
    .expect("a POST ends")
}

/// The JSON of the answer to a POST of `body`, whatever its status; nothing if there is none within `patience`.
pub async fn try_post_json(url: String, body: &Value, patience: Duration) -> Option<Value> {
    let body = body.to_string();
    tokio::task::spawn_blocking(move || {
        let mut answer = ureq::post(&url)
            .config()
            .http_status_as_error(false)
            .timeout_global(Some(patience))
            .build()
            .send(body)
            .ok()?;
        let answer = answer.body_mut().read_to_string().ok()?;
        Some(serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    })
    .await
    .expect("a POST ends")
}
