//! `secondkey man`: prints or writes the manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use self::sections::sections;
use crate::cli::streams::stdout;
use crate::cli::{Cli, Exit};

mod sections;

/// Print the manual page, or write the pages of all commands to a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey man | man -l -
  secondkey man ~/.local/share/man/man1

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(crate) struct Args {
    /// The folder for the pages: secondkey.1, secondkey-scan.1 and so on. Without a folder,
    /// secondkey.1 goes to standard output
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    match &args.folder {
        None => stdout().write_all(&page(&command)?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("folder `{}` cannot be created", folder.display()))?;
            write_pages(&command, folder)?;
        }
    }
    Ok(Exit::NoFinding)
}

/// Writes the pages of `command` and its subcommands. The command must be built, so that each has
/// its full name.
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

/// The page of `command`. Its last sections replace clap's section for the end of the help.
fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = vec![];
    Man::new(command.clone().after_help(None)).render(&mut page)?;
    sections(command).to_writer(&mut page)?;
    Ok(page)
}
