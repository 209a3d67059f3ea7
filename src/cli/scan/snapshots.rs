//! The findings that a scan prints: all that are open, and those closed since the previous scan.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cli::finding_order::by_urgency;
use crate::cli::scan::account_scan::{AccountScan, ScanContext};
use crate::detect::Timestamp;
use crate::detect::findings::alert::AlertKind;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::trail::audit::AuditKind;
use crate::local::scan_log::ScanLog;
use crate::local::sqlite::SqliteStore;
use crate::output::snapshot::FindingSnapshot;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::{FindingReader, FindingStore};

/// The findings of the `scanned` accounts, the most urgent first.
pub(super) async fn snapshots(
    store: &Arc<SqliteStore>,
    scanned: &[AccountScan],
    scanning: &ScanContext,
    now: Timestamp,
) -> Result<Vec<FindingSnapshot>, ServiceError> {
    let mut accounts = BTreeMap::new();
    for one in scanned {
        let log = ScanLog::open(store.clone(), &one.account)?;
        accounts.insert(one.account.as_str(), (one.previous_finished_at, log));
    }
    let mut findings = vec![];
    for status in [
        FindingStatus::Open,
        FindingStatus::Suppressed,
        FindingStatus::Closed,
    ] {
        findings.extend(store.findings(status).await?);
    }
    let mut snapshots = vec![];
    for finding in findings {
        let Some((since, log)) = accounts.get(finding.user().account()) else {
            continue;
        };
        let Some(kind) = kind(store, &finding, *since).await? else {
            continue;
        };
        let last_uses = log.last_uses(&finding.key_ids())?;
        let trail = store.record(finding.user()).await?.audit;
        let window = scanning.policy.rotation_window;
        let snapshot = FindingSnapshot::of(finding, kind, window, last_uses, now);
        snapshots.push(snapshot.with_trail(&trail).shown_by(&scanning.invocation));
    }
    snapshots.sort_by(|one, other| by_urgency(&one.alert.finding, &other.alert.finding));
    Ok(snapshots)
}

/// What has happened to `finding` since the previous scan, which finished at `since`; `None` if that
/// scan has already reported it as closed.
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
            // A closing may have its time from an event, in whole seconds. In the same second, the trail
            // decides.
            let may_be_later = closing.at.timestamp() >= since.timestamp();
            let is_later = may_be_later && closed_at(store, finding).await? > Some(since);
            is_later.then_some(AlertKind::Closed)
        }
        None if finding.detected_at <= since => Some(AlertKind::Updated(vec![])),
        None => Some(AlertKind::Opened),
    })
}

/// When the closing of `finding` was recorded.
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
