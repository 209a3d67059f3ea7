//! The alerts that are pending: each sink takes them.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::aws::dynamodb::{DynamoDbStore, PendingAlert};
use crate::cli::doctor::check::{Asked, Check, Unasked, Why, judged};
use crate::cli::doctor::stack::Deployed;
use crate::detect::Timestamp;
use crate::output::shell::quoted;
use crate::output::time::duration;

const WHAT: &str = "pending alerts";

/// For how long an alert may be pending. Its sink was tried six times by then.
const PENDING_AT_MOST: TimeDelta = TimeDelta::minutes(15);

/// Looks at the alerts that are pending.
pub(super) async fn check(stack: &Deployed, store: &DynamoDbStore, now: Timestamp) -> Check {
    let pending: Asked<Vec<PendingAlert>> =
        store.pending_alerts().await.map_err(|failure| Unasked {
            why: Why::Failed,
            permission: "dynamodb:Query",
            text: failure.to_string(),
        });
    let log = stack.resources.get("DetectorLog").map(String::as_str);
    judged(WHAT, pending, |pending| judge_pending(&pending, log, now))
}

/// Whether every sink takes its alerts. `log` is the detector's log group, if it is known.
#[must_use]
pub(super) fn judge_pending(pending: &[PendingAlert], log: Option<&str>, now: Timestamp) -> Check {
    let age = |alert: &PendingAlert| now - alert.owed_since;
    let late: Vec<&PendingAlert> = pending
        .iter()
        .filter(|alert| age(alert) > PENDING_AT_MOST)
        .collect();
    let Some(oldest) = late.iter().map(|alert| age(alert)).max() else {
        return Check::ok(WHAT, format!("{}, none of them late", pending.len()));
    };
    let mut by_sink: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in &late {
        *by_sink.entry(&alert.sink).or_default() += 1;
    }
    let counts: Vec<String> = by_sink
        .iter()
        .map(|(sink, count)| format!("{count} to {sink}"))
        .collect();
    let fixes: Vec<&str> = by_sink.keys().map(|sink| fix(sink)).collect();
    Check::failed(
        WHAT,
        format!(
            "{} for over {} ({}), the oldest for {}",
            late.len(),
            duration(PENDING_AT_MOST),
            counts.join(", "),
            duration(oldest)
        ),
        format!(
            "see why: aws logs tail {} --since 1h --filter-pattern '\"could not be delivered\"'; {}; the alerts then go out \
             by themselves within 15 minutes",
            quoted(log.unwrap_or("DETECTOR_LOG_GROUP")),
            fixes.join("; ")
        ),
    )
}

/// What to look at where the sink does not take its alerts.
fn fix(sink: &str) -> &'static str {
    match sink {
        "sns" => {
            "check that AlertTopic and its key exist and that the detector's role may use both"
        }
        "eventbridge" => {
            "check that the event bus exists and that the detector's role may put events on it"
        }
        _ => "deploy the release or the configuration that has this sink",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;
    use crate::cli::doctor::sweeps::tests::at;

    fn pending(sink: &str, seconds: i64) -> PendingAlert {
        PendingAlert {
            sink: sink.to_owned(),
            owed_since: at(seconds),
        }
    }

    #[test]
    fn an_alert_that_was_just_committed_is_well() {
        let judge = |pending: &[PendingAlert]| judge_pending(pending, None, at(900)).state;
        assert_eq!(judge(&[]), State::Ok);
        assert_eq!(judge(&[pending("sns", 0)]), State::Ok);
        assert_eq!(judge(&[pending("sns", -1)]), State::Failed);
    }

    #[test]
    fn late_alerts_are_counted_by_sink_with_age_and_fix() {
        let all = [
            pending("sns", 0),
            pending("eventbridge", 3_600),
            pending("sns", 7_200),
            pending("sns", 9_990),
        ];
        let check = judge_pending(&all, Some("/aws/lambda/my detector"), at(10_000));
        assert_eq!(
            check.found,
            "3 for over 15 min (1 to eventbridge, 2 to sns), the oldest for 2 h 46 min"
        );
        let fix = check.mend.unwrap();
        for part in ["tail '/aws/lambda/my detector'", "AlertTopic", "event bus"] {
            assert!(fix.contains(part), "{fix}");
        }
        assert!(!fix.contains("configuration"), "{fix}");
    }

    #[test]
    fn a_sink_that_no_longer_exists_is_named() {
        let check = judge_pending(&[pending("pager", 0)], None, at(10_000));
        assert!(check.found.contains("1 to pager"), "{}", check.found);
        assert!(check.mend.unwrap().contains("configuration"));
    }
}
