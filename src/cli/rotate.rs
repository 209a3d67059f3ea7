//! `secondkey rotate`: rotates a user's access key without downtime, and finishes a rotation that was
//! forgotten.

mod cleanup;
mod confirm;
mod context;
mod credentials_file;
mod finish;
mod key_table;
mod key_writer;
mod record_outcome;
mod refusal;
mod rotation_verdict;
mod secret;
mod secret_destination;
mod start;
mod status;
mod undo;
mod window;

use clap::Subcommand;

use crate::cli::Exit;
use crate::cli::aws_args::AwsArgs;
use crate::cli::rotate::refusal::RefusedError;
use crate::cli::store_args::StoreArgs;
use crate::cli::user_name::UserName;

/// Rotate the access key of an IAM user, step by step, without downtime
///
/// AWS allows each user two access keys. `start` creates the second key and stores its secret in the
/// place that you name. When all applications use the new key, `finish` deactivates the old one;
/// `undo` reactivates it. `cleanup` deletes it a few days later. `status` shows the state of a
/// rotation, even one that was started without secondkey.
///
/// Without --apply, a step changes nothing: it only shows what it would do and the command that does
/// it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate status alice
  secondkey rotate start alice --to-profile alice-new --apply
  secondkey rotate finish alice --apply
  secondkey rotate undo alice --apply
  secondkey rotate cleanup alice --apply

Exit codes: 0 success, 1 refused or failure, 2 usage error.")]
pub(crate) struct Args {
    #[command(subcommand)]
    step: RotateCommand,
}

#[derive(Debug, Subcommand)]
enum RotateCommand {
    Start(start::Args),
    Status(status::Args),
    Finish(finish::Args),
    Undo(undo::Args),
    Cleanup(cleanup::Args),
}

/// The options of every step.
#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// The IAM user, as NAME or ACCOUNT/NAME, in your own account
    #[arg(value_name = "USER")]
    user: UserName,

    #[command(flatten)]
    which: StoreArgs,

    #[command(flatten)]
    connection: AwsArgs,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let done = match args.step {
        RotateCommand::Start(args) => start::run(args).await,
        RotateCommand::Status(args) => status::run(args).await,
        RotateCommand::Finish(args) => finish::run(args).await,
        RotateCommand::Undo(args) => undo::run(args).await,
        RotateCommand::Cleanup(args) => cleanup::run(args).await,
    };
    done.or_else(|error| {
        let refusal = error.downcast::<RefusedError>()?;
        refusal.print();
        Ok(Exit::Failure)
    })
}
