//! `secondkey history USER`: shows one user's audit trail as a timeline.

use std::io::Write;

use anyhow::{Context, bail};

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::format::Format;
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::streams::stdout;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::user::UserId;
use crate::output::escape::{for_json, for_terminal};
use crate::output::invocation::AcceptedOptions;
use crate::output::{audit_entry_text, json_v1};
use crate::pipeline::finding_store::FindingReader;

/// Show one user's audit trail, oldest entry first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey history alice --db findings.db
  secondkey history 111122223333/alice --table secondkey --format json

Exit codes: 0 success, 1 failure (for example: no such user), 2 usage error.")]
pub(crate) struct Args {
    /// The user, as NAME or ACCOUNT/NAME; `root` for root
    user: String,

    #[command(flatten)]
    source: ReadOnlyStoreArgs,

    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let user = find_user(store.as_ref(), &args.user, &args.source).await?;
    let entries = store.history(&user).await?;
    print(&entries, args.format)?;
    Ok(Exit::NoFinding)
}

fn print(entries: &[AuditEntry], format: Format) -> anyhow::Result<()> {
    let mut out = stdout();
    match format {
        Format::Table => {
            for entry in entries {
                writeln!(out, "{}", audit_entry_text::audit_entry_text(entry))?;
            }
        }
        Format::Json => {
            let entries: Vec<_> = entries.iter().map(json_v1::audit_entry).collect();
            let document = serde_json::json!({"version": "1", "entries": entries});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
        Format::Jsonl => {
            for entry in entries {
                let line = serde_json::to_string(&json_v1::audit_entry(entry))
                    .context("an entry could not be written as JSON")?;
                writeln!(out, "{}", for_json(&line))?;
            }
        }
    }
    Ok(())
}

/// Finds the one user that `name` means: `NAME`, `ACCOUNT/NAME`, or `root`.
pub(crate) async fn find_user(
    store: &dyn FindingReader,
    name: &str,
    source: &ReadOnlyStoreArgs,
) -> anyhow::Result<UserId> {
    let user = |account: &str, name: &str| match name {
        "root" if !account.is_empty() => UserId::root(account),
        _ => UserId::new(account, name),
    };
    let known = store.users().await?;
    let mut meant: Vec<&UserId> = known
        .iter()
        .filter(|known| {
            // IAM user names have no slash, but a name in a forged event may.
            let after_account = name
                .strip_prefix(known.account())
                .and_then(|rest| rest.strip_prefix('/'));
            let names = [Some(name), after_account];
            names
                .into_iter()
                .flatten()
                .any(|name| **known == user(known.account(), name))
        })
        .collect();
    match (meant.pop(), meant.is_empty()) {
        (Some(one), true) => Ok(one.clone()),
        (Some(one), false) => bail!(
            "several accounts have a user `{}`; name one as ACCOUNT/NAME, for example `{}`",
            for_terminal(name, MAX_CHARS),
            for_terminal(&one.to_string(), MAX_CHARS),
        ),
        (None, _) => {
            let verify =
                source
                    .invocation()
                    .secondkey_command(&["verify"], None, AcceptedOptions::Store);
            bail!(
                "no records for user `{}`; `{}` lists the users that have records",
                for_terminal(name, MAX_CHARS),
                verify.as_deref().unwrap_or("verify"),
            )
        }
    }
}
