//! Findings as a table for people, and as JSON for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::LONGEST;
use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::listing::KeyStatus;
use crate::output::escape::for_terminal;
use crate::output::time::duration;

/// The width of a table that does not go to a terminal, in columns.
const WIDTH_OFF_TERMINAL: u16 = 160;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
}

/// Findings in the order in which they are shown: open ones first, then the latest opening first.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|one, other| {
        (one.status, other.opened_at, &one.id).cmp(&(other.status, one.opened_at, &other.id))
    });
}

/// Prints `findings` as a table; how long an open one has lasted is counted up to `now`.
pub fn print(out: &mut impl Write, findings: &[Finding], now: Timestamp) -> anyhow::Result<()> {
    let mut table = new_table();
    table.set_header([
        "STATUS",
        "SEVERITY",
        "USER",
        "ACCOUNT",
        "KEYS",
        "OPENED",
        "LASTED",
        "OPENED BY",
        "CLOSED BECAUSE",
    ]);
    for finding in findings {
        table.add_row(row(finding, now));
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// A table that fits the terminal.
#[must_use]
pub fn new_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH_OFF_TERMINAL);
    }
    table
}

fn row(finding: &Finding, now: Timestamp) -> [String; 9] {
    let until = finding.closing.as_ref().map_or(now, |closing| closing.at);
    let keys: Vec<String> = finding
        .keys
        .iter()
        .map(|key| {
            format!(
                "{} {}",
                for_terminal(&key.id, LONGEST),
                status_word(key.status)
            )
        })
        .collect();
    [
        match finding.status {
            FindingStatus::Open => "open".to_owned(),
            FindingStatus::Suppressed => "suppressed".to_owned(),
            FindingStatus::Closed => "closed".to_owned(),
        },
        finding.severity.word().to_owned(),
        for_terminal(&finding.display_name, LONGEST),
        for_terminal(finding.user().account(), LONGEST),
        keys.join("\n"),
        finding.opened_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        duration(until - finding.opened_at),
        finding.opener.as_ref().map_or_else(
            || "unknown".to_owned(),
            |opener| for_terminal(opener.actor.label(), LONGEST),
        ),
        finding
            .closing
            .as_ref()
            .map_or_else(String::new, |closing| closing.reason.words().to_owned()),
    ]
}

fn status_word(status: KeyStatus) -> String {
    status.word().to_lowercase()
}
