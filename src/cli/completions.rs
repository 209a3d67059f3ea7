//! `secondkey completions SHELL`: prints a shell completion script.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::streams::stdout;
use crate::cli::{Cli, Exit};

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(secondkey completions bash)
  secondkey completions zsh > ~/.zfunc/_secondkey
  secondkey completions fish > ~/.config/fish/completions/secondkey.fish

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "secondkey", &mut script);
    stdout().write_all(&script)?;
    Ok(Exit::NoFinding)
}
