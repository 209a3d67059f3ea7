//! The command line, one file per subcommand. Results go to stdout, everything else to stderr.

#[cfg(feature = "live")]
pub(crate) mod aws_args;
#[cfg(feature = "live")]
pub(crate) mod caller;
#[cfg(feature = "live")]
pub(crate) mod check;
pub mod checked_trail;
pub(crate) mod completions;
mod destination;
#[cfg(feature = "live")]
pub(crate) mod doctor;
#[cfg(feature = "live")]
pub(crate) mod exempt;
mod finding_lines;
mod finding_order;
mod finding_output;
pub(crate) mod findings;
mod format;
#[cfg(feature = "gate")]
pub(crate) mod gate;
pub(crate) mod history;
#[cfg(feature = "live")]
mod interrupt;
pub(crate) mod judging;
pub(crate) mod man;
#[cfg(feature = "live")]
mod next_command;
pub(crate) mod policy_args;
pub mod problems;
pub(crate) mod replay;
pub(crate) mod report;
#[cfg(feature = "live")]
pub(crate) mod rotate;
#[cfg(feature = "live")]
pub(crate) mod scan;
pub(crate) mod schema;
mod selection;
#[cfg(feature = "live")]
pub(crate) mod store;
pub(crate) mod store_args;
mod streams;
mod table;
mod time_args;
pub(crate) mod usage;
#[cfg(feature = "live")]
mod user_lookup;
mod user_name;
pub(crate) mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::streams::ColorWhen;

/// The longest text from an event that is printed in full, in characters. Longer ones are cut.
pub const MAX_CHARS: usize = 300;

/// Finds IAM users that have a second active access key.
///
/// AWS gives each IAM user two access keys so that a key can be rotated without downtime. If both
/// are active for long, a rotation was never finished, or an attacker has a backdoor.
#[derive(Debug, Parser)]
#[command(
    name = "secondkey",
    version,
    max_term_width = 100,
    after_help = "Examples, from a forgotten rotation to its end:
  secondkey scan                           find users with two active keys
  secondkey check alice                    check one user: keys, actors, advice
  secondkey usage alice AWSLogs/           show who uses which key
  secondkey rotate finish alice            retire one key; --apply does it
  secondkey rotate undo alice              reactivate it if something breaks
  secondkey rotate cleanup alice           delete it a few days later
  secondkey report --html report.html      write a report for an auditor

`secondkey COMMAND --help` shows examples of each command.

Exit codes: 0 no finding, 10 at least one finding, 1 failure, 2 usage error, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,

    #[command(subcommand)]
    command: Command,
}

/// What is printed beside the result, and how.
#[derive(Debug, clap::Args)]
struct OutputArgs {
    /// Print only the result and errors: no alerts, no progress, no summary
    #[arg(long, short, global = true, display_order = 900)]
    quiet: bool,

    /// Print the log on stderr, instead of a line for each kind of problem
    #[arg(
        long,
        short,
        global = true,
        conflicts_with = "quiet",
        display_order = 901
    )]
    verbose: bool,

    /// When to use colors. By default on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, display_order = 902, value_enum, value_name = "WHEN", default_value_t = ColorWhen::Auto, hide_possible_values = true)]
    color: ColorWhen,
}

impl Cli {
    /// Makes the options for output those of the program.
    pub fn choose_output(&self) {
        self.output.color.choose();
        streams::choose_quiet(self.output.quiet);
    }

    /// Whether to print the log.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.output.verbose
    }
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
    #[cfg(feature = "gate")]
    Gate(gate::Args),
    Replay(replay::Args),
    Usage(Box<usage::Args>),
    #[cfg(feature = "live")]
    Doctor(doctor::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded, and there is no finding.
    NoFinding,
    /// There is at least one finding.
    Findings,
    /// Something could not be read, or a check failed.
    Failure,
    /// The user interrupted the command.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::NoFinding => 0,
            Exit::Findings => 10,
            Exit::Failure => 1,
            // The exit code that shells use for Ctrl-C: 128 + SIGINT.
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
        Command::Usage(args) => Box::pin(usage::run(*args)).await,
        Command::Findings(args) => findings::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Report(args) => report::run(args).await,
        #[cfg(feature = "gate")]
        Command::Gate(args) => gate::run(&args),
        #[cfg(feature = "live")]
        Command::Rotate(args) => Box::pin(rotate::run(args)).await,
        #[cfg(feature = "live")]
        Command::Exempt(args) => exempt::run(args).await,
        #[cfg(feature = "live")]
        Command::Doctor(args) => doctor::run(args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
