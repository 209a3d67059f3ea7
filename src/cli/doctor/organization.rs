//! Checks the organization: its id, the event bus, and the coverage of its accounts.

use aws_config::SdkConfig;
use aws_sdk_organizations::Client;
use serde_json::Value;

use crate::aws::organization::is_active;
use crate::cli::doctor::check_result::{
    CheckResult, FixPlace, QueryError, QueryErrorKind, QueryResult, evaluate,
};
use crate::cli::doctor::member_stack::deploy_member;
use crate::cli::doctor::stack::DeployedStack;
use crate::cli::doctor::sweeps::covered;
use crate::detect::Timestamp;
use crate::detect::records::account_record::AccountRecord;

const ACCOUNTS: &str = "organization: accounts";

/// The facts about the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrganizationFacts {
    /// Its id.
    pub(super) id: String,
    /// Its management account.
    pub(super) management_account: String,
}

/// Checks the organization, if the stack is deployed for one.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &DeployedStack,
    records: &QueryResult<Vec<AccountRecord>>,
    now: Timestamp,
) -> Vec<CheckResult> {
    let Some(id) = stack.organization() else {
        return vec![];
    };
    let client = Client::new(config);
    let (found, accounts, policy) = futures::join!(
        describe(&client),
        accounts(&client),
        bus_policy(config, stack)
    );
    let management = found
        .as_ref()
        .map_or(String::new(), |found| found.management_account.clone());
    vec![
        evaluate("organization", found, |found| judge_id(id, &found.id)),
        judge_listing(stack, accounts.as_ref().err()),
        evaluate("EventBus: policy", policy, |policy| {
            judge_bus(id, policy.as_deref())
        }),
        match (accounts, records) {
            (Ok(accounts), Ok(records)) => {
                judge_coverage(stack, &accounts, &management, records, now)
            }
            (Err(error), _) => judge_blindness(stack, &error),
            (_, Err(error)) => error.check(ACCOUNTS),
        },
    ]
}

async fn describe(client: &Client) -> QueryResult<OrganizationFacts> {
    let answer = client
        .describe_organization()
        .send()
        .await
        .map_err(|error| QueryError::of("organizations:DescribeOrganization", &error))?;
    let found = answer.organization;
    Ok(OrganizationFacts {
        id: found
            .as_ref()
            .and_then(|one| one.id.clone())
            .unwrap_or_default(),
        management_account: found
            .and_then(|one| one.master_account_id)
            .unwrap_or_default(),
    })
}

async fn accounts(client: &Client) -> QueryResult<Vec<String>> {
    let mut pages = client.list_accounts().into_paginator().send();
    let mut active = vec![];
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| QueryError::of("organizations:ListAccounts", &error))?;
        active.extend(
            page.accounts
                .unwrap_or_default()
                .into_iter()
                .filter(is_active)
                .filter_map(|account| account.id),
        );
    }
    Ok(active)
}

async fn bus_policy(config: &SdkConfig, stack: &DeployedStack) -> QueryResult<Option<String>> {
    let bus = stack.resources.get("EventBus").cloned();
    let answer = aws_sdk_eventbridge::Client::new(config)
        .describe_event_bus()
        .set_name(bus)
        .send()
        .await
        .map_err(|error| QueryError::of("events:DescribeEventBus", &error))?;
    Ok(answer.policy)
}

/// Checks that the account is in the organization that the stack was deployed for.
#[must_use]
pub(super) fn judge_id(wanted: &str, found: &str) -> CheckResult {
    if wanted == found {
        return CheckResult::ok("organization", found);
    }
    CheckResult::failed(
        "organization",
        format!(
            "this account is in {found}, but the parameter OrganizationId is {wanted}, so the events of members are rejected"
        ),
        format!("deploy with OrganizationId={found}"),
    )
}

/// Checks that the sweep lists the accounts of the organization, and is allowed to.
#[must_use]
pub(super) fn judge_listing(stack: &DeployedStack, refused: Option<&QueryError>) -> CheckResult {
    let what = "organization: ListAccounts";
    if stack.parameter("ListAccounts") != "true" {
        return CheckResult::warning(
            what,
            "the sweep covers only this account and accounts with open findings",
            "deploy with ListAccounts=true; this account must be the management account or a delegated administrator",
        );
    }
    match refused {
        None => CheckResult::ok(what, "the sweep lists the accounts of the organization"),
        Some(error) if error.kind == QueryErrorKind::Denied => CheckResult::not_checked(
            what,
            "the sweep lists the accounts of the organization; whether it is allowed to cannot be checked, because you \
             lack organizations:ListAccounts",
            Some(
                "in the management account: aws organizations list-delegated-administrators; allow \
                 organizations:ListAccounts for the role or profile in use"
                    .to_owned(),
            ),
        )
        .fixed_in(FixPlace::OtherAccount),
        Some(error) => error.check(what),
    }
}

/// Checks that the bus accepts events from members of the organization.
#[must_use]
pub(super) fn judge_bus(organization: &str, policy: Option<&str>) -> CheckResult {
    let what = "EventBus: policy";
    let names_it = |statement: &Value| {
        let condition = statement.pointer("/Condition/StringEquals/aws:PrincipalOrgID");
        let is_named = match condition {
            Some(Value::Array(ids)) => ids.iter().any(|id| id == organization),
            Some(id) => id == organization,
            None => false,
        };
        statement.get("Effect").and_then(Value::as_str) == Some("Allow") && is_named
    };
    let policy = policy.and_then(|policy| serde_json::from_str::<Value>(policy).ok());
    let lets_in = match policy.as_ref().and_then(|policy| policy.get("Statement")) {
        Some(Value::Array(statements)) => statements.iter().any(names_it),
        Some(statement) => names_it(statement),
        None => false,
    };
    if lets_in {
        return CheckResult::ok(
            what,
            format!("accepts events from members of {organization}"),
        );
    }
    CheckResult::failed(
        what,
        format!("does not accept events from members of {organization}"),
        "it was changed outside CloudFormation: remove EventBusPolicy from the template and deploy, then add it again \
         and deploy",
    )
}

/// The check if the accounts cannot be listed.
fn judge_blindness(stack: &DeployedStack, error: &QueryError) -> CheckResult {
    if error.kind == QueryErrorKind::Denied && stack.parameter("ListAccounts") != "true" {
        return CheckResult::warning(
            ACCOUNTS,
            "the accounts of the organization cannot be listed from here, so it is not known which are not covered",
            "run doctor in the management account or a delegated administrator account, or allow organizations:ListAccounts",
        );
    }
    error.check(ACCOUNTS)
}

/// Checks that each of `accounts` was swept recently.
#[must_use]
pub(super) fn judge_coverage(
    stack: &DeployedStack,
    accounts: &[String],
    management: &str,
    records: &[AccountRecord],
    now: Timestamp,
) -> CheckResult {
    let covered = covered(records, now);
    let uncovered: Vec<String> = accounts
        .iter()
        .filter(|account| !covered.contains(account.as_str()) && !stack.excludes(account))
        .cloned()
        .collect();
    let count = accounts
        .iter()
        .filter(|account| !stack.excludes(account))
        .count();
    if uncovered.is_empty() {
        return CheckResult::ok(
            ACCOUNTS,
            format!("all {count} were swept in the last 2 hours"),
        );
    }
    let own = &stack.location.account;
    let is_management = management != own && uncovered.iter().any(|account| account == management);
    let mut found = format!(
        "{} of {count} are not covered: they were not swept in the last 2 hours",
        uncovered.len()
    );
    if is_management {
        found.push_str(
            "; one of them is the management account, which service-managed StackSets skip",
        );
    }
    let member = uncovered.iter().find(|account| *account != own);
    let example = member.map(|first| if is_management { management } else { first });
    let fix = match example {
        // The central account is no member.
        None => "see *sweep of this account*".to_owned(),
        Some(example) if stack.parameter("ListAccounts") == "true" => format!(
            "start a sweep if the accounts are new; otherwise extend the StackSet to them (infra/README.md, *An organization*), or {}",
            deploy_member(stack, example)
        ),
        Some(_) => {
            "deploy with ListAccounts=true; otherwise the sweep does not know these accounts"
                .to_owned()
        }
    };
    CheckResult::failed(ACCOUNTS, found, fix)
        .about(uncovered)
        .fixed_in(FixPlace::OtherAccount)
}

#[cfg(test)]
#[path = "organization_tests.rs"]
mod tests;
