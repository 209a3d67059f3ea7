//! The command line of secondkey.

use std::process::ExitCode;

use clap::Parser;
use secondkey::cli::{Cli, Exit, LONGEST, run};
use secondkey::output::escape::for_terminal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            anstream::eprintln!(
                "secondkey: {}",
                for_terminal(&format!("{error:#}"), LONGEST)
            );
            Exit::Failure.into()
        }
    }
}
