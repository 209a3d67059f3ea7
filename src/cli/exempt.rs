//! `secondkey exempt`: two active keys that somebody answers for, until a date.

mod add;
mod list;
mod remove;

use std::collections::BTreeSet;

use clap::Subcommand;

use crate::cli::Exit;
use crate::cli::again::{again, shown};
use crate::cli::caller::Caller;
use crate::cli::source::{Connection, Store, Which};
use crate::detect::Timestamp;
use crate::output::invocation::Takes;

/// The longest beginning of an id that is made of words, in characters.
const LONGEST_WORDS: usize = 60;

/// Say that two active keys of certain users are meant to be, why, and until when
///
/// An exempt finding is kept, in the audit trail too, and nobody is told of it. Every exemption names a reason and an end,
/// within 400 days; at its end whatever it hid is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt add 'ci-*' --reason 'build farm moves' --until 30d
  secondkey exempt add deployer --reason 'audit' --until 12h --actor '*:role/deployer'
  secondkey exempt list
  secondkey exempt remove ci-20261124-9f3a07

Exit codes: 0 done or shown, 1 failure, 2 wrong usage.")]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    Add(add::Args),
    List(list::Args),
    Remove(remove::Args),
}

/// What every step is told.
#[derive(Debug, clap::Args)]
struct Common {
    /// The account [default: the one that your credentials are of; list and remove: every one that is known]
    #[arg(long, value_name = "ID", value_parser = account_id)]
    account: Option<String>,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    connection: Connection,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    match args.step {
        Step::Add(args) => add::run(args).await,
        Step::List(args) => list::run(args).await,
        Step::Remove(args) => remove::run(args).await,
    }
}

/// A new id that begins with what of `words` an id can hold, and with the day.
#[must_use]
pub(in crate::cli) fn new_id(words: &str, now: Timestamp) -> String {
    let parts: Vec<String> = words
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let beginning: String = match parts.join("-") {
        none if none.is_empty() => "users".to_owned(),
        some => some.chars().take(LONGEST_WORDS).collect(),
    };
    format!(
        "{beginning}-{}-{:06x}",
        now.format("%Y%m%d"),
        fastrand::u32(..1 << 24)
    )
}

impl Common {
    /// The accounts that are meant: the one that was named, or every one that the store knows, and our own, for a table knows
    /// those that were swept.
    async fn accounts(&self, store: &Store) -> anyhow::Result<BTreeSet<String>> {
        if let Some(account) = &self.account {
            return Ok(BTreeSet::from([account.clone()]));
        }
        let mut accounts = store.reader().account_ids().await?;
        if self.which.is_table() {
            let config = self.connection.config().await;
            accounts.insert(Caller::ask(&config).await?.account);
        }
        Ok(accounts)
    }

    /// When a change of the exemptions takes effect.
    fn effect(&self) -> String {
        if self.which.is_table() {
            return "it takes effect when the detector next looks at the user, within the hour"
                .to_owned();
        }
        let invocation = self.which.invocation(&self.connection);
        let check = again(&["check"], "USER", &invocation);
        let scan = shown(invocation.ours(&["scan"], None, Takes::StoreAndAws));
        format!("it takes effect when the user is looked at again: `{check}`, or `{scan}`")
    }

    /// The command that lists the exemptions that are meant.
    fn list(&self) -> String {
        let mut words = vec!["exempt", "list"];
        if let Some(account) = &self.account {
            words.extend(["--account", account]);
        }
        let invocation = self.which.invocation(&self.connection);
        shown(invocation.ours(&words, None, Takes::StoreAndAws))
    }
}

fn account_id(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit());
    is_account
        .then(|| text.to_owned())
        .ok_or_else(|| "an account id has 12 digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::at;

    #[test]
    fn an_id_can_be_read_and_pasted() {
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
