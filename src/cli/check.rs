//! `secondkey check USER`: checks one user now and shows everything about it.

mod key_check;
mod print;
mod reasoning;

use anyhow::ensure;
use clap::ValueEnum;

use crate::cli::Exit;
use crate::cli::aws_args::AwsArgs;
use crate::cli::check::key_check::check_keys;
use crate::cli::policy_args::PolicyArgs;
use crate::cli::store_args::StoreArgs;
use crate::cli::streams::stdout;
use crate::cli::usage::beside::Beside;
use crate::cli::user_name::UserName;
use crate::detect::findings::finding::FindingStatus;
use crate::output::invocation::Invocation;

/// Check one user now: both keys, who created them, when they were last used, and what to do
///
/// Lists the user's keys, asks IAM when each was last used, and asks CloudTrail's event history
/// (90 days) who created or changed them. With a local file (--db, the default), the check opens or
/// closes the user's finding and records that in the audit trail. With --table it only reads, because
/// the deployed detector decides. It does not change anything in IAM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey check alice
  secondkey check alice --profile security --table secondkey
  secondkey check root
  secondkey check alice --usage
  secondkey check alice --format json | jq .next

Permissions: iam:ListAccessKeys and iam:GetAccessKeyLastUsed (for root, the credential report \
instead), and cloudtrail:LookupEvents. The AWS managed policy SecurityAudit has them all.

Exit codes: 0 no open finding, 10 an open finding, 1 failure (for example: no such user, or its keys \
could not be listed), 2 usage error.")]
pub(crate) struct Args {
    /// The user, as NAME or ACCOUNT/NAME, in your own account; `root` for root
    user: UserName,

    #[command(flatten)]
    which: StoreArgs,

    #[command(flatten)]
    connection: AwsArgs,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    beside: Beside,

    /// The output format
    #[arg(long, value_enum, default_value_t = CheckFormat::Table)]
    format: CheckFormat,
}

impl Args {
    /// The options of this run, for the commands that the output suggests.
    fn invocation(&self) -> Invocation {
        self.which.invocation(&self.connection)
    }
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// Text for people
    Table,
    /// One JSON document
    Json,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.connection.config().await?;
    let store = args.which.open(&config)?;
    let policy = args.policy.policy();
    let check = check_keys(&config, &store, &args.user, &policy).await?;
    let keys = check.listing.keys();
    let keys = keys.map(|(id, key)| (id.as_str(), key.created));
    let used = args.beside.search(&config, &check.user, keys).await?;
    let mut out = stdout();
    match args.format {
        CheckFormat::Table => print::text(&mut out, &args, &check, used.as_ref(), &policy)?,
        CheckFormat::Json => print::document(&mut out, &args, &check, used.as_ref(), &policy)?,
    }
    let is_open = check
        .record
        .open_finding()
        .is_some_and(|finding| finding.status == FindingStatus::Open);
    if is_open {
        return Ok(Exit::Findings);
    }
    ensure!(
        !check.is_blind(),
        "the keys could not be listed, so it is not known whether two are active"
    );
    Ok(Exit::NoFinding)
}
