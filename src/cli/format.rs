//! The output formats of the commands that read a store or logs.

use clap::ValueEnum;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Table,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
}

/// The output format of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindingFormat {
    /// For people: a line for each key, and what to do
    Table,
    /// For people: one line per finding
    Lines,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
}
