//! `secondkey findings`: lists open, suppressed and closed findings.

use chrono::{TimeDelta, Utc};

use crate::cli::Exit;
use crate::cli::finding_output::{
    About, FindingFormat, FindingList, OutputArgs, region_for, write,
};
use crate::cli::judging::{add_trails, judge};
use crate::cli::selection::{SelectionArgs, print_hidden};
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::streams::notes;
use crate::detect::findings::finding::FindingStatus;
use crate::output::snapshot::FindingSnapshot;

/// List the open and suppressed findings in a local file or a deployed table, the most urgent first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey findings --db findings.db
  secondkey findings --table secondkey --profile security --format lines
  secondkey findings --all --user 'ci-*' --since 30d
  secondkey findings --severity high,critical --sort account
  secondkey findings --table secondkey --format csv --output findings.csv

Exit codes: 0 no open finding, 10 at least one open finding (suppressed and closed ones do not count; ones \
that an option hides do), 1 failure, 2 usage error.")]
pub(crate) struct Args {
    #[command(flatten)]
    source: ReadOnlyStoreArgs,

    /// Show closed findings too
    #[arg(long, conflicts_with = "status")]
    all: bool,

    /// How long two active keys count as a rotation, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    selection: SelectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    args.output.file.check()?;
    let is_asff = args.output.format == FindingFormat::Asff;
    let of_table = if is_asff {
        args.source.region().await?
    } else {
        None
    };
    let about = About {
        run: None,
        region: region_for(args.output.format, of_table)?,
    };
    let store = args.source.open().await?;
    let mut findings = store.findings(FindingStatus::Open).await?;
    let exit = if findings.is_empty() {
        Exit::NoFinding
    } else {
        Exit::Findings
    };
    findings.extend(store.findings(FindingStatus::Suppressed).await?);
    if args.all || args.selection.names_closed() {
        findings.extend(store.findings(FindingStatus::Closed).await?);
    }
    let found = findings.len();
    let (window, now) = (
        TimeDelta::hours(args.rotation_window_hours.into()),
        Utc::now(),
    );
    let invocation = args.source.invocation();
    // Judged first: a window that has ended since the last check raises the severity, which the
    // selection and the order are about.
    let judged = judge(store.as_ref(), findings, window, now).await?;
    let mut snapshots: Vec<FindingSnapshot> = judged
        .into_iter()
        .map(|snapshot| snapshot.shown_by(&invocation))
        .collect();
    let hidden = args
        .selection
        .apply(&mut snapshots, |one: &FindingSnapshot| &one.alert.finding);
    if is_asff {
        // Security Hub orders updates by the sequence number. A deployed table takes one read per user.
        add_trails(store.as_ref(), &mut snapshots).await?;
    }
    let list = FindingList {
        snapshots: &snapshots,
        found,
        none: "No findings.",
        now,
    };
    let mut out = args.output.file.stream()?;
    write(&mut out, &list, &about, args.output.format)?;
    out.finish()?;
    print_hidden(&mut notes(), hidden)?;
    Ok(exit)
}
