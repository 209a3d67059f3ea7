//! `secondkey exempt`: two active keys that are allowed until a date, for a reason.

mod add;
mod list;
mod remove;

use std::collections::BTreeSet;

use clap::Subcommand;

use crate::cli::Exit;
use crate::cli::aws_args::AwsArgs;
use crate::cli::caller::Caller;
use crate::cli::next_command::{command_for_user, or_placeholder};
use crate::cli::store::Store;
use crate::cli::store_args::StoreArgs;
use crate::cli::user_name::account_id;
use crate::detect::Timestamp;
use crate::output::invocation::AcceptedOptions;

/// The longest readable part of an id, in characters.
const MAX_WORDS_CHARS: usize = 60;

/// Allow certain users to have two active keys, for a reason and until a date
///
/// The finding of an exempt user is suppressed: it stays in the records and in the audit trail, but
/// sends no alert. Every exemption needs a reason and an end within 400 days. When it ends, the
/// findings that it suppressed are reported.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt add 'ci-*' --reason 'build farm moves' --until 2w
  secondkey exempt add deployer --reason audit --until 12h --actor '*:assumed-role/ci/*'
  secondkey exempt list
  secondkey exempt remove ci-20261124-9f3a07

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(crate) struct Args {
    #[command(subcommand)]
    step: ExemptCommand,
}

#[derive(Debug, Subcommand)]
enum ExemptCommand {
    Add(add::Args),
    List(list::Args),
    Remove(remove::Args),
}

/// The options of every subcommand.
#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// The account; without it, `add` uses your own account, `list` and `remove` all known accounts
    #[arg(long, value_name = "ID", value_parser = account_id)]
    account: Option<String>,

    #[command(flatten)]
    which: StoreArgs,

    #[command(flatten)]
    connection: AwsArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    match args.step {
        ExemptCommand::Add(args) => add::run(args).await,
        ExemptCommand::List(args) => list::run(args).await,
        ExemptCommand::Remove(args) => remove::run(args).await,
    }
}

/// A new id: the letters and digits of `words`, the day, and a random number.
#[must_use]
pub(in crate::cli) fn new_id(words: &str, now: Timestamp) -> String {
    let parts: Vec<String> = words
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let beginning: String = match parts.join("-") {
        none if none.is_empty() => "users".to_owned(),
        some => some.chars().take(MAX_WORDS_CHARS).collect(),
    };
    format!(
        "{beginning}-{}-{:06x}",
        now.format("%Y%m%d"),
        fastrand::u32(..1 << 24)
    )
}

impl CommonArgs {
    /// The accounts to look in: the one that was named, or all that the store knows. A table knows
    /// only the accounts that were swept, so the caller's own is added.
    async fn accounts(&self, store: &Store) -> anyhow::Result<BTreeSet<String>> {
        if let Some(account) = &self.account {
            return Ok(BTreeSet::from([account.clone()]));
        }
        let mut accounts = store.reader().account_ids().await?;
        if self.which.is_table() {
            let config = self.connection.config().await?;
            accounts.insert(Caller::ask(&config).await?.account);
        }
        Ok(accounts)
    }

    /// When a change to the exemptions takes effect.
    fn takes_effect(&self) -> String {
        if self.which.is_table() {
            return "this takes effect when the detector next checks the user, within the hour"
                .to_owned();
        }
        let invocation = self.which.invocation(&self.connection);
        let check = command_for_user(&["check"], "USER", &invocation);
        let scan = or_placeholder(invocation.secondkey_command(
            &["scan"],
            None,
            AcceptedOptions::StoreAndAws,
        ));
        format!("this takes effect at the next check of the user: `{check}`, or `{scan}`")
    }

    /// The command that lists the exemptions of these accounts.
    fn list(&self) -> String {
        let mut words = vec!["exempt", "list"];
        if let Some(account) = &self.account {
            words.extend(["--account", account]);
        }
        let invocation = self.which.invocation(&self.connection);
        or_placeholder(invocation.secondkey_command(&words, None, AcceptedOptions::StoreAndAws))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::at;

    #[test]
    fn an_id_is_readable_and_safe_to_paste() {
        for (words, beginning) in [
            ("ci-*", "ci-20231114-"),
            ("rotation-Alice.B+c@x", "rotation-alice-b-c-x-20231114-"),
            ("*", "users-20231114-"),
            ("é\u{1b}", "users-20231114-"),
        ] {
            let id = new_id(words, at(0));
            assert!(id.starts_with(beginning), "{id}");
            assert_eq!(id.len(), beginning.len() + 6);
        }
        assert_eq!(new_id(&"x".repeat(99), at(0)).len(), 60 + 16);
    }
}
