//! The live probe: creates a temporary user with two keys, waits until the finding opens, deletes the
//! user, and waits until the finding closes.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use tokio::sync::watch;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::doctor::check_result::{CheckResult, QueryError};
use crate::cli::doctor::throwaway::Throwaway;
use crate::cli::interrupt::{interrupted, print_notice};
use crate::detect::findings::finding::FindingStatus;
use crate::detect::records::user_record::UserRecord;
use crate::detect::user::UserId;
use crate::pipeline::error::ErrorKind;
use crate::pipeline::finding_store::FindingStore;

const OPENING: &str = "live probe: opening";
const ALERT: &str = "live probe: alert";
const CLOSING: &str = "live probe: closing";

/// How often to read the table.
const EVERY: Duration = Duration::from_millis(500);

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WaitResult<T> {
    /// The expected state was there after this time.
    Came(T, Duration),
    /// The time ran out.
    TimedOut,
    /// The user interrupted the command.
    Interrupted,
    /// The state could not be read.
    Failed(String),
}

/// Runs the probe. The temporary user is removed in any case, also after an interrupt.
pub(super) async fn check(
    config: &SdkConfig,
    account: &str,
    store: &DynamoDbStore,
    patience: Duration,
) -> Vec<CheckResult> {
    // From here on, a signal only sets this flag.
    let stop = interrupted("interrupted; removing the temporary user first");
    let mut user = Throwaway::new(aws_sdk_iam::Client::new(config));
    let id = UserId::new(account, user.name());
    print_notice(&format!("the temporary user is {}", user.name()));
    let made = make(&mut user, &stop).await;
    let mut checks = vec![];
    let mut has_opened = false;
    match made {
        Ok(Some(began)) => {
            let opened = wait(began, patience, &stop, async || {
                let record = store.record(&id).await?;
                Ok(record.open_finding().map(|finding| finding.status))
            })
            .await;
            has_opened = matches!(opened, WaitResult::Came(..));
            checks.push(judge_opening(&opened, patience));
            if has_opened {
                let delivered = wait(began, patience, &stop, async || {
                    Ok(store.pending_alerts(&id).await?.is_empty().then_some(()))
                })
                .await;
                checks.push(judge_alert(&delivered, patience));
            }
        }
        Ok(None) => checks.push(judge_opening(&WaitResult::Interrupted, patience)),
        Err(error) => checks.push(error.check(OPENING)),
    }
    let removed = user.remove().await;
    let cleaned = Instant::now();
    checks.push(user.judge(&removed));
    if has_opened && removed.is_ok() {
        let closed = wait(cleaned, patience, &stop, async || {
            let record: UserRecord = store.record(&id).await?;
            Ok(record.open_finding().is_none().then_some(()))
        })
        .await;
        checks.push(judge_closing(&closed, patience));
    }
    checks
}

/// Creates the user and two keys. Returns the time just before the second key, or `None` after an
/// interrupt.
///
/// A running call is never aborted, because then it would not be known what it created.
async fn make(
    user: &mut Throwaway,
    stop: &watch::Receiver<bool>,
) -> Result<Option<Instant>, QueryError> {
    if *stop.borrow() {
        return Ok(None);
    }
    user.create().await?;
    if *stop.borrow() {
        return Ok(None);
    }
    user.create_key().await?;
    if *stop.borrow() {
        return Ok(None);
    }
    let began = Instant::now();
    user.create_key().await?;
    Ok(Some(began))
}

/// Calls `look` until it returns a value, or until `patience` after `began`.
async fn wait<T>(
    began: Instant,
    patience: Duration,
    stop: &watch::Receiver<bool>,
    look: impl AsyncFn() -> Result<Option<T>, crate::pipeline::error::ServiceError>,
) -> WaitResult<T> {
    let mut stop = stop.clone();
    loop {
        if *stop.borrow() {
            return WaitResult::Interrupted;
        }
        match look().await {
            Ok(Some(there)) => return WaitResult::Came(there, began.elapsed()),
            Ok(None) => (),
            Err(failure) if failure.kind() == ErrorKind::Retryable => (),
            Err(failure) => return WaitResult::Failed(failure.to_string()),
        }
        if began.elapsed() >= patience {
            return WaitResult::TimedOut;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => (),
            // Without a sender no interrupt can arrive, and the sleep continues.
            Ok(()) = stop.changed() => (),
        }
    }
}

/// The check for a wait without success.
fn not_received<T>(
    what: &str,
    waited: &WaitResult<T>,
    failed: impl FnOnce() -> CheckResult,
) -> CheckResult {
    match waited {
        WaitResult::Failed(text) => CheckResult::not_checked(what, text.clone(), None),
        WaitResult::Interrupted => CheckResult::not_checked(what, "interrupted", None),
        WaitResult::Came(..) | WaitResult::TimedOut => failed(),
    }
}

/// The check for the wait until the finding opened.
#[must_use]
pub(super) fn judge_opening(waited: &WaitResult<FindingStatus>, patience: Duration) -> CheckResult {
    match waited {
        WaitResult::Came(FindingStatus::Suppressed, _) => CheckResult::warning(
            OPENING,
            "the finding exists, but an exemption suppresses it",
            "find that exemption: it suppresses the findings of all new users",
        ),
        WaitResult::Came(_, after) => CheckResult::ok(
            OPENING,
            format!(
                "the finding was open {:.1} s after the second CreateAccessKey",
                after.as_secs_f64()
            ),
        ),
        other => not_received(OPENING, other, || {
            CheckResult::failed(
                OPENING,
                format!("no finding within {} s", patience.as_secs()),
                "CloudTrail sometimes takes minutes, so try --wait 900 first; then see the checks above, from the trail to \
                 the detector",
            )
        }),
    }
}

/// The check for the wait until the alert was delivered.
#[must_use]
pub(super) fn judge_alert(waited: &WaitResult<()>, patience: Duration) -> CheckResult {
    match waited {
        WaitResult::Came((), after) => CheckResult::ok(
            ALERT,
            format!(
                "delivered to topic and bus {:.1} s after the second CreateAccessKey",
                after.as_secs_f64()
            ),
        ),
        other => not_received(ALERT, other, || {
            CheckResult::failed(
                ALERT,
                format!("not delivered after {} s", patience.as_secs()),
                "see the detector's log for why the topic or the bus does not accept it",
            )
        }),
    }
}

/// The check for the wait until the finding closed.
#[must_use]
pub(super) fn judge_closing(waited: &WaitResult<()>, patience: Duration) -> CheckResult {
    match waited {
        WaitResult::Came((), after) => CheckResult::ok(
            CLOSING,
            format!(
                "the finding was closed {:.1} s after the clean-up",
                after.as_secs_f64()
            ),
        ),
        other => not_received(CLOSING, other, || {
            CheckResult::failed(
                CLOSING,
                format!(
                    "the finding is still open {} s after the clean-up",
                    patience.as_secs()
                ),
                "IAM's listing must settle before a finding closes; if it does not close at the next sweep, see the detector's \
                 log",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    const PATIENCE: Duration = Duration::from_mins(5);

    #[test]
    fn the_seconds_are_counted_from_the_second_key() {
        let after = Duration::from_millis(12_340);
        let opened = judge_opening(&WaitResult::Came(FindingStatus::Open, after), PATIENCE);
        assert_eq!(opened.state, CheckStatus::Ok);
        assert!(
            opened
                .found
                .contains("12.3 s after the second CreateAccessKey")
        );
        let hidden = judge_opening(
            &WaitResult::Came(FindingStatus::Suppressed, after),
            PATIENCE,
        );
        assert_eq!(hidden.state, CheckStatus::Warning);
    }

    #[test]
    fn a_timeout_fails_and_an_interrupted_wait_is_not_checked() {
        for (waited, state) in [
            (WaitResult::Came((), Duration::ZERO), CheckStatus::Ok),
            (WaitResult::TimedOut, CheckStatus::Failed),
            (WaitResult::Interrupted, CheckStatus::NotChecked),
            (
                WaitResult::Failed("denied".to_owned()),
                CheckStatus::NotChecked,
            ),
        ] {
            assert_eq!(judge_alert(&waited, PATIENCE).state, state, "{waited:?}");
            assert_eq!(judge_closing(&waited, PATIENCE).state, state, "{waited:?}");
        }
        assert_eq!(
            judge_opening(&WaitResult::TimedOut, PATIENCE).state,
            CheckStatus::Failed
        );
    }

    #[tokio::test]
    async fn an_interruption_ends_a_wait_at_once() {
        let (sender, receiver) = watch::channel(false);
        let waiting = wait(Instant::now(), PATIENCE, &receiver, async || Ok(None::<()>));
        let (waited, ()) = futures::join!(waiting, async {
            sender.send_replace(true);
        });
        assert_eq!(waited, WaitResult::Interrupted);
    }
}
