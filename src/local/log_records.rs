//! The records in a log, one by one, whatever they are wrapped in: `{"Records":[…]}`, a JSON array, one record a line, or
//! one record. Reads on after what cannot be read, and keeps no more than one record in memory.

use std::io::{self, Read};

use thiserror::Error;

use crate::local::log_scan::{RecordScan, Scan};

/// The largest record that is read, in bytes. CloudTrail and EventBridge keep to 1 MiB; relays may add to that.
const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// How much is read at once: more than most records, and less than a core's cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// How deep lists of records may stand in one another, an object around a list counted too.
const MAX_AROUND: usize = 64;

/// How much of what is no record is shown, in characters.
const SHOWN: usize = 40;

/// What UTF-16 text begins with, in either order of bytes.
const UTF_16: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// Why a part of a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file or the stream ended in an error, a cut gzip among them.
    #[error("reading stopped: {0}")]
    Io(#[from] io::Error),
    /// Something that is no JSON object stands where a record belongs.
    #[error("not JSON: found `{0}` where a record begins")]
    NotARecord(String),
    /// The text is in another encoding.
    #[error("the text is UTF-16; convert it to UTF-8, as JSON is")]
    Utf16,
    /// The text ended within a record.
    #[error("the text ends within a record")]
    CutRecord,
    /// The text ended within a list of records.
    #[error("the text ends within the list of records")]
    CutList,
    /// The text ended behind a list of records, within the object that the list stands in.
    #[error("the text ends within the object around the records")]
    CutAround,
    /// A line ended within a text.
    #[error("a line ends within a text, so the record is broken")]
    BrokenText,
    /// The record is too large.
    #[error("the record is larger than {} MiB", MAX_RECORD_BYTES / 1024 / 1024)]
    TooLarge,
}

/// Calls `take` with the bytes of each record in `log`, or with what stands in a record's place, in order. Ends at the
/// end of the log, or after an error in reading it.
pub fn for_each_record(mut log: impl Read, mut take: impl FnMut(Result<&[u8], LogError>)) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    // How much of the buffer is text that was read and not yet taken.
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        let read = match log.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // What is pending is a part of a record; that it is cut follows from the error.
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

/// Where in the text the splitter stands.
#[derive(Debug, Default)]
struct Splitter {
    /// What is open around the records: `]` for a list, `}` for the object that a list stands in.
    around: Vec<u8>,
    /// The scan of the record that the text begins with, once it has begun.
    scan: Option<RecordScan>,
    /// Whether it is the rest of an object around records that is scanned, from behind its list on, and no record.
    is_rest: bool,
}

impl Splitter {
    /// Takes what is whole in `text`, which begins with the current record or where the next one is looked for, and
    /// answers how much that was.
    fn split(
        &mut self,
        text: &[u8],
        is_end: bool,
        take: &mut impl FnMut(Result<&[u8], LogError>),
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
                Scan::Ends(end) => {
                    if !self.is_rest {
                        take(Ok(record.get(..end).unwrap_or_default()));
                    }
                    start += end;
                }
                Scan::IsAround(begin) => {
                    self.around.extend(b"}]");
                    start += begin;
                }
                Scan::NeedsMore if record.len() > MAX_RECORD_BYTES => {
                    take(Err(LogError::TooLarge));
                    start += next_line_with_record(record);
                }
                Scan::NeedsMore if is_end => {
                    take(Err(if self.is_rest {
                        LogError::CutAround
                    } else {
                        LogError::CutRecord
                    }));
                    // That the list around it is cut too goes without saying.
                    self.around.clear();
                    start += next_line_with_record(record);
                }
                Scan::NeedsMore => {
                    self.scan = Some(scan);
                    break;
                }
                Scan::Broken(next) => {
                    take(Err(LogError::BrokenText));
                    // Only what was scanned counts, or it would matter in which pieces the text arrives.
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

    /// Passes over what may stand between records, and reports what may not.
    fn skip_between(
        &mut self,
        text: &[u8],
        mut at: usize,
        is_end: bool,
        take: &mut impl FnMut(Result<&[u8], LogError>),
    ) -> usize {
        while let Some(byte) = text.get(at) {
            match (byte, self.around.last()) {
                (b']', Some(b']')) => {
                    self.around.pop();
                    at += 1;
                    if self.around.last() == Some(&b'}') {
                        // After the list, the other fields of the object around it: no records, but maybe another list.
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
                // The last three are a byte order mark, whole or in parts.
                (b' ' | b'\t' | b'\r' | b'\n' | b',' | 0x1e, _) | (0xef | 0xbb | 0xbf, None) => {
                    at += 1;
                }
                (_, around) => {
                    let ends: &[u8] = if around.is_some() { b"\n,{]" } else { b"\n" };
                    let rest = text.get(at..).unwrap_or_default();
                    let length = rest.iter().position(|byte| ends.contains(byte));
                    if length.is_none() && !is_end && rest.len() < MAX_RECORD_BYTES {
                        return at;
                    }
                    let found = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
                    take(Err(no_record(found)));
                    // A `]` that closes nothing begins what is passed over here.
                    at += found.len().max(1);
                }
            }
        }
        at
    }
}

/// The offset of the next line that begins with `{`, where records one a line go on after a broken one; or the end.
fn next_line_with_record(record: &[u8]) -> usize {
    record
        .windows(2)
        .position(|pair| pair == b"\n{")
        .map_or(record.len(), |offset| offset + 1)
}

fn no_record(found: &[u8]) -> LogError {
    if UTF_16.iter().any(|mark| found.starts_with(mark)) {
        return LogError::Utf16;
    }
    let text = String::from_utf8_lossy(found);
    LogError::NotARecord(text.trim().chars().take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that arrives in pieces of so many bytes.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = buffer.len().min(self.1);
            self.0.read(&mut buffer[..size])
        }
    }

    /// What is read of `log`, the same however small the pieces in which it arrives.
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
    fn every_shape_gives_its_records() {
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
    fn a_text_with_brackets_and_escapes_is_no_structure() {
        let record = r#"{"a":"{[\"\\","b":"]}"}"#;
        check(record, &[record]);
    }

    #[test]
    fn what_is_broken_does_not_stop_what_follows() {
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
                "error: a line ends within a text, so the record is broken",
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
    fn what_is_odd_within_a_list_hides_nothing() {
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
    fn a_line_end_within_a_text_hides_no_record() {
        let broken = "{\"a\":\"x\ny\"}";
        check(
            &format!("{{\"Records\":[{broken},{{\"b\":2}}]}}"),
            &[broken, r#"{"b":2}"#],
        );
        check(
            "{\"a\":\"x\n  \"y\":1}\n{\"b\":2}\n  {\"c\":3}",
            &[
                "error: a line ends within a text, so the record is broken",
                r#"{"b":2}"#,
                r#"{"c":3}"#,
            ],
        );
        check(
            "[\n {\n  \"a\": \"x,\n  \"y\": 1\n },\n {\n  \"b\": 2\n }\n]",
            &[
                "error: a line ends within a text, so the record is broken",
                "{\n  \"b\": 2\n }",
            ],
        );
    }

    #[test]
    fn what_stands_behind_a_list_is_passed_over_whole() {
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
    fn lists_in_lists_take_no_memory_without_end() {
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
    fn a_list_that_does_not_end_is_cut() {
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
    fn a_record_that_never_ends_is_given_up() {
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
