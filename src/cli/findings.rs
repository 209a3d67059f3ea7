//! `secondkey findings`: lists open, suppressed and closed findings.

use std::io::Write;

use anyhow::Context;
use chrono::{TimeDelta, Utc};

use crate::cli::Exit;
use crate::cli::finding_lines::{write, write_brief, write_ending};
use crate::cli::format::FindingFormat;
use crate::cli::judging::judge;
use crate::cli::selection::{SelectionArgs, print_hidden};
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::streams::{notes, stdout};
use crate::cli::table::width;
use crate::detect::Timestamp;
use crate::detect::findings::finding::FindingStatus;
use crate::output::escape::for_json;
use crate::output::judged::Judged;

/// List the open and suppressed findings in a local file or a deployed table, the most urgent first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey findings --db findings.db
  secondkey findings --table secondkey --profile security --format lines
  secondkey findings --all --user 'ci-*' --since 30d
  secondkey findings --severity high,critical --sort account

Exit codes: 0 no open finding, 10 at least one open finding (suppressed and closed ones do not count; ones \
that an option hides do), 1 failure, 2 usage error.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: ReadOnlyStoreArgs,

    /// Show closed findings too
    #[arg(long, conflicts_with = "status")]
    all: bool,

    /// How long two active keys count as a rotation, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// The output format
    #[arg(long, value_enum, default_value_t = FindingFormat::Table)]
    format: FindingFormat,

    #[command(flatten)]
    selection: SelectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let mut findings = store.findings(FindingStatus::Open).await?;
    let exit = if findings.is_empty() {
        Exit::NoFinding
    } else {
        Exit::Findings
    };
    findings.extend(store.findings(FindingStatus::Suppressed).await?);
    if args.all || args.selection.names_closed() {
        findings.extend(store.findings(FindingStatus::Closed).await?);
    }
    let (window, now) = (
        TimeDelta::hours(args.rotation_window_hours.into()),
        Utc::now(),
    );
    // Judged first: a window that has ended since the last check raises the severity, which the
    // selection and the order are about.
    let mut findings = judge(store.as_ref(), findings, window, now).await?;
    let hidden = args
        .selection
        .apply(&mut findings, |one: &Judged| &one.finding);
    print(&findings, args.format, now)?;
    print_hidden(&mut notes(), hidden)?;
    Ok(exit)
}

fn print(findings: &[Judged], format: FindingFormat, now: Timestamp) -> anyhow::Result<()> {
    let mut out = stdout();
    match format {
        FindingFormat::Table | FindingFormat::Lines if findings.is_empty() => {
            writeln!(out, "No findings.")?;
        }
        FindingFormat::Table => {
            write(&mut out, findings, width())?;
            write_ending(&mut out, findings, now)?;
        }
        FindingFormat::Lines => {
            write_brief(&mut out, findings)?;
            write_ending(&mut out, findings, now)?;
        }
        FindingFormat::Json => {
            let findings: Vec<_> = findings.iter().map(Judged::json).collect();
            let document = serde_json::json!({"version": "1", "findings": findings});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        FindingFormat::Jsonl => {
            for finding in findings {
                let line = serde_json::to_string(&finding.json())
                    .context("a finding could not be written as JSON")?;
                writeln!(out, "{}", for_json(&line))?;
            }
        }
    }
    Ok(())
}
