//! What could not be read, for a person: the first few places, and a count by kind of the rest.

use std::collections::BTreeMap;
use std::io::Write;

use crate::cli::LONGEST;
use crate::local::log_reading::{LogReading, MalformedRecord};
use crate::output::escape::for_terminal;

/// How many lines name a place; a line may stand for a run of records.
const LINES: usize = 20;

/// How many records of one kind in a row are listed each.
const LISTED_OF_RUN: usize = 3;

/// Malformed records of one kind in one log, each right after the one before.
struct Run<'a> {
    first: &'a MalformedRecord,
    kind: String,
    count: u64,
}

/// Writes what of `reading` could not be read.
pub(super) fn report(out: &mut impl Write, reading: &LogReading) -> std::io::Result<()> {
    let mut runs: Vec<Run<'_>> = vec![];
    for record in &reading.malformed_records {
        let kind = kind(&record.reason);
        match runs.last_mut().filter(|run| run.goes_on(record, &kind)) {
            Some(run) => run.count += 1,
            None => runs.push(Run {
                first: record,
                kind,
                count: 1,
            }),
        }
    }
    let mut lines = 0;
    let mut rest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut records = reading.malformed_records.iter();
    for run in &runs {
        let length = usize::try_from(run.count).unwrap_or(usize::MAX);
        let of_run: Vec<&MalformedRecord> = records.by_ref().take(length).collect();
        if lines >= LINES {
            *rest.entry(&run.kind).or_default() += run.count;
        } else if length <= LISTED_OF_RUN {
            for record in of_run {
                writeln!(out, "malformed: {}", shown(record))?;
            }
            lines += length;
        } else {
            let more = run.count - 1;
            writeln!(
                out,
                "malformed: {}; the {more} after it are alike",
                shown(run.first)
            )?;
            lines += 1;
        }
    }
    for (kind, count) in rest {
        let kind = for_terminal(kind, LONGEST);
        writeln!(out, "malformed: {count} more: {kind}")?;
    }
    let not_listed = reading.malformed - reading.malformed_records.len() as u64;
    if not_listed > 0 {
        writeln!(out, "malformed: {not_listed} more, of any kind")?;
    }
    Ok(())
}

impl Run<'_> {
    fn goes_on(&self, record: &MalformedRecord, kind: &str) -> bool {
        let next = self.first.record.map(|number| number + self.count);
        self.first.file == record.file
            && next.is_some()
            && next == record.record
            && self.kind == kind
    }
}

fn shown(record: &MalformedRecord) -> String {
    let place = record
        .record
        .map_or_else(String::new, |number| format!(", record {number}"));
    format!(
        "{}{place}: {}",
        for_terminal(&record.file, LONGEST),
        for_terminal(&record.reason, LONGEST)
    )
}

/// The kind of `reason`: its words, without what they quote and count.
fn kind(reason: &str) -> String {
    // What is quoted may hold backticks itself, so all from the first to the last one goes.
    let words = match (reason.split_once('`'), reason.rsplit_once('`')) {
        (Some((before, _)), Some((_, after))) => format!("{before}`…`{after}"),
        _ => reason.to_owned(),
    };
    let mut kind = String::new();
    for character in words.chars() {
        match character {
            '0'..='9' if kind.ends_with('#') => {}
            '0'..='9' => kind.push('#'),
            character => kind.push(character),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reading: &LogReading, expected: &[&str]) {
        let mut out = vec![];
        report(&mut out, reading).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
    }

    fn read(logs: &[(&str, &str)]) -> LogReading {
        let mut reading = LogReading::default();
        for (name, log) in logs {
            reading.read(name, log.as_bytes(), chrono::DateTime::UNIX_EPOCH);
        }
        reading
    }

    #[test]
    fn a_file_that_is_no_log_is_one_line() {
        let text = "# Title\n\nSome `words`, `quoted\n".repeat(135);
        check(
            &read(&[("README.md", &text), ("b.json", "odd\n{}")]),
            &[
                "malformed: README.md, record 1: not JSON: found `# Title` where a record begins; the 269 after it \
                 are alike",
                "malformed: b.json, record 1: not JSON: found `odd` where a record begins",
                "malformed: b.json, record 2: not a CloudTrail record: it has no `eventName`",
            ],
        );
    }

    #[test]
    fn what_is_quoted_and_counted_makes_no_kind_of_its_own() {
        assert_eq!(kind("found ```sh` where"), kind("found `a `b`, `c` where"));
        assert_eq!(kind("at line 1 column 23"), "at line # column #");
        assert_ne!(kind("`A` names no key"), kind("`A` names no user"));
    }

    #[test]
    fn a_few_alike_in_a_row_are_listed_each() {
        let place = |number| {
            format!(
                "malformed: a, record {number}: not JSON: found `{number}` where a record begins"
            )
        };
        let (one, two, three) = (place(1), place(2), place(3));
        check(&read(&[("a", "1\n2\n3\n")]), &[&one, &two, &three]);
    }

    #[test]
    fn beyond_some_lines_the_rest_is_counted_by_kind() {
        // Neither kind stands in a row.
        let text = "{}\nodd\n".repeat(600);
        let mut out = vec![];
        let reading = read(&[("a", &text)]);
        report(&mut out, &reading).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        let (listed, rest) = lines.split_at(LINES);
        assert!(listed.iter().all(|line| line.contains(", record ")));
        assert_eq!(
            rest,
            [
                "malformed: 490 more: not JSON: found `…` where a record begins",
                "malformed: 490 more: not a CloudTrail record: it has no `…`",
                "malformed: 200 more, of any kind",
            ]
        );
    }
}
