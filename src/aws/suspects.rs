//! Finds the users of an account who may have two active keys.
//!
//! There are two ways. Listing every user's keys is as current as IAM, and takes one call per user.
//! The credential report takes two calls in total and may be four hours old.

use std::fmt::{self, Display};

use aws_sdk_iam::Client;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::StatusType;
use futures::stream::{self, StreamExt};

use crate::aws::accounts::AccountError;
use crate::aws::credential_report::{FetchedReport, fetch, suspects_of};
use crate::pipeline::error::ServiceError;

/// How many users' keys are listed in parallel. IAM throttles calls per account, so more would not
/// be faster.
pub(crate) const USERS_AT_ONCE: usize = 8;

/// The most users whose keys are listed individually, by default.
pub(crate) const MAX_LISTED_USERS: usize = 500;

/// The largest page of users that IAM returns.
const PAGE: i32 = 1_000;

/// How often to request a report, a second apart, while IAM is still generating it.
const REPORT_TRIES: u32 = 60;

/// How the suspects of an account are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepMode {
    /// By listing if there are at most 500 users, otherwise by the report.
    Auto,
    /// By listing every user's keys.
    List,
    /// By the credential report.
    Report,
}

impl SweepMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::List, Self::Report];
}

impl Display for SweepMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::List => "list",
            Self::Report => "report",
        })
    }
}

/// The users of an account to check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Suspects {
    /// The names of the users who seem to have two active keys, as IAM spells them.
    pub names: Vec<String>,
    /// Whether to check root.
    pub root: bool,
    /// How many users do not have two active keys. Root is not counted.
    pub cleared: usize,
    /// How many calls were made.
    pub calls: u64,
}

/// The users of the account of `client` who may have two active keys.
pub(crate) async fn suspects(client: &Client, mode: SweepMode) -> Result<Suspects, AccountError> {
    match mode {
        SweepMode::Report => suspects_by_report(client, 0).await,
        SweepMode::List => suspects_by_listing(client, None).await,
        SweepMode::Auto => suspects_by_listing(client, Some(MAX_LISTED_USERS)).await,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsersPage {
    /// Their names, as IAM spells them.
    pub names: Vec<String>,
    /// Where the next page begins, or `None` after the last one.
    pub next: Option<String>,
}

/// The users of the account of `client` from `marker`. A page may be short although more pages
/// follow.
pub(crate) async fn users_page(
    client: &Client,
    marker: Option<String>,
) -> Result<UsersPage, AccountError> {
    let page = client
        .list_users()
        .max_items(PAGE)
        .set_marker(marker)
        .send()
        .await
        .map_err(|error| AccountError::of_call("iam:ListUsers", &error))?;
    Ok(UsersPage {
        names: page.users.into_iter().map(|user| user.user_name).collect(),
        next: page.marker.filter(|_| page.is_truncated),
    })
}

async fn suspects_by_listing(
    client: &Client,
    most: Option<usize>,
) -> Result<Suspects, AccountError> {
    let mut names = Vec::new();
    let (mut marker, mut calls) = (None, 0);
    loop {
        let page = users_page(client, marker).await?;
        calls += 1;
        names.extend(page.names);
        if most.is_some_and(|most| names.len() > most) {
            return suspects_by_report(client, calls).await;
        }
        marker = page.next;
        if marker.is_none() {
            break;
        }
    }
    let users = names.len();
    let looked_at: Vec<(String, KeyCheck, u64)> = stream::iter(names)
        .map(|name| check_keys(client, name))
        .buffer_unordered(USERS_AT_ONCE)
        .collect()
        .await;
    calls += looked_at.iter().map(|(_, _, calls)| calls).sum::<u64>();
    let refused: Vec<&String> = looked_at
        .iter()
        .filter_map(|(_, check, _)| match check {
            KeyCheck::Failed(AccountError::Refused(reason)) => Some(reason),
            _ => None,
        })
        .collect();
    if let Some(reason) = refused.first().filter(|_| refused.len() == users) {
        return Err(AccountError::Refused((*reason).clone()));
    }
    let names: Vec<String> = looked_at
        .into_iter()
        .filter(|(_, check, _)| !matches!(check, KeyCheck::AtMostOneActive))
        .map(|(name, _, _)| name)
        .collect();
    Ok(Suspects {
        cleared: users - names.len(),
        names,
        // Only the report shows root's keys, so root is checked each time.
        root: true,
        calls,
    })
}

/// The result of checking one user.
enum KeyCheck {
    AtMostOneActive,
    TwoActive,
    /// The re-check reports the reason. The other users are still checked.
    Failed(AccountError),
}

/// Checks the keys of the user `name`. Also returns how many calls that took.
async fn check_keys(client: &Client, name: String) -> (String, KeyCheck, u64) {
    let mut pages = client
        .list_access_keys()
        .user_name(&name)
        .into_paginator()
        .send();
    let (mut active, mut calls) = (0, 0);
    while let Some(page) = pages.next().await {
        calls += 1;
        let page = match page {
            Ok(page) => page,
            // The user was deleted after the listing, which events report.
            Err(error) if error.code() == Some("NoSuchEntity") => {
                return (name, KeyCheck::AtMostOneActive, calls);
            }
            Err(error) => {
                let why = AccountError::of_call("iam:ListAccessKeys", &error);
                return (name, KeyCheck::Failed(why), calls);
            }
        };
        active += page
            .access_key_metadata
            .iter()
            .filter(|key| key.status == Some(StatusType::Active))
            .count();
    }
    let check = if active >= 2 {
        KeyCheck::TwoActive
    } else {
        KeyCheck::AtMostOneActive
    };
    (name, check, calls)
}

/// The users of the account of `client` with two active keys in the credential report. `calls` have
/// been made before.
pub(crate) async fn suspects_by_report(
    client: &Client,
    calls: u64,
) -> Result<Suspects, AccountError> {
    match fetch(client, REPORT_TRIES).await? {
        FetchedReport::Ready { content, tries, .. } => {
            let suspects = suspects_of(&content)
                .map_err(|error| ServiceError::permanent(error.to_string()))?;
            Ok(Suspects {
                calls: calls + u64::from(tries) + 1,
                ..suspects
            })
        }
        FetchedReport::NotYet => Err(AccountError::Failed(ServiceError::retryable(
            "IAM is still generating the credential report",
        ))),
    }
}
