//! Reads everything in a store for a report, several users at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Duration;

use futures::future::ready;
use futures::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::checked_trail::{CheckedTrail, checked_trail};
use crate::detect::decision::exemption::Exemption;
use crate::detect::findings::finding::{Finding, FindingId, FindingStatus};
use crate::detect::user::UserId;
use crate::output::report::audit_trail::{Trail, TrailState};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;

/// How many users are read at a time.
const AT_A_TIME: usize = 8;

/// The contents of a store.
pub(super) struct StoreContents {
    pub(super) findings: Vec<Finding>,
    pub(super) trails: BTreeMap<UserId, Trail>,
    pub(super) exemptions: Vec<Exemption>,
    pub(super) accounts: BTreeSet<String>,
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
        let mut accounts: BTreeSet<String> =
            users.iter().map(|user| user.account().to_owned()).collect();
        match store.account_ids().await {
            Ok(known) => accounts.extend(known),
            Err(error) => unread.push(format!("the list of accounts: {error}")),
        }
        let mut exemptions = vec![];
        for account in &accounts {
            match store.exemptions(account).await {
                Ok(of_account) => exemptions.extend(of_account),
                Err(error) => {
                    unread.push(format!("the exemptions of account {account}: {error}"));
                }
            }
        }
        Ok(Self {
            findings,
            trails: trails(store, users).await,
            exemptions,
            accounts,
            unread,
        })
    }
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

async fn trails(store: &dyn FindingReader, users: BTreeSet<UserId>) -> BTreeMap<UserId, Trail> {
    let progress = progress(users.len());
    let trails = stream::iter(users)
        .map(|user| async {
            let trail = trail(store, &user).await;
            progress.inc(1);
            (user, trail)
        })
        .buffer_unordered(AT_A_TIME)
        // The user has a record, but nothing was ever written to its trail.
        .filter(|(_, trail)| ready(!trail.is_empty()))
        .collect()
        .await;
    progress.finish_and_clear();
    trails
}

async fn trail(store: &dyn FindingReader, user: &UserId) -> Trail {
    match checked_trail(store, user).await {
        Ok(CheckedTrail {
            entries, checked, ..
        }) => Trail {
            entries,
            state: match checked {
                Ok(()) => TrailState::Whole,
                Err(chain_break) => TrailState::Broken(chain_break),
            },
        },
        Err(error) => Trail {
            entries: vec![],
            state: TrailState::Unread(error.to_string()),
        },
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
