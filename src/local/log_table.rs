//! Reads logs that are tables (CSV, TSV and similar), with a record in each row or in one of its
//! columns.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::ByteRecord;
use serde_json::{Map, Value};

use crate::local::log_records::MAX_RECORD_BYTES;
use crate::local::record_names::is_record_like;

/// The column delimiter, if `text` is a table with records.
pub(super) fn delimiter(text: &[u8]) -> Option<u8> {
    let head = text.split(|byte| *byte == b'\n').next()?;
    // A quoted column doubles its quotes, so this line does not belong to a table, whatever the
    // strings in its JSON contain.
    if memchr::memmem::find_iter(head, b"{\"").any(|at| head.get(at + 2) != Some(&b'"')) {
        return None;
    }
    let by_count = |delimiter: &u8| memchr::memchr_iter(*delimiter, head).count();
    let delimiter = [b',', b';', b'\t', b'|']
        .into_iter()
        .rev()
        .max_by_key(by_count)?;
    let mut reader = table(head, delimiter);
    let mut row = ByteRecord::new();
    let has_row = reader.read_byte_record(&mut row).unwrap_or(false);
    let names: Vec<String> = row
        .iter()
        .map(|name| String::from_utf8_lossy(name).into())
        .collect();
    let names_fields = has_row && is_record_like(names.iter().map(String::as_str));
    // A quoted column doubles its quotes.
    let has_json = memchr::memmem::find(text, b"{\"\"").is_some();
    (names_fields || has_json).then_some(delimiter)
}

fn table<R: Read>(log: R, delimiter: u8) -> csv::Reader<R> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(log)
}

pub(super) enum Row {
    /// The columns by name, if the names are those of a record's fields.
    Named(Map<String, Value>),
    /// Columns, any of which may contain a record.
    Columns {
        columns: Vec<String>,
        /// Whether the text ends within the row.
        is_cut: bool,
    },
    /// The text ends within the row.
    Cut,
    /// The row's number of columns differs from the table's number of names.
    Odd { columns: usize, names: usize },
    /// The table omits requests and responses.
    Console,
}

pub(super) fn for_each_row(log: impl Read, delimiter: u8, mut take: impl FnMut(io::Result<Row>)) {
    let seen = Rc::new(TableProgress::default());
    let watched = RowLimitReader {
        inner: log,
        seen: Rc::clone(&seen),
    };
    let mut reader = table(watched, delimiter);
    let mut row = ByteRecord::new();
    let mut head: Option<TableHeader> = None;
    loop {
        seen.in_row.set(0);
        match reader.read_byte_record(&mut row) {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                return take(Err(match error.into_kind() {
                    csv::ErrorKind::Io(error) => error,
                    kind => io::Error::other(format!("{kind:?}")),
                }));
            }
        }
        let columns: Vec<String> = row
            .iter()
            .map(|column| {
                let column = column.strip_prefix(b"\xef\xbb\xbf").unwrap_or(column);
                String::from_utf8_lossy(column).into_owned()
            })
            .collect();
        let ends_here = reader.position().byte() == seen.read.get();
        if let Some(head) = &head {
            let is_cut = ends_here && head.is_cut(&columns, &seen);
            take(Ok(head.row(columns, is_cut)));
            continue;
        }
        let has = |name: &str| columns.iter().any(|column| column == name);
        if has("Event name") && has("Resource name") {
            return take(Ok(Row::Console));
        }
        let is_cut = ends_here && seen.is_in_quotes.get();
        let first = TableHeader::of(&columns);
        if !first.names_fields {
            take(Ok(Row::Columns { columns, is_cut }));
        }
        head = Some(first);
    }
}

struct TableHeader {
    names: Vec<String>,
    /// Whether the column names are those of a record's fields.
    names_fields: bool,
}

impl TableHeader {
    fn of(columns: &[String]) -> Self {
        let has_json = columns.iter().any(|column| column.contains('{'));
        Self {
            names: columns.to_vec(),
            names_fields: !has_json && is_record_like(columns.iter().map(String::as_str)),
        }
    }

    fn row(&self, columns: Vec<String>, is_cut: bool) -> Row {
        if !self.names_fields {
            return Row::Columns { columns, is_cut };
        }
        if is_cut {
            return Row::Cut;
        }
        let surplus = columns.get(self.names.len()..).unwrap_or_default();
        if columns.len() < self.names.len() || surplus.iter().any(|column| !column.is_empty()) {
            return Row::Odd {
                columns: columns.len(),
                names: self.names.len(),
            };
        }
        let fields = self.names.iter().zip(columns);
        let filled = fields.filter(|(_, value)| !value.is_empty());
        let field = |(name, value): (&String, String)| (name.clone(), Value::String(value));
        Row::Named(filled.map(field).collect())
    }

    /// Whether the last row of the text, with these columns, is cut. A complete row ends in a line
    /// end or a quote.
    fn is_cut(&self, columns: &[String], seen: &TableProgress) -> bool {
        let is_open = !matches!(seen.last.get(), b'\n' | b'\r' | b'"');
        let is_last_empty = columns.last().is_none_or(String::is_empty);
        seen.is_in_quotes.get()
            || seen.last.get() != b'\n' && columns.len() < self.names.len()
            || is_open && (is_last_empty || seen.is_quoted.get())
    }
}

#[derive(Debug, Default)]
struct TableProgress {
    /// How many bytes were read since the last row.
    in_row: Cell<usize>,
    /// How many bytes were read in total.
    read: Cell<u64>,
    /// Whether a quote is open at this point.
    is_in_quotes: Cell<bool>,
    last: Cell<u8>,
    /// Whether an earlier row ended in a quote. If one does, all do.
    is_quoted: Cell<bool>,
}

/// Counts what is read. Fails if a row does not end because a quote is not closed.
struct RowLimitReader<R> {
    inner: R,
    seen: Rc<TableProgress>,
}

impl<R: Read> Read for RowLimitReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { inner, seen } = self;
        if seen.in_row.get() > MAX_RECORD_BYTES {
            let why = format!(
                "a row is larger than {} MiB; check for a quote that is not closed",
                MAX_RECORD_BYTES / 1024 / 1024
            );
            return Err(io::Error::other(why));
        }
        let read = inner.read(buffer)?;
        let text = buffer.get(..read).unwrap_or_default();
        seen.in_row.set(seen.in_row.get() + read);
        seen.read.set(seen.read.get() + read as u64);
        let is_odd = memchr::memchr_iter(b'"', text).count() % 2 == 1;
        seen.is_in_quotes.set(seen.is_in_quotes.get() != is_odd);
        if let Some(last) = text.last() {
            seen.last.set(*last);
        }
        if !seen.is_quoted.get() {
            let row_end = memchr::memchr(b'\n', text).and_then(|end| text.get(..end));
            let ends_quoted = row_end.is_some_and(|row| row.trim_ascii_end().ends_with(b"\""));
            seen.is_quoted.set(ends_quoted);
        }
        Ok(read)
    }
}
