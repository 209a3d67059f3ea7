//! `secondkey findings`: lists open, suppressed and closed findings.

use std::io::Write;

use anyhow::Context;
use chrono::{TimeDelta, Utc};

use crate::cli::Exit;
use crate::cli::judging::judge;
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::table::{self, Format};
use crate::detect::findings::finding::FindingStatus;
use crate::output::escape::for_json;
use crate::output::judged::{Judged, as_of_line};

/// List the findings in a local file or a deployed table, open ones first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey findings --db findings.db
  secondkey findings --table secondkey --profile security --open

Exit codes: 0 no finding, 10 at least one finding, 1 failure, 2 usage error.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: ReadOnlyStoreArgs,

    /// Show only findings that are not closed
    #[arg(long)]
    open: bool,

    /// How long two active keys count as a rotation, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let mut findings = store.findings(FindingStatus::Open).await?;
    findings.extend(store.findings(FindingStatus::Suppressed).await?);
    if !args.open {
        findings.extend(store.findings(FindingStatus::Closed).await?);
    }
    table::sort(&mut findings);

    let (window, now) = (
        TimeDelta::hours(args.rotation_window_hours.into()),
        Utc::now(),
    );
    let findings = judge(store.as_ref(), findings, window, now).await?;
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Table if findings.is_empty() => writeln!(out, "No findings.")?,
        Format::Table => {
            table::print(&mut out, &findings)?;
            if let Some(line) = as_of_line(&findings, now) {
                writeln!(out, "{line}")?;
            }
        }
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(Judged::json).collect();
            let document = serde_json::json!({"version": "1", "findings": findings});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        Format::Jsonl => {
            for finding in &findings {
                let line = serde_json::to_string(&finding.json())
                    .context("a finding could not be written as JSON")?;
                writeln!(out, "{}", for_json(&line))?;
            }
        }
    }
    Ok(if findings.is_empty() {
        Exit::NoFinding
    } else {
        Exit::Findings
    })
}
