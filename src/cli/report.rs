//! `secondkey report`: writes a page for an auditor about everything in a store.

mod reading;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::CommandFactory;

use crate::cli::destination::Destination;
use crate::cli::judging::judge;
use crate::cli::report::reading::StoreContents;
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::streams::{notes, stderr};
use crate::cli::usage::logs;
use crate::cli::{Cli, Exit, MAX_CHARS};
use crate::detect::Timestamp;
use crate::detect::events::text::sha256_hex;
use crate::detect::findings::finding::Finding;
use crate::detect::usage::consumers::Usage;
use crate::detect::user::UserId;
use crate::local::wanted::KeyFilter;
use crate::output::escape::for_terminal;
use crate::output::number::count;
use crate::output::report::integrity::Integrity;
use crate::output::report::period::Period;
use crate::output::report::{Report, html};
use crate::output::shell::quoted;
use crate::output::snapshot::FindingSnapshot;
use crate::output::usage::{search_scope_lines, summary_lines};

/// Write a report for an auditor: one HTML page with the findings, their times and their audit trails
///
/// Checks every audit trail in the store and reports which are intact. The page is self-contained and
/// loads nothing, so it can be mailed, archived and printed. A finding belongs to the period if it
/// was open during any part of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey report --html report.html
  secondkey report --logs AWSLogs/ --html report.html
  secondkey report --from 2026-01-01 --to 2026-03-31 --html first-quarter.html
  secondkey report --table secondkey --profile security --html - > report.html

Exit codes: 0 the report was written (even if an audit trail is broken, which the report and stderr \
say), 1 failure, 2 usage error.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: ReadOnlyStoreArgs,

    /// The file to write, or `-` for standard output. An existing file is replaced
    #[arg(long, value_name = "FILE")]
    html: Destination,

    /// CloudTrail logs that show who uses the keys of open findings. Can be repeated
    #[arg(long, value_name = "PATH")]
    logs: Vec<PathBuf>,

    /// How long two active keys count as a rotation, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// The first day of the period, in UTC [default: the day of the first finding]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<NaiveDate>,

    /// The last day of the period, in UTC [default: today]
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<NaiveDate>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let now = Utc::now();
    check_days(&args, now);
    args.html.check()?;
    let store = args.source.open().await?;
    let contents = StoreContents::read(store.as_ref()).await?;
    let uses = uses(&args, &contents)?;
    let window = TimeDelta::hours(args.rotation_window_hours.into());
    let judged = judge(store.as_ref(), contents.findings.clone(), window, now).await?;
    let report = report(&args, contents, judged, uses, now)?;
    let page = html(&report).context("the report cannot be created")?;
    args.html.write(page.as_bytes())?;
    print_summary(&args.html, &report, &page)?;
    Ok(Exit::NoFinding)
}

/// Exits with a usage error if the two days are not a valid period.
fn check_days(args: &Args, now: Timestamp) {
    let trouble = match (args.from, args.to) {
        (Some(from), Some(to)) if from > to => format!("--from {from} is later than --to {to}"),
        (Some(from), _) if beginning(from) > now => format!("--from {from} is in the future"),
        _ => return,
    };
    let mut command = Cli::command();
    command
        .error(clap::error::ErrorKind::ValueValidation, trouble)
        .exit();
}

/// Who uses the keys of the users with an open finding, according to the logs.
fn uses(args: &Args, contents: &StoreContents) -> anyhow::Result<BTreeMap<UserId, Vec<String>>> {
    if args.logs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (mut usage, mut wanted) = (Usage::default(), KeyFilter::default());
    let is_open = |finding: &&Finding| finding.closing.is_none();
    let open: Vec<&Finding> = contents.findings.iter().filter(is_open).collect();
    for finding in &open {
        for key in &finding.keys {
            wanted.add_key(&key.id);
            usage.knows(finding.user(), &key.id, key.created);
        }
    }
    let looked_at = logs(&wanted, &args.logs, &mut usage)?;
    let as_it_is = |text: &str| text.to_owned();
    let of_user = |finding: &&Finding| {
        let used = usage.users().get(finding.user());
        let mut lines = used.map_or_else(Vec::new, |used| summary_lines(used, &as_it_is));
        lines.extend(search_scope_lines(&looked_at, &as_it_is));
        (finding.user().clone(), lines)
    };
    Ok(open.iter().map(of_user).collect())
}

fn report(
    args: &Args,
    contents: StoreContents,
    findings: Vec<FindingSnapshot>,
    uses: BTreeMap<UserId, Vec<String>>,
    now: Timestamp,
) -> anyhow::Result<Report> {
    let first = contents.findings.iter().map(|finding| finding.opened_at);
    let from = args.from.map(beginning).or(first.min()).unwrap_or(now);
    let after_last = args.to.and_then(|day| day.checked_add_days(Days::new(1)));
    let to = after_last.map_or(now, beginning).min(now);
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    Ok(Report {
        store: args.source.name()?,
        command: format!("secondkey {}", words.join(" ")),
        period: Period {
            from: from.min(to),
            to,
            now,
        },
        accounts: contents.accounts,
        findings,
        trails: contents.trails,
        exemptions: contents.exemptions,
        unread: contents.unread,
        uses,
    })
}

/// Prints what was written, after a line for each broken or unreadable trail.
fn print_summary(destination: &Destination, report: &Report, page: &str) -> anyhow::Result<()> {
    let (mut err, mut notes) = (stderr(), notes());
    let integrity = Integrity::of(report);
    for trouble in &integrity.troubles {
        writeln!(
            err,
            "{:<8}{}: {}",
            trouble.word,
            for_terminal(&trouble.subject, MAX_CHARS),
            for_terminal(&trouble.reason, MAX_CHARS)
        )?;
    }
    writeln!(
        notes,
        "{}: {} of {} in the period; {}.",
        for_terminal(&destination.name(), MAX_CHARS),
        report.findings_of_period().len(),
        count(report.findings.len(), "finding"),
        integrity.words()
    )?;
    writeln!(notes, "sha256 {}", sha256_hex(page.as_bytes()))?;
    Ok(())
}

fn beginning(day: NaiveDate) -> Timestamp {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Parses an ISO 8601 date within the range of a timestamp.
fn date(text: &str) -> Result<NaiveDate, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let range = DateTime::UNIX_EPOCH.date_naive()..=NaiveDate::MAX;
    day.filter(|day| range.contains(day) && text.len() == 10)
        .ok_or_else(|| "use a date like 2026-03-31 (YYYY-MM-DD)".to_owned())
}
