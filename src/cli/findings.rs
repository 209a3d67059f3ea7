//! `secondkey findings`: open and closed findings.

use std::io::Write;

use anyhow::Context;
use chrono::Utc;

use crate::cli::Exit;
use crate::cli::source::Source;
use crate::cli::table::{self, Format};
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

    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Table if findings.is_empty() => writeln!(out, "No finding.")?,
        Format::Table => table::print(&mut out, &findings, Utc::now())?,
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(json_v1::finding).collect();
            let document = serde_json::json!({"version": "1", "findings": findings});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        Format::Jsonl => {
            for finding in &findings {
                let line = serde_json::to_string(&json_v1::finding(finding))
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
