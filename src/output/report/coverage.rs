//! Which accounts the report covers: when each was last checked, and what could not be checked.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::detect::Timestamp;
use crate::detect::findings::finding::{CloseReason, Finding, FindingStatus};
use crate::detect::records::account_record::SWEPT_WITHIN;
use crate::detect::records::coverage::{AccountCoverage, FullCheckKind, UnfinishedScan};
use crate::output::number::count;
use crate::output::report::Report;
use crate::output::report::rows::{id, shown_user, text, time};
use crate::output::time::duration;

/// How many accounts have a row: those with gaps first.
const MAX_ROWS: usize = 100;

/// How many users whose keys could not be listed are named.
const MAX_UNLISTED: usize = 3;

/// An account, and what is known about its checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckedAccount {
    /// What the store says about checks of the whole account.
    pub(crate) coverage: AccountCoverage,
    /// How many users it has data about.
    pub(crate) users: usize,
    /// When the newest listing of one user's keys was requested.
    pub(crate) listed_at: Option<Timestamp>,
}

/// The coverage, in words.
#[derive(Debug, Serialize)]
pub(super) struct Coverage {
    /// How many accounts are in each state: `2 checked, 1 cannot be read`.
    states: String,
    /// Whether all that the store has comes from logs.
    is_logs_only: bool,
    rows: Vec<CoverageRow>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct CoverageRow {
    state: &'static str,
    is_gap: bool,
    account: String,
    users: usize,
    checks: Vec<CheckText>,
    gaps: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CheckText {
    what: &'static str,
    at: String,
    ago: String,
}

/// How well an account is covered, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CoverageState {
    Unreachable,
    NeverChecked,
    Unfinished,
    Overdue,
    NotKnown,
    LogsOnly,
    Checked,
    Left,
    Excluded,
}

impl CoverageState {
    fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "cannot be read",
            Self::NeverChecked => "not checked yet",
            Self::Unfinished => "scan not finished",
            Self::Overdue => "check overdue",
            Self::NotKnown => "not known",
            Self::LogsOnly => "logs only",
            Self::Checked => "checked",
            Self::Left => "left the organization",
            Self::Excluded => "excluded",
        }
    }

    fn is_gap(self) -> bool {
        self <= Self::NotKnown
    }
}

/// The coverage that `report` shows.
pub(super) fn coverage(report: &Report) -> Coverage {
    let now = report.period.now;
    let mut by_account: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for one in &report.findings {
        let account = one.alert.finding.user().account();
        by_account
            .entry(account)
            .or_default()
            .push(&one.alert.finding);
    }
    let mut rows: Vec<(CoverageState, CoverageRow)> = report
        .accounts
        .iter()
        .map(|(account, known)| {
            let findings = by_account.get(account.as_str()).map_or(&[][..], |all| all);
            let ending = ending(&known.coverage, findings);
            let state = state(&known.coverage, ending, now);
            let row = CoverageRow {
                state: state.words(),
                is_gap: state.is_gap(),
                account: id(account),
                users: known.users,
                checks: checks(known, now),
                gaps: gaps(&known.coverage, state, ending, findings),
            };
            (state, row)
        })
        .collect();
    rows.sort_by_key(|(state, _)| *state);
    let mut states: BTreeMap<CoverageState, usize> = BTreeMap::new();
    for (state, _) in &rows {
        *states.entry(*state).or_default() += 1;
    }
    let words = states
        .iter()
        .map(|(state, accounts)| format!("{accounts} {}", state.words()));
    Coverage {
        states: words.collect::<Vec<_>>().join(", "),
        is_logs_only: !rows.is_empty() && states.keys().all(|one| *one == CoverageState::LogsOnly),
        more: rows.len().saturating_sub(MAX_ROWS),
        rows: rows
            .into_iter()
            .take(MAX_ROWS)
            .map(|(_, row)| row)
            .collect(),
    }
}

/// The latest closing because the account left or was excluded, unless the account was checked
/// later. The store has no other trace of an exclusion.
fn ending(coverage: &AccountCoverage, findings: &[&Finding]) -> Option<(CloseReason, Timestamp)> {
    let closings = findings
        .iter()
        .filter_map(|finding| finding.closing.as_ref());
    let is_ending = |reason| {
        matches!(
            reason,
            CloseReason::AccountLeft | CloseReason::AccountExcluded
        )
    };
    closings
        .filter(|closing| is_ending(closing.reason))
        .map(|closing| (closing.reason, closing.at))
        .max_by_key(|(_, at)| *at)
        .filter(|(_, at)| coverage.all_users.is_none_or(|check| check.at < *at))
}

fn state(
    coverage: &AccountCoverage,
    ending: Option<(CloseReason, Timestamp)>,
    now: Timestamp,
) -> CoverageState {
    match ending {
        Some((CloseReason::AccountExcluded, _)) => return CoverageState::Excluded,
        Some(_) => return CoverageState::Left,
        None if coverage.left_at.is_some() => return CoverageState::Left,
        None => {}
    }
    if coverage.unreachable.is_some() {
        return CoverageState::Unreachable;
    }
    if coverage.unfinished.is_some() {
        return CoverageState::Unfinished;
    }
    match coverage.all_users {
        Some(check) if check.kind == FullCheckKind::Sweep && now - check.at > SWEPT_WITHIN => {
            CoverageState::Overdue
        }
        Some(_) => CoverageState::Checked,
        None if coverage.registered_at.is_some() => CoverageState::NeverChecked,
        None if coverage.logs_until.is_some() => CoverageState::LogsOnly,
        None => CoverageState::NotKnown,
    }
}

/// When the account was looked at, and how.
fn checks(known: &CheckedAccount, now: Timestamp) -> Vec<CheckText> {
    let coverage = &known.coverage;
    let all = coverage.all_users.map(|check| {
        let what = match check.kind {
            FullCheckKind::Sweep => "sweep of all users",
            FullCheckKind::Scan => "scan of all users",
        };
        (what, check.at)
    });
    // A replay takes the keys from the logs, and asks no account.
    let listed_at = known.listed_at.filter(|at| Some(*at) > coverage.logs_until);
    let one = listed_at.map(|at| ("check of one user", at));
    let logs = coverage.logs_until.map(|at| ("logs until", at));
    let checks = [all, one, logs].into_iter().flatten();
    checks
        .map(|(what, at)| CheckText {
            what,
            at: time(at),
            ago: format!("{} ago", duration(now - at)),
        })
        .collect()
}

/// What could not be checked, and why, as far as the store says.
fn gaps(
    coverage: &AccountCoverage,
    state: CoverageState,
    ending: Option<(CloseReason, Timestamp)>,
    findings: &[&Finding],
) -> Vec<String> {
    let mut gaps = vec![];
    if let Some(unreachable) = &coverage.unreachable {
        let (since, reason) = (time(unreachable.since), text(&unreachable.reason));
        gaps.push(format!("unreachable since {since}: {reason}"));
    }
    match (ending, coverage.left_at) {
        (Some((reason, at)), _) => gaps.push(format!("{}, {}", reason.words(), time(at))),
        (None, Some(at)) => {
            gaps.push(format!(
                "the organization has not listed it since {}",
                time(at)
            ));
        }
        (None, None) => {}
    }
    gaps.extend(coverage.unfinished.map(unfinished));
    gaps.extend(state_gap(coverage, state));
    gaps.extend(unlisted(findings));
    gaps
}

fn unfinished(scan: UnfinishedScan) -> String {
    let began = format!("the scan of {} did not finish", time(scan.started_at));
    if scan.is_listed {
        format!(
            "{began}: {} of {} users not checked",
            scan.unchecked, scan.users
        )
    } else {
        format!("{began}: not all users were listed")
    }
}

fn state_gap(coverage: &AccountCoverage, state: CoverageState) -> Option<String> {
    match state {
        CoverageState::NeverChecked => Some(coverage.registered_at.map_or_else(
            || "no sweep has finished".to_owned(),
            |at| {
                format!(
                    "known from an event since {}; no sweep has finished",
                    time(at)
                )
            },
        )),
        CoverageState::Overdue => Some(
            "sweeps are hourly; if the account is excluded, the table does not store that"
                .to_owned(),
        ),
        CoverageState::LogsOnly => {
            Some("keys that changed before the logs begin are not known".to_owned())
        }
        CoverageState::NotKnown => {
            Some("the store does not hold when this account was checked".to_owned())
        }
        CoverageState::Unreachable
        | CoverageState::Unfinished
        | CoverageState::Checked
        | CoverageState::Left
        | CoverageState::Excluded => None,
    }
}

/// The users whose keys could not be listed since a finding opened.
fn unlisted(findings: &[&Finding]) -> Option<String> {
    let refused: Vec<(&Finding, &String)> = findings
        .iter()
        .filter(|one| one.status != FindingStatus::Closed && !one.confirmed)
        .filter_map(|one| Some((*one, one.listing_refusal.as_ref()?)))
        .collect();
    let named = refused
        .iter()
        .take(MAX_UNLISTED)
        .map(|(finding, reason)| format!("{}: {}", shown_user(finding), text(reason)));
    let more = refused.len().saturating_sub(MAX_UNLISTED);
    let more = (more > 0).then(|| format!("and {more} more"));
    let named: Vec<String> = named.chain(more).collect();
    (!named.is_empty()).then(|| {
        let users = count(refused.len(), "user");
        format!(
            "the keys of {users} could not be listed: {}",
            named.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::records::account_record::Unreachable;
    use crate::detect::records::coverage::FullCheck;
    use crate::detect::testing::at;
    use crate::output::testing;

    const HOUR: i64 = 3_600;

    fn swept(second: i64) -> AccountCoverage {
        AccountCoverage {
            all_users: Some(FullCheck {
                kind: FullCheckKind::Sweep,
                at: at(second),
            }),
            ..AccountCoverage::default()
        }
    }

    /// The state of an account and its gaps at hour 10.
    fn of(coverage: &AccountCoverage, findings: &[&Finding]) -> (&'static str, String) {
        let ending = ending(coverage, findings);
        let state = state(coverage, ending, at(10 * HOUR));
        let gaps = gaps(coverage, state, ending, findings);
        (state.words(), gaps.join(" | "))
    }

    #[track_caller]
    fn check(coverage: &AccountCoverage, findings: &[&Finding], state: &str, gap: &str) {
        let (found, gaps) = of(coverage, findings);
        assert_eq!(found, state, "{gaps}");
        assert!(
            gaps.contains(gap) && gaps.is_empty() == gap.is_empty(),
            "{gaps}"
        );
    }

    #[test]
    fn a_swept_account_is_checked_or_overdue() {
        check(&swept(9 * HOUR), &[], "checked", "");
        check(&swept(7 * HOUR), &[], "check overdue", "sweeps are hourly");
        let registered = AccountCoverage {
            registered_at: Some(at(0)),
            ..AccountCoverage::default()
        };
        check(&registered, &[], "not checked yet", "no sweep has finished");
        let unreachable = AccountCoverage {
            unreachable: Some(Unreachable {
                since: at(0),
                reason: "AccessDenied".to_owned(),
            }),
            ..swept(7 * HOUR)
        };
        check(&unreachable, &[], "cannot be read", ": AccessDenied");
    }

    #[test]
    fn a_scanned_account_is_checked_unless_its_last_scan_did_not_finish() {
        let scanned = AccountCoverage {
            all_users: Some(FullCheck {
                kind: FullCheckKind::Scan,
                at: at(0),
            }),
            ..AccountCoverage::default()
        };
        check(&scanned, &[], "checked", "");
        let again = |is_listed| AccountCoverage {
            unfinished: Some(UnfinishedScan {
                started_at: at(HOUR),
                is_listed,
                unchecked: 3,
                users: 10,
            }),
            ..scanned.clone()
        };
        check(
            &again(true),
            &[],
            "scan not finished",
            "3 of 10 users not checked",
        );
        check(
            &again(false),
            &[],
            "scan not finished",
            "not all users were listed",
        );
    }

    #[test]
    fn a_store_without_checks_says_what_it_does_not_know() {
        let nothing = AccountCoverage::default();
        check(&nothing, &[], "not known", "does not hold when");
        let replayed = AccountCoverage {
            logs_until: Some(at(HOUR)),
            ..nothing
        };
        check(&replayed, &[], "logs only", "before the logs begin");
        let known = CheckedAccount {
            coverage: replayed,
            users: 1,
            listed_at: Some(at(HOUR)),
        };
        let checks = checks(&known, at(10 * HOUR));
        let whats: Vec<&str> = checks.iter().map(|one| one.what).collect();
        assert_eq!(whats, ["logs until"], "a replay asks no account");
        assert_eq!(checks[0].ago, "9 h ago");
    }

    #[test]
    fn an_account_that_left_or_is_excluded_is_known_from_its_closings() {
        let closed_as = |reason| {
            let mut finding = testing::closed().finding;
            finding.closing.as_mut().unwrap().reason = reason;
            finding
        };
        // Closed at second 12,002.
        let excluded = closed_as(CloseReason::AccountExcluded);
        let left = closed_as(CloseReason::AccountLeft);
        let words = CloseReason::AccountExcluded.words();
        check(&swept(3 * HOUR), &[&excluded], "excluded", words);
        check(&swept(9 * HOUR), &[&excluded], "checked", "");
        let words = CloseReason::AccountLeft.words();
        check(&swept(3 * HOUR), &[&left], "left the organization", words);
        let missing = AccountCoverage {
            left_at: Some(at(9 * HOUR)),
            ..swept(8 * HOUR)
        };
        check(
            &missing,
            &[],
            "left the organization",
            "has not listed it since",
        );
    }

    #[test]
    fn users_whose_keys_could_not_be_listed_are_named() {
        let refused = Finding {
            confirmed: false,
            listing_refusal: Some("AccessDenied".to_owned()),
            ..testing::opened().finding
        };
        let since_listed = Finding {
            confirmed: true,
            ..refused.clone()
        };
        check(&swept(9 * HOUR), &[&since_listed], "checked", "");
        let one = "the keys of 1 user could not be listed: Alice: AccessDenied";
        check(&swept(9 * HOUR), &[&refused], "checked", one);
        let many = [&refused; 5];
        check(
            &swept(9 * HOUR),
            &many,
            "checked",
            "AccessDenied; and 2 more",
        );
    }
}
