//! Prints the result of a replay: the findings, and what was read.

use std::collections::BTreeSet;
use std::io::Write;

use chrono::Utc;

use crate::cli::MAX_CHARS;
use crate::cli::finding_lines::{write, write_brief, write_ending};
use crate::cli::finding_order::by_urgency;
use crate::cli::finding_output::{About, DocumentFormat, FindingFormat, write_document};
use crate::cli::judging::add_trails;
use crate::cli::replay::{Args, ending, sources};
use crate::cli::table::width;
use crate::cli::user_name::ROOT;
use crate::detect::findings::finding::FindingStatus;
use crate::detect::user::UserId;
use crate::local::log_reading::{LogReading, MalformedRecord};
use crate::local::replay::Replay;
use crate::local::sqlite::SqliteStore;
use crate::output::escape::for_terminal;
use crate::output::invocation::AcceptedOptions;
use crate::output::json_v1::runs::{
    FilesV1, KeyOfUserV1, MalformedRecordV1, ReplaySummaryV1, UserV1,
};
use crate::output::snapshot::FindingSnapshot;

/// What a replay has read and done.
pub(super) struct ReplayResult {
    pub(super) reading: LogReading,
    pub(super) replayed: Replay,
    /// How many files are not logs.
    pub(super) passed_over: u64,
    /// The logs that could be read only once.
    pub(super) read_once: Vec<String>,
    /// The Region for the findings in ASFF.
    pub(super) region: String,
}

/// Prints the result; returns whether there is any finding.
pub(super) async fn print(
    args: &Args,
    store: &SqliteStore,
    result: &ReplayResult,
) -> anyhow::Result<bool> {
    let (users, open, closed) = store.summary()?;
    let others = ending::may_have_had_another(&result.reading, users)?;
    let mut out = args.output.file.stream()?;
    match args.output.format.for_programs() {
        None => print_text(&mut out, args, store, result, &others)?,
        Some(DocumentFormat::Asff) => {
            let mut snapshots = all(args, store)?;
            // Security Hub orders updates by the sequence number.
            add_trails(store, &mut snapshots).await?;
            let about = about(result, &others)?;
            write_document(&mut out, DocumentFormat::Asff, &about, |take| {
                snapshots.iter().try_for_each(take)
            })?;
        }
        Some(format) => {
            let about = about(result, &others)?;
            write_document(&mut out, format, &about, |take| {
                for_each(args, store, |snapshot| take(&snapshot))
            })?;
        }
    }
    out.finish()?;
    Ok(open + closed > 0)
}

/// Passes the open and the closed findings to `take`, one by one: all of them may not fit into memory.
fn for_each(
    args: &Args,
    store: &SqliteStore,
    mut take: impl FnMut(FindingSnapshot) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (window, now) = (args.policy.policy().rotation_window, Utc::now());
    let invocation = args.invocation();
    store.for_each_shown(|finding, known| {
        let snapshot = FindingSnapshot::stored(finding, known, window, now);
        take(snapshot.shown_by(&invocation))
    })
}

/// All of these findings.
fn all(args: &Args, store: &SqliteStore) -> anyhow::Result<Vec<FindingSnapshot>> {
    let mut snapshots = vec![];
    for_each(args, store, |snapshot| {
        snapshots.push(snapshot);
        Ok(())
    })?;
    Ok(snapshots)
}

/// What a document contains beside the findings.
fn about(result: &ReplayResult, others: &BTreeSet<UserId>) -> anyhow::Result<About> {
    Ok(About {
        run: Some(("summary", serde_json::to_value(summary(result, others))?)),
        region: result.region.clone(),
    })
}

/// Prints the summary for people, then the findings, then what to do next.
fn print_text(
    out: &mut impl Write,
    args: &Args,
    store: &SqliteStore,
    result: &ReplayResult,
    others: &BTreeSet<UserId>,
) -> anyhow::Result<()> {
    let ReplayResult {
        reading,
        replayed,
        passed_over,
        read_once,
        ..
    } = result;
    let mut findings = all(args, store)?;
    findings.sort_by(|one, other| by_urgency(&one.alert.finding, &other.alert.finding));
    if findings.is_empty() {
        let ending = ending::without_finding(reading, &args.paths, *passed_over);
        writeln!(out, "{ending}")?;
    }
    print_summary(out, reading, &findings)?;
    for line in ending::not_known(replayed, others, read_once) {
        writeln!(out, "{line}")?;
    }
    // The findings come last: of long output, a terminal shows the end.
    if !findings.is_empty() {
        writeln!(out)?;
        print_findings(out, &findings, args)?;
    }
    print_next(out, args, findings.first())
}

fn print_findings(
    out: &mut impl Write,
    findings: &[FindingSnapshot],
    args: &Args,
) -> anyhow::Result<()> {
    let is_whole = |one: &&FindingSnapshot| match args.output.format {
        FindingFormat::Lines => false,
        _ => args.alerts || one.alert.finding.status != FindingStatus::Closed,
    };
    let (whole, brief): (Vec<&FindingSnapshot>, Vec<&FindingSnapshot>) =
        findings.iter().partition(is_whole);
    write(out, whole.iter().copied(), width())?;
    if !whole.is_empty() && !brief.is_empty() {
        writeln!(out)?;
    }
    write_brief(out, brief)?;
    Ok(write_ending(out, findings, Utc::now())?)
}

/// Suggests what to do next with the file, if the findings were saved in one; `worst` is the finding to
/// look at first.
fn print_next(
    out: &mut impl Write,
    args: &Args,
    worst: Option<&FindingSnapshot>,
) -> anyhow::Result<()> {
    let Some(db) = &args.db else { return Ok(()) };
    let command = |words, user| {
        let command = args
            .invocation()
            .secondkey_command(words, user, AcceptedOptions::Store)?;
        Some(format!("`{command}`"))
    };
    let user = worst.map_or("USER".to_owned(), |worst| {
        let user = worst.alert.finding.user();
        let name = if user.is_root() { ROOT } else { user.name() };
        format!("{}/{name}", user.account())
    });
    let next: Vec<String> = [
        command(&["history"], Some(user.as_str())),
        command(&["verify"], None),
    ]
    .into_iter()
    .flatten()
    .collect();
    let db = for_terminal(&db.display().to_string(), MAX_CHARS);
    match next.join(" and ") {
        none if none.is_empty() => writeln!(out, "Saved in {db}.")?,
        next => writeln!(out, "Saved in {db}. Next, try {next}.")?,
    }
    Ok(())
}

fn summary(result: &ReplayResult, others: &BTreeSet<UserId>) -> ReplaySummaryV1 {
    let (reading, replayed) = (&result.reading, &result.replayed);
    let malformed = |one: &MalformedRecord| MalformedRecordV1 {
        file: one.file.clone(),
        record: one.record,
        reason: one.reason.clone(),
    };
    let key_of = |(user, key): &(UserId, String)| KeyOfUserV1 {
        account: user.account().to_owned(),
        user: user.name().to_owned(),
        key: key.clone(),
    };
    let user = |user: &UserId| UserV1 {
        account: user.account().to_owned(),
        user: user.name().to_owned(),
    };
    ReplaySummaryV1 {
        keys_from: "logs",
        complete: ending::is_complete(reading),
        files: FilesV1 {
            read_as: reading.sources.clone(),
            not_readable: reading.unreadable_logs,
            not_a_log: reading.not_logs,
        },
        records: reading.records,
        key_changes: reading.changes.len(),
        ignored: reading.ignored.clone(),
        malformed: reading.malformed,
        malformed_records: reading.malformed_records.iter().map(malformed).collect(),
        known_only_from_first_change: replayed.known_only_from_then.iter().map(key_of).collect(),
        may_have_had_another_key: others.iter().map(user).collect(),
        read_once: result.read_once.clone(),
    }
}

fn print_summary(
    out: &mut impl Write,
    reading: &LogReading,
    findings: &[FindingSnapshot],
) -> anyhow::Result<()> {
    let is_closed = |one: &&FindingSnapshot| one.alert.finding.status == FindingStatus::Closed;
    let closed = findings.iter().filter(is_closed).count();
    let open = findings.len() - closed;
    let ignored: Vec<String> = reading
        .ignored
        .iter()
        .map(|(reason, count)| format!("{reason}: {count}"))
        .collect();
    if let Some(line) = sources::line(reading) {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "Records: {}. Key changes: {}. Findings: {open} open, {closed} closed. Malformed: {}.",
        reading.records,
        reading.changes.len(),
        reading.malformed,
    )?;
    if !ignored.is_empty() {
        writeln!(out, "Ignored: {}.", ignored.join(", "))?;
    }
    Ok(())
}
