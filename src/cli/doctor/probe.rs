//! A message into the changes queue that leaves nothing but a trace in the table.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::doctor::check::{Check, Unasked};
use crate::cli::doctor::stack::Deployed;
use crate::pipeline::error::ErrorKind;
use crate::pipeline::message::probe_body;

/// What this is called.
const WHAT: &str = "probe";

/// How often the table is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Sends the message and waits for its trace, as long as `patience`.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &Deployed,
    store: &DynamoDbStore,
    patience: Duration,
) -> Check {
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
        return Unasked::of("sqs:SendMessage", &error).check(WHAT);
    }
    loop {
        match store.has_probe(&id).await {
            Ok(true) => return judge(Some(began.elapsed()), patience),
            Ok(false) => (),
            Err(failure) if failure.kind() == ErrorKind::Retryable => (),
            Err(failure) => return Check::not_checked(WHAT, failure.to_string(), None),
        }
        if began.elapsed() >= patience {
            return judge(None, patience);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What it means that the trace was there after `seen`, or was not within `patience`.
#[must_use]
pub(super) fn judge(seen: Option<Duration>, patience: Duration) -> Check {
    match seen {
        Some(seen) => Check::ok(
            WHAT,
            format!(
                "the detector read a message and wrote to the table within {:.1} s; the rule was not exercised, for nobody \
                 may put aws.* events (--probe-live does, by real keys)",
                seen.as_secs_f64()
            ),
        ),
        None => Check::failed(
            WHAT,
            format!(
                "the detector left no trace of a message within {} s",
                patience.as_secs()
            ),
            "see above whether the detector runs and reads its queue, and look into its log; a release before 0.1.0 knows \
             no probes",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    #[test]
    fn a_probe_tells_the_seconds_and_what_it_did_not_try() {
        let check = judge(Some(Duration::from_millis(1_440)), Duration::from_mins(1));
        assert_eq!(check.state, State::Ok);
        assert!(check.found.contains("1.4 s"), "{}", check.found);
        assert!(
            check.found.contains("the rule was not exercised"),
            "{}",
            check.found
        );
        assert_eq!(judge(None, Duration::from_mins(1)).state, State::Failed);
    }
}
