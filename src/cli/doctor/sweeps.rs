//! Checks that each account was swept recently.

use std::collections::BTreeSet;

use crate::cli::doctor::check_result::{CheckResult, FixPlace, QueryResult, evaluate};
use crate::cli::doctor::member_stack::deploy_member;
use crate::cli::doctor::stack::DeployedStack;
use crate::detect::Timestamp;
use crate::detect::records::account_record::AccountRecord;
pub(super) use crate::detect::records::account_record::SWEPT_WITHIN;
use crate::output::shell::quoted;
use crate::output::time::{duration, readable};

/// Checks the sweeps of the stack's own account, and reports unreachable accounts.
pub(super) fn check(
    stack: &DeployedStack,
    records: &QueryResult<Vec<AccountRecord>>,
    now: Timestamp,
) -> Vec<CheckResult> {
    let what = "sweep of this account";
    let own = evaluate(what, records.clone(), |records| {
        let own = records
            .iter()
            .find(|record| record.account == stack.location.account);
        judge_own(what, own, &start(stack), now)
    });
    let mut checks = vec![own];
    if let Ok(records) = records {
        checks.extend(judge_unreachable(stack, records));
    }
    checks
}

/// The command that starts a sweep.
fn start(stack: &DeployedStack) -> String {
    format!(
        "aws sqs send-message --queue-url {} --message-body '{{\"secondkey_sweep\":{{\"version\":1}}}}'",
        quoted(
            stack
                .resources
                .get("SweepQueue")
                .map_or("QUEUE", String::as_str)
        )
    )
}

/// Checks that the stack's own account was swept recently, according to its `record`.
#[must_use]
pub(super) fn judge_own(
    what: &str,
    record: Option<&AccountRecord>,
    start: &str,
    now: Timestamp,
) -> CheckResult {
    let Some(swept_at) = record.and_then(|record| record.swept_at) else {
        return CheckResult::failed(
            what,
            "there was no sweep yet, so keys from before the deployment are not known",
            format!("wait for up to an hour, or start a sweep: {start}"),
        );
    };
    let age = now - swept_at;
    if record.is_some_and(|record| record.baseline_at.is_none()) {
        return CheckResult::failed(
            what,
            "the first sweep has not finished",
            format!("see the sweeper's log, and start another sweep: {start}"),
        );
    }
    let found = format!("{}, {} ago", readable(swept_at), duration(age));
    if age > SWEPT_WITHIN {
        return CheckResult::failed(
            what,
            format!("the last was {found}"),
            format!(
                "see above whether SweepSchedule is enabled and Sweeper runs, see its log, then start a sweep: {start}"
            ),
        );
    }
    CheckResult::ok(what, format!("the last was {found}"))
}

/// A failed check for each unreachable account.
#[must_use]
pub(super) fn judge_unreachable(
    stack: &DeployedStack,
    records: &[AccountRecord],
) -> Vec<CheckResult> {
    records
        .iter()
        .filter(|record| !stack.excludes(&record.account))
        .filter_map(|record| {
            let unreachable = record.unreachable.as_ref()?;
            let check = CheckResult::failed(
                format!("account {}", record.account),
                format!(
                    "has been unreachable since {}: {}",
                    readable(unreachable.since),
                    unreachable.reason
                ),
                if record.account == stack.location.account {
                    "restore the permissions of the functions' roles from infra/template.yaml"
                        .to_owned()
                } else {
                    deploy_member(stack, &record.account)
                },
            );
            let check = check.about(vec![record.account.clone()]);
            Some(if record.account == stack.location.account {
                check
            } else {
                check.fixed_in(FixPlace::OtherAccount)
            })
        })
        .collect()
}

/// The accounts that were swept recently and are reachable, according to `records`.
#[must_use]
pub(super) fn covered(records: &[AccountRecord], now: Timestamp) -> BTreeSet<&str> {
    records
        .iter()
        .filter(|record| record.unreachable.is_none())
        .filter(|record| record.swept_at.is_some_and(|at| now - at <= SWEPT_WITHIN))
        .map(|record| record.account.as_str())
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;
    use crate::cli::doctor::stack::tests::stack;
    use crate::detect::records::account_record::Unreachable;

    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    /// An account that was swept at `seconds`.
    pub(crate) fn swept(account: &str, seconds: i64) -> AccountRecord {
        AccountRecord {
            version: 1,
            baseline_at: Some(at(0)),
            swept_at: Some(at(seconds)),
            ..AccountRecord::new(account)
        }
    }

    /// An unreachable account.
    pub(crate) fn unreachable(account: &str) -> AccountRecord {
        AccountRecord {
            unreachable: Some(Unreachable {
                since: at(0),
                reason: "the role `secondkey-audit` is not there".to_owned(),
            }),
            ..swept(account, 0)
        }
    }

    #[test]
    fn the_own_account_must_have_been_swept_within_two_hours() {
        let of =
            |record: Option<&AccountRecord>, now| judge_own("x", record, "start", at(now)).state;
        assert_eq!(of(Some(&swept("1", 0)), 7_200), CheckStatus::Ok);
        assert_eq!(of(Some(&swept("1", 0)), 7_201), CheckStatus::Failed);
        assert_eq!(of(None, 0), CheckStatus::Failed);
        let first = AccountRecord {
            baseline_at: None,
            ..swept("1", 0)
        };
        assert_eq!(of(Some(&first), 10), CheckStatus::Failed);
    }

    #[test]
    fn an_unreachable_account_is_named_with_time_and_reason() {
        let stack = stack(&[("MemberRoleName", "secondkey-audit")], &[]);
        let records = [swept("111122223333", 0), unreachable("444455556666")];
        let checks = judge_unreachable(&stack, &records);
        assert_eq!(checks.len(), 1);
        let check = &checks[0];
        assert_eq!(check.state, CheckStatus::Failed);
        assert!(check.subject.contains("444455556666"));
        assert!(
            check.found.contains("2027-01-15 08:00:00 UTC"),
            "{}",
            check.found
        );
        assert!(check.found.contains("is not there"), "{}", check.found);
        let fix = check.fix.as_ref().unwrap();
        assert!(
            fix.contains("in account 444455556666")
                && fix.contains("CentralAccountId=111122223333")
        );
    }

    #[test]
    fn an_excluded_account_may_be_unreachable() {
        let stack = stack(&[("ExcludedAccounts", "444455556666")], &[]);
        assert_eq!(
            judge_unreachable(&stack, &[unreachable("444455556666")]),
            []
        );
    }

    #[test]
    fn an_account_is_covered_if_it_was_swept_and_is_reachable() {
        let records = [swept("1", 0), swept("2", -8_000), unreachable("3")];
        assert_eq!(covered(&records, at(10)), BTreeSet::from(["1"]));
    }
}
