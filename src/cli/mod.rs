//! The command line: one file per subcommand. What it finds goes to stdout, everything else to stderr.

#[cfg(feature = "live")]
mod again;
#[cfg(feature = "live")]
pub mod caller;
#[cfg(feature = "live")]
pub mod check;
pub mod completions;
mod destination;
#[cfg(feature = "live")]
pub mod doctor;
#[cfg(feature = "live")]
pub mod exempt;
pub mod findings;
pub mod gate;
pub mod history;
#[cfg(feature = "live")]
mod interrupt;
pub mod man;
pub mod policy;
pub mod replay;
pub mod report;
#[cfg(feature = "live")]
pub mod rotate;
#[cfg(feature = "live")]
pub mod scan;
pub mod source;
#[cfg(feature = "live")]
mod spelling;
pub mod table;
pub mod trail_reading;
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
    after_help = "Examples, from a forgotten rotation to its end:
  secondkey scan                           who has two active keys, with nothing deployed
  secondkey check alice                    one user in full: which key, whose, why
  secondkey rotate finish alice            deactivate the key to retire; a dry run until --apply
  secondkey rotate undo alice              activate it again, if something fails without it
  secondkey rotate cleanup alice           days later, delete it for good
  secondkey report --html report.html      what an auditor wants to see

`secondkey COMMAND --help` has examples of each.

Exit codes: 0 no finding, 10 at least one finding, 1 failure, 2 wrong usage, 130 interrupted."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "live")]
    Scan(Box<scan::Args>),
    #[cfg(feature = "live")]
    Check(check::Args),
    #[cfg(feature = "live")]
    Rotate(rotate::Args),
    #[cfg(feature = "live")]
    Exempt(exempt::Args),
    Findings(findings::Args),
    History(history::Args),
    Verify(verify::Args),
    Report(report::Args),
    Gate(gate::Args),
    Replay(replay::Args),
    #[cfg(feature = "live")]
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
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
    /// Somebody wanted it to end before it was through.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::NoFinding => 0,
            Exit::Findings => 10,
            Exit::Failure => 1,
            // The shell's code for a command that was interrupted from the keyboard.
            Exit::Interrupted => 130,
        })
    }
}

/// Runs the command.
pub async fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        #[cfg(feature = "live")]
        Command::Scan(args) => Box::pin(scan::run(*args)).await,
        #[cfg(feature = "live")]
        Command::Check(args) => Box::pin(check::run(args)).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Findings(args) => findings::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Report(args) => report::run(args).await,
        Command::Gate(args) => gate::run(&args),
        #[cfg(feature = "live")]
        Command::Rotate(args) => Box::pin(rotate::run(args)).await,
        #[cfg(feature = "live")]
        Command::Exempt(args) => exempt::run(args).await,
        #[cfg(feature = "live")]
        Command::Doctor(args) => doctor::run(args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
