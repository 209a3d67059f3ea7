//! Reads everything in a store for a report, several users at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::checked_trail::{CheckedTrail, checked_trail};
use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::findings::finding::{Finding, FindingId, FindingStatus};
use crate::detect::user::UserId;
use crate::output::report::audit_trail::{Trail, TrailState};
use crate::output::report::coverage::CheckedAccount;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// How many users are read at a time.
const AT_A_TIME: usize = 8;

/// The contents of a store.
pub(super) struct StoreContents {
    pub(super) findings: Vec<Finding>,
    pub(super) trails: BTreeMap<UserId, Trail>,
    pub(super) exemptions: Vec<Exemption>,
    pub(super) accounts: BTreeMap<String, CheckedAccount>,
    /// What else could not be read besides trails, and why.
    pub(super) unread: Vec<String>,
}

impl StoreContents {
    /// Reads `store`. Only a failure to read the findings is an error; any other failure goes into the
    /// report.
    pub(super) async fn read(store: &dyn FindingReader) -> anyhow::Result<Self> {
        let findings = findings(store).await?;
        let mut unread = vec![];
        let mut users: BTreeSet<UserId> = findings
            .iter()
            .map(|finding| finding.user().clone())
            .collect();
        match store.users().await {
            Ok(known) => users.extend(known),
            Err(error) => unread.push(format!(
                "the list of users, so only the trails of users with findings are checked: {error}"
            )),
        }
        let mut accounts = accounts(store, &users, &mut unread).await;
        let mut exemptions = vec![];
        for account in accounts.keys() {
            match store.exemptions(account).await {
                Ok(of_account) => exemptions.extend(of_account),
                Err(error) => {
                    unread.push(format!("the exemptions of account {account}: {error}"));
                }
            }
        }
        let (trails, listed_at) = trails(store, users).await;
        for (account, at) in listed_at {
            if let Some(known) = accounts.get_mut(&account) {
                known.listed_at = known.listed_at.max(Some(at));
            }
        }
        Ok(Self {
            findings,
            trails,
            exemptions,
            accounts,
            unread,
        })
    }
}

/// The accounts of `users` and all others that the store knows, with what it says about their checks.
async fn accounts(
    store: &dyn FindingReader,
    users: &BTreeSet<UserId>,
    unread: &mut Vec<String>,
) -> BTreeMap<String, CheckedAccount> {
    let mut accounts: BTreeMap<String, CheckedAccount> = BTreeMap::new();
    for user in users {
        let known = accounts.entry(user.account().to_owned()).or_default();
        known.users += 1;
    }
    match store.account_ids().await {
        Ok(known) => {
            for account in known {
                accounts.entry(account).or_default();
            }
        }
        Err(error) => unread.push(format!("the list of accounts: {error}")),
    }
    match store.coverage().await {
        Ok(known) => {
            for coverage in known {
                let account = accounts.entry(coverage.account.clone()).or_default();
                account.coverage = coverage;
            }
        }
        Err(error) => unread.push(format!("when accounts were checked: {error}")),
    }
    accounts
}

/// All findings, each once. A finding that is closed during the read is returned twice; the later read
/// wins.
async fn findings(store: &dyn FindingReader) -> Result<Vec<Finding>, ServiceError> {
    let mut findings: BTreeMap<FindingId, Finding> = BTreeMap::new();
    for status in [
        FindingStatus::Open,
        FindingStatus::Suppressed,
        FindingStatus::Closed,
    ] {
        let of_status = store.findings(status).await?;
        findings.extend(of_status.into_iter().map(|one| (one.id.clone(), one)));
    }
    Ok(findings.into_values().collect())
}

/// The trails of `users`, and when the keys of a user of each account were last listed.
async fn trails(
    store: &dyn FindingReader,
    users: BTreeSet<UserId>,
) -> (BTreeMap<UserId, Trail>, BTreeMap<String, Timestamp>) {
    let progress = progress(users.len());
    let mut read = stream::iter(users)
        .map(|user| async {
            let (trail, listed_at) = trail(store, &user).await;
            progress.inc(1);
            (user, trail, listed_at)
        })
        .buffer_unordered(AT_A_TIME);
    let (mut trails, mut listed) = (BTreeMap::new(), BTreeMap::new());
    while let Some((user, trail, listed_at)) = read.next().await {
        if let Some(at) = listed_at {
            let latest = listed.entry(user.account().to_owned()).or_insert(at);
            *latest = at.max(*latest);
        }
        // The user has a record, but nothing was ever written to its trail.
        if !trail.is_empty() {
            trails.insert(user, trail);
        }
    }
    progress.finish_and_clear();
    (trails, listed)
}

/// The trail of `user`, and when the user's keys were last listed.
async fn trail(store: &dyn FindingReader, user: &UserId) -> (Trail, Option<Timestamp>) {
    match checked_trail(store, user).await {
        Ok(CheckedTrail {
            entries,
            checked,
            listed_at,
            ..
        }) => {
            let state = match checked {
                Ok(()) => TrailState::Whole,
                Err(chain_break) => TrailState::Broken(chain_break),
            };
            (Trail { entries, state }, listed_at)
        }
        Err(error) => {
            let state = TrailState::Unread(error.to_string());
            let entries = vec![];
            (Trail { entries, state }, None)
        }
    }
}

fn progress(users: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("reading audit trails {bar:30} {pos}/{len}, {eta} left");
    let bar = ProgressBar::new(users as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
