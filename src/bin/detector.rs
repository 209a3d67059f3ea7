//! The detector as a Lambda function: settings, clients, the runtime's loop.

use std::process::ExitCode;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use secondkey::aws::connections::Connections;
use secondkey::aws::deployment::Deployment;
use secondkey::aws::detector::handle;
use secondkey::aws::endpoints::of_an_alert;
use secondkey::aws::log;
use secondkey::aws::settings::Settings;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::print_stderr,
    reason = "what is wrong with the settings is said before there is a log"
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
    log::init(settings.log_level);
    // Without these one answer that never comes would take the whole batch with it.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let connections = Connections::default();
    let config = connections.config().timeout_config(timeouts).load().await;
    connections.open_ahead(of_an_alert(&settings, &config).await);

    let detector = Deployment::new(settings, &config);
    let detector = &detector;
    run(service_fn(async |event: LambdaEvent<Value>| {
        handle(detector, event.payload, &mut std::io::stdout()).await
    }))
    .await
}
