//! What a scan found, for people and for programs.

use std::io::Write;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;

use crate::aws::account_users::SweepMode;
use crate::cli::LONGEST;
use crate::cli::scan::account::Scanned;
use crate::cli::table::{Rows, verdict_words};
use crate::detect::Timestamp;
use crate::detect::finding::{FindingKey, FindingStatus};
use crate::detect::listing::KeyStatus;
use crate::detect::retire::LastUsed;
use crate::output::escape::{for_json, for_terminal};
use crate::output::standing::Standing;
use crate::output::time::{duration, rfc3339};
use crate::output::{asff, csv, json_v1, ocsf, sarif};

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScanFormat {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// AWS Security Finding Format, as `aws securityhub batch-import-findings` takes it: 100 findings of the calling account a
    /// call
    Asff,
    /// Open Cybersecurity Schema Framework 1.6, Detection Finding
    Ocsf,
    /// Static Analysis Results Interchange Format 2.1.0, with what is open
    Sarif,
}

/// What is printed.
pub(super) struct Results<'a> {
    pub(super) scanned: &'a [Scanned],
    pub(super) standings: &'a [Standing],
    pub(super) started_at: Timestamp,
    pub(super) now: Timestamp,
    /// Whether every account and every user could be looked at.
    pub(super) is_whole: bool,
    /// The region of a Security Hub that takes the findings.
    pub(super) region: &'a str,
}

/// Writes the findings to `out`.
pub(super) fn write(
    out: &mut impl Write,
    results: &Results<'_>,
    format: ScanFormat,
) -> anyhow::Result<()> {
    let standings = results.standings;
    match format {
        ScanFormat::Table if standings.is_empty() => {
            let none = if results.is_whole {
                "No user has two active access keys."
            } else {
                "Nothing was found, but not everything could be looked at: stderr says what."
            };
            writeln!(out, "{none}")?;
        }
        ScanFormat::Table => table(out, results)?,
        ScanFormat::Json => {
            let findings: Vec<_> = standings.iter().map(json_v1::standing).collect();
            let document = json!({"version": "1", "scan": scan(results), "findings": findings});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        ScanFormat::Jsonl => {
            for standing in standings {
                let line = serde_json::to_string(&json_v1::standing(standing))
                    .context("a finding could not be written as JSON")?;
                writeln!(out, "{}", for_json(&line))?;
            }
            let line = json!({"version": "1", "scan": scan(results)}).to_string();
            writeln!(out, "{}", for_json(&line))?;
        }
        ScanFormat::Csv => write!(out, "{}", csv::document(standings)?)?,
        ScanFormat::Asff => {
            writeln!(out, "{}", asff::document(standings, results.region)?)?;
        }
        ScanFormat::Ocsf => writeln!(out, "{}", ocsf::document(standings)?)?,
        ScanFormat::Sarif => {
            // Code scanning closes what a later log does not name, and shows as open whatever one names.
            let is_open =
                |standing: &&Standing| standing.alert.finding.status != FindingStatus::Closed;
            let open: Vec<Standing> = standings.iter().filter(is_open).cloned().collect();
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
                "former_scan_at": one.former_finished_at.map(rfc3339),
            })
        })
        .collect();
    json!({"started_at": rfc3339(results.started_at), "finished_at": rfc3339(results.now), "accounts": accounts})
}

/// How the account's users were found.
fn mode(scanned: &Scanned) -> String {
    let mode = if scanned.by_report {
        SweepMode::Report
    } else {
        SweepMode::List
    };
    mode.to_string()
}

fn table(out: &mut impl Write, results: &Results<'_>) -> anyhow::Result<()> {
    let mut rows = Rows::new(&[
        "STATE",
        "SEVERITY",
        "USER",
        "ACCOUNT",
        "KEYS",
        "AGE",
        "LAST USED",
        "VERDICT",
    ]);
    for standing in results.standings {
        let finding = &standing.alert.finding;
        let of_keys = |what: &dyn Fn(&FindingKey) -> String| {
            finding.keys.iter().map(what).collect::<Vec<_>>().join("\n")
        };
        rows.push(vec![
            state(standing),
            finding.severity.word().to_owned(),
            for_terminal(&finding.display_name, LONGEST),
            for_terminal(finding.user().account(), LONGEST),
            of_keys(&|key| format!("{} {}", shown(&key.id), word(key.status))),
            of_keys(&|key| {
                key.created
                    .map_or("not known".to_owned(), |at| duration(results.now - at))
            }),
            of_keys(&|key| last_used(standing, key, results.now)),
            verdict_words(finding, standing.verdict().as_ref()),
        ]);
    }
    rows.print(out)
}

fn state(standing: &Standing) -> String {
    if standing.alert.finding.status == FindingStatus::Suppressed {
        return "exempt".to_owned();
    }
    standing.change().to_owned()
}

/// When, by which service and where `key` was last used.
fn last_used(standing: &Standing, key: &FindingKey, now: Timestamp) -> String {
    match standing.last_uses.get(&key.id) {
        None => "not known".to_owned(),
        Some(LastUsed::Never) => "never".to_owned(),
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => {
            let when = format!("{} ago", duration(now - *at));
            let places = service.iter().chain(region).map(|text| shown(text));
            [when]
                .into_iter()
                .chain(places)
                .collect::<Vec<_>>()
                .join(", ")
        }
    }
}

fn shown(text: &str) -> String {
    for_terminal(text, LONGEST)
}

fn word(status: KeyStatus) -> String {
    status.word().to_lowercase()
}
