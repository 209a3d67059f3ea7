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
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => Exit::Failure.into(),
        Err(error) => {
            anstream::eprintln!(
                "secondkey: {}",
                for_terminal(&format!("{error:#}"), LONGEST)
            );
            Exit::Failure.into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
