//! The command line of secondkey.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use secondkey::cli::problems::Problems;
use secondkey::cli::{Cli, Exit, MAX_CHARS, run};
use secondkey::output::escape::for_terminal;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| escaped(error).exit());
    cli.choose_output();
    let log = cli.is_verbose().then(log_lines);
    // With the log, a summary of it would repeat it.
    let problems = Problems::default();
    let summary = (!cli.is_verbose()).then(|| problems.clone());
    tracing_subscriber::registry()
        .with(log)
        .with(summary)
        .init();
    let result = run(cli).await;
    // If stderr is closed, the exit code is all that is left.
    let _ = problems.print();
    match result {
        Ok(exit) => exit.into(),
        // The reader of our output closed the pipe, as `head` does.
        Err(error) if is_broken_pipe(&error) => Exit::Failure.into(),
        Err(error) => {
            let text = for_terminal(&format!("{error:#}"), MAX_CHARS);
            let _ = writeln!(anstream::stderr(), "secondkey: {text}");
            Exit::Failure.into()
        }
    }
}

/// Log lines on stderr.
fn log_lines<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = fmt::layer()
        .with_writer(|| EscapingWriter)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        // If stderr cannot be written, an error message there would fail as well.
        .log_internal_errors(false);
    let levels = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("secondkey", LevelFilter::INFO);
    lines.with_filter(levels)
}

/// Stderr for log lines, escaped because they may contain text from AWS and from files.
struct EscapingWriter;

impl Write for EscapingWriter {
    // The subscriber writes each log line in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = for_terminal(text.trim_end_matches('\n'), MAX_CHARS);
        writeln!(anstream::stderr(), "{text}")?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// `error` with its arguments escaped. A shell expands file names into arguments, and a file name may
/// contain terminal control codes.
fn escaped(mut error: clap::Error) -> clap::Error {
    let shown = |text: &str| for_terminal(text, MAX_CHARS);
    let safe: Vec<(ContextKind, ContextValue)> = error
        .context()
        // The usage text is our own, with line breaks.
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
