//! Scans one account: lists the users and re-checks each of them once.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_config::SdkConfig;
use chrono::Utc;
use futures::future::{join_all, ready};
use futures::stream::{self, StreamExt};

use crate::aws::accounts::AccountError;
use crate::aws::iam::IamKeySource;
use crate::aws::suspects::{
    MAX_LISTED_USERS, SweepMode, USERS_AT_ONCE, suspects_by_report, users_page,
};
use crate::cli::scan::cached_iam::CachedIam;
use crate::cli::scan::progress_bar::Progress;
use crate::cli::scan::stop::Stop;
use crate::cli::scan::targets::Target;
use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::situation::Sweep;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::local::scan_log::{ScanLog, ScanProgress};
use crate::local::sqlite::SqliteStore;
use crate::local::terminal::TerminalSink;
use crate::output::invocation::Invocation;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};
use crate::pipeline::outbox::deliver::deliver;
use crate::pipeline::recheck::{Dependencies, RecheckOutcome, RecheckRequest, last_uses, recheck};

/// What the scans of all accounts share.
pub(super) struct ScanContext {
    pub(super) config: SdkConfig,
    pub(super) store: Arc<SqliteStore>,
    pub(super) mode: SweepMode,
    pub(super) policy: Policy,
    pub(super) is_quiet: bool,
    /// The options of this run, for the commands that the output suggests.
    pub(super) invocation: Invocation,
    /// Whether interrupted scans start over.
    pub(super) restarts: bool,
    pub(super) progress: Progress,
    pub(super) stop: Stop,
}

/// The result of the scan of one account.
#[derive(Debug)]
pub(super) struct AccountScan {
    pub(super) account: String,
    /// When the previous scan finished; `None` for the first scan.
    pub(super) previous_finished_at: Option<Timestamp>,
    pub(super) by_report: bool,
    /// How many users there are to check.
    pub(super) users: usize,
    /// How many of them were checked before this run.
    pub(super) resumed: usize,
    /// How many users need another check because IAM may not show the latest changes yet.
    pub(super) unsettled: usize,
    /// The users that could not be checked, and why.
    pub(super) unchecked: Vec<(String, ServiceError)>,
    /// Why no user of the account could be checked, if so.
    pub(super) refused: Option<String>,
    /// Whether every user was checked.
    pub(super) is_complete: bool,
}

impl ScanContext {
    /// Scans one account. Returns an error only if the store fails; failures of IAM are in the result.
    pub(super) async fn scan_account(&self, target: &Target) -> Result<AccountScan, ServiceError> {
        let log = ScanLog::open(self.store.clone(), &target.account)?;
        let mode = self.mode.to_string();
        let now = Utc::now();
        let scan = match log.unfinished(&mode, now)?.filter(|_| !self.restarts) {
            Some(unfinished) => unfinished,
            None => log.begin(&mode, now)?,
        };
        let mut scanned = AccountScan {
            account: target.account.clone(),
            previous_finished_at: scan.previous_finished_at,
            by_report: scan.by_report,
            users: 0,
            resumed: 0,
            unsettled: 0,
            unchecked: vec![],
            refused: None,
            is_complete: false,
        };
        if self.stop.is_set() {
            return Ok(scanned);
        }
        match self.list_users(target, &log, scan.clone()).await {
            Ok(by_report) => scanned.by_report = by_report,
            Err(AccountError::Refused(reason)) => {
                scanned.refused = Some(reason);
                return Ok(scanned);
            }
            Err(AccountError::Failed(failure)) => {
                self.stop
                    .stop_if_credentials_failed(&self.config, &failure)
                    .await;
                // The saved findings of the account are still printed.
                scanned.refused = (!self.stop.is_set()).then(|| failure.to_string());
                return Ok(scanned);
            }
        }
        let dependencies = self.dependencies(target, &log);
        self.deliver_pending(&dependencies, &target.account).await?;
        self.recheck_users(&dependencies, &log, &scan, &mut scanned)
            .await?;
        if self.stop.is_set() {
            return Ok(scanned);
        }
        self.ask_last_uses(&dependencies, &target.account).await?;
        scanned.is_complete = scanned.unchecked.is_empty();
        Ok(scanned)
    }

    fn dependencies(&self, target: &Target, log: &ScanLog) -> Dependencies {
        let sinks: Vec<Box<dyn AlertSink>> = if self.is_quiet {
            vec![]
        } else {
            let sink = TerminalSink::new(self.progress.above());
            vec![Box::new(sink.shown_by(self.invocation.clone()))]
        };
        Dependencies {
            store: self.store.clone(),
            keys: Arc::new(CachedIam {
                iam: IamKeySource::new(target.accounts.clone()),
                log: log.clone(),
            }),
            sinks,
            policy: self.policy.clone(),
        }
    }

    /// Lists the users to check, continuing an interrupted listing. Returns whether they come from the
    /// credential report.
    async fn list_users(
        &self,
        target: &Target,
        log: &ScanLog,
        scan: ScanProgress,
    ) -> Result<bool, AccountError> {
        let client = target.accounts.client(&target.account).await?;
        let ScanProgress {
            mut by_report,
            mut marker,
            mut is_listed,
            ..
        } = scan;
        if self.mode == SweepMode::Report && !by_report {
            log.switch_to_report()?;
            by_report = true;
        }
        while !is_listed {
            if by_report {
                let suspects = suspects_by_report(&client, 0).await?;
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
                // The listing of users does not include root.
                names.push(root_name(&target.account));
            }
            log.add_page(&names, page.next.as_deref())?;
            marker = page.next;
            // Pages can be short, so only the total counts. One entry is root.
            if self.mode == SweepMode::Auto && log.users()?.len() > MAX_LISTED_USERS + 1 {
                log.switch_to_report()?;
                (by_report, is_listed, marker) = (true, false, None);
            }
        }
        Ok(by_report)
    }

    /// Delivers the alerts that an interrupted run left pending.
    async fn deliver_pending(
        &self,
        dependencies: &Dependencies,
        account: &str,
    ) -> Result<(), ServiceError> {
        if self.is_quiet {
            return Ok(());
        }
        for user in self.store.users_with_pending_alerts(account)? {
            let pending = self.store.pending_alerts(&user).await?;
            let last_uses = last_uses(dependencies, &user, &pending).await;
            let store = self.store.as_ref();
            deliver(store, &dependencies.sinks, pending, &last_uses, Utc::now()).await;
        }
        Ok(())
    }

    /// Re-checks every user that this scan has not checked yet.
    async fn recheck_users(
        &self,
        dependencies: &Dependencies,
        log: &ScanLog,
        scan: &ScanProgress,
        scanned: &mut AccountScan,
    ) -> Result<(), ServiceError> {
        let users = self.users(log, scan, &scanned.account).await?;
        scanned.users = users.len();
        let to_do: Vec<(String, UserId)> = users
            .into_iter()
            .filter_map(|(name, user, is_done)| (!is_done).then_some((name, user)))
            .collect();
        scanned.resumed = scanned.users - to_do.len();
        self.progress.expect(scanned.users, scanned.resumed);
        let sweep = match scan.previous_finished_at {
            None => Sweep::Baseline,
            Some(_) => Sweep::Routine,
        };
        let results = stream::iter(to_do)
            .take_while(|_| ready(!self.stop.is_set()))
            .map(async |(name, user)| {
                let request = RecheckRequest {
                    sweep: Some(sweep),
                    name: (!user.is_root()).then(|| name.clone()),
                    ..RecheckRequest::default()
                };
                let result = recheck(dependencies, &user, &request, Utc::now()).await;
                (name, result)
            })
            .buffer_unordered(USERS_AT_ONCE);
        let mut results = std::pin::pin!(results);
        while let Some((name, result)) = results.next().await {
            self.progress.looked_at();
            match result {
                Ok(RecheckOutcome {
                    refused: Some(reason),
                    ..
                }) => scanned
                    .unchecked
                    .push((name, ServiceError::permanent(reason))),
                Ok(rechecked) => {
                    log.done(&name)?;
                    let may_be_behind =
                        rechecked.needs_another_recheck() || !rechecked.unsettled.is_empty();
                    scanned.unsettled += usize::from(may_be_behind);
                }
                Err(failure) => {
                    self.stop
                        .stop_if_credentials_failed(&self.config, &failure)
                        .await;
                    scanned.unchecked.push((name, failure));
                }
            }
        }
        Ok(())
    }

    /// The users to check, each with its name and whether it is done: the listed users, and users with an
    /// open finding, because those may have been deleted.
    async fn users(
        &self,
        log: &ScanLog,
        scan: &ScanProgress,
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
            // A listed user without a mark may have been in progress when the previous run ended.
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

    /// Asks when the keys of open findings were last used. Answers that the log has are not asked again.
    async fn ask_last_uses(
        &self,
        dependencies: &Dependencies,
        account: &str,
    ) -> Result<(), ServiceError> {
        let open = self.open_findings(account).await?;
        for some in open.chunks(USERS_AT_ONCE) {
            join_all(some.iter().map(|finding| {
                let keys = finding.key_ids();
                async move { dependencies.keys.last_used(finding.user(), &keys).await }
            }))
            .await;
        }
        Ok(())
    }
}

fn root_name(account: &str) -> String {
    UserId::root(account).name().to_owned()
}
