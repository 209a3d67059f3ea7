//! The records in a log, one by one, whatever it is wrapped in: `{"Records":[…]}`, a JSON array, one record a line, or
//! one record. Reads on after what cannot be read, and keeps no more than one record in memory.

use std::io::{self, BufRead};

use thiserror::Error;

/// The largest record that is read, in bytes. `CloudTrail` and EventBridge keep to 1 MiB; relays may add to that.
const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// What begins the files that CloudTrail itself writes, without white space.
const WRAPPER: &[u8] = b"{\"Records\":[";

/// Why a part of a log cannot be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file or the stream ended in an error, a cut gzip among them.
    #[error("reading stopped: {0}")]
    Io(#[from] io::Error),
    /// Something that is no JSON object stands where a record belongs.
    #[error("not JSON: found `{0}` where a record begins")]
    NotJson(String),
    /// The text ended within a record.
    #[error("the text ends within a record")]
    Unclosed,
    /// A line ended within a text.
    #[error("a line ends within a text, so the record is broken")]
    BrokenText,
    /// The record is too large.
    #[error("the record is larger than {} MiB", MAX_RECORD_BYTES / 1024 / 1024)]
    TooLarge,
}

/// Calls `take` with the bytes of each record in `log`, or with what stands in a record's place, in order. Ends at the
/// end of the log, or after an error in reading it.
pub fn for_each_record(
    mut log: impl BufRead,
    mut take: impl FnMut(Result<&[u8], LogError>),
) {
    let mut splitter = Splitter::default();
    loop {
        let (used, is_end) = match log.fill_buf() {
            Ok(bytes) => {
                splitter.pending.extend_from_slice(bytes);
                (bytes.len(), bytes.is_empty())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                splitter.drain(true, &mut take);
                take(Err(error.into()));
                return;
            }
        };
        log.consume(used);
        splitter.drain(is_end, &mut take);
        if is_end {
            return;
        }
    }
}

/// Where in the text the splitter stands.
#[derive(Debug, Default)]
struct Splitter {
    /// The bytes from the beginning of the current record on, or from where the next one is looked for.
    pending: Vec<u8>,
    /// How far the current record was scanned.
    scanned: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// Whether `{"Records":[` was passed, so that a lone `}` closes it.
    in_wrapper: bool,
}

enum Scan {
    /// The record ends before this offset.
    Ends(usize),
    /// More bytes are needed.
    NeedsMore,
    /// The record is broken at this offset.
    Broken(LogError),
}

impl Splitter {
    fn drain(&mut self, is_end: bool, take: &mut impl FnMut(Result<&[u8], LogError>)) {
        let mut pending = std::mem::take(&mut self.pending);
        let mut start = 0;
        loop {
            if self.depth == 0 {
                start = self.skip_between(&pending, start, is_end, take);
                if pending.get(start).is_none_or(|byte| *byte != b'{')
                    || self.may_be_wrapper(pending.get(start..).unwrap_or_default(), is_end)
                {
                    break;
                }
            }
            let record = pending.get(start..).unwrap_or_default();
            match self.scan(record) {
                Scan::Ends(end) => {
                    take(Ok(record.get(..end).unwrap_or_default()));
                    start += end;
                    self.restart();
                }
                Scan::NeedsMore if record.len() > MAX_RECORD_BYTES => {
                    take(Err(LogError::TooLarge));
                    start += next_line_with_record(record);
                    self.restart();
                }
                Scan::NeedsMore if is_end => {
                    take(Err(LogError::Unclosed));
                    start += next_line_with_record(record);
                    self.restart();
                }
                Scan::NeedsMore => break,
                Scan::Broken(error) => {
                    take(Err(error));
                    start += next_line_with_record(record);
                    self.restart();
                }
            }
        }
        pending.drain(..start);
        self.pending = pending;
    }

    fn restart(&mut self) {
        (self.scanned, self.depth) = (0, 0);
        (self.in_text, self.escaped) = (false, false);
    }

    /// Passes over what may stand between records, and reports what may not.
    fn skip_between(
        &mut self,
        pending: &[u8],
        mut at: usize,
        is_end: bool,
        take: &mut impl FnMut(Result<&[u8], LogError>),
    ) -> usize {
        while let Some(byte) = pending.get(at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | 0x1e => at += 1,
                // A byte order mark, whole or in parts.
                0xef | 0xbb | 0xbf => at += 1,
                b'}' if self.in_wrapper => {
                    self.in_wrapper = false;
                    at += 1;
                }
                b'{' => match wrapper_length(pending.get(at..).unwrap_or_default()) {
                    Some(length) => {
                        self.in_wrapper = true;
                        at += length;
                    }
                    None => return at,
                },
                _ => {
                    let rest = pending.get(at..).unwrap_or_default();
                    let line_ends = rest.iter().position(|byte| *byte == b'\n');
                    if line_ends.is_none() && !is_end && rest.len() < MAX_RECORD_BYTES {
                        return at;
                    }
                    let line = rest.get(..line_ends.unwrap_or(rest.len())).unwrap_or_default();
                    // What follows the records within CloudTrail's own wrapper is no record and nobody's loss.
                    if !self.in_wrapper {
                        let beginning: String = String::from_utf8_lossy(line).chars().take(40).collect();
                        take(Err(LogError::NotJson(beginning)));
                    }
                    at += line.len();
                }
            }
        }
        at
    }

    /// Whether `pending` is too short to tell whether the wrapper begins here.
    fn may_be_wrapper(&self, pending: &[u8], is_end: bool) -> bool {
        !is_end
            && self.scanned == 0
            && pending.len() < 4096
            && matches!(wrapper_match(pending), WrapperMatch::TooShort)
    }

    fn scan(&mut self, record: &[u8]) -> Scan {
        for (offset, byte) in record.iter().enumerate().skip(self.scanned) {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    b'\n' => return Scan::Broken(LogError::BrokenText),
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Scan::Ends(offset + 1);
                    }
                }
                _ => {}
            }
        }
        self.scanned = record.len();
        Scan::NeedsMore
    }
}

/// The offset of the next line that begins with `{`, where records one a line go on after a broken one; or the end.
fn next_line_with_record(record: &[u8]) -> usize {
    record
        .windows(2)
        .position(|pair| pair == b"\n{")
        .map_or(record.len(), |offset| offset + 1)
}

enum WrapperMatch {
    Yes(usize),
    No,
    TooShort,
}

fn wrapper_length(pending: &[u8]) -> Option<usize> {
    match wrapper_match(pending) {
        WrapperMatch::Yes(length) => Some(length),
        WrapperMatch::No | WrapperMatch::TooShort => None,
    }
}

/// Whether `pending` begins with the wrapper; white space may stand between its parts.
fn wrapper_match(pending: &[u8]) -> WrapperMatch {
    let mut wanted = WRAPPER.iter();
    let mut next = wanted.next();
    for (offset, byte) in pending.iter().enumerate() {
        match next {
            Some(expected) if byte == expected => next = wanted.next(),
            Some(_) if byte.is_ascii_whitespace() => continue,
            Some(_) => return WrapperMatch::No,
            None => return WrapperMatch::Yes(offset),
        }
        if next.is_none() {
            return WrapperMatch::Yes(offset + 1);
        }
    }
    WrapperMatch::TooShort
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// What is read of `log`, the same however small the pieces in which it arrives.
    #[track_caller]
    fn check(log: &str, expected: &[&str]) {
        for capacity in [1, 2, 7, 64, 65_536] {
            let mut found = Vec::new();
            let reader = BufReader::with_capacity(capacity, log.as_bytes());
            for_each_record(reader, |record| {
                found.push(match record {
                    Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Err(error) => format!("error: {error}"),
                });
            });
            assert_eq!(found, expected, "in pieces of {capacity}");
        }
    }

    #[test]
    fn every_shape_gives_its_records() {
        check(r#"{"Records":[{"a":1},{"b":{"c":"}"}}]}"#, &[r#"{"a":1}"#, r#"{"b":{"c":"}"}}"#]);
        check("{ \"Records\" : [\n {\"a\":1}\n ] }\n", &[r#"{"a":1}"#]);
        check(r#"[{"a":1},{"b":2}]"#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("{\"a\":1}\n{\"b\":2}\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("{\n  \"a\": {\n \"b\": [] }\n}", &["{\n  \"a\": {\n \"b\": [] }\n}"]);
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
            &[r#"{"a":1}"#, "error: not JSON: found `nonsense` where a record begins", r#"{"b":2}"#],
        );
        check(
            "{\"a\":\"unclosed\n{\"b\":2}\n",
            &["error: a line ends within a text, so the record is broken", r#"{"b":2}"#],
        );
        check(
            "{\"a\":{\n{\"b\":2}\n{\"c\":3}",
            &["error: the text ends within a record", r#"{"b":2}"#, r#"{"c":3}"#],
        );
        check("{\"Records\":[{\"a\":1},{\"b\":", &[r#"{"a":1}"#, "error: the text ends within a record"]);
    }

    #[test]
    fn a_record_that_never_ends_is_given_up() {
        let log = format!("{{\"a\":\"{}\n{{\"b\":2}}", "x".repeat(MAX_RECORD_BYTES + 100));
        let mut found = Vec::new();
        for_each_record(log.as_bytes(), |record| found.push(record.map(<[u8]>::len).map_err(|error| error.to_string())));
        assert_eq!(found.last(), Some(&Ok(7)));
        assert_eq!(found.len(), 2);
    }
}
