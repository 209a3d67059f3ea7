//! The scan of one account: which users, each re-checked once, and how far it came.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_config::SdkConfig;
use chrono::Utc;
use futures::future::{join_all, ready};
use futures::stream::{self, StreamExt};

use crate::aws::account_users::{MOST_LISTED, SweepMode, USERS_AT_ONCE, reported, users_page};
use crate::aws::accounts::AccountError;
use crate::aws::iam::IamKeySource;
use crate::cli::scan::progress::Progress;
use crate::cli::scan::remembering::Remembering;
use crate::cli::scan::stop::Stop;
use crate::cli::scan::targets::Target;
use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::policy::Policy;
use crate::detect::situation::Sweep;
use crate::detect::user::UserId;
use crate::local::scan_log::{Scan, ScanLog};
use crate::local::sqlite::SqliteStore;
use crate::local::terminal::TerminalSink;
use crate::output::invocation::Invocation;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::deliver::deliver;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::recheck::{Occasion, Parts, Rechecked, last_uses, recheck};

/// What the scans of all accounts have in common.
pub(super) struct Scanning {
    pub(super) config: SdkConfig,
    pub(super) store: Arc<SqliteStore>,
    pub(super) mode: SweepMode,
    pub(super) policy: Policy,
    pub(super) is_quiet: bool,
    /// How the command was called, for commands that are shown.
    pub(super) invocation: Invocation,
    /// Whether scans that were interrupted are begun anew.
    pub(super) restarts: bool,
    pub(super) progress: Progress,
    pub(super) stop: Stop,
}

/// What the scan of an account came to.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) account: String,
    /// When the one before was through; none for the first.
    pub(super) former_finished_at: Option<Timestamp>,
    pub(super) by_report: bool,
    /// How many users there are to look at.
    pub(super) users: usize,
    /// How many of them were looked at before this run.
    pub(super) resumed: usize,
    /// How many have to be looked at again, because IAM may be behind; whether or not a finding is open.
    pub(super) unsettled: usize,
    /// Who could not be looked at, and why.
    pub(super) unchecked: Vec<(String, ServiceError)>,
    /// Why nobody of the account could be, if so.
    pub(super) refused: Option<String>,
    /// Whether everybody was looked at.
    pub(super) is_through: bool,
}

impl Scanning {
    /// Scans one account. An error is one of the store; what IAM and the way to it refuse is told in the result.
    pub(super) async fn account(&self, target: &Target) -> Result<Scanned, ServiceError> {
        let log = ScanLog::open(self.store.clone(), &target.account)?;
        let asked = self.mode.to_string();
        let now = Utc::now();
        let scan = match log.unfinished(&asked, now)?.filter(|_| !self.restarts) {
            Some(unfinished) => unfinished,
            None => log.begin(&asked, now)?,
        };
        let mut scanned = Scanned {
            account: target.account.clone(),
            former_finished_at: scan.former_finished_at,
            by_report: scan.by_report,
            users: 0,
            resumed: 0,
            unsettled: 0,
            unchecked: vec![],
            refused: None,
            is_through: false,
        };
        if self.stop.is_set() {
            return Ok(scanned);
        }
        match self.list(target, &log, scan.clone()).await {
            Ok(by_report) => scanned.by_report = by_report,
            Err(AccountError::Refused(reason)) => {
                scanned.refused = Some(reason);
                return Ok(scanned);
            }
            Err(AccountError::Failed(failure)) => {
                self.stop
                    .give_up_without_credentials(&self.config, &failure)
                    .await;
                // What is kept of the account is told all the same.
                scanned.refused = (!self.stop.is_set()).then(|| failure.to_string());
                return Ok(scanned);
            }
        }
        let parts = self.parts(target, &log);
        self.deliver_owed(&parts, &target.account).await?;
        self.look(&parts, &log, &scan, &mut scanned).await?;
        if self.stop.is_set() {
            return Ok(scanned);
        }
        self.ask_last_uses(&parts, &target.account).await?;
        scanned.is_through = scanned.unchecked.is_empty();
        Ok(scanned)
    }

    fn parts(&self, target: &Target, log: &ScanLog) -> Parts {
        let sinks: Vec<Box<dyn AlertSink>> = if self.is_quiet {
            vec![]
        } else {
            let sink = TerminalSink::new(self.progress.above());
            vec![Box::new(sink.shown_by(self.invocation.clone()))]
        };
        Parts {
            store: self.store.clone(),
            keys: Arc::new(Remembering {
                iam: IamKeySource::new(target.accounts.clone()),
                log: log.clone(),
            }),
            sinks,
            policy: self.policy.clone(),
        }
    }

    /// Lists whom to look at, as far as that is not known yet; tells whether the credential report did.
    async fn list(&self, target: &Target, log: &ScanLog, scan: Scan) -> Result<bool, AccountError> {
        let client = target.accounts.client(&target.account).await?;
        let Scan {
            mut by_report,
            mut marker,
            mut is_listed,
            ..
        } = scan;
        if self.mode == SweepMode::Report && !by_report {
            log.turn_to_report()?;
            by_report = true;
        }
        while !is_listed {
            if by_report {
                let suspects = reported(&client, 0).await?;
                let root = suspects.root.then(|| root_name(&target.account));
                let names: Vec<String> = suspects.names.into_iter().chain(root).collect();
                log.add_page(&names, None)?;
                is_listed = true;
                continue;
            }
            let page = users_page(&client, marker).await?;
            let mut names = page.names;
            is_listed = page.next.is_none();
            if is_listed {
                // Only the report tells of root, so root is looked at each time.
                names.push(root_name(&target.account));
            }
            log.add_page(&names, page.next.as_deref())?;
            marker = page.next;
            // A page may be short though more follow. Root is none of them.
            if self.mode == SweepMode::Auto && log.users()?.len() > MOST_LISTED + 1 {
                log.turn_to_report()?;
                (by_report, is_listed, marker) = (true, false, None);
            }
        }
        Ok(by_report)
    }

    /// Hands out what a run that ended half-way still owes.
    async fn deliver_owed(&self, parts: &Parts, account: &str) -> Result<(), ServiceError> {
        if self.is_quiet {
            return Ok(());
        }
        for user in self.store.owing(account)? {
            let owed = self.store.owed(&user).await?;
            let last_uses = last_uses(parts, &user, &owed).await;
            let store = self.store.as_ref();
            deliver(store, &parts.sinks, owed, &last_uses, Utc::now()).await;
        }
        Ok(())
    }

    /// Re-checks every user that this scan has not looked at.
    async fn look(
        &self,
        parts: &Parts,
        log: &ScanLog,
        scan: &Scan,
        scanned: &mut Scanned,
    ) -> Result<(), ServiceError> {
        let users = self.users(log, scan, &scanned.account).await?;
        scanned.users = users.len();
        let to_do: Vec<(String, UserId)> = users
            .into_iter()
            .filter_map(|(name, user, is_done)| (!is_done).then_some((name, user)))
            .collect();
        scanned.resumed = scanned.users - to_do.len();
        self.progress.expect(scanned.users, scanned.resumed);
        let sweep = match scan.former_finished_at {
            None => Sweep::Baseline,
            Some(_) => Sweep::Routine,
        };
        let results = stream::iter(to_do)
            .take_while(|_| ready(!self.stop.is_set()))
            .map(async |(name, user)| {
                let occasion = Occasion {
                    sweep: Some(sweep),
                    name: (!user.is_root()).then(|| name.clone()),
                    ..Occasion::default()
                };
                let result = recheck(parts, &user, &occasion, Utc::now()).await;
                (name, result)
            })
            .buffer_unordered(USERS_AT_ONCE);
        let mut results = std::pin::pin!(results);
        while let Some((name, result)) = results.next().await {
            self.progress.looked_at();
            match result {
                Ok(Rechecked {
                    refused: Some(reason),
                    ..
                }) => scanned
                    .unchecked
                    .push((name, ServiceError::permanent(reason))),
                Ok(rechecked) => {
                    log.done(&name)?;
                    let may_be_behind =
                        rechecked.is_to_be_seen_again() || !rechecked.unsettled.is_empty();
                    scanned.unsettled += usize::from(may_be_behind);
                }
                Err(failure) => {
                    self.stop
                        .give_up_without_credentials(&self.config, &failure)
                        .await;
                    scanned.unchecked.push((name, failure));
                }
            }
        }
        Ok(())
    }

    /// Whom to look at, under which name, and whether that was done: those that were listed, and those whose findings are
    /// open, for they may be gone.
    async fn users(
        &self,
        log: &ScanLog,
        scan: &Scan,
        account: &str,
    ) -> Result<Vec<(String, UserId, bool)>, ServiceError> {
        let listed = log.users()?;
        let mut known: BTreeSet<UserId> = listed
            .iter()
            .map(|(name, _)| UserId::new(account, name))
            .collect();
        let open = self.open_findings(account).await?;
        let gone: Vec<(String, bool)> = open
            .iter()
            .filter(|finding| known.insert(finding.user().clone()))
            .map(|finding| (finding.display_name.clone(), false))
            .collect();
        let mut users = vec![];
        for (name, is_marked) in listed.into_iter().chain(gone) {
            let user = UserId::new(account, &name);
            // Whoever was listed and not marked was on the way when the former run ended.
            let is_done = is_marked || {
                let last = self.store.record(&user).await?.last_listing;
                last.is_some_and(|last| last.requested_at >= scan.started_at)
            };
            users.push((name, user, is_done));
        }
        Ok(users)
    }

    async fn open_findings(&self, account: &str) -> Result<Vec<Finding>, ServiceError> {
        let mut open = self.store.findings(FindingStatus::Open).await?;
        open.extend(self.store.findings(FindingStatus::Suppressed).await?);
        open.retain(|finding| finding.user().account() == account);
        Ok(open)
    }

    /// Asks when the keys of open findings were last used, where no alert has.
    async fn ask_last_uses(&self, parts: &Parts, account: &str) -> Result<(), ServiceError> {
        let open = self.open_findings(account).await?;
        for some in open.chunks(USERS_AT_ONCE) {
            join_all(some.iter().map(|finding| {
                let keys: Vec<String> = finding.keys.iter().map(|key| key.id.clone()).collect();
                async move { parts.keys.last_used(finding.user(), &keys).await }
            }))
            .await;
        }
        Ok(())
    }
}

fn root_name(account: &str) -> String {
    UserId::root(account).name().to_owned()
}
