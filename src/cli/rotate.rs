//! `secondkey rotate`: changes the access key of a user without downtime, and finishes what somebody else forgot.

mod cleanup;
mod confirm;
mod credentials_file;
mod finish;
mod judged;
mod place;
mod recorded;
mod refusal;
mod secret;
mod show;
mod start;
mod status;
mod undo;
mod window;
mod work;
mod writing;

use clap::Subcommand;

use crate::cli::Exit;
use crate::cli::rotate::refusal::Refusal;
use crate::cli::source::{Connection, Which};

/// Rotate the access key of an IAM user, step by step, without downtime
///
/// AWS gives each user two slots for access keys: `start` makes the second key and hands its secret to one place; once
/// whoever uses the user has switched, `finish` deactivates the old key; `undo` takes that back; `cleanup` deletes the key
/// some days later. `status` tells how far it is, also for a rotation that somebody else forgot.
///
/// Nothing is changed without --apply: each step first shows what it would do, and the command that does it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate status alice
  secondkey rotate start alice --to-profile alice-new --apply
  secondkey rotate finish alice --apply
  secondkey rotate undo alice --apply
  secondkey rotate cleanup alice --apply

Exit codes: 0 done or shown, 1 refused or failure, 2 wrong usage.")]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    Start(start::Args),
    Status(status::Args),
    Finish(finish::Args),
    Undo(undo::Args),
    Cleanup(cleanup::Args),
}

/// What every step is told.
#[derive(Debug, clap::Args)]
struct Common {
    /// The name of the IAM user; it is one of the account that your credentials are of
    #[arg(value_name = "USER")]
    user: String,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    connection: Connection,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let done = match args.step {
        Step::Start(args) => start::run(args).await,
        Step::Status(args) => status::run(args).await,
        Step::Finish(args) => finish::run(args).await,
        Step::Undo(args) => undo::run(args).await,
        Step::Cleanup(args) => cleanup::run(args).await,
    };
    done.or_else(|error| {
        let refusal = error.downcast::<Refusal>()?;
        refusal.say();
        Ok(Exit::Failure)
    })
}
