//! What one worker does between two steps of another.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use secondkey::cli::checked_trail::checked_trail;
use secondkey::detect::Timestamp;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::familiar::FamiliarActor;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::situation::Outcome;
use secondkey::detect::events::cloudtrail_record::CloudTrailRecord;
use secondkey::detect::events::key_change::{
    KeyChange, ReadContext, RecordReading, read_key_change,
};
use secondkey::detect::findings::alert::{Alert, PendingAlert};
use secondkey::detect::findings::digest::Digest;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::records::coverage::AccountCoverage;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::trail::audit::AuditEntry;
use secondkey::detect::usage::last_use::LastUses;
use secondkey::detect::user::UserId;
use secondkey::local::ledger::{Ledger, LedgerUsers};
use secondkey::local::sqlite::SqliteStore;
use secondkey::local::terminal::TerminalSink;
use secondkey::pipeline::alert_sink::AlertSink;
use secondkey::pipeline::commit::{Commit, CommitResult};
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use secondkey::pipeline::recheck::{Dependencies, RecheckRequest, recheck};
use serde_json::json;

use crate::stack::wiring::{ACCOUNT, cloudtrail_record};

/// A store that is slow to read the record. Right after it has read the pending alerts, another
/// worker opens a finding and dies before it can send the alert, and a key is deactivated.
struct Interrupted {
    store: Arc<SqliteStore>,
    other: Dependencies,
    ledger: Arc<Ledger>,
    opening: KeyChange,
    deactivation: KeyChange,
}

/// A sink that never finishes.
struct Stalled;

#[async_trait]
impl AlertSink for Stalled {
    fn name(&self) -> &'static str {
        "terminal"
    }

    async fn send(&self, _: &Alert, _: &LastUses) -> Result<(), ServiceError> {
        std::future::pending().await
    }

    async fn send_digest(&self, _: &Digest) -> Result<(), ServiceError> {
        std::future::pending().await
    }
}

#[async_trait]
impl FindingStore for Interrupted {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.store.record(user).await
    }

    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError> {
        let owed = self.store.pending_alerts(user).await?;
        if self.store.record(user).await?.version == 0 {
            let request = because_of(&self.opening);
            let others = recheck(&self.other, user, &request, self.opening.at);
            let died = tokio::time::timeout(Duration::from_millis(200), others).await;
            assert!(died.is_err(), "the other worker stops where it tells");
            self.ledger.apply(&self.deactivation);
        }
        Ok(owed)
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        self.store.exemptions(account).await
    }

    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError> {
        self.store.familiar(account).await
    }

    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError> {
        self.store.put_familiar(familiar).await
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError> {
        self.store.commit(commit).await
    }

    async fn reschedule(
        &self,
        owed: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        self.store.reschedule(owed, until).await
    }

    async fn mark_delivered(&self, owed: &PendingAlert) -> Result<(), ServiceError> {
        self.store.mark_delivered(owed).await
    }
}

#[tokio::test]
async fn an_alert_committed_while_the_record_was_read_is_sent_first() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let store = SqliteStore::open(&folder.path().join("findings.db")).expect("it can be created");
    let (store, ledger) = (
        Arc::new(store),
        Arc::new(Ledger::new(LedgerUsers::default())),
    );
    let policy = Policy {
        consistency_window: TimeDelta::zero(),
        ..Policy::default()
    };
    let [first, opening, deactivation] = [
        change("CreateAccessKey", "AKIA1", "Active", 0),
        change("CreateAccessKey", "AKIA2", "Active", 60),
        change("UpdateAccessKey", "AKIA1", "Inactive", 65),
    ];
    ledger.apply(&first);
    ledger.apply(&opening);
    let user = first.user.clone();
    let parts = |store: Arc<dyn FindingStore>, sink: Box<dyn AlertSink>| Dependencies {
        store,
        keys: ledger.clone(),
        sinks: vec![sink],
        policy: policy.clone(),
    };
    let interrupted = Interrupted {
        store: store.clone(),
        other: parts(store.clone(), Box::new(Stalled)),
        ledger: ledger.clone(),
        opening: opening.clone(),
        deactivation: deactivation.clone(),
    };
    let sink = TerminalSink::new(Box::new(std::io::sink()));
    let parts = parts(Arc::new(interrupted), Box::new(sink));

    let request = because_of(&deactivation);
    let rechecked = recheck(&parts, &user, &request, deactivation.at).await;
    let rechecked = rechecked.expect("it succeeds");
    assert_eq!(rechecked.outcomes, [Outcome::Closed]);
    assert_eq!(rechecked.delivered, [], "the closing waits for the opening");
    assert_eq!(
        rechecked.rechecks.into_iter().collect::<Vec<_>>(),
        [Policy::DELIVERY_GRACE]
    );
}

fn because_of(change: &KeyChange) -> RecheckRequest {
    RecheckRequest {
        changes: vec![change.clone()],
        ..RecheckRequest::default()
    }
}

/// A change to a key of the user `dave`, `seconds` after a fixed moment.
fn change(event: &str, key: &str, status: &str, seconds: i64) -> KeyChange {
    let at = Timestamp::from_timestamp(1_770_000_000 + seconds, 0).expect("it is a time");
    let parameters = json!({"userName": "dave", "accessKeyId": key, "status": status});
    let mut record = cloudtrail_record(event, &parameters, at);
    record["responseElements"] = json!({"accessKey": {"userName": "dave", "accessKeyId": key,
        "status": status}});
    let context = ReadContext {
        account: Some(ACCOUNT),
        account_if_missing: None,
        sent_at: Some(Utc::now()),
    };
    match read_key_change(&CloudTrailRecord::from_json(&record), context) {
        Ok(RecordReading::Change(change)) => *change,
        other => panic!("{other:?} is no change"),
    }
}

/// A store in which a detector re-checks the user after each read of the record or the trail, up to
/// a number of times.
struct Busy {
    store: Arc<SqliteStore>,
    detector: Dependencies,
    ledger: Arc<Ledger>,
    user: UserId,
    writes_left: AtomicU32,
}

impl Busy {
    async fn written(&self) {
        let left = self.writes_left.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        self.writes_left.store(left - 1, Ordering::Relaxed);
        let status = if left.is_multiple_of(2) {
            "Active"
        } else {
            "Inactive"
        };
        let changed = change("UpdateAccessKey", "AKIA1", status, 1_000 - i64::from(left));
        self.ledger.apply(&changed);
        let request = because_of(&changed);
        let rechecked = recheck(&self.detector, &self.user, &request, changed.at).await;
        rechecked.expect("it succeeds");
    }
}

#[async_trait]
impl FindingStore for Busy {
    async fn record(&self, user: &UserId) -> Result<UserRecord, ServiceError> {
        let record = self.store.record(user).await?;
        self.written().await;
        Ok(record)
    }

    async fn pending_alerts(&self, user: &UserId) -> Result<Vec<PendingAlert>, ServiceError> {
        self.store.pending_alerts(user).await
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        self.store.exemptions(account).await
    }

    async fn familiar(&self, account: &str) -> Result<Arc<[FamiliarActor]>, ServiceError> {
        self.store.familiar(account).await
    }

    async fn put_familiar(&self, familiar: &FamiliarActor) -> Result<(), ServiceError> {
        self.store.put_familiar(familiar).await
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitResult, ServiceError> {
        self.store.commit(commit).await
    }

    async fn reschedule(
        &self,
        owed: &PendingAlert,
        until: Timestamp,
    ) -> Result<bool, ServiceError> {
        self.store.reschedule(owed, until).await
    }

    async fn mark_delivered(&self, owed: &PendingAlert) -> Result<(), ServiceError> {
        self.store.mark_delivered(owed).await
    }
}

#[async_trait]
impl FindingReader for Busy {
    async fn findings(&self, status: FindingStatus) -> Result<Vec<Finding>, ServiceError> {
        self.store.findings(status).await
    }

    async fn history(&self, user: &UserId) -> Result<Vec<AuditEntry>, ServiceError> {
        self.store.history(user).await
    }

    async fn put_exemption(&self, exemption: &Exemption) -> Result<(), ServiceError> {
        self.store.put_exemption(exemption).await
    }

    async fn remove_exemption(&self, account: &str, id: &str) -> Result<bool, ServiceError> {
        self.store.remove_exemption(account, id).await
    }

    async fn account_ids(&self) -> Result<BTreeSet<String>, ServiceError> {
        self.store.account_ids().await
    }

    async fn coverage(&self) -> Result<Vec<AccountCoverage>, ServiceError> {
        self.store.coverage().await
    }

    async fn users(&self) -> Result<Vec<UserId>, ServiceError> {
        self.store.users().await
    }
}

/// A file with one user's audit trail, to which a detector will write a number of times.
async fn busy(path: &Path, writes: u32) -> Busy {
    let store = Arc::new(SqliteStore::open(path).expect("it can be created"));
    let ledger = Arc::new(Ledger::new(LedgerUsers::default()));
    let busy = Busy {
        store: store.clone(),
        detector: Dependencies {
            store,
            keys: ledger.clone(),
            sinks: vec![],
            policy: Policy {
                consistency_window: TimeDelta::zero(),
                ..Policy::default()
            },
        },
        ledger,
        user: UserId::new(ACCOUNT, "dave"),
        writes_left: AtomicU32::new(1),
    };
    busy.written().await;
    busy.writes_left.store(writes, Ordering::Relaxed);
    busy
}

#[tokio::test]
async fn a_commit_during_verification_does_not_break_the_trail() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    for writes in [0, 1, 2, 3] {
        let path = folder.path().join(format!("{writes}.db"));
        let busy = busy(&path, writes).await;
        let trail = checked_trail(&busy, &busy.user).await;
        let trail = trail.expect("it can be read");
        assert_eq!(trail.checked, Ok(()), "{writes} writes");
        assert_eq!(busy.writes_left.into_inner(), 0, "{writes} writes");
    }
}

#[tokio::test]
async fn a_trail_that_keeps_changing_is_not_reported_as_broken() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let busy = busy(&folder.path().join("findings.db"), 100).await;
    let Err(failure) = checked_trail(&busy, &busy.user).await else {
        panic!("every read meets another version");
    };
    let said = failure.to_string();
    assert!(said.contains("changed during each of 5 attempts"), "{said}");
}

#[tokio::test]
async fn tampering_is_detected_beside_a_running_detector() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("findings.db");
    let busy = busy(&path, 2).await;
    let file = rusqlite::Connection::open(&path).expect("it is a file");
    file.execute_batch("DROP TRIGGER audit_is_never_deleted; DELETE FROM audit")
        .expect("the file is writable");
    let trail = checked_trail(&busy, &busy.user).await;
    assert!(trail.expect("it can be read").checked.is_err());
}
