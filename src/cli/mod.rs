//! The command line: one file per subcommand. What it finds goes to stdout, everything else to stderr.

#[cfg(feature = "live")]
pub mod caller;
#[cfg(feature = "live")]
pub mod doctor;
pub mod findings;
pub mod history;
pub mod replay;
pub mod report;
pub mod source;
pub mod table;
pub mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The longest text from an event that is shown whole, in characters.
pub const LONGEST: usize = 300;

/// Finds IAM users that have a second active access key.
///
/// AWS gives each IAM user two access-key slots so that a key can be rotated without downtime. Two keys that are active
/// together are a rotation that was never finished, or somebody's backdoor.
#[derive(Debug, Parser)]
#[command(
    name = "secondkey",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 no finding, 10 at least one finding, 1 failure, 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Args),
    Findings(findings::Args),
    History(history::Args),
    Verify(verify::Args),
    Report(report::Args),
    #[cfg(feature = "live")]
    Doctor(doctor::Args),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well and there is no finding.
    NoFinding,
    /// There is at least one finding.
    Findings,
    /// Something could not be read or is broken.
    Failure,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::NoFinding => 0,
            Exit::Findings => 10,
            Exit::Failure => 1,
        })
    }
}

/// Runs the command.
pub async fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Replay(args) => replay::run(args).await,
        Command::Findings(args) => findings::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Report(args) => report::run(args).await,
        #[cfg(feature = "live")]
        Command::Doctor(args) => doctor::run(args).await,
    }
}
