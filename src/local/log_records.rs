//! Splits a log into records, however they are wrapped: `{"Records":[…]}`, a JSON array, one record
//! per line, or a single record. Continues after parts that cannot be read, and holds at most one
//! record in memory.

use std::io::{self, Read};

use thiserror::Error;

use crate::local::log_scan::{RecordScan, ScanStep};

/// The largest record, or document with records, that is read, in bytes. CloudTrail and EventBridge
/// limit events to 1 MiB, but an export of many records may be one document.
pub(super) const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// How much is read at once: more than most records, and less than a core's cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// How deep lists of records may be nested, counting objects around lists.
const MAX_AROUND: usize = 64;

/// How many characters of a non-record are shown.
const SHOWN: usize = 40;

/// Why a part of a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file or stream ended in an error, such as a truncated gzip file.
    #[error("reading stopped: {0}")]
    Io(#[from] io::Error),
    /// A record was expected and something other than a JSON object was found.
    #[error("not JSON: found `{0}` where a record begins")]
    NotARecord(String),
    /// The text ended within a record.
    #[error("the text ends within a record")]
    CutRecord,
    /// The text ended within a list of records.
    #[error("the text ends within the list of records")]
    CutList,
    /// The text ended after a list of records but within the object around it.
    #[error("the text ends within the object around the records")]
    CutAround,
    /// A line ended within a string.
    #[error("a line ends within a string, so the record is broken")]
    BrokenText,
    /// The record is too large.
    #[error("the record is larger than {} MiB", MAX_RECORD_BYTES / 1024 / 1024)]
    TooLarge,
}

/// What was found where a record is expected.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    Object(&'a [u8]),
    /// A JSON string with its quotes. It may be a record that was encoded as a string.
    Text(&'a [u8]),
    /// Not JSON.
    Odd(&'a [u8]),
}

/// Calls `take` in order with the bytes of each record in `log`, or with what was found in its
/// place. Ends at the end of the log or after a read error.
pub fn for_each_record(log: impl Read, mut take: impl FnMut(Result<&[u8], LogError>)) {
    for_each_piece(log, |piece| {
        take(match piece {
            Ok(Piece::Object(bytes)) => Ok(bytes),
            Ok(Piece::Text(found) | Piece::Odd(found)) => Err(no_record(found)),
            Err(error) => Err(error),
        });
    });
}

/// Like `for_each_record`, but calls `take` with each piece of `log`.
pub(super) fn for_each_piece(
    mut log: impl Read,
    mut take: impl FnMut(Result<Piece<'_>, LogError>),
) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    // How much of the buffer is filled and not yet taken.
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        let read = match log.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // The pending bytes are part of a record. The error implies that the record is
            // incomplete.
            Err(error) => return take(Err(error.into())),
        };
        filled += read;
        let is_end = read == 0;
        let text = buffer.get(..filled).unwrap_or_default();
        let taken = splitter.split(text, is_end, &mut take);
        if is_end {
            return;
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

/// The splitter's position in the text.
#[derive(Debug, Default)]
struct Splitter {
    /// The open brackets around the records: `]` for a list, `}` for an object around a list.
    around: Vec<u8>,
    /// The scan of the record at the start of the text, once it has begun.
    scan: Option<RecordScan>,
    /// Whether the scan covers the rest of an object after its list of records, rather than a
    /// record.
    is_rest: bool,
    /// How many bytes of an unfinished non-record were already searched for its end.
    looked_through: usize,
    /// Whether the pending text is known not to be a JSON string, though it begins with a quote.
    is_odd: bool,
}

impl Splitter {
    /// Takes everything complete from `text`, which begins with the current record or at the
    /// position where the next one is expected. Returns how many bytes that was.
    fn split(
        &mut self,
        text: &[u8],
        is_end: bool,
        take: &mut impl FnMut(Result<Piece<'_>, LogError>),
    ) -> usize {
        let mut start = 0;
        loop {
            let mut scan = if let Some(begun) = self.scan.take() {
                begun
            } else {
                start = self.skip_between(text, start, is_end, take);
                if self.is_rest {
                    RecordScan::of_rest()
                } else {
                    RecordScan::default()
                }
            };
            let record = text.get(start..).unwrap_or_default();
            if record.first() != Some(&b'{') && !self.is_rest {
                break;
            }
            match scan.go_on(record, self.around.len() < MAX_AROUND) {
                ScanStep::Ends(end) => {
                    if !self.is_rest {
                        take(Ok(Piece::Object(record.get(..end).unwrap_or_default())));
                    }
                    start += end;
                }
                ScanStep::IsAround(begin) => {
                    self.around.extend(b"}]");
                    start += begin;
                }
                ScanStep::NeedsMore if record.len() > MAX_RECORD_BYTES => {
                    take(Err(LogError::TooLarge));
                    start += next_line_with_record(record);
                }
                ScanStep::NeedsMore if is_end => {
                    take(Err(if self.is_rest {
                        LogError::CutAround
                    } else {
                        LogError::CutRecord
                    }));
                    // The list around it is incomplete too, which needs no second report.
                    self.around.clear();
                    start += next_line_with_record(record);
                }
                ScanStep::NeedsMore => {
                    self.scan = Some(scan);
                    break;
                }
                ScanStep::Broken(next) => {
                    take(Err(LogError::BrokenText));
                    // Only scanned bytes count. Otherwise the result would depend on the pieces in
                    // which the text arrives.
                    start += next_line_with_record(record.get(..next).unwrap_or_default());
                }
            }
            self.is_rest = false;
        }
        if is_end && self.around.contains(&b']') {
            take(Err(LogError::CutList));
        }
        start
    }

    /// Skips what may be between records and reports anything else.
    fn skip_between(
        &mut self,
        text: &[u8],
        mut at: usize,
        is_end: bool,
        take: &mut impl FnMut(Result<Piece<'_>, LogError>),
    ) -> usize {
        while let Some(byte) = text.get(at) {
            match (byte, self.around.last()) {
                (b']', Some(b']')) => {
                    self.around.pop();
                    at += 1;
                    if self.around.last() == Some(&b'}') {
                        // The object's other fields follow its list. They are not records, but may
                        // include another list.
                        self.around.pop();
                        self.is_rest = true;
                        return at;
                    }
                }
                (b'{', _) => return at,
                (b'[', _) if self.around.len() < MAX_AROUND => {
                    self.around.push(b']');
                    at += 1;
                }
                // The last three bytes are a byte order mark, complete or in parts.
                (b' ' | b'\t' | b'\r' | b'\n' | b',' | 0x1e, _) | (0xef | 0xbb | 0xbf, None) => {
                    at += 1;
                }
                (first, around) => {
                    let ends: &[u8] = if around.is_some() { b"\n,{]" } else { b"\n" };
                    let rest = text.get(at..).unwrap_or_default();
                    let is_cut = is_end || rest.len() >= MAX_RECORD_BYTES;
                    let found_text = if *first == b'"' && !self.is_odd {
                        text_end(rest, &mut self.looked_through, is_cut)
                    } else {
                        TextEnd::None
                    };
                    let found = match found_text {
                        TextEnd::NeedsMore => return at,
                        TextEnd::At(end) => Piece::Text(rest.get(..end).unwrap_or_default()),
                        TextEnd::None => {
                            let from = self.looked_through.min(rest.len());
                            let unseen = rest.get(from..).unwrap_or_default();
                            let length = unseen.iter().position(|byte| ends.contains(byte));
                            if length.is_none() && !is_cut {
                                self.looked_through = rest.len();
                                self.is_odd = true;
                                return at;
                            }
                            let length = length.map_or(rest.len(), |length| from + length);
                            Piece::Odd(rest.get(..length).unwrap_or_default())
                        }
                    };
                    self.looked_through = 0;
                    self.is_odd = false;
                    let (Piece::Object(bytes) | Piece::Text(bytes) | Piece::Odd(bytes)) = found;
                    // A `]` without an opening bracket starts the skipped part.
                    at += bytes.len().max(1);
                    take(Ok(found));
                }
            }
        }
        at
    }
}

/// The offset of the next line that begins with `{`, where records per line resume after a broken
/// one; otherwise the end.
fn next_line_with_record(record: &[u8]) -> usize {
    record
        .windows(2)
        .position(|pair| pair == b"\n{")
        .map_or(record.len(), |offset| offset + 1)
}

/// Where a JSON string ends.
enum TextEnd {
    /// After its closing quote.
    At(usize),
    /// More bytes are needed.
    NeedsMore,
    /// This is not a JSON string, or it is part of something else.
    None,
}

/// Finds the end of the string at the start of `rest`, if only the end of an item or line follows.
/// `looked_through` is how much is known to contain no end.
fn text_end(rest: &[u8], looked_through: &mut usize, is_cut: bool) -> TextEnd {
    let none = |looked_through: &mut usize| {
        *looked_through = 0;
        TextEnd::None
    };
    let mut at = (*looked_through).max(1);
    loop {
        let unseen = rest.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', unseen) else {
            at = rest.len();
            break;
        };
        at += found;
        match rest.get(at) {
            Some(b'\\') if at + 1 < rest.len() => at += 2,
            Some(b'"') => {
                let behind = rest.get(at + 1..).unwrap_or_default();
                let next = behind
                    .iter()
                    .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
                match next {
                    Some(b',' | b']' | b'\n') => return TextEnd::At(at + 1),
                    None if is_cut => return TextEnd::At(at + 1),
                    None => break,
                    Some(_) => return none(looked_through),
                }
            }
            Some(b'\n') => return none(looked_through),
            _ => break,
        }
    }
    if is_cut {
        return none(looked_through);
    }
    *looked_through = at;
    TextEnd::NeedsMore
}

/// The error for a non-record.
pub(super) fn no_record(found: &[u8]) -> LogError {
    let text = String::from_utf8_lossy(found);
    LogError::NotARecord(text.trim().chars().take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that arrives in pieces of a fixed size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = buffer.len().min(self.1);
            self.0.read(&mut buffer[..size])
        }
    }

    /// Checks that `log` is read the same way whatever the size of the pieces it arrives in.
    #[track_caller]
    fn check(log: &str, expected: &[&str]) {
        for size in [1, 2, 7, 64, 65_536] {
            let mut found = Vec::new();
            for_each_record(Pieces(log.as_bytes(), size), |record| {
                found.push(match record {
                    Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Err(error) => format!("error: {error}"),
                });
            });
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn records_are_found_in_every_layout() {
        check(
            r#"{"Records":[{"a":1},{"b":{"c":"}"}}]}"#,
            &[r#"{"a":1}"#, r#"{"b":{"c":"}"}}"#],
        );
        check("{ \"Records\" : [\n {\"a\":1}\n ] }\n", &[r#"{"a":1}"#]);
        check(r#"[{"a":1},{"b":2}]"#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("{\"a\":1}\n{\"b\":2}\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check(
            "{\n  \"a\": {\n \"b\": [] }\n}",
            &["{\n  \"a\": {\n \"b\": [] }\n}"],
        );
        check(
            "{\"Records\":[{\"a\":1}]}\n{\"Records\":[{\"b\":2}]}",
            &[r#"{"a":1}"#, r#"{"b":2}"#],
        );
        check("\u{feff}[{\"a\":1}]", &[r#"{"a":1}"#]);
        check("", &[]);
        check("[]", &[]);
        check(r#"{"Records":[]}"#, &[]);
    }

    #[test]
    fn brackets_and_escapes_in_strings_are_not_structure() {
        let record = r#"{"a":"{[\"\\","b":"]}"}"#;
        check(record, &[record]);
    }

    #[test]
    fn broken_records_do_not_stop_later_ones() {
        check(
            "{\"a\":1}\nnonsense\n{\"b\":2}\n",
            &[
                r#"{"a":1}"#,
                "error: not JSON: found `nonsense` where a record begins",
                r#"{"b":2}"#,
            ],
        );
        check(
            "{\"a\":\"unclosed\n{\"b\":2}\n",
            &[
                "error: a line ends within a string, so the record is broken",
                r#"{"b":2}"#,
            ],
        );
        check(
            "{\"a\":{\n{\"b\":2}\n{\"c\":3}",
            &[
                "error: the text ends within a record",
                r#"{"b":2}"#,
                r#"{"c":3}"#,
            ],
        );
        check(
            "{\"Records\":[{\"a\":1},{\"b\":",
            &[r#"{"a":1}"#, "error: the text ends within a record"],
        );
    }

    #[test]
    fn non_records_in_a_list_hide_no_record() {
        let odd = |found| format!("error: not JSON: found `{found}` where a record begins");
        check(
            r#"{"Records":[{"a":1},nonsense,{"b":2},null,{"c":3}],"more":"]"}"#,
            &[
                r#"{"a":1}"#,
                &odd("nonsense"),
                r#"{"b":2}"#,
                &odd("null"),
                r#"{"c":3}"#,
            ],
        );
        check(
            r#"{"Comment":"{\"Records\":[","Records":[{"a":1}]}"#,
            &[r#"{"a":1}"#],
        );
        let inner = r#"{"a":{"Records":[1]}}"#;
        check(inner, &[inner]);
    }

    #[test]
    fn an_invalid_string_is_skipped_to_the_end_of_its_line() {
        check(
            "\"detail\":\"a\",\"id\":\"b\"\n{\"c\":3}",
            &[
                "error: not JSON: found `\"detail\":\"a\",\"id\":\"b\"` where a record begins",
                r#"{"c":3}"#,
            ],
        );
    }

    #[test]
    fn a_line_end_within_a_string_hides_no_record() {
        let broken = "{\"a\":\"x\ny\"}";
        check(
            &format!("{{\"Records\":[{broken},{{\"b\":2}}]}}"),
            &[broken, r#"{"b":2}"#],
        );
        check(
            "{\"a\":\"x\n  \"y\":1}\n{\"b\":2}\n  {\"c\":3}",
            &[
                "error: a line ends within a string, so the record is broken",
                r#"{"b":2}"#,
                r#"{"c":3}"#,
            ],
        );
        check(
            "[\n {\n  \"a\": \"x,\n  \"y\": 1\n },\n {\n  \"b\": 2\n }\n]",
            &[
                "error: a line ends within a string, so the record is broken",
                "{\n  \"b\": 2\n }",
            ],
        );
    }

    #[test]
    fn fields_after_a_list_are_skipped() {
        check(
            r#"{"Records":[{"a":1}],"more":{"of":["}",{}]},"and":"}"}{"b":2}"#,
            &[r#"{"a":1}"#, r#"{"b":2}"#],
        );
        check(
            r#"[{"Records":[{"a":1}],"b":{},"Records":[{"c":3}]},{"d":4}]"#,
            &[r#"{"a":1}"#, r#"{"c":3}"#, r#"{"d":4}"#],
        );
    }

    #[test]
    fn nested_lists_take_bounded_memory() {
        for inner in ["[", r#"{"Records":["#] {
            let mut splitter = Splitter::default();
            splitter.split(inner.repeat(100_000).as_bytes(), false, &mut |_| {});
            assert!(
                splitter.around.len() <= MAX_AROUND + 1,
                "{}",
                splitter.around.len()
            );
        }
    }

    #[test]
    fn a_list_without_an_end_is_reported() {
        let cut = "error: the text ends within the list of records";
        check(r#"{"Records":[{"a":1},"#, &[r#"{"a":1}"#, cut]);
        check(r#"[{"a":1}"#, &[r#"{"a":1}"#, cut]);
        check(&"[".repeat(MAX_AROUND), &[cut]);
        let around = "error: the text ends within the object around the records";
        check(r#"{"Records":[{"a":1}]"#, &[r#"{"a":1}"#, around]);
        check(
            "{\"Records\":[{\"a\":1}],\n{\"Records\":[{\"b\":2}]}",
            &[r#"{"a":1}"#, around, r#"{"b":2}"#],
        );
    }

    #[test]
    fn a_record_without_an_end_is_abandoned() {
        let log = format!(
            "{{\"a\":\"{}\n{{\"b\":2}}",
            "x".repeat(MAX_RECORD_BYTES + 100)
        );
        let mut found = Vec::new();
        for_each_record(log.as_bytes(), |record| {
            found.push(record.map(<[u8]>::len).map_err(|error| error.to_string()));
        });
        assert_eq!(found.last(), Some(&Ok(7)));
        assert_eq!(found.len(), 2);
    }
}
