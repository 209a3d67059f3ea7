//! The command line of secondkey.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use secondkey::cli::{Cli, Exit, LONGEST, run};
use secondkey::output::escape::for_terminal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        // Where stderr cannot be written to, complaining there would not help.
        .log_internal_errors(false)
        .init();
    match run(cli).await {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => Exit::Failure.into(),
        Err(error) => {
            let text = for_terminal(&format!("{error:#}"), LONGEST);
            // Where even this cannot be said the exit code has to do.
            let _ = writeln!(anstream::stderr(), "secondkey: {text}");
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
