//! `secondkey doctor`: walks the chain as deployed, from the trail to the alert.

pub(in crate::cli) mod check;
mod functions;
mod live_probe;
mod metrics;
mod organization;
mod pending;
mod policy;
mod print;
mod probe;
mod queues;
mod rule;
mod rules;
mod selectors;
mod stack;
mod sweeps;
mod table;
mod throwaway;
mod topic;
mod trail;

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use chrono::Utc;
use clap::ValueEnum;
use indicatif::ProgressBar;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::doctor::check::{Asked, Check, State, Unasked, Why};
use crate::cli::doctor::stack::Deployed;
use crate::cli::source::aws_config;
use crate::detect::Timestamp;
use crate::detect::account_record::AccountRecord;
use crate::output::escape::for_terminal;
use crate::output::invocation::Invocation;
use crate::output::shell::quoted;

/// How long the trace of a probe is waited for.
const PROBE_SECONDS: u64 = 60;

/// How long each step of a live probe is waited for; CloudTrail now and then takes minutes.
const LIVE_PROBE_SECONDS: u64 = 300;

/// Look over a deployment, from the trail to the alert, and say what is wrong and how to mend it
///
/// Reads only, unless a probe is asked for. Prints one line per check: its state (ok, warning, FAILED, not checked), what
/// was looked at, what was found; and where something is to be mended, how. A check that you may not make names the
/// permission that is missing; the others go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey doctor
  secondkey doctor --stack secondkey --profile security --region us-east-1
  secondkey doctor --format json | jq '.checks[] | select(.state != \"ok\")'
  secondkey doctor --probe
  secondkey doctor --probe-live

Exit codes: 0 all is well, warnings allowed; 1 a check failed or could not be made; 2 wrong usage.")]
pub struct Args {
    /// The name of the CloudFormation stack
    #[arg(long, value_name = "NAME", default_value = "secondkey")]
    stack: String,

    /// The profile of the AWS configuration, as in the AWS CLI
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// The region of the stack, as in the AWS CLI
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    /// Send a message to the changes queue that leaves nothing but a trace, and wait for it
    #[arg(long)]
    probe: bool,

    /// Make a user with two access keys, wait for the finding, delete them, wait until it closes. Real alerts go out, and the
    /// closed finding stays in the table. Asks first
    #[arg(long)]
    probe_live: bool,

    /// Do not ask before --probe-live
    #[arg(long, requires = "probe_live")]
    yes: bool,

    /// How long to wait for each step of a probe, in seconds [default: 60, with --probe-live 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: Option<u64>,

    /// How to print the checks
    #[arg(long, value_enum, default_value_t = DoctorFormat::Table)]
    format: DoctorFormat,
}

/// How checks are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DoctorFormat {
    /// For people
    Table,
    /// One JSON document
    Json,
}

impl Args {
    /// `checks`, with commands that ask the same AWS as this run.
    fn shown(&self, checks: Vec<Check>) -> Vec<Check> {
        let invocation = Invocation {
            profile: self.profile.clone(),
            region: self.region.clone(),
            ..Invocation::default()
        };
        let shown = checks.into_iter().map(|check| check.shown_by(&invocation));
        shown.collect()
    }
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = aws_config(args.profile.as_deref(), args.region.as_deref()).await?;
    let progress = progress("looking over the deployment");
    let (checks, stack) = Box::pin(walk(&config, &args.stack, Utc::now())).await;
    progress.finish_and_clear();
    let mut checks = args.shown(checks);
    let mut out = anstream::stdout().lock();
    let is_table = args.format == DoctorFormat::Table;
    if is_table {
        print::lines(&mut out, &checks)?;
    }
    if let Some(stack) = stack {
        let probed = args.shown(Box::pin(probes(&args, &config, &stack)).await?);
        if is_table {
            print::lines(&mut out, &probed)?;
        }
        checks.extend(probed);
    }
    match args.format {
        DoctorFormat::Table => print::summary_line(&mut out, &checks)?,
        DoctorFormat::Json => print::document(&mut out, &args.stack, &checks)?,
    }
    Ok(exit(&checks))
}

/// A check that could not be made is no success: nobody knows.
fn exit(checks: &[Check]) -> Exit {
    let is_well = |check: &Check| matches!(check.state, State::Ok | State::Warning);
    if checks.iter().all(is_well) {
        Exit::NoFinding
    } else {
        Exit::Failure
    }
}

/// Checks the chain, link by link; the stack too, if it could be read.
async fn walk(config: &SdkConfig, name: &str, now: Timestamp) -> (Vec<Check>, Option<Deployed>) {
    let region = config.region().map_or("", AsRef::as_ref);
    let (stack, trail) = futures::join!(stack::read(config, name), trail::check(config, region));
    let mut checks = vec![stack::judge_region(region)];
    let what = format!("stack {name}");
    let stack = match stack {
        Ok(Some(stack)) => stack,
        Ok(None) => {
            let missing = Check::failed(
                what,
                format!("there is none of this name in region {region}"),
                "name another with --stack, --region or --profile, or deploy it: cd infra && sam build && sam deploy --guided",
            );
            checks.extend([missing, trail]);
            return (checks, None);
        }
        Err(unasked) => {
            checks.extend([unasked.check(what), trail]);
            return (checks, None);
        }
    };
    checks.extend([stack::judge_stack(&stack), trail]);
    let records = account_records(config, &stack).await;
    let store = store(config, &stack);
    let (rules, queues, functions, table, topics, pending, organization) = futures::join!(
        rules::check(config, &stack),
        queues::check(config, &stack, now),
        functions::check(config, &stack, now),
        table::check(config, &stack),
        topic::check(config, &stack),
        pending::check(&stack, &store, now),
        organization::check(config, &stack, &records, now),
    );
    let sweeps = sweeps::check(&stack, &records, now);
    checks.extend([rules, queues, functions, table, topics].concat());
    checks.push(pending);
    checks.extend([sweeps, organization].concat());
    (checks, Some(stack))
}

/// What the sweeps kept of each account.
async fn account_records(config: &SdkConfig, stack: &Deployed) -> Asked<Vec<AccountRecord>> {
    let store = store(config, stack);
    store.accounts().await.map_err(|failure| Unasked {
        why: Why::Failed,
        permission: "dynamodb:Query",
        text: failure.to_string(),
    })
}

fn store(config: &SdkConfig, stack: &Deployed) -> DynamoDbStore {
    let table = stack.resources.get("Table").cloned().unwrap_or_default();
    DynamoDbStore::new(aws_sdk_dynamodb::Client::new(config), table)
}

/// The probes that were asked for.
async fn probes(args: &Args, config: &SdkConfig, stack: &Deployed) -> anyhow::Result<Vec<Check>> {
    let store = store(config, stack);
    let patience = |seconds| Duration::from_secs(args.wait.unwrap_or(seconds));
    let mut checks = vec![];
    if args.probe {
        let progress = progress("waiting for the trace of a message");
        checks.push(probe::check(config, stack, &store, patience(PROBE_SECONDS)).await);
        progress.finish_and_clear();
    }
    if args.probe_live {
        if !args.yes {
            confirm(&stack.place.account)?;
        }
        let progress =
            progress("waiting for the finding of a throw-away user, then for its closing");
        let patience = patience(LIVE_PROBE_SECONDS);
        checks.extend(live_probe::check(config, &stack.place.account, &store, patience).await);
        progress.finish_and_clear();
    }
    Ok(checks)
}

/// Asks whether to go on.
fn confirm(account: &str) -> anyhow::Result<()> {
    let account = for_terminal(account, LONGEST);
    write!(
        anstream::stderr(),
        "This makes an IAM user with two access keys in account {account}, alerts whoever gets secondkey's alerts, and \
         deletes the user again.\nType the account's id to go on: "
    )?;
    let mut typed = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut typed)
        .context("no answer could be read")?;
    anyhow::ensure!(
        typed.trim() == account,
        "not confirmed, so nothing was made; type {}, or give --yes",
        quoted(&account)
    );
    Ok(())
}

fn progress(message: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_warning_is_no_failure() {
        let (ok, warning) = (Check::ok("x", "y"), Check::warning("x", "y", "z"));
        let failed = Check::failed("x", "y", "z");
        let not_checked = Check::not_checked("x", "y", None);
        assert_eq!(exit(&[ok.clone(), warning]), Exit::NoFinding);
        assert_eq!(exit(&[ok.clone(), failed]), Exit::Failure);
        assert_eq!(exit(&[ok, not_checked]), Exit::Failure);
    }
}
