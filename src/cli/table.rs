//! Findings as a table for people, and as JSON for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::cli::MAX_CHARS;
use crate::detect::decision::verdict::Verdict;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::keys::listing::KeyStatus;
use crate::output::escape::for_terminal;
use crate::output::judged::Judged;
use crate::output::overlap_start::{beginning, lasted};
use crate::output::time::readable;
use crate::output::verdict_text::sentence;

/// The width of a table if stdout is not a terminal, in columns.
const WIDTH_OFF_TERMINAL: u16 = 160;

/// The narrowest readable table, in columns.
const MIN_TABLE_COLUMNS: u16 = 110;

/// The longest word that a column must fit without a break: a key id and a colon. Longer words are
/// names and ARNs.
const MAX_KEPT_WORD_COLUMNS: usize = 24;

/// The spaces at both sides of a cell.
const PADDING: usize = 2;

/// The default number of cells in the headline of a block.
const IN_HEADLINE: usize = 3;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Table,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
}

/// Sorts findings for output: open ones first, and within a status the latest first.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|one, other| {
        (one.status, other.opened_at, &one.id).cmp(&(other.status, one.opened_at, &other.id))
    });
}

/// Prints `findings` as a table, with a verdict for open ones. The duration of an open finding ends at
/// the time of its verdict.
pub(crate) fn print(out: &mut impl Write, findings: &[Judged]) -> anyhow::Result<()> {
    let mut rows = TextTable::new(&[
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
        rows.push(row(finding).into());
    }
    rows.print(out)
}

/// Rows under a header. They are printed as a table, or, if the terminal is too narrow for that, as a
/// block of lines per row.
#[derive(Debug, Clone)]
pub(crate) struct TextTable {
    header: Vec<&'static str>,
    cells: Vec<Vec<String>>,
    in_headline: usize,
}

impl TextTable {
    /// A table without rows.
    #[must_use]
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            cells: vec![],
            in_headline: IN_HEADLINE,
        }
    }

    /// Sets how many cells are in the headline of a block. They are printed without their names.
    #[must_use]
    pub(crate) fn headline(mut self, cells: usize) -> Self {
        self.in_headline = cells;
        self
    }

    /// Adds a row with a cell for each column. The text must be safe for a terminal.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.cells.push(row);
    }

    /// Prints the rows, fitted to the width of the terminal.
    pub(crate) fn print(self, out: &mut impl Write) -> anyhow::Result<()> {
        self.print_within(out, width())
    }

    fn print_within(self, out: &mut impl Write, width: u16) -> anyhow::Result<()> {
        if self.cells.is_empty() {
            return Ok(());
        }
        // A border between columns, and one at each end.
        let borders = self.header.len() + 1;
        let widths = self.widths(usize::from(width).saturating_sub(borders));
        let Some(widths) = widths.filter(|_| width >= MIN_TABLE_COLUMNS) else {
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

    /// The width of each column within `width`. Each column fits its longest word, so that key ids can
    /// be copied; the remaining space goes to the columns that need the least of it. `None` if `width`
    /// is too small.
    fn widths(&self, width: usize) -> Option<Vec<usize>> {
        let length = |text: &str| text.chars().count();
        let longest_word = |text: &str| {
            let words = text.split_whitespace().map(length);
            words.max().unwrap_or(0).min(MAX_KEPT_WORD_COLUMNS)
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

    /// Prints each row as a block: the first cells as its headline, then a line for each other cell that
    /// is not empty.
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

/// The width of the terminal in columns, or a fixed width if stdout is not a terminal.
#[must_use]
pub(crate) fn width() -> u16 {
    new_table().width().unwrap_or(WIDTH_OFF_TERMINAL)
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

fn row(judged: &Judged) -> [String; 9] {
    let finding = &judged.finding;
    let closing = finding.closing.as_ref();
    let until = closing.map_or(judged.as_of, |closing| closing.at);
    let keys: Vec<String> = finding
        .keys
        .iter()
        .map(|key| {
            format!(
                "{} {}",
                for_terminal(&key.id, MAX_CHARS),
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
        for_terminal(&finding.display_name, MAX_CHARS),
        for_terminal(finding.user().account(), MAX_CHARS),
        keys.join("\n"),
        beginning(finding.is_opened_at_estimated, &readable(finding.opened_at)),
        lasted(finding, until),
        finding.opener.as_ref().map_or_else(
            || "unknown".to_owned(),
            |opener| for_terminal(opener.actor.label(), MAX_CHARS),
        ),
        verdict_words(finding, judged.verdict.as_ref()),
    ]
}

/// The verdict on an open finding, or the reason why it was closed.
#[must_use]
pub(crate) fn verdict_words(finding: &Finding, verdict: Option<&Verdict>) -> String {
    let shown = |key: &str| for_terminal(key, MAX_CHARS);
    match (&finding.closing, verdict) {
        (Some(closing), _) => closing.reason.words().to_owned(),
        (None, Some(verdict)) => sentence(verdict, &shown),
        (None, None) => String::new(),
    }
}

fn status_word(status: KeyStatus) -> String {
    status.word().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: u16) -> String {
        let mut rows = TextTable::new(&["STATUS", "SEVERITY", "USER", "KEYS", "CLOSED BECAUSE"]);
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
    fn lines_fit_the_terminal_and_keys_are_not_broken() {
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
    fn nine_columns_do_not_break_a_key() {
        for width in [80, 110, 130, 160, 200] {
            let mut rows = TextTable::new(&[
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
                "2026-03-07 02:47:18 UTC",
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
    fn a_table_without_rows_prints_nothing() {
        let mut out = vec![];
        TextTable::new(&["KEY"])
            .print_within(&mut out, 200)
            .unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn rows_become_blocks_if_the_table_is_too_wide() {
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
