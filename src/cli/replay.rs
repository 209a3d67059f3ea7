//! `secondkey replay`: finds second active keys in CloudTrail logs, with nothing deployed.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Exit;
use crate::cli::finding_output::{OutputArgs, region_for};
use crate::cli::policy_args::PolicyArgs;
use crate::cli::replay::print::{ReplayResult, print};
use crate::cli::streams::{is_quiet, shows_progress, stderr};
use crate::detect::usage::key_use::KeyUse;
use crate::local::log_files::{LogFile, find_logs};
use crate::local::log_reading::{LogQuery, LogReading};
use crate::local::log_workers::read_logs_for;
use crate::local::replay::replay;
use crate::local::sqlite::SqliteStore;
use crate::local::terminal::TerminalSink;
use crate::local::uses::KeyUses;
use crate::local::wanted::KeyFilter;
use crate::output::invocation::{Invocation, KeysFrom, StoreLocation};
use crate::pipeline::alert_sink::AlertSink;

mod ending;
pub(in crate::cli) mod malformed;
mod print;
mod sources;

/// Find second active keys in CloudTrail logs, with nothing deployed
///
/// Reads CloudTrail files as they are in S3, and finds the records in the exports of other tools:
/// JSON, CSV, CloudWatch Logs, SQS and SIEM messages, also in gzip, zip, tar, zstd and bzip2. It
/// reconstructs which keys each user had at each time, and runs the detector's re-check on every key
/// change. It reads the files a second time for the calls of users whose keys changed. Alerts go to
/// stderr, findings to stdout; alerts and closed findings are one line each.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey replay AWSLogs/
  secondkey replay AWSLogs/ --alerts --format lines
  aws s3 cp s3://BUCKET/KEY.json.gz - | secondkey replay -
  secondkey replay january/ --db findings.db
  secondkey replay february/ --db findings.db
  secondkey replay AWSLogs/ --quiet --format json | jq '.findings[].user'
  secondkey replay AWSLogs/ --quiet --format csv --output findings.csv

Exit codes: 0 no finding, and every record was read; 10 at least one finding (open or closed), even if \
some records could not be read; 1 failure: no finding, but a record or file could not be read, or there \
was no CloudTrail record; 2 usage error.")]
pub(crate) struct Args {
    /// Log files, folders with log files, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Save findings, audit trails and keys in this file. Later replays can add more logs, in any order
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Print alerts and closed findings as a whole, instead of one line each
    #[arg(long)]
    alerts: bool,
}

impl Args {
    /// The options of this run, for the commands that the output suggests. Without `--db` nothing is
    /// saved.
    fn invocation(&self) -> Invocation {
        let store = match &self.db {
            Some(db) => StoreLocation::file(Some(db)),
            None => StoreLocation::Nowhere,
        };
        Invocation {
            store,
            keys_from: KeysFrom::Logs,
            ..Invocation::default()
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    // Report an unusable output now: reading the logs may take long.
    args.output.file.check()?;
    let region = region_for(args.output.format, None)?;
    let (logs, passed_over) = find_logs(&args.paths)?;
    // Declared first, so that the folder is removed after the store in it is closed.
    let temporary = tempfile::tempdir().context("a temporary folder cannot be created")?;
    let path = args
        .db
        .clone()
        .unwrap_or_else(|| temporary.path().join("findings.db"));
    if path.exists() {
        // Report an unusable file now: reading the logs may take long.
        drop(SqliteStore::open_existing(&path)?);
    }
    let mut reading = read(&logs, LogQuery::Changes, "reading")?;
    look_for_uses(&logs, &mut reading)?;
    malformed::report(&mut stderr(), &reading)?;
    report_future(&reading)?;
    // Malformed records have already been reported.
    if reading.records == 0 && reading.malformed == 0 {
        writeln!(
            stderr(),
            "secondkey: no CloudTrail record was found; name another file or folder"
        )?;
    }
    if passed_over > 0 {
        *reading.ignored.entry("file that is no log").or_default() += passed_over as u64;
    }
    let sinks: Vec<Box<dyn AlertSink>> = if is_quiet() {
        vec![]
    } else {
        let sink = TerminalSink::stderr().shown_by(args.invocation());
        let sink = if args.alerts { sink } else { sink.brief() };
        vec![Box::new(sink)]
    };
    let store = Arc::new(match &args.db {
        Some(path) => SqliteStore::open(path)?,
        None => SqliteStore::scratch(&path)?,
    });
    let policy = args.policy.policy();
    let replayed = replay(&reading, store.clone(), sinks, &policy).await?;
    if replayed.already_replayed > 0 {
        reading
            .ignored
            .insert("already replayed", replayed.already_replayed as u64);
    }
    if replayed.reported_without_owner > 0 {
        let reason = "leaked key that no user had";
        reading
            .ignored
            .insert(reason, replayed.reported_without_owner as u64);
    }

    let result = ReplayResult {
        passed_over: passed_over as u64 + reading.not_logs,
        read_once: read_once(&logs, &reading).map(LogFile::name).collect(),
        reading,
        replayed,
        region,
    };
    let has_findings = print(&args, &store, &result).await?;
    let reading = &result.reading;
    Ok(if has_findings {
        Exit::Findings
    } else if ending::is_complete(reading) {
        Exit::NoFinding
    } else {
        Exit::Failure
    })
}

/// Reads all `logs` for the query `looking`, with a progress bar labeled `doing`.
pub(in crate::cli) fn read(
    logs: &[LogFile],
    looking: LogQuery<'_>,
    doing: &'static str,
) -> anyhow::Result<LogReading> {
    let progress = progress(logs, doing);
    let watch = |raw| Box::new(progress.wrap_read(raw)) as Box<dyn Read>;
    let mut reading = read_logs_for(looking, logs, watch, Utc::now());
    progress.finish_and_clear();
    reading.count_duplicates()?;
    Ok(reading)
}

/// Reads the logs a second time, for the calls of the users whose keys changed: a call shows that its
/// key was active at that time. The first reading has already reported what cannot be read.
fn look_for_uses(logs: &[LogFile], reading: &mut LogReading) -> anyhow::Result<()> {
    let mut wanted = KeyFilter::default();
    for user in &reading.users {
        wanted.add_user(user);
    }
    let again = logs.iter().filter(|log| log.can_be_read_again());
    let files: Vec<LogFile> = again.cloned().collect();
    if reading.users.is_empty() || files.is_empty() {
        return Ok(());
    }
    let uses = Mutex::new(KeyUses::default());
    let take = |call: KeyUse| {
        // Findings depend on this, so only a successful call counts. `usage` counts failed calls too.
        if call.error.is_none() {
            let mut uses = uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.note(&call.user, &call.key, call.at);
        }
    };
    let looking = LogQuery::Uses {
        wanted: &wanted,
        take: &take,
    };
    read(&files, looking, "looking for uses of keys")?;
    let uses = uses.into_inner().unwrap_or_else(PoisonError::into_inner);
    reading.uses.append(uses);
    Ok(())
}

/// The logs that can be read only once, so that calls of users were not looked for in them.
fn read_once<'l>(logs: &'l [LogFile], reading: &LogReading) -> impl Iterator<Item = &'l LogFile> {
    let has_users = !reading.users.is_empty();
    logs.iter()
        .filter(move |log| has_users && !log.can_be_read_again())
}

/// A progress bar over the bytes of `logs`, hidden if stderr is not a terminal.
fn progress(logs: &[LogFile], doing: &'static str) -> ProgressBar {
    let total = logs.iter().map(LogFile::size).sum::<Option<u64>>();
    let bar = match total {
        Some(bytes) => ProgressBar::new(bytes).with_style(
            ProgressStyle::with_template(
                "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
        None => ProgressBar::no_length(),
    };
    bar.set_message(doing);
    if shows_progress() {
        bar.enable_steady_tick(Duration::from_millis(200));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

fn report_future(reading: &LogReading) -> anyhow::Result<()> {
    if reading.after_clock > 0 {
        writeln!(
            stderr(),
            "secondkey: warning: {} in the future, by this machine's clock; the times are used \
             unchanged; set the clock if it is behind",
            if reading.after_clock == 1 {
                "1 record is".to_owned()
            } else {
                format!("{} records are", reading.after_clock)
            }
        )?;
    }
    Ok(())
}
