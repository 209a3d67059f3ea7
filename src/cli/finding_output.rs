//! Findings in each format, for `scan`, `findings` and `replay`.

use std::io::Write;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::destination::Destination;
use crate::cli::finding_lines::{write as write_whole, write_brief, write_ending};
use crate::cli::table::width;
use crate::detect::Timestamp;
use crate::detect::findings::finding::FindingStatus;
use crate::output::escape::for_json;
use crate::output::snapshot::FindingSnapshot;
use crate::output::{asff, csv, json_v1, ocsf, sarif};

/// What a command prints if there are findings, but its options hide all of them.
const NONE_MATCHES: &str = "No finding matches the options.";

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
    /// Comma-separated values with a header
    Csv,
    /// AWS Security Finding Format, for `aws securityhub batch-import-findings`, which accepts 100
    /// findings of the calling account per call
    Asff,
    /// Open Cybersecurity Schema Framework 1.6, Detection Finding
    Ocsf,
    /// Static Analysis Results Interchange Format 2.1.0, without closed findings
    Sarif,
}

/// How and where a command prints findings.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// The output format
    #[arg(long, value_enum, default_value_t = FindingFormat::Table)]
    pub(super) format: FindingFormat,

    /// Write the result to this file instead of stdout. The file is written atomically
    #[arg(
        id = "output",
        long = "output",
        short = 'o',
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    pub(super) file: Destination,
}

/// A format for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentFormat {
    Json,
    Jsonl,
    Csv,
    Asff,
    Ocsf,
    Sarif,
}

impl FindingFormat {
    /// The format if it is for programs.
    #[must_use]
    pub(crate) fn for_programs(self) -> Option<DocumentFormat> {
        match self {
            Self::Table | Self::Lines => None,
            Self::Json => Some(DocumentFormat::Json),
            Self::Jsonl => Some(DocumentFormat::Jsonl),
            Self::Csv => Some(DocumentFormat::Csv),
            Self::Asff => Some(DocumentFormat::Asff),
            Self::Ocsf => Some(DocumentFormat::Ocsf),
            Self::Sarif => Some(DocumentFormat::Sarif),
        }
    }
}

/// The findings that a command prints.
pub(crate) struct FindingList<'a> {
    /// Those to show, in this order.
    pub(crate) snapshots: &'a [FindingSnapshot],
    /// How many there are, hidden ones included.
    pub(crate) found: usize,
    /// What people read if there are none.
    pub(crate) none: &'a str,
    /// The time of the run.
    pub(crate) now: Timestamp,
}

/// What a document contains beside the findings.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    /// A field of the JSON: its name and its value.
    pub(crate) run: Option<(&'static str, Value)>,
    /// The Region of the Security Hub for the findings in ASFF.
    pub(crate) region: String,
}

/// Writes the findings of `list` to `out`.
pub(crate) fn write(
    out: &mut impl Write,
    list: &FindingList<'_>,
    about: &About,
    format: FindingFormat,
) -> anyhow::Result<()> {
    let FindingList { snapshots, now, .. } = list;
    if let Some(format) = format.for_programs() {
        return write_document(out, format, about, |take| {
            snapshots.iter().try_for_each(take)
        });
    }
    if snapshots.is_empty() {
        let none = if list.found > 0 {
            NONE_MATCHES
        } else {
            list.none
        };
        return Ok(writeln!(out, "{none}")?);
    }
    match format {
        FindingFormat::Lines => write_brief(out, *snapshots)?,
        _ => write_whole(out, *snapshots, width())?,
    }
    Ok(write_ending(out, snapshots, *now)?)
}

/// Passes findings to the function that it gets, one by one.
type Take<'t> = &'t mut dyn FnMut(&FindingSnapshot) -> anyhow::Result<()>;

/// Writes the findings that `each` passes on as a document for programs. JSON is written finding by
/// finding, because the findings of a replay may not all fit into memory.
pub(crate) fn write_document(
    out: &mut impl Write,
    format: DocumentFormat,
    about: &About,
    each: impl FnOnce(Take<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let document = match format {
        DocumentFormat::Json => return write_json(out, about, each),
        DocumentFormat::Jsonl => return write_json_lines(out, about, each),
        // It ends with a line feed.
        DocumentFormat::Csv => {
            return Ok(write!(out, "{}", csv::document(&collected(each)?)?)?);
        }
        DocumentFormat::Asff => asff::document(&collected(each)?, &about.region)?,
        DocumentFormat::Ocsf => ocsf::document(&collected(each)?)?,
        DocumentFormat::Sarif => {
            // Code scanning shows every result as open, and closes results that a later log lacks.
            let mut open = collected(each)?;
            open.retain(|snapshot| snapshot.alert.finding.status != FindingStatus::Closed);
            sarif::document(&open)?
        }
    };
    Ok(writeln!(out, "{document}")?)
}

/// The findings that `each` passes on.
fn collected(
    each: impl FnOnce(Take<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<FindingSnapshot>> {
    let mut all = vec![];
    each(&mut |snapshot| {
        all.push(snapshot.clone());
        Ok(())
    })?;
    Ok(all)
}

/// Writes one document, with sorted keys.
fn write_json(
    out: &mut impl Write,
    about: &About,
    each: impl FnOnce(Take<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let indented =
        |value: &Value, by: &str| for_json(&format!("{value:#}")).replace('\n', &format!("\n{by}"));
    let mut is_first = true;
    write!(out, "{{\n  \"findings\": [")?;
    each(&mut |snapshot| {
        let separator = if is_first { "" } else { "," };
        is_first = false;
        let value = serde_json::to_value(json_v1::snapshot(snapshot))
            .context("a finding could not be written as JSON")?;
        Ok(write!(
            out,
            "{separator}\n    {}",
            indented(&value, "    ")
        )?)
    })?;
    let end = if is_first { "" } else { "\n  " };
    write!(out, "{end}]")?;
    if let Some((name, run)) = &about.run {
        write!(out, ",\n  \"{name}\": {}", indented(run, "  "))?;
    }
    Ok(writeln!(out, ",\n  \"version\": \"1\"\n}}")?)
}

/// Writes one line per finding. What else there is to say is the last line.
fn write_json_lines(
    out: &mut impl Write,
    about: &About,
    each: impl FnOnce(Take<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    each(&mut |snapshot| {
        let line = serde_json::to_string(&json_v1::snapshot(snapshot))
            .context("a finding could not be written as JSON")?;
        Ok(writeln!(out, "{}", for_json(&line))?)
    })?;
    if let Some((name, run)) = &about.run {
        let line = json!({"version": "1", *name: run}).to_string();
        writeln!(out, "{}", for_json(&line))?;
    }
    Ok(())
}

/// The Region that the environment names, as in the AWS CLI.
fn region_of_environment() -> Option<String> {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    named("AWS_REGION").or_else(|| named("AWS_DEFAULT_REGION"))
}

/// The Region for `format`: `own`, or that of the environment. Only ASFF needs one.
pub(crate) fn region_for(format: FindingFormat, own: Option<String>) -> anyhow::Result<String> {
    if format != FindingFormat::Asff {
        return Ok(String::new());
    }
    own.or_else(region_of_environment).context(
        "findings in ASFF name the Region of a Security Hub; set the variable `AWS_REGION`",
    )
}
