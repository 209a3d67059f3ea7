//! `secondkey schema`: prints the JSON Schema of a document.

use std::io::Write;

use clap::ValueEnum;

use crate::cli::Exit;
use crate::cli::streams::verbatim_stdout;
use crate::output::json_v1::schema::{Document, schema};

/// Print the JSON Schema of a document that secondkey writes
///
/// The schema (draft 2020-12) describes version 1 of the JSON, in this release. A later release may add
/// fields and words to version 1. It never removes or changes a field.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey schema
  secondkey schema alert > alert.schema.json

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(crate) struct Args {
    /// The document
    #[arg(value_enum, default_value_t = DocumentName::Findings)]
    document: DocumentName,
}

/// A document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DocumentName {
    /// The output of `scan`, `findings` and `replay` with `--format json`
    Findings,
    /// One finding, a line of their output with `--format jsonl`
    Finding,
    /// An alert: an SNS message, or the detail of an EventBridge event
    Alert,
    /// A digest or a reminder, likewise
    Digest,
    /// The output of `history` with `--format json`
    History,
    /// The output of `verify` with `--format json`
    Verify,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let schema = schema(match args.document {
        DocumentName::Findings => Document::Findings,
        DocumentName::Finding => Document::Finding,
        DocumentName::Alert => Document::Alert,
        DocumentName::Digest => Document::Digest,
        DocumentName::History => Document::History,
        DocumentName::Verify => Document::Verification,
    });
    writeln!(verbatim_stdout(), "{schema:#}")?;
    Ok(Exit::NoFinding)
}
