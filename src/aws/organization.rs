//! Lists the accounts of the organization.

use aws_config::SdkConfig;
use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::{Account, AccountState, AccountStatus};

use crate::aws::sdk_errors::service_error;
use crate::pipeline::error::ServiceError;

/// The IDs of the organization's active accounts. Only the management account and a delegated
/// administrator may list them.
pub(crate) async fn active_accounts(config: &SdkConfig) -> Result<Vec<String>, ServiceError> {
    let mut pages = Client::new(config).list_accounts().into_paginator().send();
    let mut active = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| service_error("organizations:ListAccounts", &error))?;
        let accounts = page.accounts.unwrap_or_default();
        active.extend(
            accounts
                .into_iter()
                .filter(is_active)
                .filter_map(|account| account.id),
        );
    }
    if active.is_empty() {
        // An organization has at least the account that answers.
        return Err(ServiceError::retryable(
            "organizations:ListAccounts named no active account",
        ));
    }
    Ok(active)
}

/// Whether `account` is active. AWS announced that `State` replaces `Status` in September 2026;
/// this accepts both.
pub(crate) fn is_active(account: &Account) -> bool {
    match (&account.state, &account.status) {
        (Some(state), _) => *state == AccountState::Active,
        (None, Some(status)) => *status == AccountStatus::Active,
        (None, None) => true,
    }
}
