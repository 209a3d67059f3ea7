//! What one worker does between two steps of another.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use secondkey::detect::Timestamp;
use secondkey::detect::alert::{Alert, OwedAlert};
use secondkey::detect::digest::Digest;
use secondkey::detect::exemption::Exemption;
use secondkey::detect::key_change::{KeyChange, ReadContext, Reading, read_key_change};
use secondkey::detect::policy::Policy;
use secondkey::detect::record::CloudTrailRecord;
use secondkey::detect::retire::LastUses;
use secondkey::detect::situation::Outcome;
use secondkey::detect::user::UserId;
use secondkey::detect::user_record::UserRecord;
use secondkey::local::ledger::{Ledger, LedgerUsers};
use secondkey::local::sqlite::SqliteStore;
use secondkey::local::terminal::TerminalSink;
use secondkey::pipeline::alert_sink::AlertSink;
use secondkey::pipeline::commit::{Commit, Committed};
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::finding_store::FindingStore;
use secondkey::pipeline::recheck::{Occasion, Parts, recheck};
use serde_json::json;

use crate::stack::wiring::{ACCOUNT, cloudtrail_record};

/// A store that is slow to read the record. Just after it has read what is owed, another worker opens a finding and dies
/// before it can tell of it, and a key is deactivated.
struct Interrupted {
    store: Arc<SqliteStore>,
    other: Parts,
    ledger: Arc<Ledger>,
    opening: KeyChange,
    deactivation: KeyChange,
}

/// A sink that never comes to an end.
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

    async fn owed(&self, user: &UserId) -> Result<Vec<OwedAlert>, ServiceError> {
        let owed = self.store.owed(user).await?;
        if self.store.record(user).await?.version == 0 {
            let occasion = because_of(&self.opening);
            let others = recheck(&self.other, user, &occasion, self.opening.at);
            let died = tokio::time::timeout(Duration::from_millis(200), others).await;
            assert!(died.is_err(), "the other worker stops where it tells");
            self.ledger.apply(&self.deactivation);
        }
        Ok(owed)
    }

    async fn exemptions(&self, account: &str) -> Result<Vec<Exemption>, ServiceError> {
        self.store.exemptions(account).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, ServiceError> {
        self.store.commit(commit).await
    }

    async fn postpone(&self, owed: &OwedAlert, until: Timestamp) -> Result<bool, ServiceError> {
        self.store.postpone(owed, until).await
    }

    async fn tick_off(&self, owed: &OwedAlert) -> Result<(), ServiceError> {
        self.store.tick_off(owed).await
    }
}

#[tokio::test]
async fn an_alert_that_came_to_be_owed_while_the_record_was_read_is_not_overtaken() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = SqliteStore::open(&folder.path().join("findings.db")).expect("it can be made");
    let (store, ledger) = (
        Arc::new(store),
        Arc::new(Ledger::new(LedgerUsers::default())),
    );
    let policy = Policy {
        settle: TimeDelta::zero(),
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
    let parts = |store: Arc<dyn FindingStore>, sink: Box<dyn AlertSink>| Parts {
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

    let occasion = because_of(&deactivation);
    let rechecked = recheck(&parts, &user, &occasion, deactivation.at).await;
    let rechecked = rechecked.expect("it goes through");
    assert_eq!(rechecked.outcomes, [Outcome::Closed]);
    assert_eq!(rechecked.told, [], "the closing waits for the opening");
    assert_eq!(
        rechecked.rechecks.into_iter().collect::<Vec<_>>(),
        [Policy::DELIVERY_GRACE]
    );
}

fn because_of(change: &KeyChange) -> Occasion {
    Occasion {
        changes: vec![change.clone()],
        ..Occasion::default()
    }
}

/// A change to a key of the user `dave`, so many seconds after some moment.
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
        Ok(Reading::Change(change)) => *change,
        other => panic!("{other:?} is no change"),
    }
}
