//! What a scan has to show: every finding that is open, and those that were closed since the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cli::scan::account::{Scanned, Scanning};
use crate::detect::Timestamp;
use crate::detect::alert::AlertKind;
use crate::detect::audit::AuditKind;
use crate::detect::finding::{Finding, FindingStatus};
use crate::local::scan_log::ScanLog;
use crate::local::sqlite::SqliteStore;
use crate::output::standing::Standing;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};

/// The findings of the accounts that were `scanned`: new ones first, then those that are open still, then those that were
/// closed; the most severe first among each, then the longest open.
pub(super) async fn standings(
    store: &Arc<SqliteStore>,
    scanned: &[Scanned],
    scanning: &Scanning,
    now: Timestamp,
) -> Result<Vec<Standing>, ServiceError> {
    let mut accounts = BTreeMap::new();
    for one in scanned {
        let log = ScanLog::open(store.clone(), &one.account)?;
        accounts.insert(one.account.as_str(), (one.former_finished_at, log));
    }
    let mut findings = vec![];
    for status in [
        FindingStatus::Open,
        FindingStatus::Suppressed,
        FindingStatus::Closed,
    ] {
        findings.extend(store.findings(status).await?);
    }
    let mut standings = vec![];
    for finding in findings {
        let Some((since, log)) = accounts.get(finding.user().account()) else {
            continue;
        };
        let Some(kind) = kind(store, &finding, *since).await? else {
            continue;
        };
        let keys: Vec<String> = finding.keys.iter().map(|key| key.id.clone()).collect();
        let last_uses = log.last_uses(&keys)?;
        let trail = store.record(finding.user()).await?.audit;
        let policy = &scanning.policy;
        let standing = Standing::of(finding, kind, &trail, policy, last_uses, now);
        standings.push(standing.shown_by(&scanning.invocation));
    }
    standings.sort_by_key(|standing| {
        let finding = &standing.alert.finding;
        (
            rank(&standing.alert.kind),
            std::cmp::Reverse(finding.severity),
            finding.opened_at,
            finding.id.clone(),
        )
    });
    Ok(standings)
}

/// What has become of `finding` since the scan that was through at `since`; none if it was told by then.
async fn kind(
    store: &SqliteStore,
    finding: &Finding,
    since: Option<Timestamp>,
) -> Result<Option<AlertKind>, ServiceError> {
    let Some(since) = since else {
        let is_closed = finding.status == FindingStatus::Closed;
        return Ok((!is_closed).then_some(AlertKind::Opened));
    };
    Ok(match &finding.closing {
        Some(closing) => {
            // A change that was made by hand has a time in whole seconds, so the trail has the last word.
            let may_be_later = closing.at.timestamp() >= since.timestamp();
            let is_later = may_be_later && closed_at(store, finding).await? > Some(since);
            is_later.then_some(AlertKind::Closed)
        }
        None if finding.detected_at <= since => Some(AlertKind::Updated(vec![])),
        None => Some(AlertKind::Opened),
    })
}

/// When the closing of `finding` was written down.
async fn closed_at(
    store: &SqliteStore,
    finding: &Finding,
) -> Result<Option<Timestamp>, ServiceError> {
    let id = finding.id.to_string();
    let entries = store.history(finding.user()).await?;
    Ok(entries
        .iter()
        .rev()
        .find(|entry| {
            entry.draft.kind == AuditKind::FindingClosed
                && entry.draft.finding_id.as_deref() == Some(id.as_str())
        })
        .map(|entry| entry.draft.recorded_at))
}

fn rank(kind: &AlertKind) -> u8 {
    match kind {
        AlertKind::Opened => 0,
        AlertKind::Updated(_) => 1,
        AlertKind::Closed => 2,
    }
}
