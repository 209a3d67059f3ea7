//! `secondkey gate`: whether a Terraform plan would leave a user with a second active key.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::json;

use crate::cli::Exit;
use crate::local::terraform_plan::{PlanError, denials};
use crate::output::escape::{for_json, for_terminal};

/// The longest line about one user, in characters: the rule names ten keys at most and cuts their addresses.
const LONGEST_DENIAL: usize = 6_000;

/// Fail a Terraform plan that would leave a user with a second active key
///
/// Reads what `terraform show -json PLANFILE` writes and counts, for each IAM user, the access keys that are active once
/// the plan is applied: those that it makes, those that stay, and those that Terraform only forgets. It asks neither AWS
/// nor Terraform. The rule is the one of infra/guardrails, which Conftest and OPA run as well; its README says what it
/// counts and what it cannot see.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  terraform plan -out planned && terraform show -json planned | secondkey gate -
  secondkey gate plan.json --format json
  echo '{\"secondkey\": {\"allow_create_before_destroy\": true}}' > options.json
  secondkey gate plan.json --data options.json

Exit codes: 0 nothing is denied, 10 at least one user is, 1 failure (no plan among them), 2 wrong usage.")]
pub struct Args {
    /// The plan as JSON, or `-` for standard input
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,

    /// Options of the rule, as JSON: `{"secondkey": {"allow_create_before_destroy": true}}` lets a key be replaced by
    /// one that is made first
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,

    /// How to print what is denied
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How to print what is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let options = match &args.data {
        Some(path) => read(path)?,
        None => "{}".to_owned(),
    };
    let denied = denials(&read(&args.plan)?, &options).map_err(|error| {
        let at_fault = match (&error, &args.data) {
            (PlanError::BadOptions(_), Some(data)) => data,
            _ => &args.plan,
        };
        anyhow::Error::new(error).context(name(at_fault))
    })?;

    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Table if denied.is_empty() => writeln!(
            out,
            "Nothing is denied: no user of this plan has a second active access key after it."
        )?,
        Format::Table => {
            for (number, message) in (1..).zip(&denied) {
                let message = for_terminal(message, LONGEST_DENIAL);
                writeln!(out, "{number}. {message}")?;
            }
        }
        Format::Json => {
            let denied: Vec<_> = denied
                .iter()
                .map(|message| json!({"message": message}))
                .collect();
            let document = json!({"version": "1", "denied": denied});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
    }
    Ok(if denied.is_empty() {
        Exit::NoFinding
    } else {
        Exit::Findings
    })
}

fn name(path: &Path) -> String {
    if is_standard_input(path) {
        return "standard input".to_owned();
    }
    format!("`{}`", path.display())
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = vec![];
    let read = if is_standard_input(path) {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let bytes = read.with_context(|| format!("{} cannot be read", name(path)))?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!(
            "{} is no UTF-8; `>` of Windows PowerShell writes UTF-16, `| Out-File -Encoding utf8` does not",
            name(path)
        );
    };
    // Windows writes a byte order mark, which JSON may not have.
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
