//! The Security Hub forwarder as a Lambda function: settings, clients, and the runtime's loop.

use std::process::ExitCode;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use secondkey::aws::accounts::Accounts;
use secondkey::aws::connections::Connections;
use secondkey::aws::logging;
use secondkey::aws::securityhub::settings::SecurityHubSettings;
use secondkey::aws::securityhub::{Forwarder, handle};
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
            eprintln!("securityhub: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let settings = SecurityHubSettings::from_env()?;
    logging::init(settings.log_level);
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(5))
        // Two operations fit into the function's timeout: entering the member, and the import.
        .operation_timeout(Duration::from_secs(25))
        .build();
    // Security Hub takes ten imports a second (partner guide, guidelines for `BatchImportFindings`),
    // and a sweep may send many findings at once, so the import waits for its turn. Lambda tries
    // twice more before the event becomes a dead letter.
    let retries = RetryConfig::standard()
        .with_max_attempts(10)
        .with_max_backoff(Duration::from_secs(10));
    let config = Connections::default()
        .config()
        .timeout_config(timeouts)
        .retry_config(retries)
        .load()
        .await;
    let forwarder = Forwarder {
        accounts: Accounts::new(
            config,
            settings.account.clone(),
            settings.member_role,
            aws_sdk_securityhub::Client::new,
        ),
        account: settings.account,
        region: settings.region,
        import: settings.import,
    };

    let forwarder = &forwarder;
    run(service_fn(|event: LambdaEvent<Value>| {
        handle(forwarder, event.payload)
    }))
    .await
}
