//! The log of a function: one JSON object a line, which reads alone and carries ids as fields.

use tracing_subscriber::EnvFilter;

/// What is logged where `LOG_LEVEL` says nothing.
const DEFAULT_LEVEL: &str = "info";

/// Starts logging to stdout, from the level in `LOG_LEVEL` on. CloudWatch puts the time to each line.
pub fn init() {
    let level = std::env::var("LOG_LEVEL").unwrap_or_default();
    let filter = EnvFilter::try_new(if level.is_empty() {
        DEFAULT_LEVEL
    } else {
        &level
    })
    .unwrap_or_else(|_| EnvFilter::new(DEFAULT_LEVEL));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .without_time()
        .init();
}
