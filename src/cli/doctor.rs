//! `secondkey doctor`: checks a deployment, from the trail to the alert.

pub(in crate::cli) mod check_result;
mod cloudtrail;
mod dynamodb_table;
mod event_rule_checks;
mod event_rules;
mod forwarding;
mod functions;
mod live_probe;
mod member_stack;
mod metrics;
mod organization;
mod orphan_tables;
mod pending;
mod print;
mod probe;
mod queues;
mod resource_policy;
mod selectors;
mod stack;
mod sweeps;
mod throwaway;
mod topic;

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use chrono::Utc;
use clap::ValueEnum;
use indicatif::ProgressBar;

use crate::aws::dynamodb::DynamoDbStore;
use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::aws_args::{TimeoutArg, aws_config};
use crate::cli::doctor::check_result::{
    CheckResult, CheckStatus, QueryError, QueryErrorKind, QueryResult,
};
use crate::cli::doctor::stack::DeployedStack;
use crate::cli::streams::{shows_progress, stderr, stdout};
use crate::detect::Timestamp;
use crate::detect::records::account_record::AccountRecord;
use crate::output::escape::for_terminal;
use crate::output::invocation::Invocation;
use crate::output::shell::quoted;

/// How long to wait for the trace of a probe.
const PROBE_SECONDS: u64 = 60;

/// How long to wait for each step of a live probe. CloudTrail sometimes takes minutes.
const LIVE_PROBE_SECONDS: u64 = 300;

/// Check a deployment, from the CloudTrail trail to the alert, and show how to fix what is wrong
///
/// Only reads, unless you ask for a probe. Prints one line per check with its state (ok, warning,
/// FAILED, not checked), the subject and the result, and if something is wrong, a line with the fix. If
/// you lack the permission for a check, its line names the permission, and the other checks continue.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey doctor
  secondkey doctor --stack secondkey --profile security --region us-east-1
  secondkey doctor --format json | jq '.checks[] | select(.state != \"ok\")'
  secondkey doctor --probe
  secondkey doctor --probe-live

Exit codes: 0 no check failed (there may be warnings), 1 a check failed or could not be made, 2 usage \
error.")]
pub(crate) struct Args {
    /// The name of the CloudFormation stack
    #[arg(long, value_name = "NAME", default_value = "secondkey")]
    stack: String,

    /// The AWS profile, as in the AWS CLI
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// The region of the stack, as in the AWS CLI
    #[arg(long, value_name = "REGION")]
    region: Option<String>,

    #[command(flatten)]
    timeout: TimeoutArg,

    /// Send a test message to the changes queue, and wait for the detector's trace of it. It has no other
    /// effect
    #[arg(long)]
    probe: bool,

    /// Create a user with two access keys, wait for the finding, delete the user, and wait until the
    /// finding closes. This sends real alerts, and the closed finding stays in the table. Asks for
    /// confirmation first
    #[arg(long)]
    probe_live: bool,

    /// Skip the confirmation of --probe-live
    #[arg(long, requires = "probe_live")]
    yes: bool,

    /// How long to wait for each step of a probe, in seconds [default: 60, with --probe-live 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: Option<u64>,

    /// The output format
    #[arg(long, value_enum, default_value_t = DoctorFormat::Table)]
    format: DoctorFormat,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DoctorFormat {
    /// Text for people
    Table,
    /// One JSON document
    Json,
}

impl Args {
    /// `checks`, with the profile and region of this run in their commands.
    fn shown(&self, checks: Vec<CheckResult>) -> Vec<CheckResult> {
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
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = aws_config(
        args.profile.as_deref(),
        args.region.as_deref(),
        args.timeout,
    )
    .await?;
    let progress = progress("checking the deployment");
    let (checks, stack) = Box::pin(run_checks(&config, &args.stack, Utc::now())).await;
    progress.finish_and_clear();
    let mut checks = args.shown(checks);
    let mut out = stdout();
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

/// A check that could not be made counts as a failure, because its result is not known.
fn exit(checks: &[CheckResult]) -> Exit {
    let is_well =
        |check: &CheckResult| matches!(check.state, CheckStatus::Ok | CheckStatus::Warning);
    if checks.iter().all(is_well) {
        Exit::NoFinding
    } else {
        Exit::Failure
    }
}

/// Runs all checks. Also returns the stack, if it could be read.
async fn run_checks(
    config: &SdkConfig,
    name: &str,
    now: Timestamp,
) -> (Vec<CheckResult>, Option<DeployedStack>) {
    let region = config.region().map_or("", AsRef::as_ref);
    let (stack, trail) =
        futures::join!(stack::read(config, name), cloudtrail::check(config, region));
    let found = stack.as_ref().ok().and_then(Option::as_ref);
    let mut checks = vec![stack::judge_region(region, found)];
    let what = format!("stack {name}");
    let stack = match stack {
        Ok(Some(stack)) => stack,
        Ok(None) => {
            let missing = CheckResult::failed(
                what,
                format!("does not exist in region {region}"),
                "choose another with --stack, --region or --profile, or deploy it: cd infra && sam build && sam deploy --guided",
            );
            checks.extend([missing, trail]);
            return (checks, None);
        }
        Err(error) => {
            checks.extend([error.check(what), trail]);
            return (checks, None);
        }
    };
    checks.extend([stack::judge_stack(&stack), trail]);
    let records = account_records(config, &stack).await;
    let store = store(config, &stack);
    let (rules, queues, functions, table, orphans, topics, pending, organization) = futures::join!(
        event_rules::check(config, &stack),
        queues::check(config, &stack, now),
        functions::check(config, &stack, now),
        dynamodb_table::check(config, &stack),
        orphan_tables::check(config, &stack),
        topic::check(config, &stack),
        pending::check(&stack, &store, now),
        organization::check(config, &stack, &records, now),
    );
    let sweeps = sweeps::check(&stack, &records, now);
    checks.extend([rules, queues, functions, table, vec![orphans], topics].concat());
    checks.push(pending);
    checks.extend([sweeps, organization].concat());
    (checks, Some(stack))
}

/// The record of each account, which the sweeps write.
async fn account_records(
    config: &SdkConfig,
    stack: &DeployedStack,
) -> QueryResult<Vec<AccountRecord>> {
    let store = store(config, stack);
    store.accounts().await.map_err(|failure| QueryError {
        kind: QueryErrorKind::Failed,
        permission: "dynamodb:Query",
        text: failure.to_string(),
    })
}

fn store(config: &SdkConfig, stack: &DeployedStack) -> DynamoDbStore {
    let table = stack.resources.get("Table").cloned().unwrap_or_default();
    DynamoDbStore::new(aws_sdk_dynamodb::Client::new(config), table)
}

/// Runs the probes that the options ask for.
async fn probes(
    args: &Args,
    config: &SdkConfig,
    stack: &DeployedStack,
) -> anyhow::Result<Vec<CheckResult>> {
    let store = store(config, stack);
    let patience = |seconds| Duration::from_secs(args.wait.unwrap_or(seconds));
    let mut checks = vec![];
    if args.probe {
        let progress = progress("waiting for the trace of the test message");
        checks.push(probe::check(config, stack, &store, patience(PROBE_SECONDS)).await);
        progress.finish_and_clear();
    }
    if args.probe_live {
        if !args.yes {
            confirm(&stack.location.account)?;
        }
        let progress =
            progress("waiting for the finding of a temporary user to open, then to close");
        let patience = patience(LIVE_PROBE_SECONDS);
        checks.extend(live_probe::check(config, &stack.location.account, &store, patience).await);
        progress.finish_and_clear();
    }
    Ok(checks)
}

/// Asks for confirmation.
fn confirm(account: &str) -> anyhow::Result<()> {
    let account = for_terminal(account, MAX_CHARS);
    write!(
        stderr(),
        "This creates an IAM user with two access keys in account {account}, sends real alerts, and deletes \
         the user again.\nType the account id to continue: "
    )?;
    let mut typed = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut typed)
        .context("no answer could be read")?;
    anyhow::ensure!(
        typed.trim() == account,
        "not confirmed, so nothing was created; type {}, or use --yes",
        quoted(&account)
    );
    Ok(())
}

fn progress(message: &'static str) -> ProgressBar {
    if !shows_progress() {
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
    fn a_warning_is_not_a_failure() {
        let (ok, warning) = (
            CheckResult::ok("x", "y"),
            CheckResult::warning("x", "y", "z"),
        );
        let failed = CheckResult::failed("x", "y", "z");
        let not_checked = CheckResult::not_checked("x", "y", None);
        assert_eq!(exit(&[ok.clone(), warning]), Exit::NoFinding);
        assert_eq!(exit(&[ok.clone(), failed]), Exit::Failure);
        assert_eq!(exit(&[ok, not_checked]), Exit::Failure);
    }
}
