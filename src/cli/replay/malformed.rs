//! Reports what could not be read: the first places, and the number of the others by kind.

use std::collections::BTreeMap;
use std::io::Write;

use crate::cli::MAX_CHARS;
use crate::local::log_reading::{LogReading, MalformedRecord};
use crate::output::escape::for_terminal;

/// How many lines with a place are printed. A line may stand for a run of records.
const LINES: usize = 20;

/// How many files that are not logs are named.
const NAMED: usize = 3;

/// Up to this length, the records of a run are listed individually.
const LISTED_OF_RUN: usize = 3;

/// Consecutive malformed records of one kind in one log.
struct RunOfErrors<'a> {
    first: &'a MalformedRecord,
    kind: String,
    count: u64,
}

/// Writes which records and files of `reading` could not be read.
pub(in crate::cli) fn report(out: &mut impl Write, reading: &LogReading) -> std::io::Result<()> {
    let mut runs: Vec<RunOfErrors<'_>> = vec![];
    for record in &reading.malformed_records {
        let kind = kind(&record.reason);
        match runs.last_mut().filter(|run| run.goes_on(record, &kind)) {
            Some(run) => run.count += 1,
            None => runs.push(RunOfErrors {
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
                writeln!(out, "{}", shown(record))?;
            }
            lines += length;
        } else {
            let more = run.count - 1;
            writeln!(
                out,
                "{}; the next {more} records have the same error",
                shown(run.first)
            )?;
            lines += 1;
        }
    }
    if let Some(line) = not_logs(reading) {
        writeln!(out, "{line}")?;
    }
    for (kind, count) in rest {
        let kind = for_terminal(kind, MAX_CHARS);
        writeln!(out, "malformed: {count} more: {kind}")?;
    }
    let not_listed = reading.malformed - reading.malformed_records.len() as u64;
    if not_listed > 0 {
        writeln!(out, "malformed: {not_listed} more, of any kind")?;
    }
    Ok(())
}

impl RunOfErrors<'_> {
    fn goes_on(&self, record: &MalformedRecord, kind: &str) -> bool {
        let next = self.first.record.map(|number| number + self.count);
        self.first.file == record.file
            && next.is_some()
            && next == record.record
            && self.kind == kind
    }
}

/// The files that are not logs, in one line.
fn not_logs(reading: &LogReading) -> Option<String> {
    let names = reading.not_log_names.iter().take(NAMED);
    let names: Vec<String> = names.map(|name| for_terminal(name, MAX_CHARS)).collect();
    let listed = names.len() as u64;
    match reading.not_logs {
        0 => None,
        1 => Some(format!("{}: not a log", names.join(""))),
        count if count > listed => Some(format!(
            "{count} files are not logs: {} and {} more",
            names.join(", "),
            count - listed
        )),
        count => Some(format!("{count} files are not logs: {}", names.join(", "))),
    }
}

fn shown(record: &MalformedRecord) -> String {
    let file = for_terminal(&record.file, MAX_CHARS);
    let reason = for_terminal(&record.reason, MAX_CHARS);
    match record.record {
        Some(number) => format!("malformed: {file}, record {number}: {reason}"),
        None => format!("unreadable: {file}: {reason}"),
    }
}

/// The kind of `reason`: the text without its quotes and numbers.
fn kind(reason: &str) -> String {
    // A quote may itself contain backticks, so everything between the first and the last one goes.
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

    const RECORD: &str = r#"{"eventName":"ListUsers"}"#;

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
    fn a_file_that_is_not_a_log_is_one_line() {
        let text = "# Title\n\nSome `words`, `quoted\n".repeat(135);
        check(
            &read(&[("README.md", &text), ("b.json", "odd\n{}")]),
            &["2 files are not logs: README.md, b.json"],
        );
    }

    #[test]
    fn quotes_and_numbers_do_not_make_a_new_kind() {
        assert_eq!(kind("found ```sh` where"), kind("found `a `b`, `c` where"));
        assert_eq!(kind("at line 1 column 23"), "at line # column #");
        assert_ne!(kind("`A` names no key"), kind("`A` names no user"));
    }

    #[test]
    fn a_short_run_is_listed_record_by_record() {
        let place = |number| {
            format!(
                "malformed: a, record {number}: not JSON: found `{number}` where a record begins"
            )
        };
        let (two, three, four) = (place(2), place(3), place(4));
        let log = format!("{RECORD}\n2\n3\n4\n");
        check(&read(&[("a", &log)]), &[&two, &three, &four]);
    }

    #[test]
    fn beyond_some_lines_the_rest_is_counted_by_kind() {
        // The two kinds alternate, so there is no run.
        let text = "{\"eventName\":\"CreateAccessKey\"}\nodd\n".repeat(600);
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
                "malformed: 490 more: `…` are missing or do not contain one",
                "malformed: 490 more: not JSON: found `…` where a record begins",
                "malformed: 200 more, of any kind",
            ]
        );
    }
}
