//! `secondkey gate`: whether a Terraform plan would leave a user with a second active key.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::json;

use crate::cli::Exit;
use crate::cli::streams::stdout;
use crate::local::terraform_plan::{PlanError, denials};
use crate::output::escape::{for_json, for_terminal};

/// The longest line about one user, in characters. The rule names at most ten keys and cuts their
/// addresses.
const MAX_DENIAL_CHARS: usize = 6_000;

/// Fail a Terraform plan that would give a user a second active key
///
/// Reads the output of `terraform show -json PLANFILE` and counts, for each IAM user, the access
/// keys that will be active after the plan is applied: keys that it creates, keys that stay, and
/// keys that Terraform only removes from its state. It calls neither AWS nor Terraform. Conftest
/// and OPA can run the same rule, which is in infra/guardrails; the README there says what the rule
/// counts and what it cannot see.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  terraform plan -out planned && terraform show -json planned | secondkey gate -
  secondkey gate plan.json --format json
  echo '{\"secondkey\": {\"allow_create_before_destroy\": true}}' > options.json
  secondkey gate plan.json --data options.json

Exit codes: 0 nothing is denied, 10 at least one user is denied, 1 failure (for example: the input \
is not a plan), 2 usage error.")]
pub(crate) struct Args {
    /// The plan as JSON, or `-` for standard input
    #[arg(value_name = "PLAN.json")]
    plan: PathBuf,

    /// A JSON file with options for the rule: `{"secondkey": {"allow_create_before_destroy": true}}` allows
    /// a replacement that creates the new key before it deletes the old one
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,

    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people
    Table,
    /// One JSON document
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
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

    let mut out = stdout();
    match args.format {
        Format::Table if denied.is_empty() => writeln!(
            out,
            "Nothing is denied: no user of this plan has a second active access key after it."
        )?,
        Format::Table => {
            for (number, message) in (1..).zip(&denied) {
                let message = for_terminal(message, MAX_DENIAL_CHARS);
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
            "{} is not UTF-8; in Windows PowerShell, `>` writes UTF-16: use `| Out-File -Encoding utf8`",
            name(path)
        );
    };
    // Windows writes a byte order mark, which JSON does not allow.
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
