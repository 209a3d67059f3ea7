//! Identifies a log by its first bytes, and reads logs whose lines contain JSON after a prefix.

use std::io::{self, BufRead, Read};

use crate::local::log_records::MAX_RECORD_BYTES;
use crate::local::log_scan::{RecordScan, ScanStep};
use crate::local::log_table::delimiter;

/// How many bytes identify a log.
pub(super) const SNIFFED: usize = 16 * 1024;

/// What a log is, according to its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogEncoding {
    /// JSON from the first byte.
    Json,
    /// A table with this column delimiter.
    Csv(u8),
    /// Text that may contain JSON.
    Lines,
    /// Text in this encoding.
    Encoded(&'static str),
    /// A columnar file, and the name that `DuckDB` uses for its format.
    Columns(&'static str),
    /// Not a log.
    Binary,
}

impl LogEncoding {
    pub(super) fn of(beginning: &[u8]) -> Self {
        if let Some(encoding) = encoding(beginning) {
            return Self::Encoded(encoding);
        }
        if beginning.starts_with(b"PAR1") {
            return Self::Columns("parquet");
        }
        let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x1e;
        let mut bytes = text.iter().filter(|byte| !is_blank(byte));
        match (bytes.next(), bytes.next()) {
            (None | Some(b'{'), _) => return Self::Json,
            // Lines of text may begin with `[INFO]` or `[2024-…]`.
            (Some(b'['), next) if !next.is_some_and(u8::is_ascii_alphanumeric) => {
                return Self::Json;
            }
            _ => {}
        }
        if beginning.contains(&0) {
            return Self::Binary;
        }
        if let Some(delimiter) = delimiter(text) {
            return Self::Csv(delimiter);
        }
        match text.trim_ascii_start().first() {
            Some(b'"') => Self::Json,
            _ => Self::Lines,
        }
    }
}

/// The encoding of a text that is not UTF-8, by the name that `iconv` uses.
fn encoding(beginning: &[u8]) -> Option<&'static str> {
    match beginning {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("UTF-16"),
        _ => {}
    }
    // Without a byte order mark, one byte of each pair is 0, and always the same one.
    let (mut pairs, mut little, mut big) = (0, 0, 0);
    for pair in beginning.chunks_exact(2).take(256) {
        pairs += 1;
        little += usize::from(matches!(pair, [1..=255, 0]));
        big += usize::from(matches!(pair, [0, 1..=255]));
    }
    let is_most = |count: usize| count > 1 && count * 10 >= pairs * 9;
    match (is_most(little), is_most(big)) {
        (true, _) => Some("UTF-16LE"),
        (_, true) => Some("UTF-16BE"),
        _ => None,
    }
}

/// The largest object, in bytes, that is searched for over several lines of text.
const MAX_SPREAD: usize = 8 * 1024 * 1024;

/// A line of text, or the lines of one object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// The text ends within an object whose lines were already taken.
    CutObject,
}

/// Calls `take` with each line of `log`, or with all lines of an object that spans several.
pub(super) fn for_each_line(log: impl Read, mut take: impl FnMut(io::Result<Line<'_>>)) {
    let mut log = io::BufReader::with_capacity(256 * 1024, log);
    let mut text = Vec::new();
    // The start of the incomplete object, and its scan.
    let mut open: Option<(usize, RecordScan)> = None;
    loop {
        let before = text.len();
        let line = log.by_ref().take(MAX_RECORD_BYTES as u64 + 1);
        let read = match { line }.read_until(b'\n', &mut text) {
            Ok(read) => read,
            Err(error) => return take(Err(error)),
        };
        let is_end = read == 0;
        if read > MAX_RECORD_BYTES {
            text.truncate(before);
            let mib = MAX_RECORD_BYTES / 1024 / 1024;
            take(Err(io::Error::other(format!(
                "a line is larger than {mib} MiB"
            ))));
        }
        let begin = match &open {
            Some((begin, _)) => Some(*begin),
            None => spread_from(&text),
        };
        let mut is_whole = begin.is_none();
        if let Some(begin) = begin {
            let (_, mut scan) = open.take().unwrap_or_default();
            match scan.go_on(text.get(begin..).unwrap_or_default(), false) {
                ScanStep::NeedsMore if !is_end && text.len() < MAX_SPREAD => {
                    open = Some((begin, scan));
                    continue;
                }
                scanned => is_whole = matches!(scanned, ScanStep::Ends(_)),
            }
        }
        if is_whole {
            take(Ok(Line::Text(&text)));
        } else {
            // It was not an object after all, so each line stands alone.
            text.split_inclusive(|byte| *byte == b'\n')
                .for_each(|line| take(Ok(Line::Text(line))));
            let object = begin.and_then(|begin| text.get(begin + 1..));
            let is_json = object.is_some_and(|object| object.trim_ascii_start().starts_with(b"\""));
            if is_end && is_json {
                take(Ok(Line::CutObject));
            }
        }
        text.clear();
        if is_end {
            return;
        }
    }
}

/// The offset at which an object begins that continues on the next line.
fn spread_from(line: &[u8]) -> Option<usize> {
    let end = line.trim_ascii_end();
    let begin = memchr::memchr(b'{', end)?;
    (begin + 1 == end.len()).then_some(begin)
}
