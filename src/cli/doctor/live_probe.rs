//! The whole way, by real keys: a throw-away user gets two, the finding opens, the user goes, the finding closes.

use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use tokio::sync::watch;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::doctor::check::{Check, Unasked};
use crate::cli::doctor::throwaway::Throwaway;
use crate::cli::interrupt::{interrupted, say};
use crate::detect::finding::FindingStatus;
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::pipeline::error::ErrorKind;
use crate::pipeline::finding_store::FindingStore;

const OPENING: &str = "live probe: opening";
const ALERT: &str = "live probe: alert";
const CLOSING: &str = "live probe: closing";

/// How often the table is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// How waiting for something ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waited<T> {
    /// It came after this long.
    Came(T, Duration),
    /// It did not come in time.
    InVain,
    /// Somebody wants this to end.
    Interrupted,
    /// Nobody could tell.
    Failed(String),
}

/// Does it all, and cleans up whatever happens. Who interrupts has the clean-up done first.
pub(super) async fn check(
    config: &SdkConfig,
    account: &str,
    store: &DynamoDbStore,
    patience: Duration,
) -> Vec<Check> {
    // From here on a signal only sets this.
    let stop = interrupted("interrupted; the throw-away user is removed first");
    let mut user = Throwaway::new(aws_sdk_iam::Client::new(config));
    let id = UserId::new(account, user.name());
    say(&format!("the throw-away user is {}", user.name()));
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
            has_opened = matches!(opened, Waited::Came(..));
            checks.push(judge_opening(&opened, patience));
            if has_opened {
                let delivered = wait(began, patience, &stop, async || {
                    Ok(store.owed(&id).await?.is_empty().then_some(()))
                })
                .await;
                checks.push(judge_alert(&delivered, patience));
            }
        }
        Ok(None) => checks.push(judge_opening(&Waited::Interrupted, patience)),
        Err(unasked) => checks.push(unasked.check(OPENING)),
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

/// Makes the user and two keys; the time is that of the second key. Nothing if somebody wants this to end.
///
/// No call is cut off half-way: what it made would not be known.
async fn make(
    user: &mut Throwaway,
    stop: &watch::Receiver<bool>,
) -> Result<Option<Instant>, Unasked> {
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

/// Looks with `look` until something is there, up to `patience` after `began`.
async fn wait<T>(
    began: Instant,
    patience: Duration,
    stop: &watch::Receiver<bool>,
    look: impl AsyncFn() -> Result<Option<T>, crate::pipeline::error::ServiceError>,
) -> Waited<T> {
    let mut stop = stop.clone();
    loop {
        if *stop.borrow() {
            return Waited::Interrupted;
        }
        match look().await {
            Ok(Some(there)) => return Waited::Came(there, began.elapsed()),
            Ok(None) => (),
            Err(failure) if failure.kind() == ErrorKind::Retryable => (),
            Err(failure) => return Waited::Failed(failure.to_string()),
        }
        if began.elapsed() >= patience {
            return Waited::InVain;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => (),
            // Without a sender nobody interrupts; the sleep goes on.
            Ok(()) = stop.changed() => (),
        }
    }
}

/// The check of something for which somebody waited in vain, or not to the end.
fn not_come<T>(what: &str, waited: &Waited<T>, failed: impl FnOnce() -> Check) -> Check {
    match waited {
        Waited::Failed(text) => Check::not_checked(what, text.clone(), None),
        Waited::Interrupted => Check::not_checked(what, "interrupted", None),
        Waited::Came(..) | Waited::InVain => failed(),
    }
}

/// What the wait for the open finding came to.
#[must_use]
pub(super) fn judge_opening(waited: &Waited<FindingStatus>, patience: Duration) -> Check {
    match waited {
        Waited::Came(FindingStatus::Suppressed, _) => Check::warning(
            OPENING,
            "the finding is there, and an exemption hides it",
            "see which exemption it is, for it hides every new user too",
        ),
        Waited::Came(_, after) => Check::ok(
            OPENING,
            format!(
                "the finding was open {:.1} s after the second CreateAccessKey",
                after.as_secs_f64()
            ),
        ),
        other => not_come(OPENING, other, || {
            Check::failed(
                OPENING,
                format!("no finding within {} s", patience.as_secs()),
                "see above, from the trail to the detector; CloudTrail now and then takes minutes, so try --wait 900 before \
                 anything else",
            )
        }),
    }
}

/// What the wait for the delivery came to.
#[must_use]
pub(super) fn judge_alert(waited: &Waited<()>, patience: Duration) -> Check {
    match waited {
        Waited::Came((), after) => Check::ok(
            ALERT,
            format!(
                "delivered to topic and bus {:.1} s after the second CreateAccessKey",
                after.as_secs_f64()
            ),
        ),
        other => not_come(ALERT, other, || {
            Check::failed(
                ALERT,
                format!("still owed after {} s", patience.as_secs()),
                "look into the detector's log for why the topic or the bus does not take it",
            )
        }),
    }
}

/// What the wait for the closing came to.
#[must_use]
pub(super) fn judge_closing(waited: &Waited<()>, patience: Duration) -> Check {
    match waited {
        Waited::Came((), after) => Check::ok(
            CLOSING,
            format!(
                "the finding was closed {:.1} s after the clean-up",
                after.as_secs_f64()
            ),
        ),
        other => not_come(CLOSING, other, || {
            Check::failed(
                CLOSING,
                format!(
                    "the finding is still open {} s after the clean-up",
                    patience.as_secs()
                ),
                "a closing waits for a settled listing; if it does not come with the next sweep, look into the detector's log",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    const PATIENCE: Duration = Duration::from_mins(5);

    #[test]
    fn the_seconds_are_counted_from_the_second_key() {
        let after = Duration::from_millis(12_340);
        let opened = judge_opening(&Waited::Came(FindingStatus::Open, after), PATIENCE);
        assert_eq!(opened.state, State::Ok);
        assert!(
            opened
                .found
                .contains("12.3 s after the second CreateAccessKey")
        );
        let hidden = judge_opening(&Waited::Came(FindingStatus::Suppressed, after), PATIENCE);
        assert_eq!(hidden.state, State::Warning);
    }

    #[test]
    fn what_did_not_come_failed_and_what_was_not_waited_for_did_not() {
        for (waited, state) in [
            (Waited::Came((), Duration::ZERO), State::Ok),
            (Waited::InVain, State::Failed),
            (Waited::Interrupted, State::NotChecked),
            (Waited::Failed("denied".to_owned()), State::NotChecked),
        ] {
            assert_eq!(judge_alert(&waited, PATIENCE).state, state, "{waited:?}");
            assert_eq!(judge_closing(&waited, PATIENCE).state, state, "{waited:?}");
        }
        assert_eq!(
            judge_opening(&Waited::InVain, PATIENCE).state,
            State::Failed
        );
    }

    #[tokio::test]
    async fn an_interruption_ends_a_wait_at_once() {
        let (sender, receiver) = watch::channel(false);
        let waiting = wait(Instant::now(), PATIENCE, &receiver, async || Ok(None::<()>));
        let (waited, ()) = futures::join!(waiting, async {
            sender.send_replace(true);
        });
        assert_eq!(waited, Waited::Interrupted);
    }
}
