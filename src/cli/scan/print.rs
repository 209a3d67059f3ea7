//! Prints the findings of a scan, and in JSON what was scanned.

use std::io::Write;

use crate::aws::suspects::SweepMode;
use crate::cli::finding_output::{self, About, FindingFormat, FindingList};
use crate::cli::scan::account_scan::AccountScan;
use crate::detect::Timestamp;
use crate::output::json_v1::runs::{ScanV1, ScannedAccountV1, UncheckedUserV1};
use crate::output::snapshot::FindingSnapshot;

/// What is printed.
pub(super) struct Results<'a> {
    pub(super) scanned: &'a [AccountScan],
    /// How many findings there are.
    pub(super) found: usize,
    /// Those to show, in this order.
    pub(super) snapshots: &'a [FindingSnapshot],
    /// How many open ones the options hide.
    pub(super) hidden: usize,
    pub(super) started_at: Timestamp,
    pub(super) now: Timestamp,
    /// Whether every account and every user was checked.
    pub(super) is_whole: bool,
    /// The region of the Security Hub for the findings in ASFF.
    pub(super) region: &'a str,
}

/// Writes the findings to `out`.
pub(super) fn write(
    out: &mut impl Write,
    results: &Results<'_>,
    format: FindingFormat,
) -> anyhow::Result<()> {
    let none = if results.is_whole {
        "No user has two active access keys."
    } else {
        "No finding, but some accounts or users could not be checked; stderr lists them."
    };
    let list = FindingList {
        snapshots: results.snapshots,
        found: results.found,
        none,
        now: results.now,
    };
    let about = About {
        run: Some(("scan", serde_json::to_value(scan(results))?)),
        region: results.region.to_owned(),
    };
    finding_output::write(out, &list, &about, format)
}

fn scan(results: &Results<'_>) -> ScanV1 {
    let account = |one: &AccountScan| ScannedAccountV1 {
        account: one.account.clone(),
        mode: mode(one),
        users: one.users,
        users_before_interruption: one.resumed,
        unsettled: one.unsettled,
        unchecked: one
            .unchecked
            .iter()
            .map(|(name, why)| UncheckedUserV1 {
                user: name.clone(),
                reason: why.to_string(),
            })
            .collect(),
        refused: one.refused.clone(),
        former_scan_at: one.previous_finished_at.map(Into::into),
    };
    ScanV1 {
        started_at: results.started_at.into(),
        finished_at: results.now.into(),
        accounts: results.scanned.iter().map(account).collect(),
    }
}

/// How the account's users were listed.
fn mode(scanned: &AccountScan) -> String {
    let mode = if scanned.by_report {
        SweepMode::Report
    } else {
        SweepMode::List
    };
    mode.to_string()
}
