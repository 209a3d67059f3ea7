use super::*;
use crate::cli::doctor::check_result::CheckStatus;
use crate::cli::doctor::stack::tests::stack;
use crate::cli::doctor::sweeps::tests::{at, swept, unreachable};

const ORGANIZATION: &str = "o-abcdefghij";

fn lists() -> DeployedStack {
    stack(
        &[("ListAccounts", "true"), ("OrganizationId", ORGANIZATION)],
        &[],
    )
}

fn denied() -> QueryError {
    QueryError {
        kind: QueryErrorKind::Denied,
        permission: "organizations:ListAccounts",
        text: String::new(),
    }
}

#[test]
fn the_stack_must_be_deployed_for_its_own_organization() {
    assert_eq!(judge_id(ORGANIZATION, ORGANIZATION).state, CheckStatus::Ok);
    let other = judge_id(ORGANIZATION, "o-other");
    assert_eq!(other.state, CheckStatus::Failed);
    assert_eq!(other.fix.unwrap(), "deploy with OrganizationId=o-other");
}

#[test]
fn accounts_that_were_not_swept_are_named() {
    let accounts = ["1", "2", "3", "4"].map(str::to_owned);
    let records = [swept("1", 0), swept("2", -9_000), unreachable("3")];
    let check = judge_coverage(&lists(), &accounts, "4", &records, at(60));
    assert_eq!(check.state, CheckStatus::Failed);
    assert_eq!(check.accounts, ["2", "3", "4"]);
    assert!(
        check.found.contains("management account"),
        "{}",
        check.found
    );
    assert!(check.fix.unwrap().contains("in account 4:"));
    let all = judge_coverage(&lists(), &accounts[..1], "4", &records, at(60));
    assert_eq!(all.state, CheckStatus::Ok);
}

#[test]
fn excluded_accounts_need_no_sweep() {
    let excluding = stack(
        &[("ListAccounts", "true"), ("ExcludedAccounts", "2,3")],
        &[],
    );
    let accounts = ["1", "2", "3"].map(str::to_owned);
    let records = [swept("1", 0), unreachable("3")];
    let check = judge_coverage(&excluding, &accounts, "1", &records, at(60));
    assert_eq!(check.state, CheckStatus::Ok);
    assert!(check.found.contains("all 1 "), "{}", check.found);
}

#[test]
fn the_central_account_is_never_made_a_member() {
    let own = "111122223333".to_owned();
    let of = |accounts: &[String]| {
        let check = judge_coverage(&lists(), accounts, &own, &[], at(60));
        assert_eq!(check.state, CheckStatus::Failed);
        check.fix.unwrap()
    };
    let both = of(&[own.clone(), "4".to_owned()]);
    assert!(both.contains("in account 4:"), "{both}");
    let alone = of(std::slice::from_ref(&own));
    assert!(alone.contains("sweep of this account"), "{alone}");
}

#[test]
fn a_sweep_that_does_not_list_the_accounts_is_a_warning() {
    let alone = stack(
        &[("ListAccounts", "false"), ("OrganizationId", ORGANIZATION)],
        &[],
    );
    assert_eq!(
        judge_listing(&alone, Some(&denied())).state,
        CheckStatus::Warning
    );
    assert_eq!(
        judge_blindness(&alone, &denied()).state,
        CheckStatus::Warning
    );
    assert_eq!(judge_listing(&lists(), None).state, CheckStatus::Ok);
    assert_eq!(
        judge_listing(&lists(), Some(&denied())).state,
        CheckStatus::NotChecked
    );
    assert_eq!(
        judge_blindness(&lists(), &denied()).state,
        CheckStatus::NotChecked
    );
}

#[test]
fn the_bus_must_accept_events_of_the_organization() {
    let policy = |id: &str| {
        serde_json::json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": id, "events:source": "aws.iam"}}}]})
        .to_string()
    };
    assert_eq!(
        judge_bus(ORGANIZATION, Some(&policy(ORGANIZATION))).state,
        CheckStatus::Ok
    );
    assert_eq!(
        judge_bus(ORGANIZATION, Some(&policy("o-other"))).state,
        CheckStatus::Failed
    );
    assert_eq!(judge_bus(ORGANIZATION, None).state, CheckStatus::Failed);
}
