//! The sweeps: each account was looked through lately.

use std::collections::BTreeSet;

use crate::cli::doctor::check::{Asked, Check, judged};
use crate::cli::doctor::stack::Deployed;
use crate::detect::Timestamp;
use crate::detect::account_record::AccountRecord;
pub(super) use crate::detect::account_record::SWEPT_WITHIN;
use crate::output::shell::quoted;
use crate::output::time::{duration, readable};

/// Judges the sweeps of the own account, and of those that cannot be entered.
pub(super) fn check(
    stack: &Deployed,
    records: &Asked<Vec<AccountRecord>>,
    now: Timestamp,
) -> Vec<Check> {
    let what = "sweep of this account";
    let own = judged(what, records.clone(), |records| {
        let own = records
            .iter()
            .find(|record| record.account == stack.place.account);
        judge_own(what, own, &start(stack), now)
    });
    let mut checks = vec![own];
    if let Ok(records) = records {
        checks.extend(judge_unreachable(stack, records));
    }
    checks
}

/// The command that starts a sweep.
fn start(stack: &Deployed) -> String {
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

/// Whether the own account was swept lately, `record` being what is kept of it.
#[must_use]
pub(super) fn judge_own(
    what: &str,
    record: Option<&AccountRecord>,
    start: &str,
    now: Timestamp,
) -> Check {
    let Some(swept_at) = record.and_then(|record| record.swept_at) else {
        return Check::failed(
            what,
            "there was none yet, so what was there before the deployment is not known",
            format!("wait for the hour, or start one: {start}"),
        );
    };
    let age = now - swept_at;
    if record.is_some_and(|record| record.baseline_at.is_none()) {
        return Check::failed(
            what,
            "the first one is not through",
            format!("start one, and look into the sweeper's log: {start}"),
        );
    }
    let found = format!("{}, {} ago", readable(swept_at), duration(age));
    if age > SWEPT_WITHIN {
        return Check::failed(
            what,
            format!("the last was {found}"),
            format!(
                "see above whether SweepSchedule is enabled and Sweeper runs, look into its log, then start one: {start}"
            ),
        );
    }
    Check::ok(what, format!("the last was {found}"))
}

/// A failed check for each account that cannot be entered.
#[must_use]
pub(super) fn judge_unreachable(stack: &Deployed, records: &[AccountRecord]) -> Vec<Check> {
    records
        .iter()
        .filter_map(|record| {
            let unreachable = record.unreachable.as_ref()?;
            let check = Check::failed(
                format!("account {}", record.account),
                format!(
                    "cannot be entered since {}: {}",
                    readable(unreachable.since),
                    unreachable.reason
                ),
                if record.account == stack.place.account {
                    "give the functions' roles back what infra/template.yaml gives them".to_owned()
                } else {
                    deploy_member(stack, &record.account)
                },
            );
            let check = check.about(vec![record.account.clone()]);
            Some(if record.account == stack.place.account {
                check
            } else {
                check.mended_elsewhere()
            })
        })
        .collect()
}

/// What makes `account` a member.
#[must_use]
pub(super) fn deploy_member(stack: &Deployed, account: &str) -> String {
    format!(
        "in account {}: aws cloudformation deploy --stack-name secondkey-member --template-file infra/member.yaml --region {} \
         --capabilities CAPABILITY_NAMED_IAM --parameter-overrides CentralAccountId={} CentralStackName={} MemberRoleName={} \
         MemberExternalId=EXTERNAL_ID",
        quoted(account),
        quoted(&stack.place.region),
        quoted(&stack.place.account),
        quoted(&stack.name),
        quoted(stack.parameter("MemberRoleName")),
    )
}

/// The accounts of which `records` tell that they were swept lately.
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
    use crate::cli::doctor::check::State;
    use crate::cli::doctor::stack::tests::stack;
    use crate::detect::account_record::Unreachable;

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

    /// An account that cannot be entered.
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
    fn the_own_account_has_to_have_been_swept_within_two_hours() {
        let of =
            |record: Option<&AccountRecord>, now| judge_own("x", record, "start", at(now)).state;
        assert_eq!(of(Some(&swept("1", 0)), 7_200), State::Ok);
        assert_eq!(of(Some(&swept("1", 0)), 7_201), State::Failed);
        assert_eq!(of(None, 0), State::Failed);
        let first = AccountRecord {
            baseline_at: None,
            ..swept("1", 0)
        };
        assert_eq!(of(Some(&first), 10), State::Failed);
    }

    #[test]
    fn an_account_that_cannot_be_entered_is_named_with_since_and_reason() {
        let stack = stack(&[("MemberRoleName", "secondkey-audit")], &[]);
        let records = [swept("111122223333", 0), unreachable("444455556666")];
        let checks = judge_unreachable(&stack, &records);
        assert_eq!(checks.len(), 1);
        let check = &checks[0];
        assert_eq!(check.state, State::Failed);
        assert!(check.what.contains("444455556666"));
        assert!(
            check.found.contains("2027-01-15 08:00:00 UTC"),
            "{}",
            check.found
        );
        assert!(check.found.contains("is not there"), "{}", check.found);
        let mend = check.mend.as_ref().unwrap();
        assert!(
            mend.contains("in account 444455556666")
                && mend.contains("CentralAccountId=111122223333")
        );
    }

    #[test]
    fn an_account_is_covered_if_it_was_swept_lately_and_can_be_entered() {
        let records = [swept("1", 0), swept("2", -8_000), unreachable("3")];
        assert_eq!(covered(&records, at(10)), BTreeSet::from(["1"]));
    }
}
