//! Prints the findings of a scan in each format.

use std::io::Write;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;

use crate::aws::suspects::SweepMode;
use crate::cli::finding_lines;
use crate::cli::scan::account_scan::AccountScan;
use crate::cli::table::width;
use crate::detect::Timestamp;
use crate::detect::findings::finding::FindingStatus;
use crate::output::escape::for_json;
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::rfc3339;
use crate::output::{asff, csv, json_v1, ocsf, sarif};

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScanFormat {
    /// For people: a line for each key, and what to do
    Table,
    /// For people: one line per finding
    Lines,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// AWS Security Finding Format, for `aws securityhub batch-import-findings`, which accepts 100
    /// findings of the calling account per call
    Asff,
    /// Open Cybersecurity Schema Framework 1.6, Detection Finding
    Ocsf,
    /// Static Analysis Results Interchange Format 2.1.0, without closed findings
    Sarif,
}

/// What is printed.
pub(super) struct Results<'a> {
    pub(super) scanned: &'a [AccountScan],
    /// How many findings there are.
    pub(super) found: usize,
    /// Those to show, in this order.
    pub(super) snapshots: &'a [FindingSnapshot],
    /// How many open ones the options hide.
    pub(super) hidden: usize,
    pub(super) started_at: Timestamp,
    pub(super) now: Timestamp,
    /// Whether every account and every user was checked.
    pub(super) is_whole: bool,
    /// The region of the Security Hub for the findings in ASFF.
    pub(super) region: &'a str,
}

/// Writes the findings to `out`.
pub(super) fn write(
    out: &mut impl Write,
    results: &Results<'_>,
    format: ScanFormat,
) -> anyhow::Result<()> {
    let snapshots = results.snapshots;
    let shown = || snapshots.iter().map(|snapshot| &snapshot.alert.finding);
    match format {
        ScanFormat::Table | ScanFormat::Lines if snapshots.is_empty() => {
            let none = if results.found > 0 {
                "No finding matches the options."
            } else if results.is_whole {
                "No user has two active access keys."
            } else {
                "No finding, but some accounts or users could not be checked; stderr lists them."
            };
            writeln!(out, "{none}")?;
        }
        ScanFormat::Table => {
            finding_lines::write(out, snapshots, width())?;
            finding_lines::write_totals(out, shown())?;
        }
        ScanFormat::Lines => {
            finding_lines::write_brief(out, snapshots)?;
            finding_lines::write_totals(out, shown())?;
        }
        ScanFormat::Json => {
            let findings: Vec<_> = snapshots.iter().map(json_v1::snapshot).collect();
            let document = json!({"version": "1", "scan": scan(results), "findings": findings});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        ScanFormat::Jsonl => {
            for snapshot in snapshots {
                let line = serde_json::to_string(&json_v1::snapshot(snapshot))
                    .context("a finding could not be written as JSON")?;
                writeln!(out, "{}", for_json(&line))?;
            }
            let line = json!({"version": "1", "scan": scan(results)}).to_string();
            writeln!(out, "{}", for_json(&line))?;
        }
        ScanFormat::Csv => write!(out, "{}", csv::document(snapshots)?)?,
        ScanFormat::Asff => {
            writeln!(out, "{}", asff::document(snapshots, results.region)?)?;
        }
        ScanFormat::Ocsf => writeln!(out, "{}", ocsf::document(snapshots)?)?,
        ScanFormat::Sarif => {
            // Code scanning shows every result as open, and closes results that a later log lacks.
            let is_open = |snapshot: &&FindingSnapshot| {
                snapshot.alert.finding.status != FindingStatus::Closed
            };
            let open: Vec<FindingSnapshot> = snapshots.iter().filter(is_open).cloned().collect();
            writeln!(out, "{}", sarif::document(&open)?)?;
        }
    }
    Ok(())
}

fn scan(results: &Results<'_>) -> serde_json::Value {
    let accounts: Vec<_> = results
        .scanned
        .iter()
        .map(|one| {
            json!({
                "account": one.account,
                "mode": mode(one),
                "users": one.users,
                "users_before_interruption": one.resumed,
                "unsettled": one.unsettled,
                "unchecked": one.unchecked.iter().map(|(name, why)| json!({"user": name, "reason": why.to_string()}))
                    .collect::<Vec<_>>(),
                "refused": one.refused,
                "former_scan_at": one.previous_finished_at.map(rfc3339),
            })
        })
        .collect();
    json!({"started_at": rfc3339(results.started_at), "finished_at": rfc3339(results.now), "accounts": accounts})
}

/// How the account's users were listed.
fn mode(scanned: &AccountScan) -> String {
    let mode = if scanned.by_report {
        SweepMode::Report
    } else {
        SweepMode::List
    };
    mode.to_string()
}
