//! The data for the template: everything in words, with nothing left to decide.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use serde::Serialize;

use crate::detect::events::actor::Actor;
use crate::detect::findings::finding::{CloseReason, Finding, FindingStatus};
use crate::output::control::{Control, NO_ROOT_KEY, ONE_ACTIVE_KEY, control_of};
use crate::output::number::count;
use crate::output::overlap_start::lasted;
use crate::output::report::Report;
use crate::output::report::chart::{Chart, chart};
use crate::output::report::counts::{Actors, Bar, actors, found_by, severities, severity_counts};
use crate::output::report::coverage::{Coverage, coverage};
use crate::output::report::exemptions;
use crate::output::report::integrity::Integrity;
use crate::output::report::rows::{
    ExemptionRow, FindingRow, OpenRow, exemption, finding, id, open as open_row, shown_user, text,
    time,
};
use crate::output::report::stats::{self, DurationStats};
use crate::output::report::timeline::timeline;
use crate::output::snapshot::{FindingSnapshot, as_of_line};
use crate::output::time::duration;

/// How many open findings are at the top. The others are in the table of findings.
const MAX_OPEN: usize = 25;

/// How many accounts and problems are shown.
const MAX_NAMED: usize = 50;

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
    integrity: IntegrityText,
    total: usize,
    users: String,
    open: usize,
    suppressed: usize,
    closed: usize,
    open_at_end: usize,
    open_severities: String,
    oldest_open: Option<OldestFinding>,
    severities: Vec<Bar>,
    found_by: Vec<Bar>,
    detect: Option<DurationStatsText>,
    close: Option<DurationStatsText>,
    not_in_detect: usize,
    estimated: usize,
    estimated_in_close: usize,
    renamed: usize,
    never_confirmed: usize,
    /// As of when ages, severities and verdicts are, if not as of now.
    as_of: Option<String>,
    controls: Vec<ControlRow>,
    coverage: Coverage,
    open_rows: Vec<OpenRow>,
    more_open: usize,
    timeline: Chart,
    openers: Actors,
    closers: Actors,
    exemptions: Vec<ExemptionRow>,
    rows: Vec<FindingRow>,
}

#[derive(Debug, Serialize)]
struct IntegrityText {
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

/// A control, and how many findings of the period fail it or failed it.
#[derive(Debug, Serialize)]
struct ControlRow {
    numbers: &'static str,
    requirement: &'static str,
    open: usize,
    suppressed: usize,
    closed: usize,
}

#[derive(Debug, Serialize)]
struct OldestFinding {
    age: String,
    user: String,
}

#[derive(Debug, Serialize)]
struct DurationStatsText {
    n: usize,
    median: String,
    p95: String,
    worst: String,
}

impl Page {
    /// The page of `report` about `findings`, the findings of its period.
    pub(super) fn new(report: &Report, snapshots: &[&FindingSnapshot]) -> Self {
        let period = &report.period;
        let findings: Vec<&Finding> = snapshots.iter().map(|one| &one.alert.finding).collect();
        let findings = findings.as_slice();
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
        let is_open = |one: &&&FindingSnapshot| one.alert.finding.status == FindingStatus::Open;
        let open_rows: Vec<OpenRow> = snapshots
            .iter()
            .filter(is_open)
            .take(MAX_OPEN)
            .map(|one| open_row(report, one))
            .collect();
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
                .keys()
                .take(MAX_NAMED)
                .map(|one| id(one))
                .collect(),
            more_accounts: report.accounts.len().saturating_sub(MAX_NAMED),
            filter_accounts: filter_accounts.into_iter().collect(),
            integrity: integrity(&Integrity::of(report)),
            total: findings.len(),
            users: count(users.len(), "user"),
            open: open.len(),
            suppressed: of_status(FindingStatus::Suppressed).len(),
            closed: of_status(FindingStatus::Closed).len(),
            open_at_end: findings
                .iter()
                .filter(|one| period.has_open_at_end(one))
                .count(),
            open_severities: severity_counts(&open),
            oldest_open: snapshots.iter().find(is_open).map(|oldest| OldestFinding {
                age: lasted(&oldest.alert.finding, oldest.alert.at),
                user: shown_user(&oldest.alert.finding),
            }),
            as_of: as_of_line(&report.findings, period.now),
            controls: controls(findings),
            coverage: coverage(report),
            severities: severities(findings),
            found_by: found_by(findings),
            not_in_detect: findings.len() - detect.as_ref().map_or(0, |spread| spread.n),
            estimated: findings
                .iter()
                .filter(|finding| finding.is_opened_at_estimated)
                .count(),
            estimated_in_close: findings
                .iter()
                .filter(|finding| {
                    finding.is_opened_at_estimated && stats::closed_after(finding).is_some()
                })
                .count(),
            detect: detect.as_ref().map(duration_stats),
            close: stats::time_to_close(findings).as_ref().map(duration_stats),
            renamed: closed_as(CloseReason::Renamed),
            never_confirmed: closed_as(CloseReason::NeverConfirmed),
            more_open: open.len() - open_rows.len(),
            open_rows,
            timeline: chart(&timeline(snapshots, period)),
            openers: actors(openers, report),
            closers: actors(closers, report),
            exemptions: exemptions::rows(&report.exemptions, findings, period.now)
                .iter()
                .map(|row| exemption(row, period.now))
                .collect(),
            rows: snapshots.iter().map(|one| finding(report, one)).collect(),
        }
    }
}

fn controls(findings: &[&Finding]) -> Vec<ControlRow> {
    let row = |control: &Control| {
        let of_status = |status| {
            let of = findings.iter().filter(|finding| {
                finding.status == status && control_of(finding.user()) == control
            });
            of.count()
        };
        ControlRow {
            numbers: control.numbers,
            requirement: control.requirement,
            open: of_status(FindingStatus::Open),
            suppressed: of_status(FindingStatus::Suppressed),
            closed: of_status(FindingStatus::Closed),
        }
    };
    vec![row(&ONE_ACTIVE_KEY), row(&NO_ROOT_KEY)]
}

fn integrity(integrity: &Integrity) -> IntegrityText {
    let troubles = integrity.troubles.iter().take(MAX_NAMED);
    IntegrityText {
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
        more: integrity.troubles.len().saturating_sub(MAX_NAMED),
    }
}

fn duration_stats(spread: &DurationStats) -> DurationStatsText {
    DurationStatsText {
        n: spread.n,
        median: duration(spread.median),
        p95: duration(spread.p95),
        worst: duration(spread.worst),
    }
}
