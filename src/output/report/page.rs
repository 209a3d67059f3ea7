//! What the template is filled with: everything in words, and nothing left to decide.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use serde::Serialize;

use crate::detect::actor::Actor;
use crate::detect::finding::{CloseReason, Finding, FindingStatus};
use crate::output::number::count;
use crate::output::report::Report;
use crate::output::report::counts::{Actors, Bar, actors, found_by, severities, severity_counts};
use crate::output::report::exemptions;
use crate::output::report::integrity::Integrity;
use crate::output::report::picture::{Picture, picture};
use crate::output::report::rows::{
    ExemptionRow, FindingRow, exemption, finding, id, shown_user, text, time,
};
use crate::output::report::stats::{self, Spread};
use crate::output::report::timeline::timeline;
use crate::output::since::lasted;
use crate::output::time::duration;

/// How many open findings stand at the top; the others are in the table of findings.
const MOST_OPEN: usize = 25;

/// How many accounts, and how many troubles, are named.
const MOST_NAMED: usize = 50;

/// The page in words.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    version: &'static str,
    store: String,
    command: String,
    generated: String,
    generated_iso: String,
    from: String,
    to: String,
    reaches_now: bool,
    accounts: Vec<String>,
    more_accounts: usize,
    filter_accounts: Vec<String>,
    integrity: IntegrityWords,
    total: usize,
    users: String,
    open: usize,
    exempt: usize,
    closed: usize,
    open_at_end: usize,
    open_severities: String,
    oldest_open: Option<Oldest>,
    severities: Vec<Bar>,
    found_by: Vec<Bar>,
    detect: Option<SpreadWords>,
    close: Option<SpreadWords>,
    not_in_detect: usize,
    estimated: usize,
    estimated_in_close: usize,
    renamed: usize,
    never_confirmed: usize,
    open_rows: Vec<FindingRow>,
    more_open: usize,
    timeline: Picture,
    openers: Actors,
    closers: Actors,
    exemptions: Vec<ExemptionRow>,
    rows: Vec<FindingRow>,
}

#[derive(Debug, Serialize)]
struct IntegrityWords {
    is_whole: bool,
    trails: usize,
    entries: usize,
    broken: usize,
    unread: usize,
    differing: usize,
    words: String,
    troubles: Vec<[String; 3]>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct Oldest {
    age: String,
    user: String,
}

#[derive(Debug, Serialize)]
struct SpreadWords {
    n: usize,
    median: String,
    p95: String,
    worst: String,
}

impl Page {
    /// The page of `report` on `findings`, which are those of its period.
    pub(super) fn new(report: &Report, findings: &[&Finding]) -> Self {
        let period = &report.period;
        let of_status = |status| {
            let of = findings.iter().filter(|finding| finding.status == status);
            of.copied().collect::<Vec<&Finding>>()
        };
        let open = of_status(FindingStatus::Open);
        let closed_as = |reason| {
            let closings = findings
                .iter()
                .filter_map(|finding| finding.closing.as_ref());
            closings.filter(|closing| closing.reason == reason).count()
        };
        let users: BTreeSet<_> = findings.iter().map(|finding| finding.user()).collect();
        let filter_accounts: BTreeSet<_> = findings
            .iter()
            .map(|finding| id(finding.user().account()))
            .collect();
        let detect = stats::time_to_detect(findings);
        let rows = |findings: &[&Finding]| -> Vec<FindingRow> {
            findings.iter().map(|one| finding(report, one)).collect()
        };
        let shown_open = open.get(..MOST_OPEN).unwrap_or(&open);
        let openers = findings.iter().map(|finding| {
            let opener = finding.opener.as_ref()?;
            Some(opener.actor.label())
        });
        let closers = findings.iter().filter_map(|finding| {
            let closing = finding.closing.as_ref()?;
            Some(closing.actor.as_ref().map(Actor::label))
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            store: id(&report.store),
            command: text(&report.command),
            generated: time(period.now),
            generated_iso: period.now.to_rfc3339_opts(SecondsFormat::Secs, true),
            from: time(period.from),
            to: time(period.to),
            reaches_now: period.reaches_now(),
            accounts: report
                .accounts
                .iter()
                .take(MOST_NAMED)
                .map(|one| id(one))
                .collect(),
            more_accounts: report.accounts.len().saturating_sub(MOST_NAMED),
            filter_accounts: filter_accounts.into_iter().collect(),
            integrity: integrity(&Integrity::of(report)),
            total: findings.len(),
            users: count(users.len(), "user"),
            open: open.len(),
            exempt: of_status(FindingStatus::Suppressed).len(),
            closed: of_status(FindingStatus::Closed).len(),
            open_at_end: findings
                .iter()
                .filter(|one| period.has_open_at_end(one))
                .count(),
            open_severities: severity_counts(&open),
            oldest_open: open.first().map(|oldest| Oldest {
                age: lasted(oldest, period.now),
                user: shown_user(oldest),
            }),
            severities: severities(findings),
            found_by: found_by(findings),
            not_in_detect: findings.len() - detect.as_ref().map_or(0, |spread| spread.n),
            estimated: findings
                .iter()
                .filter(|finding| finding.is_since_estimated)
                .count(),
            estimated_in_close: findings
                .iter()
                .filter(|finding| {
                    finding.is_since_estimated && stats::closed_after(finding).is_some()
                })
                .count(),
            detect: detect.as_ref().map(spread),
            close: stats::time_to_close(findings).as_ref().map(spread),
            renamed: closed_as(CloseReason::Renamed),
            never_confirmed: closed_as(CloseReason::NeverConfirmed),
            open_rows: rows(shown_open),
            more_open: open.len() - shown_open.len(),
            timeline: picture(&timeline(findings, period), period.now),
            openers: actors(openers, report),
            closers: actors(closers, report),
            exemptions: exemptions::rows(&report.exemptions, findings, period.now)
                .iter()
                .map(|row| exemption(row, period.now))
                .collect(),
            rows: rows(findings),
        }
    }
}

fn integrity(integrity: &Integrity) -> IntegrityWords {
    let troubles = integrity.troubles.iter().take(MOST_NAMED);
    IntegrityWords {
        is_whole: integrity.is_whole(),
        trails: integrity.trails,
        entries: integrity.entries,
        broken: integrity.broken,
        unread: integrity.unread,
        differing: integrity.differing,
        words: integrity.words(),
        troubles: troubles
            .map(|one| [one.word.to_owned(), text(&one.subject), text(&one.reason)])
            .collect(),
        more: integrity.troubles.len().saturating_sub(MOST_NAMED),
    }
}

fn spread(spread: &Spread) -> SpreadWords {
    SpreadWords {
        n: spread.n,
        median: duration(spread.median),
        p95: duration(spread.p95),
        worst: duration(spread.worst),
    }
}
