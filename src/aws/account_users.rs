//! Which users of an account may have two active keys.
//!
//! Two ways lead there. Listing every user's keys is as fresh as IAM is, and takes a call for each user. The credential
//! report takes two calls for all of them, and may be four hours old.

use std::fmt::{self, Display};

use aws_sdk_iam::Client;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::StatusType;
use futures::stream::{self, StreamExt};

use crate::aws::accounts::AccountError;
use crate::aws::credential_report::{Report, fetch, suspects_of};
use crate::pipeline::error::ServiceError;

/// How many users' keys are listed side by side. IAM throttles an account's calls, so more would not be faster.
pub const USERS_AT_ONCE: usize = 8;

/// The most users whose keys are listed one by one, where nothing else is set.
pub const MOST_LISTED: usize = 500;

/// The most users that IAM lists on a page.
const PAGE: i32 = 1_000;

/// How often, a second apart, a report that is being made is asked for again.
const REPORT_TRIES: u32 = 60;

/// How an account's users are looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepMode {
    /// By listing up to 500 users, by the report where there are more.
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

/// The users of an account that have to be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspects {
    /// The names of the users that seem to have two active keys, as IAM spells them.
    pub names: Vec<String>,
    /// Whether root has to be looked at.
    pub root: bool,
    /// How many users were seen not to have two active keys. Root is not counted.
    pub cleared: usize,
    /// How many calls that took.
    pub calls: u64,
}

/// The users of the account of `client` that may have two active keys.
pub async fn suspects(client: &Client, mode: SweepMode) -> Result<Suspects, AccountError> {
    match mode {
        SweepMode::Report => reported(client, 0).await,
        SweepMode::List => listed(client, None).await,
        SweepMode::Auto => listed(client, Some(MOST_LISTED)).await,
    }
}

/// One page of an account's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersPage {
    /// Their names, as IAM spells them.
    pub names: Vec<String>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// The users of the account of `client` from `marker` on. A page may be short though more follow.
pub async fn users_page(
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

async fn listed(client: &Client, most: Option<usize>) -> Result<Suspects, AccountError> {
    let mut names = Vec::new();
    let (mut marker, mut calls) = (None, 0);
    loop {
        let page = users_page(client, marker).await?;
        calls += 1;
        names.extend(page.names);
        if most.is_some_and(|most| names.len() > most) {
            return reported(client, calls).await;
        }
        marker = page.next;
        if marker.is_none() {
            break;
        }
    }
    let users = names.len();
    let looked_at: Vec<(String, Looked, u64)> = stream::iter(names)
        .map(|name| look(client, name))
        .buffer_unordered(USERS_AT_ONCE)
        .collect()
        .await;
    calls += looked_at.iter().map(|(_, _, calls)| calls).sum::<u64>();
    let refused: Vec<&String> = looked_at
        .iter()
        .filter_map(|(_, looked, _)| match looked {
            Looked::Unheard(AccountError::Refused(reason)) => Some(reason),
            _ => None,
        })
        .collect();
    if let Some(reason) = refused.first().filter(|_| refused.len() == users) {
        return Err(AccountError::Refused((*reason).clone()));
    }
    let names: Vec<String> = looked_at
        .into_iter()
        .filter(|(_, looked, _)| !matches!(looked, Looked::Fine))
        .map(|(name, _, _)| name)
        .collect();
    Ok(Suspects {
        cleared: users - names.len(),
        names,
        // Only the report tells of root, so root is looked at each time.
        root: true,
        calls,
    })
}

/// What a look at one user came to.
enum Looked {
    Fine,
    TwoActive,
    /// Its re-check says why. The others are looked at all the same.
    Unheard(AccountError),
}

/// Looks at the keys of the user `name`; and the calls that took.
async fn look(client: &Client, name: String) -> (String, Looked, u64) {
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
            // Deleted since the users were listed; its events tell.
            Err(error) if error.code() == Some("NoSuchEntity") => {
                return (name, Looked::Fine, calls);
            }
            Err(error) => {
                let why = AccountError::of_call("iam:ListAccessKeys", &error);
                return (name, Looked::Unheard(why), calls);
            }
        };
        active += page
            .access_key_metadata
            .iter()
            .filter(|key| key.status == Some(StatusType::Active))
            .count();
    }
    let looked = if active >= 2 {
        Looked::TwoActive
    } else {
        Looked::Fine
    };
    (name, looked, calls)
}

/// The users of the account of `client` that have two active keys in its credential report, after so many `calls`.
pub async fn reported(client: &Client, calls: u64) -> Result<Suspects, AccountError> {
    match fetch(client, REPORT_TRIES).await? {
        Report::Ready { content, tries, .. } => {
            let suspects = suspects_of(&content)
                .map_err(|error| ServiceError::permanent(error.to_string()))?;
            Ok(Suspects {
                calls: calls + u64::from(tries) + 1,
                ..suspects
            })
        }
        Report::NotYet => Err(AccountError::Failed(ServiceError::retryable(
            "IAM is still making the credential report",
        ))),
    }
}
