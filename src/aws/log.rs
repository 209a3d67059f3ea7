//! The log of a function: one JSON object a line, which reads alone and carries ids as fields.

use tracing_subscriber::EnvFilter;

/// Starts logging to stdout, our own lines from `level` on and those of libraries from `warn` on. CloudWatch puts the time
/// to each line.
pub fn init(level: &str) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(EnvFilter::new(format!("warn,secondkey={level}")))
        .without_time()
        .init();
}
