//! Finds the end of a record without parsing it: 64 bytes at a time, or byte by byte where a string
//! contains something unusual.

use crate::local::log_blocks::{BLOCK_BYTES, Block};

/// The state of the scan of one record, or of the rest of an object around records.
#[derive(Debug, Default)]
pub(super) struct RecordScan {
    scanned: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

/// The result of a scan.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ScanStep {
    /// The record ends before this offset.
    Ends(usize),
    /// What looked like a record is the object around a list of records. The list begins at this
    /// offset.
    IsAround(usize),
    /// More bytes are needed.
    NeedsMore,
    /// A line ends within a string, and the next line, at this offset, begins a record.
    Broken(usize),
}

impl RecordScan {
    /// Starts the scan of the rest of an object after its list.
    pub(super) fn of_rest() -> Self {
        Self {
            depth: 1,
            ..Self::default()
        }
    }

    /// Continues the scan of `record`, which begins with the bytes scanned before. `may_be_around`:
    /// it may be an object around a list.
    pub(super) fn go_on(&mut self, record: &[u8], may_be_around: bool) -> ScanStep {
        while let Some(bytes) = record
            .get(self.scanned..)
            .and_then(<[u8]>::first_chunk::<BLOCK_BYTES>)
        {
            let block = Block::of(bytes);
            let texts = block.texts(self.in_text);
            let is_odd = self.escaped || block.backslashes != 0 || block.line_ends & texts != 0;
            let found = if is_odd {
                self.byte_by_byte(record, self.scanned + BLOCK_BYTES, may_be_around)
            } else {
                self.block(block, texts, record, may_be_around)
            };
            if let Some(found) = found {
                return found;
            }
        }
        self.byte_by_byte(record, record.len(), may_be_around)
            .unwrap_or(ScanStep::NeedsMore)
    }

    /// Scans a block in which no quote is escaped and no line ends within a string.
    fn block(
        &mut self,
        block: Block,
        texts: u64,
        record: &[u8],
        may_be_around: bool,
    ) -> Option<ScanStep> {
        let mut brackets = (block.opening | block.closing) & !texts;
        while brackets != 0 {
            let bracket = brackets & brackets.wrapping_neg();
            let offset = self.scanned + bracket.trailing_zeros() as usize;
            let found = if block.opening & bracket == 0 {
                self.close(offset)
            } else {
                self.open(record, offset, may_be_around)
            };
            if found.is_some() {
                return found;
            }
            brackets ^= bracket;
        }
        self.in_text = texts >> (BLOCK_BYTES - 1) == 1;
        self.scanned += BLOCK_BYTES;
        None
    }

    fn byte_by_byte(&mut self, record: &[u8], end: usize, may_be_around: bool) -> Option<ScanStep> {
        let bytes = record.get(self.scanned..end)?;
        for (byte, offset) in bytes.iter().zip(self.scanned..) {
            let found = match byte {
                _ if self.escaped => {
                    self.escaped = false;
                    None
                }
                b'"' => {
                    self.in_text = !self.in_text;
                    None
                }
                b'\\' if self.in_text => {
                    self.escaped = true;
                    None
                }
                // JSON strings contain no line ends. Either the string was not closed, or a line
                // end was not escaped. The next line decides; in the second case the record is
                // complete, and parsing reports the error.
                b'\n' if self.in_text => match begins_record(record, offset + 1) {
                    Some(false) => None,
                    Some(true) => Some(ScanStep::Broken(offset + 1)),
                    None => {
                        self.scanned = offset;
                        Some(ScanStep::NeedsMore)
                    }
                },
                b'{' | b'[' if !self.in_text => self.open(record, offset, may_be_around),
                b'}' | b']' if !self.in_text => self.close(offset),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        self.scanned = end;
        None
    }

    fn open(&mut self, record: &[u8], offset: usize, may_be_around: bool) -> Option<ScanStep> {
        let names_list = || names_records(record.get(..offset).unwrap_or_default());
        if may_be_around && self.depth == 1 && record.get(offset) == Some(&b'[') && names_list() {
            return Some(ScanStep::IsAround(offset + 1));
        }
        self.depth += 1;
        None
    }

    fn close(&mut self, offset: usize) -> Option<ScanStep> {
        self.depth = self.depth.saturating_sub(1);
        (self.depth == 0).then_some(ScanStep::Ends(offset + 1))
    }
}

/// The names of lists that contain records, or that contain their wrappers: CloudTrail's own, then
/// those of `aws cloudtrail lookup-events`, `aws logs filter-log-events`, a CloudWatch Logs
/// subscription and `aws sqs receive-message`. No record has a list with such a name, and an export
/// may be one object of any size.
const LISTS: [&[u8]; 5] = [
    b"\"Records\"",
    b"\"Events\"",
    b"\"events\"",
    b"\"logEvents\"",
    b"\"Messages\"",
];

/// Whether `before` ends in the name of a list of records.
fn names_records(before: &[u8]) -> bool {
    before
        .trim_ascii_end()
        .strip_suffix(b":")
        .is_some_and(|name| {
            let name = name.trim_ascii_end();
            LISTS.iter().any(|list| name.ends_with(list))
        })
}

/// Whether a `{` follows `from` after any blanks, or `None` if more bytes are needed.
fn begins_record(text: &[u8], from: usize) -> Option<bool> {
    let rest = text.get(from..)?;
    let first = rest.iter().find(|byte| !byte.is_ascii_whitespace())?;
    Some(*first == b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans the same text in blocks and byte by byte.
    #[track_caller]
    fn check(text: &str, expected: &ScanStep) {
        let mut in_blocks = RecordScan::default();
        assert_eq!(in_blocks.go_on(text.as_bytes(), true), *expected);
        let mut in_bytes = RecordScan::default();
        let found = (1..=text.len())
            .map(|end| in_bytes.go_on(&text.as_bytes()[..end], true))
            .find(|found| *found != ScanStep::NeedsMore);
        assert_eq!(found.as_ref(), Some(expected), "byte by byte: {text}");
    }

    #[test]
    fn record_end_does_not_depend_on_block_boundaries() {
        for filler in 0..2 * BLOCK_BYTES {
            let filler = "x".repeat(filler);
            for inner in [
                r#""{[""#,
                r#"["}",{"b":[]}]"#,
                r#""\\","b":"\"}""#,
                r#""\"}\\\"]""#,
            ] {
                let record = format!("{{\"{filler}\":{inner}}}");
                check(&format!("{record},{{}}"), &ScanStep::Ends(record.len()));
            }
            let around = format!("{{\"{filler}\":[],\"Records\" : [");
            check(
                &format!("{around}{{}}]}}"),
                &ScanStep::IsAround(around.len()),
            );
            let broken = format!("{{\"a\":\"{filler}\n");
            check(
                &format!("{broken}{{\"a\":1}}{}", " ".repeat(BLOCK_BYTES)),
                &ScanStep::Broken(broken.len()),
            );
        }
    }

    #[test]
    fn a_backslash_outside_a_string_escapes_nothing() {
        let record = r#"{\"a}":1}"#;
        let padded = format!("{record}{}", " ".repeat(BLOCK_BYTES));
        check(&padded, &ScanStep::Ends(record.len()));
    }
}
