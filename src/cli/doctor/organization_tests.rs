use super::*;
use crate::cli::doctor::check::State;
use crate::cli::doctor::stack::tests::stack;
use crate::cli::doctor::sweeps::tests::{at, swept, unreachable};

const ORGANIZATION: &str = "o-abcdefghij";

fn lists() -> Deployed {
    stack(
        &[("ListAccounts", "true"), ("OrganizationId", ORGANIZATION)],
        &[],
    )
}

fn denied() -> Unasked {
    Unasked {
        why: Why::Denied,
        permission: "organizations:ListAccounts",
        text: String::new(),
    }
}

#[test]
fn the_stack_has_to_be_deployed_for_the_organisation_that_it_is_in() {
    assert_eq!(judge_id(ORGANIZATION, ORGANIZATION).state, State::Ok);
    let other = judge_id(ORGANIZATION, "o-other");
    assert_eq!(other.state, State::Failed);
    assert_eq!(other.mend.unwrap(), "deploy with OrganizationId=o-other");
}

#[test]
fn every_account_that_was_not_swept_is_named_the_management_account_too() {
    let accounts = ["1", "2", "3", "4"].map(str::to_owned);
    let records = [swept("1", 0), swept("2", -9_000), unreachable("3")];
    let check = judge_coverage(&lists(), &accounts, "4", &records, at(60));
    assert_eq!(check.state, State::Failed);
    assert_eq!(check.accounts, ["2", "3", "4"]);
    assert!(
        check.found.contains("management account"),
        "{}",
        check.found
    );
    assert!(check.mend.unwrap().contains("in account 4:"));
    let all = judge_coverage(&lists(), &accounts[..1], "4", &records, at(60));
    assert_eq!(all.state, State::Ok);
}

#[test]
fn a_sweep_that_does_not_ask_for_the_accounts_is_a_warning() {
    let alone = stack(
        &[("ListAccounts", "false"), ("OrganizationId", ORGANIZATION)],
        &[],
    );
    assert_eq!(judge_listing(&alone, Some(&denied())).state, State::Warning);
    assert_eq!(judge_blindness(&alone, &denied()).state, State::Warning);
    assert_eq!(judge_listing(&lists(), None).state, State::Ok);
    assert_eq!(
        judge_listing(&lists(), Some(&denied())).state,
        State::NotChecked
    );
    assert_eq!(
        judge_blindness(&lists(), &denied()).state,
        State::NotChecked
    );
}

#[test]
fn the_bus_has_to_let_the_organisation_in() {
    let policy = |id: &str| {
        serde_json::json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": id, "events:source": "aws.iam"}}}]})
        .to_string()
    };
    assert_eq!(
        judge_bus(ORGANIZATION, Some(&policy(ORGANIZATION))).state,
        State::Ok
    );
    assert_eq!(
        judge_bus(ORGANIZATION, Some(&policy("o-other"))).state,
        State::Failed
    );
    assert_eq!(judge_bus(ORGANIZATION, None).state, State::Failed);
}
