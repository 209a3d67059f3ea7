//! The detector as a Lambda function: settings, clients, and the runtime's loop.

use std::process::ExitCode;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use secondkey::aws::connections::Connections;
use secondkey::aws::deployment::Deployment;
use secondkey::aws::detector::handle;
use secondkey::aws::endpoints::alert_endpoints;
use secondkey::aws::logging;
use secondkey::aws::settings::Settings;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::print_stderr,
    reason = "an error in the settings is reported before logging starts"
)]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detector: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let settings = Settings::from_env()?;
    logging::init(settings.log_level);
    // Without timeouts, one response that never arrives would fail the whole batch.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let connections = Connections::default();
    let config = connections.config().timeout_config(timeouts).load().await;
    connections.open_ahead(alert_endpoints(&settings, &config).await);

    let detector = Deployment::new(settings, &config);
    let detector = &detector;
    run(service_fn(async |event: LambdaEvent<Value>| {
        handle(detector, event.payload, &mut std::io::stdout()).await
    }))
    .await
}
