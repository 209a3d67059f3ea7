//! `secondkey scan`: every user of an account, or of many, with nothing deployed.

mod account;
mod print;
mod progress;
mod remembering;
mod standings;
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

use crate::aws::account_users::SweepMode;
use crate::cli::Exit;
use crate::cli::caller::Caller;
use crate::cli::destination::Destination;
use crate::cli::interrupt::{interrupted, signal};
use crate::cli::policy::PolicyArgs;
use crate::cli::scan::account::Scanning;
use crate::cli::scan::print::{Results, ScanFormat, write};
use crate::cli::scan::progress::Progress;
use crate::cli::scan::standings::standings;
use crate::cli::scan::stop::Stop;
use crate::cli::scan::summary::{say_stopped, say_summary};
use crate::cli::scan::targets::{Others, Target, targets};
use crate::cli::source::{Connection, Which, open_file};
use crate::detect::finding::FindingStatus;
use crate::detect::severity::Severity;
use crate::local::scan_log::ScanLog;
use crate::output::invocation::Invocation;

/// How many accounts are scanned side by side.
const ACCOUNTS_AT_ONCE: usize = 4;

/// Look at every user of an account, with nothing deployed, and say who has two active access keys
///
/// Reads IAM with the credentials at hand: each user's keys and, of those who have two active ones, when each was last used.
/// What it finds is kept in a file, so that the next scan says what is new, what is open still and what was closed since, and
/// alerts on stderr of what changed. Nothing is written to AWS.
///
/// A scan that was interrupted, or whose credentials have expired, goes on where it stopped when the same command is run again
/// within a day.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey scan
  secondkey scan --profile audit --format csv --output keys.csv
  secondkey scan --org-role OrganizationAccountAccessRole --fail-on high
  secondkey scan --role-arn arn:aws:iam::444455556666:role/Audit

It needs iam:ListUsers, iam:ListAccessKeys, iam:GetAccessKeyLastUsed, and for root and large accounts \
iam:GenerateCredentialReport and iam:GetCredentialReport; AWS's managed policy SecurityAudit has them all.

Exit codes: 0 no open finding (of the severity of --fail-on), 10 at least one, 1 failure (an account or a user that could \
not be looked at among them), 2 wrong usage, 130 interrupted.")]
pub struct Args {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    others: Others,

    /// The file that keeps the findings [default: secondkey/findings.db among your local data files]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// How users are looked through
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,

    /// How to print the findings
    #[arg(long, value_enum, default_value_t = ScanFormat::Table)]
    format: ScanFormat,

    /// Write the findings into this file, whole or not at all, and not to stdout
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    output: Destination,

    /// The lowest severity of an open finding that makes the exit code 10
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Medium)]
    fail_on: FailOn,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Print no alerts
    #[arg(long, short)]
    quiet: bool,

    /// Begin anew, even if the scan before was interrupted
    #[arg(long)]
    restart: bool,
}

impl Args {
    /// How the command was called with credentials of `account`, for commands that are shown.
    fn invocation(&self, account: &str) -> Invocation {
        Invocation {
            account: Some(account.to_owned()),
            ..Which::of_file(self.db.clone()).invocation(&self.connection)
        }
    }
}

/// How users are looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// By listing keys up to 500 users, by the credential report where there are more
    Auto,
    /// By the credential report: a few calls, but it may be four hours old
    Report,
    /// By listing every user's keys: as fresh as IAM is, a call for each user
    List,
}

/// From which severity on the exit code is 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// From MEDIUM on, which is every finding
    Medium,
    /// From HIGH on
    High,
    /// CRITICAL only
    Critical,
    /// Never
    None,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let started_at = Utc::now();
    let config = patient(&args.connection.config().await);
    let caller = Caller::ask(&config).await?;
    let targets = targets(&config, &caller, &args.others).await?;
    let store = Arc::new(open_file(args.db.clone())?);
    // A place that cannot be written to is said before the scan, which may take long.
    args.output.check()?;
    let scanning = Scanning {
        config: config.clone(),
        store: store.clone(),
        mode: args.mode.into(),
        policy: args.policy.policy(),
        is_quiet: args.quiet,
        invocation: args.invocation(&caller.account),
        restarts: args.restart,
        progress: Progress::new(),
        stop: Stop::new(interrupted(
            "interrupted; the users on the way are finished first (interrupt again to end at once)",
        )),
    };
    let scans = stream::iter(&targets)
        .map(async |target: &Target| (target, scanning.account(target).await))
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
    if let Some(exit) = say_stopped(&scanning.stop, &scanned)? {
        return Ok(exit);
    }
    let now = Utc::now().trunc_subsecs(3);
    let standings = standings(&store, &scanned, &scanning, now).await?;
    let results = Results {
        scanned: &scanned,
        standings: &standings,
        started_at,
        now,
        is_whole: failed.is_empty() && scanned.iter().all(|one| one.is_through),
        region: config.region().map_or("", AsRef::as_ref),
    };
    let mut shown = vec![];
    write(&mut shown, &results, args.format)?;
    args.output.write(&shown)?;
    // Only now: what was not shown is new still. Whoever could not be looked at is looked at by the next scan, with all others.
    for one in scanned.iter().filter(|one| one.refused.is_none()) {
        ScanLog::open(store.clone(), &one.account)?.finish(now)?;
    }
    say_summary(&args, &caller.account, &results, &failed)?;
    Ok(exit(args.fail_on, &results))
}

/// `config` with the patience that many calls to IAM need.
fn patient(config: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(15))
        .operation_timeout(Duration::from_mins(2))
        .build();
    config
        .to_builder()
        .timeout_config(timeouts)
        // IAM throttles an account's calls and says not at which rate: the client finds out.
        .retry_config(RetryConfig::adaptive().with_max_attempts(10))
        .build()
}

fn exit(fail_on: FailOn, results: &Results<'_>) -> Exit {
    let is_bad_enough = |severity: Severity| match fail_on {
        FailOn::Medium => true,
        FailOn::High => severity >= Severity::High,
        FailOn::Critical => severity >= Severity::Critical,
        FailOn::None => false,
    };
    let has_bad = results.standings.iter().any(|standing| {
        let finding = &standing.alert.finding;
        finding.status == FindingStatus::Open && is_bad_enough(finding.severity)
    });
    match (results.is_whole, has_bad) {
        (false, _) => Exit::Failure,
        (true, true) => Exit::Findings,
        (true, false) => Exit::NoFinding,
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
