//! Rows of text in columns, for people.

use std::io::Write;

use textwrap::WordSplitter;
use textwrap::core::display_width;

/// The width if stdout is not a terminal, in columns.
const WIDTH_OFF_TERMINAL: usize = 80;

/// The narrowest width to which text is wrapped, in columns.
const MIN_WIDTH: usize = 40;

/// The space between two columns.
const GAP: &str = "  ";

/// The default number of cells in the headline of a block.
const IN_HEADLINE: usize = 3;

/// Rows under a header. They are printed in columns, or, if the terminal is too narrow for that, as a
/// block of lines per row. A cell of a column is never wrapped: its end would be beside the wrong cell.
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
    pub(crate) fn print(self, out: &mut impl Write) -> std::io::Result<()> {
        self.print_within(out, width())
    }

    fn print_within(self, out: &mut impl Write, width: usize) -> std::io::Result<()> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = self.cells.iter().filter_map(|row| row.get(column));
                let lines = cells.flat_map(|cell| cell.lines());
                widest(lines.chain(self.header.get(column).copied()))
            })
            .collect();
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        if widths.iter().sum::<usize>() + gaps > width {
            return self.print_blocks(out, width);
        }
        writeln!(out, "{}", padded(&self.header, &widths))?;
        for row in &self.cells {
            let lines = row.iter().map(|cell| cell.lines().count()).max();
            for place in 0..lines.unwrap_or(0) {
                let cells: Vec<&str> = row
                    .iter()
                    .map(|cell| cell.lines().nth(place).unwrap_or(""))
                    .collect();
                writeln!(out, "{}", padded(&cells, &widths))?;
            }
        }
        Ok(())
    }

    /// Prints each row as a block: the first cells as its headline, then each other cell that is not
    /// empty, wrapped beside its name.
    fn print_blocks(&self, out: &mut impl Write, width: usize) -> std::io::Result<()> {
        let names = self.header.iter().skip(self.in_headline);
        let label_width = widest(names.clone());
        for row in &self.cells {
            let headline: Vec<&str> = row
                .iter()
                .take(self.in_headline)
                .map(String::as_str)
                .collect();
            writeln!(out, "{}", headline.join(GAP))?;
            for (name, cell) in names.clone().zip(row.iter().skip(self.in_headline)) {
                let name = name.to_lowercase();
                let labels = [name.as_str()].into_iter().chain(std::iter::repeat(""));
                for (label, line) in labels.zip(cell.lines()) {
                    let first = format!("{GAP}{label:label_width$}{GAP}");
                    let rest = " ".repeat(first.len());
                    writeln!(out, "{}", fill(line, &first, &rest, width))?;
                }
            }
        }
        Ok(())
    }
}

/// The width for output in columns: the variable `COLUMNS`, else that of the terminal, else a width that
/// every terminal has.
#[must_use]
pub(crate) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    let named = columns.and_then(|columns| columns.parse().ok());
    let of_terminal = || terminal_size::terminal_size_of(std::io::stdout());
    named
        .filter(|&width| width > 0)
        .or_else(|| of_terminal().map(|(width, _)| usize::from(width.0)))
        .unwrap_or(WIDTH_OFF_TERMINAL)
}

/// The columns that the widest of `texts` takes on a terminal.
#[must_use]
pub(crate) fn widest(texts: impl IntoIterator<Item = impl AsRef<str>>) -> usize {
    let widths = texts.into_iter().map(|text| display_width(text.as_ref()));
    widths.max().unwrap_or(0)
}

/// `cells` as a line, each cell but the last padded to its width.
#[must_use]
pub(crate) fn padded(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let mut line = String::new();
    let mut missing = 0;
    for (place, cell) in cells.iter().enumerate() {
        let cell = cell.as_ref();
        if place > 0 {
            line.push_str(&" ".repeat(missing));
            line.push_str(GAP);
        }
        line.push_str(cell);
        let width = widths.get(place).copied().unwrap_or(0);
        missing = width.saturating_sub(display_width(cell));
    }
    line.truncate(line.trim_end().len());
    line
}

/// `text` wrapped to `width` columns. Its first line begins with `first`, the others with `rest`.
#[must_use]
pub(crate) fn fill(text: &str, first: &str, rest: &str, width: usize) -> String {
    let options = textwrap::Options::new(width.max(MIN_WIDTH))
        .initial_indent(first)
        .subsequent_indent(rest)
        // A key's id must stay whole to be copied.
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(width: usize) -> String {
        let mut rows = TextTable::new(&["STATE", "SEVERITY", "USER", "KEYS", "ENDED"]);
        let keys = "AKIAEXAMPLEALICE0001 active\nAKIAEXAMPLEALICE0002 active";
        for row in [
            ["open", "MEDIUM", "alice", keys, ""],
            [
                "closed",
                "HIGH",
                "世界",
                keys,
                "key deleted by an administrator",
            ],
        ] {
            rows.push(row.map(str::to_owned).into());
        }
        let mut out = vec![];
        rows.print_within(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_fit_the_width_and_keys_are_not_broken() {
        for width in 40..=250 {
            let printed = printed(width);
            assert!(widest(printed.lines()) <= width, "{width}:\n{printed}");
            let keys = printed.matches("AKIAEXAMPLEALICE0002 active").count();
            assert_eq!(keys, 2, "{printed}");
        }
    }

    #[test]
    fn columns_are_aligned_by_what_characters_take() {
        expect_test::expect![[r"
            STATE   SEVERITY  USER   KEYS                         ENDED
            open    MEDIUM    alice  AKIAEXAMPLEALICE0001 active
                                     AKIAEXAMPLEALICE0002 active
            closed  HIGH      世界   AKIAEXAMPLEALICE0001 active  key deleted by an administrator
                                     AKIAEXAMPLEALICE0002 active
        "]]
        .assert_eq(&printed(100));
    }

    #[test]
    fn rows_become_blocks_if_the_columns_do_not_fit() {
        expect_test::expect![[r"
            open  MEDIUM  alice
              keys   AKIAEXAMPLEALICE0001 active
                     AKIAEXAMPLEALICE0002 active
            closed  HIGH  世界
              keys   AKIAEXAMPLEALICE0001 active
                     AKIAEXAMPLEALICE0002 active
              ended  key deleted by an administrator
        "]]
        .assert_eq(&printed(50));
    }

    #[test]
    fn a_table_without_rows_prints_nothing() {
        let mut out = vec![];
        let rows = TextTable::new(&["KEY"]);
        rows.print_within(&mut out, 200).unwrap();
        assert!(out.is_empty());
    }
}
