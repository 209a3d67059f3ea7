//! The probe: sends a test message to the changes queue and waits for its trace in the table.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::doctor::check_result::{CheckResult, QueryError};
use crate::cli::doctor::stack::DeployedStack;
use crate::pipeline::error::ErrorKind;
use crate::pipeline::message::probe_body;

/// The subject of the check.
const WHAT: &str = "probe";

/// How often to read the table.
const EVERY: Duration = Duration::from_millis(500);

/// Sends the message and waits up to `patience` for its trace.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &DeployedStack,
    store: &DynamoDbStore,
    patience: Duration,
) -> CheckResult {
    let url = match stack.physical("ChangesQueue") {
        Ok(url) => url,
        Err(missing) => return missing,
    };
    let id = format!("doctor-{:016x}", fastrand::u64(..));
    let began = Instant::now();
    let sent = Client::new(config)
        .send_message()
        .queue_url(url)
        .message_body(probe_body(&id))
        .send()
        .await;
    if let Err(error) = sent {
        return QueryError::of("sqs:SendMessage", &error).check(WHAT);
    }
    loop {
        match store.has_probe(&id).await {
            Ok(true) => return judge(Some(began.elapsed()), patience),
            Ok(false) => (),
            Err(failure) if failure.kind() == ErrorKind::Retryable => (),
            Err(failure) => return CheckResult::not_checked(WHAT, failure.to_string(), None),
        }
        if began.elapsed() >= patience {
            return judge(None, patience);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The check for a trace that was there after `seen`, or that did not appear within `patience`.
#[must_use]
pub(super) fn judge(seen: Option<Duration>, patience: Duration) -> CheckResult {
    match seen {
        Some(seen) => CheckResult::ok(
            WHAT,
            format!(
                "the detector read a message and wrote to the table within {:.1} s; the rule was not exercised, because only \
                 AWS can send aws.* events (--probe-live tests it with real keys)",
                seen.as_secs_f64()
            ),
        ),
        None => CheckResult::failed(
            WHAT,
            format!(
                "the detector left no trace of a message within {} s",
                patience.as_secs()
            ),
            "see above whether the detector runs and reads its queue, and see its log; releases before 0.1.0 do not support \
             probes",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    #[test]
    fn a_probe_reports_the_seconds_and_what_it_did_not_test() {
        let check = judge(Some(Duration::from_millis(1_440)), Duration::from_mins(1));
        assert_eq!(check.state, CheckStatus::Ok);
        assert!(check.found.contains("1.4 s"), "{}", check.found);
        assert!(
            check.found.contains("the rule was not exercised"),
            "{}",
            check.found
        );
        assert_eq!(
            judge(None, Duration::from_mins(1)).state,
            CheckStatus::Failed
        );
    }
}
