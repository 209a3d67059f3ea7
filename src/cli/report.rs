//! `secondkey report`: what a store holds, as a page for an auditor.

mod reading;

use std::io::Write;

use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::CommandFactory;

use crate::cli::destination::Destination;
use crate::cli::report::reading::Contents;
use crate::cli::source::Source;
use crate::cli::{Cli, Exit, LONGEST};
use crate::detect::Timestamp;
use crate::detect::text::sha256_hex;
use crate::output::escape::for_terminal;
use crate::output::number::count;
use crate::output::report::integrity::Integrity;
use crate::output::report::period::Period;
use crate::output::report::{Report, html};
use crate::output::shell::quoted;

/// Write a report for an auditor: one HTML page with the findings, their times and their audit trails
///
/// Checks every audit trail of the store and says in the report which are whole. The page needs nothing beside itself and asks
/// for nothing; it may be mailed, kept and printed. A finding belongs to the period if its window, from its opening to its
/// closing or to now, overlaps it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey report --html report.html
  secondkey report --db findings.db --from 2026-01-01 --to 2026-03-31 --html first-quarter.html
  secondkey report --table secondkey --profile security --html - > report.html

Exit codes: 0 the report is written (also if it says that a trail is broken: stderr says so too), 1 failure, 2 wrong \
usage.")]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// The file to write, or `-` for standard output; a file that is there is replaced
    #[arg(long, value_name = "FILE")]
    html: Destination,

    /// How long two active keys are a rotation
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    window_hours: u32,

    /// The first day of the period, in UTC [default: that of the first finding]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<NaiveDate>,

    /// The last day of the period, in UTC [default: until now]
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<NaiveDate>,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let now = Utc::now();
    check_days(&args, now);
    args.html.check()?;
    let store = args.source.open().await?;
    let contents = Contents::read(store.as_ref()).await?;
    let report = report(&args, contents, now)?;
    let page = html(&report).context("the report cannot be made")?;
    args.html.write(page.as_bytes())?;
    say(&args.html, &report, &page)?;
    Ok(Exit::NoFinding)
}

/// Ends with wrong usage where the days make no period.
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

fn report(args: &Args, contents: Contents, now: Timestamp) -> anyhow::Result<Report> {
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
        window: TimeDelta::hours(args.window_hours.into()),
        accounts: contents.accounts,
        findings: contents.findings,
        trails: contents.trails,
        exemptions: contents.exemptions,
        unread: contents.unread,
    })
}

/// Says what was written, and loudly what is wrong with it.
fn say(destination: &Destination, report: &Report, page: &str) -> anyhow::Result<()> {
    let mut err = anstream::stderr().lock();
    let integrity = Integrity::of(report);
    for trouble in &integrity.troubles {
        writeln!(
            err,
            "{:<8}{}: {}",
            trouble.word,
            for_terminal(&trouble.subject, LONGEST),
            for_terminal(&trouble.reason, LONGEST)
        )?;
    }
    writeln!(
        err,
        "{}: {} of {} in the period; {}.",
        for_terminal(&destination.name(), LONGEST),
        report.findings_of_period().len(),
        count(report.findings.len(), "finding"),
        integrity.words()
    )?;
    writeln!(err, "sha256 {}", sha256_hex(page.as_bytes()))?;
    Ok(())
}

fn beginning(day: NaiveDate) -> Timestamp {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Reads a day as ISO 8601 has it, in the years that a timestamp has.
fn date(text: &str) -> Result<NaiveDate, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let range = DateTime::UNIX_EPOCH.date_naive()..=NaiveDate::MAX;
    day.filter(|day| range.contains(day) && text.len() == 10)
        .ok_or_else(|| "write a day as YYYY-MM-DD, for example 2026-03-31".to_owned())
}
