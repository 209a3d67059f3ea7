//! How many findings there are of each kind, with bars.

use std::cmp::Reverse;

use serde::Serialize;

use crate::detect::findings::finding::{Finding, FoundBy};
use crate::output::report::Report;
use crate::output::report::rows::{ActorText, actor_words, severity_class};
use crate::output::report::stats;

/// How many actors are shown by name.
const MAX_ACTORS: usize = 12;

/// A count with its share of the largest, in percent.
#[derive(Debug, Serialize)]
pub(super) struct Bar {
    what: ActorText,
    class: &'static str,
    count: usize,
    share: String,
}

/// Actors by name, the most frequent first.
#[derive(Debug, Serialize)]
pub(super) struct Actors {
    bars: Vec<Bar>,
    more: usize,
    more_findings: usize,
}

/// `2 CRITICAL, 1 MEDIUM`.
pub(super) fn severity_counts(findings: &[&Finding]) -> String {
    let mut counts = stats::counts(findings.iter().map(|finding| finding.severity));
    counts.sort_by_key(|(severity, _)| Reverse(*severity));
    let words = counts
        .iter()
        .map(|(severity, count)| format!("{count} {}", severity.word()));
    words.collect::<Vec<_>>().join(", ")
}

/// How many findings there are of each severity, the most severe first.
pub(super) fn severities(findings: &[&Finding]) -> Vec<Bar> {
    let mut counts = stats::counts(findings.iter().map(|finding| finding.severity));
    counts.sort_by_key(|(severity, _)| Reverse(*severity));
    let counts = counts
        .into_iter()
        .map(|(severity, count)| (named(severity.word()), severity_class(severity), count));
    bars(counts.collect())
}

/// How many findings each kind of trigger led to.
pub(super) fn found_by(findings: &[&Finding]) -> Vec<Bar> {
    let counts = stats::counts(findings.iter().map(|finding| finding.found_by));
    let words = |found_by| match found_by {
        FoundBy::Event => "an event",
        FoundBy::Sweep => "a check of all users",
        FoundBy::Baseline => "the first check of all users",
    };
    let counts = counts
        .into_iter()
        .map(|(found_by, count)| (named(words(found_by)), "plain", count));
    bars(counts.collect())
}

fn named(word: &str) -> ActorText {
    ActorText {
        name: word.to_owned(),
        account: None,
    }
}

fn bars(counts: Vec<(ActorText, &'static str, usize)>) -> Vec<Bar> {
    let most = counts.iter().map(|(_, _, count)| *count).max().unwrap_or(1);
    let bars = counts.into_iter().map(|(what, class, count)| Bar {
        what,
        class,
        count,
        share: percent(ratio(count, most)),
    });
    bars.collect()
}

/// How often each actor occurs. The unknown actor counts too.
pub(super) fn actors<'a>(labels: impl Iterator<Item = Option<&'a str>>, report: &Report) -> Actors {
    // In a store of one account, the account number on every line is noise.
    let only_account = match report.accounts.len() {
        1 => report.accounts.keys().next(),
        _ => None,
    };
    let mut counts = stats::counts(labels);
    let rest = counts.split_off(MAX_ACTORS.min(counts.len()));
    let counts = counts.into_iter().map(|(label, count)| match label {
        Some(label) => {
            let account = only_account.map_or("", String::as_str);
            (actor_words(label, account), "plain", count)
        }
        None => (named("not known: no event shows it"), "unknown", count),
    });
    Actors {
        bars: bars(counts.collect()),
        more: rest.len(),
        more_findings: rest.iter().map(|(_, count)| count).sum(),
    }
}

/// `part` of `whole`, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "the counts are small enough")]
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A share in SVG's notation.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}
