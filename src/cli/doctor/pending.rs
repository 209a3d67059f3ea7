//! Checks that pending alerts are delivered to their sinks.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::aws::dynamodb::{DynamoDbStore, PendingDelivery};
use crate::cli::doctor::check_result::{
    CheckResult, QueryError, QueryErrorKind, QueryResult, evaluate,
};
use crate::cli::doctor::stack::DeployedStack;
use crate::detect::Timestamp;
use crate::output::shell::quoted;
use crate::output::time::duration;

const WHAT: &str = "pending alerts";

/// How long an alert may be pending. By then, delivery has been tried six times.
const PENDING_AT_MOST: TimeDelta = TimeDelta::minutes(15);

/// Checks the pending alerts.
pub(super) async fn check(
    stack: &DeployedStack,
    store: &DynamoDbStore,
    now: Timestamp,
) -> CheckResult {
    let pending: QueryResult<Vec<PendingDelivery>> =
        store
            .pending_deliveries()
            .await
            .map_err(|failure| QueryError {
                kind: QueryErrorKind::Failed,
                permission: "dynamodb:Query",
                text: failure.to_string(),
            });
    let log = stack.resources.get("DetectorLog").map(String::as_str);
    evaluate(WHAT, pending, |pending| judge_pending(&pending, log, now))
}

/// Checks that no alert has been pending for too long. `log` is the detector's log group, if known.
#[must_use]
pub(super) fn judge_pending(
    pending: &[PendingDelivery],
    log: Option<&str>,
    now: Timestamp,
) -> CheckResult {
    let age = |alert: &PendingDelivery| now - alert.pending_since;
    let late: Vec<&PendingDelivery> = pending
        .iter()
        .filter(|alert| age(alert) > PENDING_AT_MOST)
        .collect();
    let Some(oldest) = late.iter().map(|alert| age(alert)).max() else {
        return CheckResult::ok(WHAT, format!("{}, none of them late", pending.len()));
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
    CheckResult::failed(
        WHAT,
        format!(
            "{} for over {} ({}), the oldest for {}",
            late.len(),
            duration(PENDING_AT_MOST),
            counts.join(", "),
            duration(oldest)
        ),
        format!(
            "see why: aws logs tail {} --since 1h --filter-pattern '\"could not be delivered\"'; {}; the alerts are then \
             delivered automatically within 15 minutes",
            quoted(log.unwrap_or("DETECTOR_LOG_GROUP")),
            fixes.join("; ")
        ),
    )
}

/// How to fix a sink that does not accept alerts.
fn fix(sink: &str) -> &'static str {
    match sink {
        "sns" => {
            "check that AlertTopic and its key exist and that the detector's role may use both"
        }
        "eventbridge" | "securityhub" => {
            "check that the event bus exists and that the detector's role may put events on it"
        }
        _ => "deploy the release or the configuration that has this sink",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;
    use crate::cli::doctor::sweeps::tests::at;

    fn pending(sink: &str, seconds: i64) -> PendingDelivery {
        PendingDelivery {
            sink: sink.to_owned(),
            pending_since: at(seconds),
        }
    }

    #[test]
    fn a_recently_committed_alert_is_ok() {
        let judge = |pending: &[PendingDelivery]| judge_pending(pending, None, at(900)).state;
        assert_eq!(judge(&[]), CheckStatus::Ok);
        assert_eq!(judge(&[pending("sns", 0)]), CheckStatus::Ok);
        assert_eq!(judge(&[pending("sns", -1)]), CheckStatus::Failed);
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
        let fix = check.fix.unwrap();
        for part in ["tail '/aws/lambda/my detector'", "AlertTopic", "event bus"] {
            assert!(fix.contains(part), "{fix}");
        }
        assert!(!fix.contains("configuration"), "{fix}");
    }

    #[test]
    fn a_sink_that_no_longer_exists_is_named() {
        let check = judge_pending(&[pending("pager", 0)], None, at(10_000));
        assert!(check.found.contains("1 to pager"), "{}", check.found);
        assert!(check.fix.unwrap().contains("configuration"));
    }
}
