//! `secondkey replay`: findings out of CloudTrail logs, with nothing deployed.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::policy::PolicyArgs;
use crate::cli::table::{self, Format, by_record};
use crate::detect::finding::{Finding, FindingStatus};
use crate::local::log_files::{LogFile, find_logs};
use crate::local::log_reading::LogReading;
use crate::local::log_workers::read_logs;
use crate::local::replay::{Replay, replay};
use crate::local::sqlite::SqliteStore;
use crate::local::terminal::TerminalSink;
use crate::output::escape::{for_json, for_terminal};
use crate::output::invocation::{Invocation, Kept, KeysFrom, Takes};
use crate::output::json_v1;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::finding_store::FindingReader;

mod ending;
mod malformed;

/// Find second active keys in CloudTrail logs, with nothing deployed
///
/// Reads CloudTrail files as they lie in S3 (gzipped or not), JSON arrays, one record a line, single records and
/// EventBridge events; works out from the records which keys each user had when; and runs the same re-check on every
/// key change that the deployed detector runs. Alerts go to stderr, the findings to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey replay AWSLogs/
  aws s3 cp s3://BUCKET/KEY.json.gz - | secondkey replay -
  secondkey replay january/ --db findings.db && secondkey replay february/ --db findings.db
  secondkey replay AWSLogs/ --quiet --format json | jq '.findings[] | select(.status == \"open\")'

Exit codes: 0 no finding, and all of the logs was understood; 10 at least one finding (open or closed), also where some \
records could not be read; 1 failure: no finding, but a record or file could not be read or there was no CloudTrail \
record; 2 wrong usage.")]
pub struct Args {
    /// Log files, folders with log files, or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Keep findings, audit trail and keys in this file, to look at them later and to add newer logs
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    policy: PolicyArgs,

    /// Print no alerts
    #[arg(long, short)]
    quiet: bool,
}

impl Args {
    /// How the command was called, for commands that are shown: without `--db` nothing is kept.
    fn invocation(&self) -> Invocation {
        let store = match &self.db {
            Some(db) => Kept::file(Some(db)),
            None => Kept::Nowhere,
        };
        Invocation {
            store,
            keys_from: KeysFrom::Logs,
            ..Invocation::default()
        }
    }
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let (logs, passed_over) = find_logs(&args.paths)?;
    // Declared first, so that it is removed after the store in it is closed.
    let temporary = tempfile::tempdir().context("no temporary folder could be made")?;
    let path = args
        .db
        .clone()
        .unwrap_or_else(|| temporary.path().join("findings.db"));
    if path.exists() {
        // A file that cannot be used is said before the logs are read, which may take long.
        drop(SqliteStore::open_existing(&path)?);
    }
    let mut reading = read(&logs);
    malformed::report(&mut anstream::stderr().lock(), &reading)?;
    report_future(&reading)?;
    if reading.records == 0 {
        writeln!(
            anstream::stderr(),
            "secondkey: no CloudTrail record was found there; name another file or folder"
        )?;
    }
    if passed_over > 0 {
        *reading.ignored.entry("file that is no log").or_default() += passed_over as u64;
    }
    let sinks: Vec<Box<dyn AlertSink>> = if args.quiet {
        vec![]
    } else {
        vec![Box::new(TerminalSink::stderr().shown_by(args.invocation()))]
    };
    let store = Arc::new(SqliteStore::open(&path)?);
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

    let mut findings = store.findings(FindingStatus::Open).await?;
    findings.extend(store.findings(FindingStatus::Closed).await?);
    table::sort(&mut findings);
    print(&args, &findings, &reading, passed_over, &replayed)?;
    Ok(if !findings.is_empty() {
        Exit::Findings
    } else if ending::is_complete(&reading) {
        Exit::NoFinding
    } else {
        Exit::Failure
    })
}

fn read(logs: &[LogFile]) -> LogReading {
    let progress = progress(logs);
    let watch = |raw| Box::new(progress.wrap_read(raw)) as Box<dyn Read>;
    let reading = read_logs(logs, watch, Utc::now());
    progress.finish_and_clear();
    reading
}

fn progress(logs: &[LogFile]) -> ProgressBar {
    let total = logs.iter().map(LogFile::size).sum::<Option<u64>>();
    let bar = match total {
        Some(bytes) => ProgressBar::new(bytes).with_style(
            ProgressStyle::with_template(
                "reading {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
        None => ProgressBar::no_length(),
    };
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

fn print(
    args: &Args,
    findings: &[Finding],
    reading: &LogReading,
    passed_over: usize,
    replayed: &Replay,
) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let summary = summary_json(reading, replayed, findings);
    let (window, now) = (
        args.policy.policy().rotation_window,
        reading.newest.unwrap_or_else(Utc::now),
    );
    let document = |finding| json_v1::judged(finding, by_record(finding, window, now).as_ref());
    match args.format {
        Format::Table => {
            if findings.is_empty() {
                let ending = ending::without_finding(reading, &args.paths, passed_over);
                writeln!(out, "{ending}")?;
            } else {
                table::print(&mut out, findings, window, now)?;
            }
            print_summary(&mut out, reading, replayed, findings)?;
            if let Some(db) = &args.db {
                let command = |words, user| {
                    let command = args.invocation().ours(words, user, Takes::Store)?;
                    Some(format!("`{command}`"))
                };
                let next: Vec<String> = [
                    command(&["history"], Some("USER")),
                    command(&["verify"], None),
                ]
                .into_iter()
                .flatten()
                .collect();
                let db = for_terminal(&db.display().to_string(), LONGEST);
                match next.join(" and ") {
                    none if none.is_empty() => writeln!(out, "Kept in {db}.")?,
                    next => writeln!(out, "Kept in {db}: try {next}.")?,
                }
            }
        }
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(document).collect();
            let document = json!({"version": "1", "findings": findings, "summary": summary});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        Format::Jsonl => {
            for finding in findings {
                let line = serde_json::to_string(&document(finding))?;
                writeln!(out, "{}", for_json(&line))?;
            }
            let line = json!({"version": "1", "summary": summary}).to_string();
            writeln!(out, "{}", for_json(&line))?;
        }
    }
    Ok(())
}

fn summary_json(
    reading: &LogReading,
    replayed: &Replay,
    findings: &[Finding],
) -> serde_json::Value {
    let malformed: Vec<_> = reading
        .malformed_records
        .iter()
        .map(|one| json!({"file": one.file, "record": one.record, "reason": one.reason}))
        .collect();
    let known_only_from_then: Vec<_> = replayed
        .known_only_from_then
        .iter()
        .map(|(user, key)| json!({"account": user.account(), "user": user.name(), "key": key}))
        .collect();
    let may_have_had_another: Vec<_> = ending::may_have_had_another(reading, findings)
        .into_iter()
        .map(|user| json!({"account": user.account(), "user": user.name()}))
        .collect();
    json!({
        // Nothing was listed: what is confirmed is confirmed by the logs.
        "keys_from": "logs",
        "complete": ending::is_complete(reading),
        "records": reading.records,
        "key_changes": reading.changes.len(),
        "ignored": reading.ignored,
        "malformed": reading.malformed,
        "malformed_records": malformed,
        "known_only_from_first_change": known_only_from_then,
        "may_have_had_another_key": may_have_had_another,
    })
}

fn print_summary(
    out: &mut impl Write,
    reading: &LogReading,
    replayed: &Replay,
    findings: &[Finding],
) -> anyhow::Result<()> {
    let open = findings
        .iter()
        .filter(|finding| finding.status == FindingStatus::Open)
        .count();
    let ignored: Vec<String> = reading
        .ignored
        .iter()
        .map(|(reason, count)| format!("{reason}: {count}"))
        .collect();
    writeln!(
        out,
        "Records: {}. Key changes: {}. Findings: {open} open, {} closed. Malformed: {}.",
        reading.records,
        reading.changes.len(),
        findings.len() - open,
        reading.malformed,
    )?;
    if !ignored.is_empty() {
        writeln!(out, "Ignored: {}.", ignored.join(", "))?;
    }
    for line in ending::not_known(reading, replayed, findings) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn report_future(reading: &LogReading) -> anyhow::Result<()> {
    if reading.after_clock > 0 {
        writeln!(
            anstream::stderr(),
            "secondkey: warning: {} in the future of this machine's clock; their times are used as they are; set the \
             clock if it is behind",
            if reading.after_clock == 1 {
                "1 record lies".to_owned()
            } else {
                format!("{} records lie", reading.after_clock)
            }
        )?;
    }
    Ok(())
}
