//! `secondkey completions SHELL`: what a shell needs to complete our command lines.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Exit};

/// Print what a shell needs to complete secondkey's commands and options
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey completions bash > ~/.local/share/bash-completion/completions/secondkey
  secondkey completions zsh > ~/.zfunc/_secondkey
  secondkey completions fish > ~/.config/fish/completions/secondkey.fish

Exit codes: 0 printed, 1 failure, 2 wrong usage.")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "secondkey", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::NoFinding)
}
