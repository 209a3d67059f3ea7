//! A file of findings, logs of IAM calls to replay into it, and another command that lists keys
//! into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::DateTime;
use secondkey::detect::Timestamp;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::keys::listing::{AccessKey, KeyStatus};
use secondkey::detect::trail::audit::verify_trail;
use secondkey::detect::user::UserId;
use secondkey::local::ledger::{Ledger, LedgerUser};
use secondkey::local::log_reading::LogReading;
use secondkey::local::replay::{Replay, replay};
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use secondkey::pipeline::recheck::{Dependencies, RecheckRequest, recheck};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const ACCOUNT: &str = "111122223333";

/// The time `second` seconds after a fixed moment.
pub fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(1_770_000_000 + second, 0).expect("it is a time")
}

/// One successful call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Create(String, String),
    Set(String, String, bool),
    Delete(String, String),
    Rename(String, String),
    DeleteUser(String),
}

pub fn create(user: &str, key: &str) -> Call {
    Call::Create(user.to_owned(), key.to_owned())
}

pub fn set(user: &str, key: &str, active: bool) -> Call {
    Call::Set(user.to_owned(), key.to_owned(), active)
}

pub fn delete(user: &str, key: &str) -> Call {
    Call::Delete(user.to_owned(), key.to_owned())
}

pub fn rename(user: &str, to: &str) -> Call {
    Call::Rename(user.to_owned(), to.to_owned())
}

pub fn delete_user(user: &str) -> Call {
    Call::DeleteUser(user.to_owned())
}

/// The record of `call`. `salt` is part of its event ID, which must not affect any decision.
pub fn record(second: i64, call: &Call, account: &str, salt: &str) -> Value {
    let mut response = Value::Null;
    let (event, parameters) = match call {
        Call::Create(user, key) => {
            response = json!({"accessKey": {"userName": user, "accessKeyId": key,
                "status": "Active"}});
            ("CreateAccessKey", json!({"userName": user}))
        }
        Call::Set(user, key, active) => {
            let status = if *active { "Active" } else { "Inactive" };
            let parameters = json!({"userName": user, "accessKeyId": key, "status": status});
            ("UpdateAccessKey", parameters)
        }
        Call::Delete(user, key) => {
            let parameters = json!({"userName": user, "accessKeyId": key});
            ("DeleteAccessKey", parameters)
        }
        Call::Rename(user, to) => {
            let parameters = json!({"userName": user, "newUserName": to});
            ("UpdateUser", parameters)
        }
        Call::DeleteUser(user) => ("DeleteUser", json!({"userName": user})),
    };
    json!({
        "eventVersion": "1.11", "eventSource": "iam.amazonaws.com", "eventName": event,
        "eventTime": at(second).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "awsRegion": "us-east-1", "recipientAccountId": account,
        "eventID": format!("{salt}-{second}-{call:?}"), "sourceIPAddress": "192.0.2.7",
        "userIdentity": {"type": "IAMUser", "userName": "admin",
            "arn": "arn:aws:iam::111122223333:user/admin"},
        "requestParameters": parameters, "responseElements": response,
    })
}

/// A record of `account` that changes no key.
pub fn other_record(second: i64, account: &str) -> Value {
    json!({"eventName": "ListBuckets", "eventSource": "s3.amazonaws.com",
        "eventTime": at(second).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "recipientAccountId": account})
}

/// The records of `calls`, each at its second.
pub fn log(calls: &[(i64, Call)]) -> Vec<Value> {
    let record = |(second, call): &(i64, Call)| record(*second, call, ACCOUNT, "e");
    calls.iter().map(record).collect()
}

/// A file of findings.
pub struct File {
    pub store: Arc<SqliteStore>,
    // Removed after the store in it is closed.
    _folder: TempDir,
}

impl File {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be created");
        let store = SqliteStore::open(&folder.path().join("findings.db"));
        Self {
            store: Arc::new(store.expect("it can be created")),
            _folder: folder,
        }
    }

    /// Replays `records` on a machine whose clock shows `clock`.
    pub async fn replay_by(
        &self,
        records: &[Value],
        clock: Timestamp,
    ) -> Result<Replay, ServiceError> {
        let mut reading = LogReading::default();
        let text = json!({"Records": records}).to_string();
        reading.read("log", text.as_bytes(), clock);
        assert_eq!(reading.malformed, 0, "{reading:?}");
        let store = self.store.clone();
        let replayed = replay(&reading, store, vec![], &Policy::default()).await;
        if replayed.is_err() {
            // An open transaction ends with the process.
            let rolled_back = self.store.write(|file| file.execute_batch("ROLLBACK"));
            rolled_back.expect("it was begun");
        }
        replayed
    }

    pub async fn replay(&self, records: &[Value]) -> Result<Replay, ServiceError> {
        self.replay_by(records, Timestamp::MAX_UTC).await
    }

    /// Re-checks `user` as `scan` does. The user has these keys at that time, all of them active.
    pub async fn list(&self, user: &str, keys: &[&str], seen_at: Timestamp) {
        let created = Some(seen_at - chrono::TimeDelta::days(9));
        let status = KeyStatus::Active;
        let keys = keys
            .iter()
            .map(|key| ((*key).to_owned(), AccessKey { status, created }));
        let user_id = UserId::new(ACCOUNT, user);
        let listed = LedgerUser::Listed {
            display_name: user.to_owned(),
            keys: keys.collect(),
            as_of: None,
        };
        let source = Ledger::new(BTreeMap::from([(user_id.clone(), listed)]));
        source.advance(seen_at);
        let parts = Dependencies {
            store: self.store.clone(),
            keys: Arc::new(source),
            sinks: vec![],
            policy: Policy::default(),
        };
        recheck(&parts, &user_id, &RecheckRequest::default(), seen_at)
            .await
            .expect("it succeeds");
    }

    pub async fn findings(&self, status: FindingStatus) -> Vec<Finding> {
        let findings = self.store.findings(status).await;
        findings.expect("they can be read")
    }

    /// The open findings as `user: keys`. Verifies every audit trail.
    pub async fn open(&self) -> BTreeSet<String> {
        for user in self.store.users().await.expect("they can be read") {
            let entries = self.store.history(&user).await.expect("it can be read");
            let head = self
                .store
                .record(&user)
                .await
                .expect("it can be read")
                .audit;
            assert_eq!(verify_trail(&user, &entries, &head), Ok(()), "{user}");
        }
        let words = |finding: &Finding| {
            let keys: Vec<&str> = finding.active_keys().collect();
            format!("{}: {}", finding.user().name(), keys.join(" "))
        };
        self.findings(FindingStatus::Open)
            .await
            .iter()
            .map(words)
            .collect()
    }
}
