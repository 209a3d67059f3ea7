//! `secondkey scan`: checks every user of one or more accounts, with nothing deployed.

mod account_scan;
mod cached_iam;
mod print;
mod progress_bar;
mod snapshots;
mod stop;
mod summary;
mod targets;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use chrono::{SubsecRound, Utc};
use clap::ValueEnum;
use futures::stream::{self, StreamExt};

use crate::aws::suspects::SweepMode;
use crate::cli::Exit;
use crate::cli::aws_args::AwsArgs;
use crate::cli::caller::Caller;
use crate::cli::finding_output::OutputArgs;
use crate::cli::interrupt::{interrupted, signal};
use crate::cli::policy_args::PolicyArgs;
use crate::cli::scan::account_scan::ScanContext;
use crate::cli::scan::print::{Results, write};
use crate::cli::scan::progress_bar::Progress;
use crate::cli::scan::snapshots::snapshots;
use crate::cli::scan::stop::Stop;
use crate::cli::scan::summary::{print_stopped, print_summary};
use crate::cli::scan::targets::{OtherAccountsArgs, Target, targets};
use crate::cli::selection::SelectionArgs;
use crate::cli::store_args::{StoreArgs, open_file};
use crate::cli::streams::is_quiet;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::local::scan_log::ScanLog;
use crate::output::invocation::Invocation;

/// How many accounts are scanned at the same time.
const ACCOUNTS_AT_ONCE: usize = 4;

/// How long one call is retried while IAM throttles it.
const LONGEST_THROTTLING: Duration = Duration::from_mins(2);

/// Find all users in your account with two active access keys, with nothing deployed
///
/// Reads each user's keys from IAM with your credentials, and for users with two active keys, when
/// each key was last used. It saves the findings in a local file, so that the next scan can report
/// what is new, what is still open and what has been closed. It prints an alert on stderr for each
/// change. It does not change anything in IAM.
///
/// --sort, --user, --account, --severity, --status and --since select what is shown. Every user is
/// checked in any case.
///
/// If a scan is interrupted or its credentials expire, run the same command again within a day: it
/// continues where it stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey scan
  secondkey scan --profile audit --format csv --output keys.csv
  secondkey scan --org-role OrganizationAccountAccessRole --fail-on high
  secondkey scan --format lines --sort account
  secondkey scan --role-arn arn:aws:iam::444455556666:role/Audit

Permissions: iam:ListUsers, iam:ListAccessKeys and iam:GetAccessKeyLastUsed; for root and for large \
accounts also iam:GenerateCredentialReport and iam:GetCredentialReport. The AWS managed policy \
SecurityAudit has them all.

Exit codes: 0 no open finding (of the severity of --fail-on or higher), 10 at least one (also if an \
option hides it), 1 failure (for example: an account or a user could not be checked), 2 usage error, \
130 interrupted.")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: AwsArgs,

    #[command(flatten)]
    others: OtherAccountsArgs,

    /// The local file for the findings [default: the variable `SECONDKEY_DB`, or secondkey/findings.db in
    /// your local data folder]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// How to check the users
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,

    #[command(flatten)]
    output: OutputArgs,

    /// The lowest severity of an open finding for exit code 10
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Medium)]
    fail_on: FailOn,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Start over, even if the previous scan was interrupted
    #[arg(long)]
    restart: bool,

    #[command(flatten)]
    selection: SelectionArgs,
}

impl Args {
    /// The options of this run, with the account of the credentials, for the commands that the output
    /// suggests.
    fn invocation(&self, account: &str) -> Invocation {
        Invocation {
            account: Some(account.to_owned()),
            ..StoreArgs::of_file(self.db.clone()).invocation(&self.connection)
        }
    }
}

/// How to check the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Like `list` for up to 500 users, like `report` for more
    Auto,
    /// Read the credential report: a few calls, but the report may be four hours old
    Report,
    /// List the keys of every user: current data, but one call per user
    List,
}

/// The lowest severity for exit code 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// MEDIUM or higher, which is every finding
    Medium,
    /// HIGH or higher
    High,
    /// CRITICAL only
    Critical,
    /// Never exit with code 10
    None,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let started_at = Utc::now();
    let config = args.connection.config().await?;
    // The first call finds a wrong endpoint or a broken network, before any user is looked at.
    let caller = Caller::ask(&config).await?;
    let config = with_retries(&config, args.connection.timeout());
    let targets = targets(&config, &caller, &args.others).await?;
    let store = Arc::new(open_file(args.db.clone())?);
    // Report an unusable output file now: the scan may take long.
    args.output.file.check()?;
    let scanning = ScanContext {
        config: config.clone(),
        store: store.clone(),
        mode: args.mode.into(),
        policy: args.policy.policy(),
        is_quiet: is_quiet(),
        invocation: args.invocation(&caller.account),
        restarts: args.restart,
        progress: Progress::new(),
        stop: Stop::new(interrupted(
            "interrupted; finishing the users in progress (interrupt again to stop at once)",
        )),
    };
    let scans = stream::iter(&targets)
        .map(async |target: &Target| (target, scanning.scan_account(target).await))
        .buffer_unordered(ACCOUNTS_AT_ONCE)
        .collect::<Vec<_>>();
    let done = tokio::select! {
        done = scans => Some(done),
        () = async {
            scanning.stop.interrupted().await;
            signal().await;
        } => None,
    };
    scanning.progress.finish();
    let Some(done) = done else {
        return Ok(Exit::Interrupted);
    };
    let (mut scanned, mut failed) = (vec![], vec![]);
    for (target, result) in done {
        match result {
            Ok(one) => scanned.push(one),
            Err(failure) => failed.push((target.account.clone(), failure)),
        }
    }
    scanned.sort_by(|one, other| one.account.cmp(&other.account));
    if let Some(exit) = print_stopped(&scanning.stop, &scanned)? {
        return Ok(exit);
    }
    let now = Utc::now().trunc_subsecs(3);
    let mut snapshots = snapshots(&store, &scanned, &scanning, now).await?;
    let has_bad = snapshots
        .iter()
        .any(|one| args.fail_on.counts(&one.alert.finding));
    let found = snapshots.len();
    let hidden = args
        .selection
        .apply(&mut snapshots, |one| &one.alert.finding);
    let results = Results {
        scanned: &scanned,
        snapshots: &snapshots,
        found,
        hidden,
        started_at,
        now,
        is_whole: failed.is_empty() && scanned.iter().all(|one| one.is_complete),
        region: config.region().map_or("", AsRef::as_ref),
    };
    let mut out = args.output.file.stream()?;
    write(&mut out, &results, args.output.format)?;
    out.finish()?;
    // Only after the output is written: a finding that was not printed stays new. Users that could not
    // be checked do not keep a scan open; the next scan checks them with all others.
    for one in scanned.iter().filter(|one| one.refused.is_none()) {
        ScanLog::open(store.clone(), &one.account)?.finish(now)?;
    }
    print_summary(&args, &caller.account, &results, &failed)?;
    Ok(match (results.is_whole, has_bad) {
        (false, _) => Exit::Failure,
        (true, true) => Exit::Findings,
        (true, false) => Exit::NoFinding,
    })
}

/// `config` with the retries that many calls to IAM need. A call and its retries take
/// `LONGEST_THROTTLING` at most; `timeout` limits each attempt.
fn with_retries(config: &SdkConfig, timeout: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(timeout)
        .operation_timeout(LONGEST_THROTTLING.max(timeout))
        .build();
    config
        .to_builder()
        .timeout_config(timeouts)
        // IAM throttles calls at a rate that it does not document; the client adapts to it.
        .retry_config(RetryConfig::adaptive().with_max_attempts(10))
        .build()
}

impl FailOn {
    /// Whether `finding` makes the exit code 10.
    fn counts(self, finding: &Finding) -> bool {
        let is_bad_enough = match self {
            Self::Medium => true,
            Self::High => finding.severity >= Severity::High,
            Self::Critical => finding.severity >= Severity::Critical,
            Self::None => false,
        };
        finding.status == FindingStatus::Open && is_bad_enough
    }
}

impl From<Mode> for SweepMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::Report => Self::Report,
            Mode::List => Self::List,
        }
    }
}
