//! The sweeper as a Lambda function: settings, clients, and the runtime's loop.

use std::process::ExitCode;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use secondkey::aws::connections::Connections;
use secondkey::aws::deployment::Deployment;

use secondkey::aws::logging;
use secondkey::aws::settings::{Settings, SweepSettings};
use secondkey::aws::sweeper::{Sweeper, handle};
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
            eprintln!("sweeper: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let settings = Settings::from_env()?;
    let sweeps = SweepSettings::from_env()?;
    logging::init(settings.log_level);
    // A credential report of 5,000 users is large, and a sweep is not in a hurry.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(15))
        .operation_timeout(Duration::from_mins(2))
        .build();
    let config = Connections::default()
        .config()
        .timeout_config(timeouts)
        // IAM throttles calls at a rate that it does not document; the client adapts to it.
        .retry_config(RetryConfig::adaptive().with_max_attempts(10))
        .load()
        .await;

    let sweeper = Sweeper {
        account: settings.account.clone(),
        deployment: Deployment::for_sweeps(settings, &config),
        mode: sweeps.mode,
        lists_accounts: sweeps.lists_accounts,
        remind_every: sweeps.remind_every,
        sqs: aws_sdk_sqs::Client::new(&config),
        queue_url: sweeps.queue_url,
        config,
    };
    let sweeper = &sweeper;
    run(service_fn(async |event: LambdaEvent<Value>| {
        handle(sweeper, event.payload, &mut std::io::stdout()).await
    }))
    .await
}
