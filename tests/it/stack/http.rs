//! The few plain HTTP requests that no SDK makes.

use std::time::Duration;

use serde_json::Value;

use super::clients::{ACCESS_KEY, REGION};

/// The status of the response to a GET, if there is one.
pub fn get_status(url: &str) -> Option<u16> {
    match ureq::get(url).call() {
        Ok(answer) => Some(answer.status().as_u16()),
        Err(ureq::Error::StatusCode(status)) => Some(status),
        Err(_) => None,
    }
}

/// The JSON of moto's response to a GET for `service`, or `None` if it is an error.
pub async fn try_get_from(service: &str, region: &str, url: String) -> Option<Value> {
    let authorization = authorization(service, region);
    tokio::task::spawn_blocking(move || {
        let request = ureq::get(&url).header("Authorization", authorization);
        let mut answer = request.call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    })
    .await
    .expect("a GET ends")
}

/// The body of moto's response to a POST of the form `body` to `service`.
pub async fn post_to(service: &str, url: String, body: String) -> String {
    let authorization = authorization(service, REGION);
    tokio::task::spawn_blocking(move || {
        ureq::post(&url)
            .header("Authorization", authorization)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .send(body)
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .unwrap_or_else(|error| panic!("POST {url} failed: {error}"))
    })
    .await
    .expect("a POST ends")
}

/// moto uses this to distinguish services and regions.
fn authorization(service: &str, region: &str) -> String {
    let (key, _) = ACCESS_KEY;
    format!(
        "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=none"
    )
}

/// The body of the response to a POST of `body`.
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

/// The JSON of the response to a POST of `body`, whatever its status, or `None` if there is none
/// within `patience`.
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
