//! The organisation: the one that the stack was deployed for, and each of its accounts covered.

use aws_config::SdkConfig;
use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::AccountStatus;
use serde_json::Value;

use crate::cli::doctor::check::{Asked, Check, Unasked, Why, judged};
use crate::cli::doctor::stack::Deployed;
use crate::cli::doctor::sweeps::{covered, deploy_member};
use crate::detect::Timestamp;
use crate::detect::account_record::AccountRecord;

const ACCOUNTS: &str = "organisation: accounts";

/// What is known of the organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrganizationFacts {
    /// Its id.
    pub(super) id: String,
    /// Its management account.
    pub(super) management_account: String,
}

/// Looks at the organisation, if the stack is deployed for one.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &Deployed,
    records: &Asked<Vec<AccountRecord>>,
    now: Timestamp,
) -> Vec<Check> {
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
        judged("organisation", found, |found| judge_id(id, &found.id)),
        judge_listing(stack, accounts.as_ref().err()),
        judged("EventBus: policy", policy, |policy| {
            judge_bus(id, policy.as_deref())
        }),
        match (accounts, records) {
            (Ok(accounts), Ok(records)) => {
                judge_coverage(stack, &accounts, &management, records, now)
            }
            (Err(unasked), _) => judge_blindness(stack, &unasked),
            (_, Err(unasked)) => unasked.check(ACCOUNTS),
        },
    ]
}

async fn describe(client: &Client) -> Asked<OrganizationFacts> {
    let answer = client
        .describe_organization()
        .send()
        .await
        .map_err(|error| Unasked::of("organizations:DescribeOrganization", &error))?;
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

async fn accounts(client: &Client) -> Asked<Vec<String>> {
    let mut pages = client.list_accounts().into_paginator().send();
    let mut active = vec![];
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| Unasked::of("organizations:ListAccounts", &error))?;
        active.extend(
            page.accounts
                .unwrap_or_default()
                .into_iter()
                .filter(|account| account.status == Some(AccountStatus::Active))
                .filter_map(|account| account.id),
        );
    }
    Ok(active)
}

async fn bus_policy(config: &SdkConfig, stack: &Deployed) -> Asked<Option<String>> {
    let bus = stack.resources.get("EventBus").cloned();
    let answer = aws_sdk_eventbridge::Client::new(config)
        .describe_event_bus()
        .set_name(bus)
        .send()
        .await
        .map_err(|error| Unasked::of("events:DescribeEventBus", &error))?;
    Ok(answer.policy)
}

/// Whether the account is in the organisation that the stack was deployed for.
#[must_use]
pub(super) fn judge_id(wanted: &str, found: &str) -> Check {
    if wanted == found {
        return Check::ok("organisation", found);
    }
    Check::failed(
        "organisation",
        format!(
            "this account is in {found}, and the parameter OrganizationId is {wanted}: no member's event is let in"
        ),
        format!("deploy with OrganizationId={found}"),
    )
}

/// Whether the sweep asks for the accounts, and may.
#[must_use]
pub(super) fn judge_listing(stack: &Deployed, refused: Option<&Unasked>) -> Check {
    let what = "organisation: ListAccounts";
    if stack.parameter("ListAccounts") != "true" {
        return Check::warning(
            what,
            "the sweep looks into this account and into those with open findings only",
            "deploy with ListAccounts=true; this account has to be the management account or a delegated administrator",
        );
    }
    match refused {
        None => Check::ok(what, "the sweep asks Organizations for the accounts"),
        Some(unasked) if unasked.why == Why::Denied => Check::not_checked(
            what,
            "the sweep asks Organizations for the accounts; whether this account may cannot be seen, for you may not \
             (organizations:ListAccounts)",
            Some(
                "in the management account: aws organizations list-delegated-administrators; allow \
                 organizations:ListAccounts to the role or profile in use"
                    .to_owned(),
            ),
        )
        .mended_elsewhere(),
        Some(unasked) => unasked.check(what),
    }
}

/// Whether the bus lets in what members of the organisation forward.
#[must_use]
pub(super) fn judge_bus(organization: &str, policy: Option<&str>) -> Check {
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
        return Check::ok(
            what,
            format!("lets in what members of {organization} forward"),
        );
    }
    Check::failed(
        what,
        format!("lets nothing in from members of {organization}"),
        "it was changed by hand: take EventBusPolicy out of the template, deploy, put it back, deploy again",
    )
}

/// What can be said where the accounts cannot be listed.
fn judge_blindness(stack: &Deployed, unasked: &Unasked) -> Check {
    if unasked.why == Why::Denied && stack.parameter("ListAccounts") != "true" {
        return Check::warning(
            ACCOUNTS,
            "which accounts there are cannot be seen from here, so uncovered ones cannot be named",
            "run this in the management account's or a delegated administrator's name, or allow organizations:ListAccounts",
        );
    }
    unasked.check(ACCOUNTS)
}

/// Whether each of `accounts` was swept lately.
#[must_use]
pub(super) fn judge_coverage(
    stack: &Deployed,
    accounts: &[String],
    management: &str,
    records: &[AccountRecord],
    now: Timestamp,
) -> Check {
    let covered = covered(records, now);
    let uncovered: Vec<String> = accounts
        .iter()
        .filter(|account| !covered.contains(account.as_str()))
        .cloned()
        .collect();
    let count = accounts.len();
    let Some(first) = uncovered.first() else {
        return Check::ok(ACCOUNTS, format!("all {count} were swept within 2 hours"));
    };
    let is_management = uncovered.iter().any(|account| account == management);
    let mut found = format!(
        "{} of {count} are uncovered, for they were not swept within 2 hours",
        uncovered.len()
    );
    if is_management {
        found.push_str("; the management account is among them, which StackSets of the service-managed kind skip");
    }
    let mend = if stack.parameter("ListAccounts") == "true" {
        let example = if is_management { management } else { first };
        format!(
            "start a sweep if the accounts are new; else have the StackSet reach them (infra/README.md, *An organisation*), or {}",
            deploy_member(stack, example)
        )
    } else {
        "deploy with ListAccounts=true, or the sweep does not know of them".to_owned()
    };
    Check::failed(ACCOUNTS, found, mend)
        .about(uncovered)
        .mended_elsewhere()
}

#[cfg(test)]
#[path = "organization_tests.rs"]
mod tests;
