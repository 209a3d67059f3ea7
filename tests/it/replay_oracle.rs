//! A thousand generated histories, written as logs in every layout, checked against a simple oracle
//! that does not use the product's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assert_cmd::Command;
use chrono::{DateTime, Utc};
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::findings::finding::{CloseReason, Finding, FindingStatus};
use secondkey::detect::trail::audit::{AuditEntry, verify_trail};
use secondkey::detect::user::UserId;
use secondkey::local::log_files::find_logs;
use secondkey::local::log_reading::LogReading;
use secondkey::local::replay::{Replay, replay};
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::error::ServiceError;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::{Value, json};
use tempfile::TempDir;

const HISTORIES: u64 = 1_000;

/// The time at which every history begins: 2024-01-01T00:00:00Z.
const BEGIN: i64 = 1_704_067_200;

/// The accounts; records of the last one name it as their caller's only.
const ACCOUNTS: [&str; 3] = ["111122223333", "012345678901", CALLERS];

const CALLERS: &str = "044455556666";

// ---------------------------------------------------------------------------------------------------- the history

/// One successful call.
#[derive(Debug, Clone)]
struct Call {
    at: i64,
    account: &'static str,
    /// As spelled by the record; `None` is the account's root.
    user: Option<String>,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Create(String),
    Set(String, bool),
    Delete(String),
    DeleteUser,
    Rename(String),
}

/// A user's keys, and which of them are active.
type Keys = BTreeMap<String, bool>;

fn folded(user: Option<&String>) -> String {
    user.map_or_else(|| "<root_account>".to_owned(), |name| name.to_lowercase())
}

fn spelled(rng: &mut Rng, name: &str) -> String {
    name.chars()
        .map(|one| {
            if rng.u8(..4) == 0 {
                one.to_ascii_uppercase()
            } else {
                one
            }
        })
        .collect()
}

/// A history that IAM allows, in the order in which it happened.
fn history(rng: &mut Rng) -> Vec<Call> {
    const NAMES: [&str; 5] = ["alice", "bob", "ci-deploy", "o.k+x=y,@z", "zoe_9"];
    let mut users: BTreeMap<(&str, Option<&str>), Keys> = BTreeMap::new();
    let (mut at, mut key_number) = (BEGIN, 0);
    let accounts = rng.usize(1..=ACCOUNTS.len());
    let names = rng.usize(2..=NAMES.len());
    let mut calls = Vec::new();
    for _ in 0..rng.usize(6..34) {
        let longest = if rng.bool() { 5 } else { 40_000 };
        at += rng.i64(1..=longest);
        let account = *rng.choice(&ACCOUNTS[ACCOUNTS.len() - accounts..]).unwrap();
        let name = (rng.u8(..12) > 0).then(|| NAMES[rng.usize(..names)]);
        let keys = users.entry((account, name)).or_default();
        let user = name.map(|name| spelled(rng, name));
        let mut call = |what| {
            calls.push(Call {
                at,
                account,
                user: user.clone(),
                what,
            });
        };
        let some_key = rng.choice(keys.keys()).cloned();
        match (rng.u8(..20), some_key) {
            (0..=5, _) if keys.len() < 2 => {
                key_number += 1;
                let key = format!("AKIA{key_number:06}");
                call(What::Create(key.clone()));
                // Several changes to one key in one second have only one possible order.
                let (updated, deleted) = (rng.u8(..5) == 0, rng.u8(..8) == 0);
                if updated {
                    call(What::Set(key.clone(), false));
                }
                if deleted {
                    call(What::Delete(key));
                } else {
                    keys.insert(key, !updated);
                }
            }
            (0..=1, Some(key)) => {
                // Two keys: the limit implies that one was deleted before the other was created.
                key_number += 1;
                let next = format!("AKIA{key_number:06}");
                call(What::Delete(key.clone()));
                call(What::Create(next.clone()));
                keys.remove(&key);
                keys.insert(next, true);
            }
            // Half of these leave the status unchanged.
            (2..=10, Some(key)) => {
                let active = rng.bool();
                call(What::Set(key.clone(), active));
                keys.insert(key, active);
            }
            (11..=12, Some(key)) => {
                if rng.bool() {
                    call(What::Set(key.clone(), false));
                }
                call(What::Delete(key.clone()));
                keys.remove(&key);
                if name.is_some() && keys.is_empty() && rng.bool() {
                    call(What::DeleteUser);
                }
            }
            (13, None) if name.is_some() => call(What::DeleteUser),
            (14..=19, _) if name.is_some() => {
                let to = NAMES[rng.usize(..names)];
                call(What::Rename(spelled(rng, to)));
                let moved = users.remove(&(account, name)).unwrap();
                // A name that is taken makes the call fail; the same name in another spelling makes
                // it a no-op.
                let is_free = users.get(&(account, Some(to))).is_none_or(Keys::is_empty);
                if is_free {
                    users.insert((account, Some(to)), moved);
                } else {
                    calls.pop();
                    users.insert((account, name), moved);
                }
            }
            _ => {}
        }
    }
    calls
}

// ----------------------------------------------------------------------------------------------------- the oracle

/// One time with two active keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Episode {
    id: String,
    opened_at: i64,
    closed: Option<(i64, &'static str)>,
    keys: BTreeSet<String>,
    opening_key: String,
    continues: Option<String>,
}

#[derive(Default)]
struct Oracle {
    keys: BTreeMap<(String, String), Keys>,
    open: BTreeMap<(String, String), Episode>,
    closed: Vec<Episode>,
    count: BTreeMap<(String, String), u32>,
}

impl Oracle {
    fn walk(calls: &[Call]) -> Vec<Episode> {
        let mut oracle = Self::default();
        for call in calls {
            oracle.step(call);
        }
        let mut all: Vec<Episode> = oracle
            .closed
            .into_iter()
            .chain(oracle.open.into_values())
            .collect();
        all.sort();
        all
    }

    fn step(&mut self, call: &Call) {
        let user = (call.account.to_owned(), folded(call.user.as_ref()));
        let keys = self.keys.entry(user.clone()).or_default();
        let (key, why) = match &call.what {
            What::Create(key) => {
                keys.insert(key.clone(), true);
                (key, "")
            }
            What::Set(key, active) => {
                keys.insert(key.clone(), *active);
                (key, "deactivated")
            }
            What::Delete(key) => {
                keys.remove(key);
                (key, "deleted")
            }
            What::DeleteUser => return,
            What::Rename(to) => {
                return self.rename(&user, (user.0.clone(), to.to_lowercase()), call.at);
            }
        };
        let active: BTreeSet<String> = keys
            .iter()
            .filter(|(_, active)| **active)
            .map(|(key, _)| key.clone())
            .collect();
        if active.len() == 2 && !self.open.contains_key(&user) {
            self.open(user, call.at, active, key.clone(), None);
        } else if active.len() < 2 {
            self.close(&user, call.at, why);
        }
    }

    fn rename(&mut self, from: &(String, String), to: (String, String), at: i64) {
        if *from == to {
            return;
        }
        let keys = self.keys.remove(from).unwrap_or_default();
        self.keys.insert(to.clone(), keys);
        if let Some(old) = self.close(from, at, "renamed") {
            self.open(to, old.opened_at, old.keys, old.opening_key, Some(old.id));
        }
    }

    fn open(
        &mut self,
        user: (String, String),
        opened_at: i64,
        keys: BTreeSet<String>,
        opening_key: String,
        continues: Option<String>,
    ) {
        let count = self.count.entry(user.clone()).or_default();
        *count += 1;
        let id = format!("{}/{}/{count}", user.0, user.1);
        self.open.insert(
            user,
            Episode {
                id,
                opened_at,
                closed: None,
                keys,
                opening_key,
                continues,
            },
        );
    }

    fn close(&mut self, user: &(String, String), at: i64, why: &'static str) -> Option<Episode> {
        let mut episode = self.open.remove(user)?;
        episode.closed = Some((at, why));
        self.closed.push(episode.clone());
        Some(episode)
    }
}

/// The same for the product's findings.
fn episode(finding: &Finding) -> Episode {
    assert_eq!(
        finding.status == FindingStatus::Closed,
        finding.closing.is_some()
    );
    if finding.status == FindingStatus::Open {
        assert_eq!(finding.active_keys().count(), 2, "{finding:?}");
    }
    Episode {
        id: finding.id.to_string(),
        opened_at: finding.opened_at.timestamp(),
        closed: finding.closing.as_ref().map(|closing| {
            let why = match closing.reason {
                CloseReason::Deactivated => "deactivated",
                CloseReason::Deleted => "deleted",
                CloseReason::Renamed => "renamed",
                CloseReason::UserDeleted => "user deleted",
                CloseReason::NeverConfirmed => "never confirmed",
                CloseReason::AccountLeft => "account left",
                CloseReason::AccountExcluded => "account excluded",
            };
            (closing.at.timestamp(), why)
        }),
        keys: finding.keys.iter().map(|key| key.id.clone()).collect(),
        opening_key: finding
            .opener
            .as_ref()
            .map_or_else(String::new, |opener| opener.key.clone()),
        continues: finding.continues.as_ref().map(ToString::to_string),
    }
}

/// The same for the command line's output. It shows a renamed user's account and name only in the
/// ID.
fn printed_episode(finding: &Value) -> Episode {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let time = |value: &Value| {
        DateTime::parse_from_rfc3339(value.as_str().unwrap())
            .unwrap()
            .timestamp()
    };
    assert_eq!(
        finding["status"] == "closed",
        finding["closed_at"].is_string()
    );
    Episode {
        id: text(&finding["id"]).unwrap(),
        opened_at: time(&finding["opened_at"]),
        closed: finding["closed_at"].is_string().then(|| {
            let why = ["deactivated", "deleted", "renamed"];
            let found = why.iter().find(|why| finding["close_reason"] == **why);
            (time(&finding["closed_at"]), *found.unwrap())
        }),
        keys: finding["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| text(&key["id"]).unwrap())
            .collect(),
        opening_key: text(&finding["opener"]["key"]).unwrap(),
        continues: text(&finding["continues"]),
    }
}

// ---------------------------------------------------------------------------------------------------- the records

/// A record and its account, for the envelope.
#[derive(Debug, Clone)]
struct Record {
    at: i64,
    account: &'static str,
    json: Value,
}

fn records(rng: &mut Rng, calls: &[Call]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let json = successful(rng, call, number);
        let record = Record {
            at: call.at,
            account: call.account,
            json: of_its_caller(rng, call, json),
        };
        for _ in 0..*rng.choice(&[1, 1, 1, 1, 2, 3]).unwrap() {
            records.push(record.clone());
        }
        for _ in 0..rng.u8(..3) {
            let at = call.at + rng.i64(0..3);
            let json = noise(rng, call, at);
            records.push(Record {
                at,
                account: call.account,
                json: of_its_caller(rng, call, json),
            });
        }
    }
    records
}

/// `record` with the account of `call` as its caller's account, if nothing else names it.
fn of_its_caller(rng: &mut Rng, call: &Call, mut record: Value) -> Value {
    if call.account == CALLERS {
        record["userIdentity"]["accountId"] = if rng.bool() {
            json!(CALLERS)
        } else {
            json!(CALLERS.parse::<u64>().unwrap())
        };
        if rng.bool() {
            record["recipientAccountId"] = json!("-");
        }
    }
    record
}

fn base(rng: &mut Rng, call: &Call, at: i64, event: &str) -> Value {
    let time = DateTime::from_timestamp(at, 0).unwrap();
    // Relays drop the `Z` or the `T`.
    let format = *rng
        .choice(&[
            "%Y-%m-%dT%H:%M:%SZ",
            "%Y-%m-%dT%H:%M:%SZ",
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%d %H:%M:%S",
        ])
        .unwrap();
    let mut record = json!({
        "eventVersion": rng.choice(["1.02", "1.08", "1.11", "1.99"]).unwrap(),
        "eventSource": "iam.amazonaws.com", "awsRegion": "us-east-1", "eventName": event,
        "eventTime": time.format(format).to_string(), "eventType": "AwsApiCall",
        "sourceIPAddress": "192.0.2.7", "userAgent": "aws-cli/2.15 {\"[ ", "readOnly": false,
        "userIdentity": match rng.u8(..3) {
            0 => json!({"type": "IAMUser", "userName": "admin", "accountId": "999900009999", "arn": "arn:aws:iam::999900009999:user/admin"}),
            1 => json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/deploy/session",
                "sessionContext": {"sessionIssuer": {"userName": "deploy"}}}),
            _ => json!({"type": "Root", "userName": "my-alias"}),
        },
    });
    if call.account != CALLERS {
        record["recipientAccountId"] = json!(call.account);
        if rng.u8(..6) == 0 {
            record["recipientAccountId"] = json!(call.account.parse::<u64>().unwrap());
        }
    }
    match rng.u8(..4) {
        0 => record["errorCode"] = Value::Null,
        1 => record["errorCode"] = json!(""),
        _ => {}
    }
    record
}

fn successful(rng: &mut Rng, call: &Call, number: usize) -> Value {
    let mut asked = json!({});
    let (event, key) = match &call.what {
        What::Create(key) => ("CreateAccessKey", Some(key)),
        What::Set(key, active) => {
            asked["status"] = json!(if *active { "Active" } else { "Inactive" });
            ("UpdateAccessKey", Some(key))
        }
        What::Delete(key) => ("DeleteAccessKey", Some(key)),
        What::DeleteUser => ("DeleteUser", None),
        What::Rename(to) => {
            asked["newUserName"] = json!(to);
            ("UpdateUser", None)
        }
    };
    let mut record = base(rng, call, call.at, event);
    // A relay may have lost the ID or made it constant.
    match rng.u8(..10) {
        0 => {}
        1 => record["eventID"] = json!("00000000-0000-0000-0000-000000000000"),
        _ => record["eventID"] = json!(format!("e{number}")),
    }
    match &call.user {
        None => {
            record["userIdentity"] = json!({"type": "Root", "userName": "my-alias", "arn": "arn:aws:iam::111122223333:root"});
        }
        Some(name) if key.is_some() && rng.u8(..4) == 0 => {
            record["userIdentity"] = json!({"type": "IAMUser", "userName": name});
        }
        Some(name) => asked["userName"] = json!(name),
    }
    if let What::Create(key) = &call.what {
        record["responseElements"] = json!({"accessKey": {"accessKeyId": key, "status": "Active", "createDate": "Jul 3, 2024 9:53:13 PM"}});
        if let Some(name) = call.user.as_ref().filter(|_| rng.bool()) {
            record["responseElements"]["accessKey"]["userName"] = json!(name);
        }
    } else {
        record["responseElements"] = Value::Null;
        if let Some(key) = key {
            asked["accessKeyId"] = json!(key);
        }
    }
    record["requestParameters"] = if asked == json!({}) {
        Value::Null
    } else {
        asked
    };
    record
}

/// A record that changes no keys.
fn noise(rng: &mut Rng, call: &Call, at: i64) -> Value {
    let user = call.user.clone().unwrap_or_else(|| "alice".to_owned());
    let key = match &call.what {
        What::Create(key) | What::Set(key, _) | What::Delete(key) => key.as_str(),
        What::DeleteUser | What::Rename(_) => "AKIA000001",
    };
    let failed = [
        "AccessDenied",
        "NoSuchEntityException",
        "LimitExceededException",
        "ServiceFailureException",
    ];
    let (event, asked) = match rng.u8(..10) {
        0 => ("ListAccessKeys", json!({"userName": user})),
        1 => ("GetAccessKeyLastUsed", json!({"accessKeyId": key})),
        2 => ("UpdateUser", json!({"userName": user, "newPath": "/x/"})),
        3 => ("CreateUser", json!({"userName": user})),
        4 => (
            "LookupEvents",
            json!({"lookupAttributes": [{"attributeValue": "CreateAccessKey"}]}),
        ),
        5 => ("DeleteUser", json!({"userName": user})),
        6 => ("CreateAccessKey", json!({"userName": user})),
        7 => (
            "UpdateAccessKey",
            json!({"userName": user, "accessKeyId": key, "status": "Active"}),
        ),
        8 => (
            "DeleteAccessKey",
            json!({"userName": user, "accessKeyId": key}),
        ),
        _ => (
            "UpdateUser",
            json!({"userName": user, "newUserName": "somebody"}),
        ),
    };
    let mut record = base(rng, call, at, event);
    record["requestParameters"] = asked;
    record["eventID"] = json!(format!("n{}", rng.u64(..)));
    if matches!(event, "DeleteUser" | "CreateAccessKey") && rng.bool() {
        record["eventSource"] = json!("cognito-idp.amazonaws.com");
        record["responseElements"] =
            json!({"accessKey": {"accessKeyId": "AKIAOTHER", "userName": user}});
    } else if !matches!(
        event,
        "ListAccessKeys" | "GetAccessKeyLastUsed" | "CreateUser" | "LookupEvents"
    ) && record["requestParameters"].get("newPath").is_none()
    {
        record["errorCode"] = json!(rng.choice(failed).unwrap());
        record["errorMessage"] = json!("The user with name alice cannot be found.");
        if rng.bool() {
            record["requestParameters"] = Value::Null;
        }
    }
    record
}

// ------------------------------------------------------------------------------------------------------ the files

/// Writes `records`, shuffled, to files of every layout below `folder`.
fn write_logs(rng: &mut Rng, folder: &Path, mut records: Vec<Record>) {
    rng.shuffle(&mut records);
    let mut number = 0;
    while !records.is_empty() {
        let shape = rng.u8(..10);
        let count = if shape == 0 {
            1
        } else {
            rng.usize(1..=records.len().min(12))
        };
        let part = records.split_off(records.len() - count);
        let plain: Vec<Value> = part.iter().map(|record| record.json.clone()).collect();
        let enveloped: Vec<Value> = part.iter().map(|record| envelope(rng, record)).collect();
        let lines = |values: &[Value]| {
            values
                .iter()
                .flat_map(|value| [value.to_string(), "\n".to_owned()])
                .collect::<String>()
        };
        let (ending, text) = match shape {
            0 if rng.bool() => ("json", format!("{:#}", plain[0])),
            0 => ("json", format!("{}", plain[0])),
            1 => ("json", json!({"Records": plain}).to_string()),
            2 => ("json", format!("{:#}\n", json!({"Records": plain}))),
            3 => ("json", json!(plain).to_string()),
            4 => ("json", format!("{:#}", json!(plain))),
            5 => ("jsonl", lines(&plain)),
            6 => ("ndjson", lines(&enveloped)),
            7 => ("log", json!(enveloped).to_string()),
            8 => (
                "json",
                plain
                    .iter()
                    .flat_map(|value| {
                        [
                            format!("{value:#}"),
                            "
"
                            .to_owned(),
                        ]
                    })
                    .collect(),
            ),
            _ => ("json", json!({"A": "digest", "Records": plain}).to_string()),
        };
        number += 1;
        let folder = folder.join(
            rng.choice(["", "AWSLogs", "AWSLogs/us-east-1/2024", "z"])
                .unwrap(),
        );
        fs::create_dir_all(&folder).unwrap();
        if rng.u8(..3) == 0 {
            let file = fs::File::create(folder.join(format!("{number}.{ending}.gz"))).unwrap();
            let mut gzip = GzEncoder::new(file, Compression::fast());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap();
        } else {
            fs::write(folder.join(format!("{number}.{ending}")), text).unwrap();
        }
    }
    let digests = folder.join("CloudTrail-Digest");
    fs::create_dir_all(&digests).unwrap();
    fs::write(digests.join("digest.json"), "{\"no\": \"record\"}").unwrap();
    fs::write(folder.join("notes.txt"), "no log").unwrap();
}

fn envelope(rng: &mut Rng, record: &Record) -> Value {
    let service = record.json["eventSource"]
        .as_str()
        .unwrap()
        .replace(".amazonaws.com", "");
    let mut envelope = json!({
        "version": "0", "id": format!("{}", rng.u64(..)), "source": format!("aws.{service}"), "region": "us-east-1",
        "detail-type": "AWS API Call via CloudTrail", "time": "2024-01-01T00:00:00Z", "resources": [],
        "detail": record.json,
    });
    if record.account != CALLERS {
        envelope["account"] = json!(record.account);
        if rng.bool() {
            envelope["detail"]
                .as_object_mut()
                .unwrap()
                .remove("recipientAccountId");
        }
    }
    envelope
}

fn read_logs(folder: &Path) -> LogReading {
    let (logs, passed_over) = find_logs(&[folder.to_owned()]).unwrap();
    assert_eq!(passed_over, 1);
    let mut reading = LogReading::default();
    for log in logs {
        reading.read(&log.name(), log.open(|raw| raw).unwrap(), Utc::now());
    }
    reading
}

// ------------------------------------------------------------------------------------------------------ the checks

/// The content of a file that a reader can see.
#[derive(Debug, PartialEq)]
struct Kept {
    findings: Vec<Finding>,
    histories: BTreeMap<UserId, Vec<AuditEntry>>,
}

/// A generated history and a folder for its logs and databases.
struct Case {
    seed: u64,
    calls: Vec<Call>,
    records: Vec<Record>,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let calls = history(&mut rng);
        let records = records(&mut rng, &calls);
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        Self {
            seed,
            calls,
            records,
            folder,
            runtime,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the records that `wanted` selects as logs into the directory `name`, and reads them.
    fn logs(&self, name: &str, wanted: impl Fn(&Record) -> bool) -> LogReading {
        let records: Vec<Record> = self
            .records
            .iter()
            .filter(|record| wanted(record))
            .cloned()
            .collect();
        write_logs(
            &mut Rng::with_seed(self.seed + 1),
            &self.path(name),
            records,
        );
        let reading = read_logs(&self.path(name));
        assert_eq!(reading.malformed_records, [], "seed {}", self.seed);
        reading
    }

    fn replay(&self, reading: &LogReading, db: &str) -> Result<Replay, ServiceError> {
        let store = Arc::new(SqliteStore::open(&self.path(db)).unwrap());
        self.runtime
            .block_on(replay(reading, store, vec![], &Policy::default()))
    }

    /// The content of the file, with every audit trail verified.
    fn kept(&self, db: &str) -> Kept {
        let store = SqliteStore::open_existing(&self.path(db)).unwrap();
        self.runtime.block_on(async {
            let mut findings = store.findings(FindingStatus::Open).await.unwrap();
            findings.extend(store.findings(FindingStatus::Closed).await.unwrap());
            let mut histories = BTreeMap::new();
            for user in store.users().await.unwrap() {
                let entries = store.history(&user).await.unwrap();
                let head = store.record(&user).await.unwrap().audit;
                assert_eq!(
                    verify_trail(&user, &entries, &head),
                    Ok(()),
                    "seed {}",
                    self.seed
                );
                histories.insert(user, entries);
            }
            Kept {
                findings,
                histories,
            }
        })
    }

    #[track_caller]
    fn assert_episodes(&self, findings: &[Finding]) {
        let mut found: Vec<Episode> = findings.iter().map(episode).collect();
        found.sort();
        self.assert_same(&found);
    }

    #[track_caller]
    fn assert_same(&self, found: &[Episode]) {
        let expected = Oracle::walk(&self.calls);
        let missing: Vec<_> = expected.iter().filter(|one| !found.contains(one)).collect();
        let wrong: Vec<_> = found.iter().filter(|one| !expected.contains(one)).collect();
        let Self { seed, calls, .. } = self;
        assert!(
            missing.is_empty() && wrong.is_empty(),
            "seed {seed}: missing {missing:#?}, wrong {wrong:#?}, of {calls:#?}"
        );
        assert_eq!(found.len(), expected.len(), "seed {seed}");
    }
}

/// Runs `check` for every seed in parallel, and names those that failed.
fn for_seeds(seeds: impl Iterator<Item = u64>, check: impl Fn(u64) + Sync) {
    let seeds: Vec<u64> = seeds.collect();
    // Most of the time is spent waiting for the disk.
    let threads = 8;
    let fails = |seed: &&u64| std::panic::catch_unwind(AssertUnwindSafe(|| check(**seed))).is_err();
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let running: Vec<_> = seeds
            .chunks(seeds.len().div_ceil(threads))
            .map(|part| scope.spawn(move || part.iter().filter(fails).copied().collect::<Vec<_>>()))
            .collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(failed, [0; 0], "these seeds failed");
}

#[test]
fn replay_finds_the_episodes_of_a_thousand_histories() {
    for_seeds(0..HISTORIES, |seed| {
        let case = Case::new(seed);
        let reading = case.logs("logs", |_| true);
        let replayed = case.replay(&reading, "db").unwrap();
        assert_eq!(replayed, Replay::default(), "seed {seed}");
        case.assert_episodes(&case.kept("db").findings);
    });
}

#[test]
fn the_histories_contain_what_they_should_test() {
    let (mut open, mut reasons, mut continued, mut zero_length) = (0, BTreeMap::new(), 0, 0);
    for seed in 0..HISTORIES {
        for episode in Oracle::walk(&history(&mut Rng::with_seed(seed))) {
            match episode.closed {
                Some((at, why)) => {
                    *reasons.entry(why).or_insert(0) += 1;
                    zero_length += u32::from(at == episode.opened_at);
                }
                None => open += 1,
            }
            continued += u32::from(episode.continues.is_some());
        }
    }
    let enough = [
        open,
        reasons["deactivated"],
        reasons["deleted"],
        reasons["renamed"],
        continued,
        zero_length,
    ];
    assert!(enough.iter().all(|count| *count >= 50), "{enough:?}");
}

#[test]
fn replay_by_the_binary_prints_the_same_episodes() {
    for seed in 0..8 {
        let case = Case::new(seed);
        case.logs("logs", |_| true);
        let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
            .args(["replay", "--quiet", "--format", "json"])
            .arg(case.path("logs"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.ends_with("/notes.txt: not a log\n") && said.lines().count() == 1,
            "seed {seed}: {said}"
        );
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut found: Vec<Episode> = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(printed_episode)
            .collect();
        found.sort();
        case.assert_same(&found);
        assert_eq!(
            output.status.code(),
            Some(if found.is_empty() { 0 } else { 10 }),
            "seed {seed}"
        );
    }
}

#[test]
fn replay_in_two_runs_finds_what_one_run_finds() {
    for_seeds((0..HISTORIES).step_by(5), |seed| {
        let case = Case::new(seed);
        let Some(middle) = case.calls.get(case.calls.len() / 2).map(|call| call.at) else {
            return;
        };
        let all = case.logs("all", |_| true);
        case.replay(&all, "one").unwrap();
        let earlier = case.logs("earlier", |record| record.at < middle);
        case.replay(&earlier, "two").unwrap();
        // The later logs may repeat the earlier ones.
        let overlap = seed % 2 == 0;
        let later = case.logs("later", |record| overlap || record.at >= middle);
        let replayed = case.replay(&later, "two").unwrap();
        let repeated = if overlap { earlier.changes.len() } else { 0 };
        assert_eq!(replayed.already_replayed, repeated, "seed {seed}");
        assert_eq!(
            case.kept("one").findings,
            case.kept("two").findings,
            "seed {seed}: {:#?}",
            case.calls
        );
    });
}

#[test]
fn replay_of_the_same_logs_changes_nothing() {
    for_seeds((1..HISTORIES).step_by(10), |seed| {
        let case = Case::new(seed);
        let reading = case.logs("logs", |_| true);
        case.replay(&reading, "db").unwrap();
        let before = case.kept("db");
        let replayed = case.replay(&reading, "db").unwrap();
        assert_eq!(
            replayed.already_replayed,
            reading.changes.len(),
            "seed {seed}"
        );
        assert_eq!(before, case.kept("db"), "seed {seed}");
    });
}

#[test]
fn replay_in_any_parts_and_any_order_is_one_replay() {
    for_seeds((2..HISTORIES).step_by(5), |seed| {
        let case = Case::new(seed);
        case.replay(&case.logs("all", |_| true), "one").unwrap();
        let mut rng = Rng::with_seed(seed + 2);
        let parts = rng.usize(2..5);
        // A record may come in two parts.
        let of_record: BTreeMap<i64, Vec<usize>> = case
            .records
            .iter()
            .map(|record| (record.at, vec![rng.usize(..parts), rng.usize(..parts)]))
            .collect();
        for part in 0..parts {
            let name = format!("part {part}");
            let reading = case.logs(&name, |record| of_record[&record.at].contains(&part));
            case.replay(&reading, "parts").unwrap();
            case.kept("parts");
        }
        assert_eq!(case.kept("one"), case.kept("parts"), "seed {seed}");
        let (one, parts) = (tables(&case.path("one")), tables(&case.path("parts")));
        for (table, rows) in &one {
            let differ = rows
                .iter()
                .zip(&parts[table])
                .find(|(one, other)| one != other);
            assert_eq!(differ, None, "seed {seed}, {table}");
            assert_eq!(rows.len(), parts[table].len(), "seed {seed}, {table}");
        }
    });
}

/// The content of the tables of the file at `path`, except replaced trails and row positions.
fn tables(path: &Path) -> BTreeMap<String, Vec<String>> {
    let file = rusqlite::Connection::open(path).unwrap();
    let names: Vec<String> = file
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name != 'audit_replaced'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let rows = |name: &str| {
        // The number of checks of a user is not a result.
        let columns = match name {
            "replayed_changes" => "changes",
            "replayed_users" => "account, user",
            "records" => "account, user, schema, json_remove(body, '$.version')",
            _ => "*",
        };
        let mut statement = file
            .prepare(&format!("SELECT {columns} FROM {name}"))
            .unwrap();
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let value = |column| row.get::<_, rusqlite::types::Value>(column);
            let values: Vec<_> = (0..width).map(|column| value(column).unwrap()).collect();
            Ok(format!("{values:?}"))
        };
        let mut rows: Vec<String> = statement
            .query_map([], row)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        rows.sort();
        rows
    };
    names
        .into_iter()
        .map(|name| (name.clone(), rows(&name)))
        .collect()
}
