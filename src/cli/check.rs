//! `secondkey check USER`: one user now, in full.

mod look;
mod print;
mod reasoning;

use anyhow::ensure;
use clap::ValueEnum;

use crate::cli::Exit;
use crate::cli::check::look::look;
use crate::cli::policy::PolicyArgs;
use crate::cli::source::{Connection, Which};
use crate::detect::finding::FindingStatus;
use crate::output::invocation::Invocation;

/// Look at one user now: both keys, who made them, when they were used, what follows and why, and the commands
///
/// Lists the user's keys, asks when each was last used, and asks CloudTrail's event history (90 days) who made or changed them.
/// With the embedded file the look is written down like any re-check: it opens and closes the user's finding. A deployed table
/// is only read, for there the detector decides. Nothing is written to AWS.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey check alice
  secondkey check alice --profile security --table secondkey
  secondkey check root
  secondkey check alice --format json | jq .next

It needs iam:ListAccessKeys and iam:GetAccessKeyLastUsed (for root the credential report), and cloudtrail:LookupEvents for who \
did it; AWS's managed policy SecurityAudit has them all.

Exit codes: 0 no open finding, 10 two active keys, 1 failure (no such user, or keys that could not be listed, among them), 2 \
wrong usage.")]
pub struct Args {
    /// The user's name; `root` for root
    user: String,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    policy: PolicyArgs,

    /// How to print it
    #[arg(long, value_enum, default_value_t = CheckFormat::Table)]
    format: CheckFormat,
}

impl Args {
    /// How the command was called, for commands that are shown.
    fn invocation(&self) -> Invocation {
        self.which.invocation(&self.connection)
    }
}

/// How a look is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// For people
    Table,
    /// One JSON document
    Json,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.connection.config().await;
    let store = args.which.open(&config)?;
    let policy = args.policy.policy();
    let looked = look(&config, &store, &args.user, &policy).await?;
    let mut out = anstream::stdout().lock();
    match args.format {
        CheckFormat::Table => print::text(&mut out, &args, &looked, &policy)?,
        CheckFormat::Json => print::document(&mut out, &args, &looked, &policy)?,
    }
    let is_open = looked
        .record
        .open_finding()
        .is_some_and(|finding| finding.status == FindingStatus::Open);
    if is_open {
        return Ok(Exit::Findings);
    }
    ensure!(
        !looked.is_blind(),
        "the keys could not be listed, so whether two are active is not known"
    );
    Ok(Exit::NoFinding)
}
