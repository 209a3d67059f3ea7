//! Where a record ends, found without parsing it: 64 bytes at a time, or byte by byte where a text holds something odd.

use crate::local::log_blocks::{BLOCK_BYTES, Block};

/// How far the scan of one record, or of the rest of an object around records, has come.
#[derive(Debug, Default)]
pub(super) struct RecordScan {
    scanned: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

/// What a scan found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The record ends before this offset.
    Ends(usize),
    /// What looked like a record is the object around a list of records, which begins at this offset.
    IsAround(usize),
    /// More bytes are needed.
    NeedsMore,
    /// A line ends within a text, and the next one, which begins at this offset, begins a record.
    Broken(usize),
}

impl RecordScan {
    /// The scan of what stands behind a list, in the object around it.
    pub(super) fn of_rest() -> Self {
        Self {
            depth: 1,
            ..Self::default()
        }
    }

    /// Scans `record`, which begins with what was scanned before. `may_be_around`: it may be an object around a list.
    pub(super) fn go_on(&mut self, record: &[u8], may_be_around: bool) -> Scan {
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
            .unwrap_or(Scan::NeedsMore)
    }

    /// Scans a block in which no quote is escaped and no line ends within a text.
    fn block(
        &mut self,
        block: Block,
        texts: u64,
        record: &[u8],
        may_be_around: bool,
    ) -> Option<Scan> {
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

    fn byte_by_byte(&mut self, record: &[u8], end: usize, may_be_around: bool) -> Option<Scan> {
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
                // JSON has no line ends in texts. Was the text left open, or a line end not escaped? The next line
                // tells; in the second case the record has its end, and is reported when it is parsed.
                b'\n' if self.in_text => match begins_record(record, offset + 1) {
                    Some(false) => None,
                    Some(true) => Some(Scan::Broken(offset + 1)),
                    None => {
                        self.scanned = offset;
                        Some(Scan::NeedsMore)
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

    fn open(&mut self, record: &[u8], offset: usize, may_be_around: bool) -> Option<Scan> {
        let names_list = || names_records(record.get(..offset).unwrap_or_default());
        if may_be_around && self.depth == 1 && record.get(offset) == Some(&b'[') && names_list() {
            return Some(Scan::IsAround(offset + 1));
        }
        self.depth += 1;
        None
    }

    fn close(&mut self, offset: usize) -> Option<Scan> {
        self.depth = self.depth.saturating_sub(1);
        (self.depth == 0).then_some(Scan::Ends(offset + 1))
    }
}

/// Whether `before` ends in the name of CloudTrail's list of records.
fn names_records(before: &[u8]) -> bool {
    before
        .trim_ascii_end()
        .strip_suffix(b":")
        .is_some_and(|name| name.trim_ascii_end().ends_with(b"\"Records\""))
}

/// Whether what follows `from`, after any blanks, is a `{`; none if that cannot be told yet.
fn begins_record(text: &[u8], from: usize) -> Option<bool> {
    let rest = text.get(from..)?;
    let first = rest.iter().find(|byte| !byte.is_ascii_whitespace())?;
    Some(*first == b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same text is scanned in blocks, and byte by byte as it is when it arrives so.
    #[track_caller]
    fn check(text: &str, expected: &Scan) {
        let mut in_blocks = RecordScan::default();
        assert_eq!(in_blocks.go_on(text.as_bytes(), true), *expected);
        let mut in_bytes = RecordScan::default();
        let found = (1..=text.len())
            .map(|end| in_bytes.go_on(&text.as_bytes()[..end], true))
            .find(|found| *found != Scan::NeedsMore);
        assert_eq!(found.as_ref(), Some(expected), "byte by byte: {text}");
    }

    #[test]
    fn wherever_a_block_ends_the_record_ends_at_its_brace() {
        for filler in 0..2 * BLOCK_BYTES {
            let filler = "x".repeat(filler);
            for inner in [
                r#""{[""#,
                r#"["}",{"b":[]}]"#,
                r#""\\","b":"\"}""#,
                r#""\"}\\\"]""#,
            ] {
                let record = format!("{{\"{filler}\":{inner}}}");
                check(&format!("{record},{{}}"), &Scan::Ends(record.len()));
            }
            let around = format!("{{\"{filler}\":[],\"Records\" : [");
            check(&format!("{around}{{}}]}}"), &Scan::IsAround(around.len()));
            let broken = format!("{{\"a\":\"{filler}\n");
            check(
                &format!("{broken}{{\"a\":1}}{}", " ".repeat(BLOCK_BYTES)),
                &Scan::Broken(broken.len()),
            );
        }
    }

    #[test]
    fn a_backslash_outside_of_a_text_escapes_nothing() {
        let record = r#"{\"a}":1}"#;
        let padded = format!("{record}{}", " ".repeat(BLOCK_BYTES));
        check(&padded, &Scan::Ends(record.len()));
    }
}
