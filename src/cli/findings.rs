//! `secondkey findings`: open and closed findings.

use std::io::Write;

use anyhow::Context;
use chrono::{TimeDelta, Utc};

use crate::cli::Exit;
use crate::cli::source::Source;
use crate::cli::table::{self, Format, by_record};
use crate::detect::finding::FindingStatus;
use crate::output::escape::for_json;
use crate::output::json_v1;

/// List the findings of a file or a deployed table, open ones first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey findings --db findings.db
  secondkey findings --table secondkey --profile security --region us-east-1 --open

Exit codes: 0 no finding, 10 at least one finding, 1 failure, 2 wrong usage.")]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Leave out the closed ones
    #[arg(long)]
    open: bool,

    /// How long two active keys are a rotation
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    window_hours: u32,

    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let mut findings = store.findings(FindingStatus::Open).await?;
    findings.extend(store.findings(FindingStatus::Suppressed).await?);
    if !args.open {
        findings.extend(store.findings(FindingStatus::Closed).await?);
    }
    table::sort(&mut findings);

    let (window, now) = (TimeDelta::hours(args.window_hours.into()), Utc::now());
    let document = |finding| json_v1::judged(finding, by_record(finding, window, now).as_ref());
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Table if findings.is_empty() => writeln!(out, "No finding.")?,
        Format::Table => table::print(&mut out, &findings, window, now)?,
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(document).collect();
            let document = serde_json::json!({"version": "1", "findings": findings});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        Format::Jsonl => {
            for finding in &findings {
                let line = serde_json::to_string(&document(finding))
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
