//! `secondkey man`: the manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::{Cli, Exit};

/// Print the manual page, or write the page of every command into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey man | man -l -
  secondkey man ~/.local/share/man/man1

Exit codes: 0 printed or written, 1 failure, 2 wrong usage.")]
pub struct Args {
    /// The folder that the pages are written into: secondkey.1, secondkey-scan.1 and so on. Without it, the first of them is
    /// printed
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    match &args.folder {
        None => std::io::stdout().lock().write_all(&page(&command)?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("folder `{}` cannot be made", folder.display()))?;
            write_pages(&command, folder)?;
        }
    }
    Ok(Exit::NoFinding)
}

/// Writes the page of `command` and those of its subcommands, which are built with their full names.
fn write_pages(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?)
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    for subcommand in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        write_pages(subcommand, folder)?;
    }
    Ok(())
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = vec![];
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
