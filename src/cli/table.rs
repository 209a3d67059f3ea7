//! Findings as a table for people, and as JSON for programs.

use std::io::Write;

use chrono::TimeDelta;
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::cli::LONGEST;
use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::listing::KeyStatus;
use crate::detect::retire::LastUses;
use crate::detect::verdict::{Verdict, verdict_on};
use crate::output::escape::for_terminal;
use crate::output::since::{beginning, lasted};
use crate::output::verdict_text::sentence;

/// The width of a table that does not go to a terminal, in columns.
const WIDTH_OFF_TERMINAL: u16 = 160;

/// The narrowest table that can be read, in columns.
const NARROWEST_TABLE: u16 = 110;

/// The longest word that a column is kept wide enough for, in columns: a key's id and a colon. Longer ones are names and ARNs.
const LONGEST_KEPT_WORD: usize = 24;

/// The blanks on both sides of a cell, in columns.
const PADDING: usize = 2;

/// How many cells stand in the headline of a block, where nothing else is said.
const IN_HEADLINE: usize = 3;

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

/// Prints `findings` as a table, with what is to be done about open ones; how long those have lasted is counted up to `now`.
pub fn print(
    out: &mut impl Write,
    findings: &[Finding],
    window: TimeDelta,
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut rows = Rows::new(&[
        "STATUS",
        "SEVERITY",
        "USER",
        "ACCOUNT",
        "KEYS",
        "OPENED",
        "LASTED",
        "OPENED BY",
        "VERDICT",
    ]);
    for finding in findings {
        rows.push(row(finding, window, now).into());
    }
    rows.print(out)
}

/// Rows under a header, for whatever width there is: a table, or where that would be too narrow to read, a block of lines for
/// each row.
#[derive(Debug, Clone)]
pub struct Rows {
    header: Vec<&'static str>,
    cells: Vec<Vec<String>>,
    in_headline: usize,
}

impl Rows {
    /// No rows yet.
    #[must_use]
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            cells: vec![],
            in_headline: IN_HEADLINE,
        }
    }

    /// The same, with so many cells in the headline of a block: those that are understood without their names.
    #[must_use]
    pub fn headline(mut self, cells: usize) -> Self {
        self.in_headline = cells;
        self
    }

    /// Adds a row: a cell for each column, its lines safe for a terminal.
    pub fn push(&mut self, row: Vec<String>) {
        self.cells.push(row);
    }

    /// Prints them, as wide as the terminal.
    pub fn print(self, out: &mut impl Write) -> anyhow::Result<()> {
        let width = new_table().width().unwrap_or(WIDTH_OFF_TERMINAL);
        self.print_within(out, width)
    }

    fn print_within(self, out: &mut impl Write, width: u16) -> anyhow::Result<()> {
        if self.cells.is_empty() {
            return Ok(());
        }
        // One column between two, and one at each end.
        let borders = self.header.len() + 1;
        let widths = self.widths(usize::from(width).saturating_sub(borders));
        let Some(widths) = widths.filter(|_| width >= NARROWEST_TABLE) else {
            return self.print_blocks(out);
        };
        let mut table = new_table();
        table.set_width(width).set_header(self.header);
        for row in self.cells {
            table.add_row(row);
        }
        for (column, width) in table.column_iter_mut().zip(widths) {
            let width = Width::Fixed(u16::try_from(width)?);
            column.set_constraint(ColumnConstraint::Absolute(width));
        }
        writeln!(out, "{table}")?;
        Ok(())
    }

    /// How wide each column is within `width`: wide enough that no word is broken that somebody copies, and what is left over
    /// goes to those that lack least. None where there is too little for that.
    fn widths(&self, width: usize) -> Option<Vec<usize>> {
        let length = |text: &str| text.chars().count();
        let longest_word = |text: &str| {
            let words = text.split_whitespace().map(length);
            words.max().unwrap_or(0).min(LONGEST_KEPT_WORD)
        };
        let longest_line = |text: &str| text.lines().map(length).max().unwrap_or(0);
        let widest = |column: usize, name: &str, of: &dyn Fn(&str) -> usize| {
            let cells = self.cells.iter().filter_map(|row| row.get(column));
            cells.map(|cell| of(cell)).chain([of(name)]).max()
        };
        let (mut widths, mut lacks) = (vec![], vec![]);
        for (column, name) in self.header.iter().enumerate() {
            let narrowest = widest(column, name, &longest_word)?;
            let whole = widest(column, name, &longest_line)?;
            widths.push(narrowest + PADDING);
            lacks.push((whole - narrowest, column));
        }
        let mut spare = width.checked_sub(widths.iter().sum())?;
        lacks.sort_unstable();
        for (lack, column) in lacks {
            let given = lack.min(spare);
            *widths.get_mut(column)? += given;
            spare -= given;
        }
        Some(widths)
    }

    /// Each row as a block: the first cells in its headline, then a line for each other cell that holds something.
    fn print_blocks(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let names = self.header.iter().skip(self.in_headline);
        let widest = names.clone().map(|name| name.len()).max().unwrap_or(0);
        for row in &self.cells {
            let headline: Vec<&str> = row
                .iter()
                .take(self.in_headline)
                .map(String::as_str)
                .collect();
            writeln!(out, "{}", headline.join("  "))?;
            for (name, cell) in names.clone().zip(row.iter().skip(self.in_headline)) {
                let name = name.to_lowercase();
                let labels = [name.as_str()].into_iter().chain(std::iter::repeat(""));
                for (label, line) in labels.zip(cell.lines()) {
                    writeln!(out, "  {label:<widest$}  {line}")?;
                }
            }
        }
        Ok(())
    }
}

/// A table that fits the terminal.
fn new_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(WIDTH_OFF_TERMINAL);
    }
    table
}

fn row(finding: &Finding, window: TimeDelta, now: Timestamp) -> [String; 9] {
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
            FindingStatus::Suppressed => "exempt".to_owned(),
            FindingStatus::Closed => "closed".to_owned(),
        },
        finding.severity.word().to_owned(),
        for_terminal(&finding.display_name, LONGEST),
        for_terminal(finding.user().account(), LONGEST),
        keys.join("\n"),
        beginning(
            finding.is_since_estimated,
            &finding.opened_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        ),
        lasted(finding, until),
        finding.opener.as_ref().map_or_else(
            || "unknown".to_owned(),
            |opener| for_terminal(opener.actor.label(), LONGEST),
        ),
        verdict_words(finding, by_record(finding, window, now).as_ref()),
    ]
}

/// What is to be done about `finding`, or how it ended.
#[must_use]
pub fn verdict_words(finding: &Finding, verdict: Option<&Verdict>) -> String {
    let shown = |key: &str| for_terminal(key, LONGEST);
    match (&finding.closing, verdict) {
        (Some(closing), _) => closing.reason.words().to_owned(),
        (None, Some(verdict)) => sentence(verdict, &shown),
        (None, None) => String::new(),
    }
}

/// The verdict on `finding` at `now` by what is recorded, which does not hold when keys were last used.
#[must_use]
pub fn by_record(finding: &Finding, window: TimeDelta, now: Timestamp) -> Option<Verdict> {
    verdict_on(
        finding,
        &LastUses::new(),
        finding.window_ends_at(window),
        now,
    )
}

fn status_word(status: KeyStatus) -> String {
    status.word().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: u16) -> String {
        let mut rows = Rows::new(&["STATUS", "SEVERITY", "USER", "KEYS", "CLOSED BECAUSE"]);
        let keys = "AKIAEXAMPLEALICE0001 active\nAKIAEXAMPLEALICE0002 active";
        rows.push(
            ["open", "MEDIUM", "alice", keys, ""]
                .map(str::to_owned)
                .into(),
        );
        rows.push(
            ["closed", "HIGH", "bob", keys, "key deleted"]
                .map(str::to_owned)
                .into(),
        );
        let mut out = vec![];
        rows.print_within(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_key_is_broken() {
        for width in [60, 80, 109, 110, 140, 200] {
            let printed = printed(width);
            let widest = printed.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width.into()), "{width}:\n{printed}");
            assert_eq!(
                printed.matches("AKIAEXAMPLEALICE0002 active").count(),
                2,
                "{printed}"
            );
        }
    }

    #[test]
    fn nine_columns_break_no_key_either() {
        for width in [80, 110, 130, 160, 200] {
            let mut rows = Rows::new(&[
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
            let actor = "arn:aws:sts::111122223333:assumed-role/build-agent/i-0abc123example";
            let user = "ci-builder+team=a@example.com,with-a-long-name";
            let keys = "AKIAEXAMPLEALICE0001 active\nAKIAEXAMPLEALICE0002 inactive";
            let cells = [
                "closed",
                "MEDIUM",
                user,
                "111122223333",
                keys,
                "2026-03-07 02:47:18Z",
            ];
            let cells = [&cells[..], &["24 min", actor, "key deactivated"]].concat();
            rows.push(cells.into_iter().map(str::to_owned).collect());
            let mut out = vec![];
            rows.print_within(&mut out, width).unwrap();
            let printed = String::from_utf8(out).unwrap();
            for word in [
                "AKIAEXAMPLEALICE0001",
                "AKIAEXAMPLEALICE0002",
                "111122223333",
                "2026-03-07",
            ] {
                assert!(printed.contains(word), "{width}:\n{printed}");
            }
            let is_block = !printed.contains('│');
            let widest = printed.lines().map(|line| line.chars().count()).max();
            assert!(
                is_block || widest <= Some(width.into()),
                "{width}:\n{printed}"
            );
        }
    }

    #[test]
    fn no_rows_are_no_table() {
        let mut out = vec![];
        Rows::new(&["KEY"]).print_within(&mut out, 200).unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn where_a_table_is_too_wide_each_row_is_a_block() {
        expect_test::expect![[r"
            open  MEDIUM  alice
              keys            AKIAEXAMPLEALICE0001 active
                              AKIAEXAMPLEALICE0002 active
            closed  HIGH  bob
              keys            AKIAEXAMPLEALICE0001 active
                              AKIAEXAMPLEALICE0002 active
              closed because  key deleted
        "]]
        .assert_eq(&printed(60));
    }
}
