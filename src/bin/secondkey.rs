//! The command line of secondkey.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use secondkey::cli::{Cli, Exit, LONGEST, run};
use secondkey::output::escape::for_terminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| inert(error).exit());
    let lines = fmt::layer()
        .with_writer(|| Inert)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        // Where stderr cannot be written to, complaining there would not help.
        .log_internal_errors(false);
    // What the SDK warns of while it looks for a region or for credentials is no trouble if it finds them, and said in words
    // if not.
    let levels = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("aws_config", LevelFilter::ERROR);
    tracing_subscriber::registry()
        .with(lines.with_filter(levels))
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

/// Stderr for log lines, which repeat what AWS and files say.
struct Inert;

impl Write for Inert {
    // Each line comes as one.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = for_terminal(text.trim_end_matches('\n'), LONGEST);
        writeln!(anstream::stderr(), "{text}")?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The same error, in which arguments send a terminal no codes: a shell makes them of file names, which may be anybody's.
fn inert(mut error: clap::Error) -> clap::Error {
    let shown = |text: &str| for_terminal(text, LONGEST);
    let safe: Vec<(ContextKind, ContextValue)> = error
        .context()
        // How the command is used is our own text, in lines.
        .filter(|(kind, _)| *kind != ContextKind::Usage)
        .filter_map(|(kind, value)| {
            let value = match value {
                ContextValue::String(text) => ContextValue::String(shown(text)),
                ContextValue::Strings(texts) => {
                    ContextValue::Strings(texts.iter().map(|text| shown(text)).collect())
                }
                ContextValue::StyledStr(text) => {
                    ContextValue::StyledStr(shown(&text.to_string()).into())
                }
                ContextValue::StyledStrs(texts) => ContextValue::StyledStrs(
                    texts
                        .iter()
                        .map(|text| shown(&text.to_string()).into())
                        .collect(),
                ),
                _ => return None,
            };
            Some((kind, value))
        })
        .collect();
    for (kind, value) in safe {
        error.insert(kind, value);
    }
    error
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
