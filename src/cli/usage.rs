//! `secondkey usage USER|KEY`: shows who uses which key.

#[cfg(feature = "live")]
pub(in crate::cli) mod beside;
#[cfg(feature = "live")]
mod live;
mod print;
mod subject;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::{CommandFactory, ValueEnum};

#[cfg(feature = "live")]
use crate::cli::aws_args::TimeoutArg;
use crate::cli::replay::{malformed, read};
use crate::cli::streams::{stderr, stdout};
use crate::cli::time_args::{since, until};
use crate::cli::usage::subject::Subject;
use crate::cli::{Cli, Exit};
use crate::detect::Timestamp;
use crate::detect::events::key_change::ChangeKind;
use crate::detect::usage::consumers::{TimeRange, Usage};
use crate::detect::usage::key_use::KeyUse;
use crate::local::log_files::find_logs;
use crate::local::log_reading::{LogQuery, LogReading};
use crate::local::wanted::KeyFilter;
use crate::output::escape::for_json;
use crate::output::usage::{SearchScope, csv, json};

/// The default limit for the events of one key in one region.
#[cfg(feature = "live")]
const MAX_EVENTS: u64 = 10_000;

/// Show who uses which key of a user: source, client, times, and which consumers have switched keys
///
/// Reads CloudTrail logs in any format that `replay` reads, or CloudTrail's event history with --live.
/// A call counts if the key signed it, even if it was denied. Calls of the user's temporary sessions
/// have the session's own key id (ASIA...) and are not counted; the call that created the session is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey usage alice AWSLogs/
  secondkey usage 111122223333/alice AWSLogs/ --format csv > usage.csv
  secondkey usage AKIAIOSFODNN7EXAMPLE AWSLogs/ --since 2026-03-07T02:47:00Z
  aws s3 cp s3://BUCKET/KEY.json.gz - | secondkey usage alice -
  secondkey usage alice --live --region eu-central-1 --region us-east-1

Permissions for --live: cloudtrail:LookupEvents, and for a user also iam:ListAccessKeys. The AWS managed \
policy SecurityAudit has both. The event history has the management events of the last 90 days, but no \
data events (S3 objects, Lambda invocations, DynamoDB items and others). CloudTrail allows two requests \
per second for each account and region, with 50 events each.

If no use is found, the key may still be in use: the output says what was searched.

Exit codes: 0 everything was read, whether or not a use was found; 1 failure: a record, a file or a \
region could not be read, or there was no CloudTrail record; 2 usage error.")]
pub(crate) struct Args {
    /// The user, as NAME or ACCOUNT/NAME (`root` for root), or the id of a key (AKIA...)
    #[arg(value_name = "USER|KEY")]
    subject: Subject,

    /// Log files, folders with log files, or `-` for standard input
    #[arg(value_name = "LOGS")]
    #[cfg_attr(feature = "live", arg(required_unless_present = "live"))]
    #[cfg_attr(not(feature = "live"), arg(required = true))]
    logs: Vec<PathBuf>,

    #[cfg(feature = "live")]
    #[command(flatten)]
    live: LiveArgs,

    /// Only calls after this time; also shows what each key accessed. A date (2026-03-07), a time
    /// (2026-03-07T02:47:00Z), or an age (2w, 7d, 12h)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Only calls before this time: a date (up to the end of that day, UTC), a time, or an age
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,

    /// The output format. With --since or --until, CSV shows what each key accessed
    #[arg(long, value_enum, default_value_t = UsageFormat::Table)]
    format: UsageFormat,
}

/// The options for CloudTrail's event history.
#[cfg(feature = "live")]
#[derive(Debug, clap::Args)]
struct LiveArgs {
    /// Search CloudTrail's event history instead of logs
    #[arg(long = "live", id = "live", conflicts_with = "logs")]
    is_asked: bool,

    /// The AWS profile, as in the AWS CLI
    #[arg(long, value_name = "NAME", requires = "live")]
    profile: Option<String>,

    /// A region to search. Can be repeated [default: your region, and the region that records IAM and
    /// STS calls]
    #[arg(long, value_name = "REGION", requires = "live")]
    region: Vec<String>,

    /// Search every region that this version of secondkey knows
    #[arg(long, requires = "live", conflicts_with = "region")]
    all_regions: bool,

    #[command(flatten)]
    timeout: TimeoutArg,

    /// The limit for the events of one key in one region. The output says if it was reached
    #[arg(long, value_name = "NUMBER", requires = "live", default_value_t = MAX_EVENTS, value_parser = clap::value_parser!(u64).range(1..))]
    max_events: u64,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UsageFormat {
    /// Text for people
    Table,
    /// One JSON document
    Json,
    /// Comma-separated values with a header
    Csv,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let period = TimeRange {
        since: args.since,
        until: args.until,
    };
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since > until
    {
        usage_error("--since is later than --until");
    }
    let mut usage = Usage::within(period);
    let looked_at = search(&args, &mut usage).await?;
    let mut out = stdout();
    match args.format {
        UsageFormat::Table => print::text(&mut out, &args.subject, &usage, &looked_at)?,
        UsageFormat::Json => {
            let document = json::usage(args.subject.typed(), &usage, &looked_at);
            let document = serde_json::to_string_pretty(&document)?;
            writeln!(out, "{}", for_json(&document))?;
        }
        UsageFormat::Csv => {
            write!(out, "{}", csv::document(&usage)?)?;
            print::print_search_scope(&mut stderr(), &args.subject, &usage, &looked_at)?;
        }
    }
    Ok(if looked_at.is_complete() {
        Exit::NoFinding
    } else {
        Exit::Failure
    })
}

#[cfg_attr(
    not(feature = "live"),
    expect(clippy::unused_async, reason = "only AWS is waited for")
)]
async fn search(args: &Args, usage: &mut Usage) -> anyhow::Result<SearchScope> {
    #[cfg(feature = "live")]
    if args.live.is_asked {
        let live = &args.live;
        return Box::pin(live::add_event_history(live, &args.subject, usage)).await;
    }
    logs(&args.subject.wanted(), &args.logs, usage)
}

/// Adds to `usage` how the `wanted` keys are used in the logs at `paths`.
pub(in crate::cli) fn logs(
    wanted: &KeyFilter,
    paths: &[PathBuf],
    usage: &mut Usage,
) -> anyhow::Result<SearchScope> {
    let (logs, _) = find_logs(paths)?;
    let shared = Mutex::new(&mut *usage);
    let take = |one: KeyUse| {
        let mut usage = shared.lock().unwrap_or_else(PoisonError::into_inner);
        usage.add(&one);
    };
    let looking = LogQuery::Uses {
        wanted,
        take: &take,
    };
    let reading = read(&logs, looking, "reading")?;
    malformed::report(&mut stderr(), &reading)?;
    note_creations(&reading, usage)?;
    Ok(SearchScope::Logs {
        files: logs.len(),
        records: reading.records,
        malformed: reading.malformed,
        span: reading.oldest.zip(reading.newest),
    })
}

/// Adds to `usage` when the keys were created.
fn note_creations(reading: &LogReading, usage: &mut Usage) -> anyhow::Result<()> {
    for change in reading.changes.in_order()? {
        let change = change?;
        if let ChangeKind::KeyCreated { key, .. } = &change.kind {
            usage.knows(&change.user, key, Some(change.at));
        }
    }
    Ok(())
}

/// Exits with a usage error.
fn usage_error(why: &str) {
    Cli::command()
        .error(clap::error::ErrorKind::ValueValidation, why)
        .exit();
}
