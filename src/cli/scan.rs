//! `secondkey scan`: every user of an account, or of many, with nothing deployed.

mod account;
mod print;
mod progress;
mod standings;
mod targets;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use chrono::{SubsecRound, Utc};
use clap::ValueEnum;
use futures::stream::{self, StreamExt};
use tempfile::NamedTempFile;

use crate::aws::account_users::SweepMode;
use crate::cli::again::word;
use crate::cli::caller::Caller;
use crate::cli::interrupt::{interrupted, signal};
use crate::cli::policy::PolicyArgs;
use crate::cli::scan::account::{Scanned, Scanning, Stop};
use crate::cli::scan::print::{Results, ScanFormat, write};
use crate::cli::scan::progress::Progress;
use crate::cli::scan::standings::standings;
use crate::cli::scan::targets::{Others, Target, targets};
use crate::cli::source::{Connection, file_name, open_file};
use crate::cli::{Exit, LONGEST};
use crate::detect::Timestamp;
use crate::detect::finding::FindingStatus;
use crate::detect::severity::Severity;
use crate::output::escape::for_terminal;
use crate::output::standing::Standing;
use crate::output::time::{duration, readable};
use crate::pipeline::error::ServiceError;

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
  secondkey scan --role-arn arn:aws:iam::444455556666:role/Audit --role-arn arn:aws:iam::777788889999:role/Audit

It needs iam:ListUsers, iam:ListAccessKeys, iam:GetAccessKeyLastUsed, and for root and large accounts
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
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The lowest severity of an open finding that makes the exit code 10
    #[arg(long, value_enum, default_value_t = FailOn::Medium)]
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
    let output = args.output.as_deref().map(begin_output).transpose()?;
    let scanning = Scanning {
        config: config.clone(),
        store: store.clone(),
        mode: args.mode.into(),
        policy: args.policy.policy(),
        is_quiet: args.quiet,
        restarts: args.restart,
        progress: Progress::new(),
        stop: Stop {
            interrupted: interrupted(
                "interrupted; the users on the way are finished first (interrupt again to end at once)",
            ),
            gave_up: Mutex::default(),
        },
    };
    let scans = stream::iter(&targets)
        .map(async |target: &Target| (target, scanning.account(target).await))
        .buffer_unordered(ACCOUNTS_AT_ONCE)
        .collect::<Vec<_>>();
    let mut stopped = scanning.stop.interrupted.clone();
    let done = tokio::select! {
        done = scans => Some(done),
        () = async {
            // Without a sender nobody interrupts.
            if stopped.wait_for(|stopped| *stopped).await.is_err() {
                std::future::pending::<()>().await;
            }
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
    let standings = standings(&store, &scanned, &scanning.policy, now).await?;
    let results = Results {
        scanned: &scanned,
        standings: &standings,
        started_at,
        now,
        region: config.region().map_or("", AsRef::as_ref),
    };
    match output {
        Some((path, mut file)) => {
            write(&mut file, &results, args.format)?;
            file.persist(&path)
                .with_context(|| format!("`{}` cannot be written", path.display()))?;
        }
        None => write(&mut anstream::stdout().lock(), &results, args.format)?,
    }
    say_summary(&args, &results, &failed)?;
    Ok(exit(args.fail_on, &results, &failed))
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

/// A file beside `path` that takes its place once it is whole.
fn begin_output(path: &Path) -> anyhow::Result<(PathBuf, NamedTempFile)> {
    anyhow::ensure!(
        !path.is_dir(),
        "`{}` is a directory; name a file in it",
        path.display()
    );
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = NamedTempFile::new_in(folder)
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok((path.to_owned(), file))
}

/// Says how far the scan came, if it was stopped.
fn say_stopped(stop: &Stop, scanned: &[Scanned]) -> anyhow::Result<Option<Exit>> {
    let gave_up = stop.gave_up();
    if gave_up.is_none() && !stop.is_interrupted() {
        return Ok(None);
    }
    let mut err = anstream::stderr().lock();
    if let Some(why) = &gave_up {
        writeln!(
            err,
            "secondkey: {}",
            for_terminal(&why.to_string(), LONGEST)
        )?;
    }
    writeln!(
        err,
        "The scan is not through. Run the same command again within a day, and it goes on where it stopped; \
         --restart begins anew."
    )?;
    let unfinished: Vec<String> = scanned
        .iter()
        .filter(|one| !one.is_through)
        .map(|one| shown(&one.account))
        .collect();
    writeln!(err, "Not through: account {}.", unfinished.join(", "))?;
    Ok(Some(match gave_up {
        Some(_) => Exit::Failure,
        None => Exit::Interrupted,
    }))
}

/// Says on stderr what was looked at and what came of it.
fn say_summary(
    args: &Args,
    results: &Results<'_>,
    failed: &[(String, ServiceError)],
) -> anyhow::Result<()> {
    let mut err = anstream::stderr().lock();
    for (account, failure) in failed {
        let (account, failure) = (shown(account), shown(&failure.to_string()));
        writeln!(err, "secondkey: account {account}: {failure}")?;
    }
    for one in results.scanned {
        let account = shown(&one.account);
        if let Some(reason) = &one.refused {
            let reason = shown(reason);
            writeln!(
                err,
                "secondkey: account {account} was not looked into: {reason}"
            )?;
            continue;
        }
        for (user, failure) in &one.unchecked {
            let (user, failure) = (shown(user), shown(&failure.to_string()));
            writeln!(err, "secondkey: user {user} was not looked at: {failure}")?;
        }
        writeln!(err, "Account {account}: {}.", looked_at(one))?;
    }
    let took = duration(results.now - results.started_at);
    writeln!(
        err,
        "{} in {took}.",
        counts(results.standings, since(results))
    )?;
    let unsettled: usize = results.scanned.iter().map(|one| one.unsettled).sum();
    if unsettled > 0 {
        writeln!(
            err,
            "{unsettled} of the findings may be out of date, for IAM is some seconds behind its changes; scan again in a \
             minute or two."
        )?;
    }
    writeln!(
        err,
        "Kept in {}.",
        for_terminal(&file_name(args.db.clone())?, LONGEST)
    )?;
    let is_open = |standing: &&Standing| standing.alert.finding.status == FindingStatus::Open;
    if let Some(first) = results.standings.iter().find(is_open) {
        let name = word(&first.alert.finding.display_name, "USER");
        writeln!(
            err,
            "Next: `secondkey check {name}` tells all of a user, `secondkey rotate finish {name}` ends the rotation."
        )?;
    }
    Ok(())
}

fn shown(text: &str) -> String {
    for_terminal(text, LONGEST)
}

/// Whom a scan has looked at, in words.
fn looked_at(scanned: &Scanned) -> String {
    let seen = scanned.users - scanned.unchecked.len();
    let users = match seen {
        1 => "1 user".to_owned(),
        many => format!("{many} users"),
    };
    let how = if scanned.by_report {
        "that the credential report shows with two active keys, or whose findings are open"
    } else {
        "by the listing of each one's keys, root among them"
    };
    let before = match scanned.resumed {
        0 => String::new(),
        some => format!("; {some} of them before this run"),
    };
    format!("looked at {users} {how}{before}")
}

/// The scan that all of this is compared with, if there was one for each account.
fn since(results: &Results<'_>) -> Option<Timestamp> {
    let former = results.scanned.iter().map(|one| one.former_finished_at);
    former.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn counts(standings: &[Standing], since: Option<Timestamp>) -> String {
    let of = |change: &str| {
        standings
            .iter()
            .filter(|standing| standing.change() == change)
            .count()
    };
    let exempt = standings
        .iter()
        .filter(|standing| standing.alert.finding.status == FindingStatus::Suppressed)
        .count();
    let exempt = match exempt {
        0 => String::new(),
        some => format!(", {some} of them exempt"),
    };
    match since {
        None => format!("{} findings{exempt}", of("new") + of("open")),
        Some(at) => format!(
            "{} new, {} open still, {} closed since {}{exempt}",
            of("new"),
            of("open"),
            of("closed"),
            readable(at)
        ),
    }
}

fn exit(fail_on: FailOn, results: &Results<'_>, failed: &[(String, ServiceError)]) -> Exit {
    let is_whole = failed.is_empty() && results.scanned.iter().all(|one| one.is_through);
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
    match (is_whole, has_bad) {
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
