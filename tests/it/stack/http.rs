//! The few plain HTTP requests that no SDK makes.

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

/// The JSON of the answer to a POST of `body`.
pub async fn post_json(url: String, body: &Value) -> Value {
    let answer = post(url, body.to_string()).await;
    serde_json::from_str(&answer).unwrap_or(Value::String(answer))
}
