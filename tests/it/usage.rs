//! `secondkey usage`: who uses which key, according to logs and to CloudTrail's event history.

mod live;
mod year;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";
const OLD: &str = "AKIAEXAMPLEALICE0001";
const NEW: &str = "AKIAEXAMPLEALICE0002";

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

fn usage(at: &Path, arguments: &[&str], input: &str) -> Said {
    let mut process = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .arg("usage")
        .args(arguments)
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The process may not read its input.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    let output = process.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    #[track_caller]
    fn document(&self) -> Value {
        let read = serde_json::from_str(&self.stdout);
        read.unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    #[track_caller]
    fn prints(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text),
            "`{text}` is not in {}",
            self.stdout
        );
        self
    }
}

/// A call that `key` of `user` signed.
fn call(user: &str, key: &str, time: &str, source: &str, user_agent: &str) -> Value {
    json!({"eventVersion": "1.11", "eventID": format!("{:032x}", fastrand::u128(..)),
        "eventTime": time, "eventSource": "s3.amazonaws.com", "eventName": "GetBucketAcl",
        "awsRegion": "eu-west-1", "sourceIPAddress": source, "userAgent": user_agent,
        "recipientAccountId": ACCOUNT, "requestParameters": {"bucketName": "bucket-1"},
        "userIdentity": {"type": "IAMUser", "accountId": ACCOUNT, "userName": user,
            "arn": format!("arn:aws:iam::{ACCOUNT}:user/{user}"), "accessKeyId": key}})
}

/// Three consumers of Alice's old key: one switches, one uses both, one does not switch.
fn rotation() -> Vec<Value> {
    let mut records = vec![];
    for day in 1..=20 {
        let at = |hour: u32| format!("2026-01-{day:02}T{hour:02}:00:00Z");
        let switched = if day < 10 { OLD } else { NEW };
        let alternating = if day % 2 == 0 { OLD } else { NEW };
        records.push(call(
            "Alice",
            switched,
            &at(1),
            "192.0.2.1",
            "Boto3/1.34.1 md/x",
        ));
        records.push(call(
            "Alice",
            OLD,
            &at(2),
            "192.0.2.2",
            "aws-cli/2.15.30 Python/3.11",
        ));
        let key = if day < 10 { OLD } else { alternating };
        records.push(call(
            "alice",
            key,
            &at(3),
            "192.0.2.3",
            "aws-sdk-go-v2/1.24.0",
        ));
        records.push(call(
            "bob",
            "AKIAEXAMPLEBOB000001",
            &at(4),
            "192.0.2.2",
            "curl/8",
        ));
    }
    records
}

fn in_folder(records: &[Value]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = json!({"Records": records}).to_string();
    std::fs::write(folder.path().join("log.json"), text).unwrap();
    folder
}

#[test]
fn each_consumer_shows_whether_it_has_switched() {
    let folder = in_folder(&rotation());
    let said = usage(folder.path(), &["ALICE", "log.json"], "");
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (0, ""),
        "{}",
        said.stdout
    );
    said.prints("User alice of account 111122223333")
        .prints(&format!(
            "1 of 3 consumers has switched from {OLD} to {NEW}."
        ))
        .prints(
            "Still on the old key: 192.0.2.3 with aws-sdk-go-v2/1.x, last 2026-01-20 03:00:00 UTC; \
             192.0.2.2 with aws-cli/2.x, last 2026-01-20 02:00:00 UTC.",
        )
        .prints(
            "Read 1 file with 80 records, from 2026-01-01 01:00:00 UTC to 2026-01-20 04:00:00 UTC.",
        );
    assert!(!said.stdout.contains("AKIAEXAMPLEBOB"), "{}", said.stdout);
    let said = usage(
        folder.path(),
        &["alice", "log.json", "--format", "json"],
        "",
    );
    let document = said.document();
    let state = |source: &str| {
        let consumers = document["users"][0]["switch"]["consumers"]
            .as_array()
            .unwrap();
        let of_source = consumers
            .iter()
            .find(|one| one["source"] == source)
            .unwrap();
        (
            of_source["state"].as_str().unwrap(),
            of_source["new_since"].as_str(),
        )
    };
    assert_eq!(
        state("192.0.2.1"),
        ("switched", Some("2026-01-10T01:00:00Z"))
    );
    assert_eq!(state("192.0.2.2"), ("not_yet", None));
    assert_eq!(
        state("192.0.2.3"),
        ("on_both", Some("2026-01-11T03:00:00Z"))
    );
}

/// The creation of `key` of Alice, by herself with her old key.
fn creation(key: &str, time: &str) -> Value {
    let mut record = call("alice", OLD, time, "192.0.2.1", "Boto3/1.34.1 md/x");
    record["eventSource"] = json!("iam.amazonaws.com");
    record["eventName"] = json!("CreateAccessKey");
    record["requestParameters"] = json!({"userName": "alice"});
    record["responseElements"] =
        json!({"accessKey": {"userName": "alice", "accessKeyId": key, "status": "Active"}});
    record
}

#[test]
fn report_shows_who_uses_the_keys_of_open_findings() {
    let mut records = rotation();
    records.insert(0, creation(NEW, "2026-01-01T00:30:00Z"));
    let folder = in_folder(&records);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
        let command = command.args(arguments).args(["--db", "findings.db"]);
        let output = command.current_dir(folder.path()).output().unwrap();
        (output.status.code().unwrap(), output.stderr)
    };
    assert_eq!(run(&["replay", "log.json", "--quiet"]).0, 10);
    let report = ["report", "--html", "report.html", "--logs"];
    assert_eq!(run(&[&report[..], &["log.json"]].concat()).0, 0);
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for line in [
        format!("1 of 3 consumers has switched from {OLD} to {NEW}."),
        "Still on the old key: 192.0.2.3 with aws-sdk-go-v2/1.x".to_owned(),
        "Read 1 file with 81 records".to_owned(),
    ] {
        assert!(page.contains(&line), "{line}");
    }
    assert!(!page.contains("AKIAEXAMPLEBOB"));
    let (code, stderr) = run(&[&report[..], &["missing.json"]].concat());
    assert_eq!(code, 1);
    assert!(String::from_utf8_lossy(&stderr).contains("missing.json"));
}

#[test]
fn the_creation_shows_which_key_is_new() {
    // The new key's first call is earlier in the logs than the old one's.
    let mut records = vec![
        call("alice", NEW, "2026-01-02T00:00:00Z", "192.0.2.1", "x/1"),
        call("alice", OLD, "2026-01-03T00:00:00Z", "192.0.2.2", "x/1"),
    ];
    let mut created = call(
        "dana",
        "AKIAEXAMPLEDANA00001",
        "2026-01-01T00:00:00Z",
        "192.0.2.9",
        "x/1",
    );
    created["eventName"] = "CreateAccessKey".into();
    created["eventSource"] = "iam.amazonaws.com".into();
    created["requestParameters"] = json!({"userName": "alice"});
    created["responseElements"] =
        json!({"accessKey": {"userName": "alice", "accessKeyId": OLD, "status": "Active"}});
    let new_of = |records: &[Value]| {
        let folder = in_folder(records);
        let said = usage(
            folder.path(),
            &["alice", "log.json", "--format", "json"],
            "",
        );
        let document = said.document();
        document["users"][0]["switch"]["new_key"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(new_of(&records), OLD, "by the first use alone");
    let mut later = created.clone();
    later["responseElements"]["accessKey"]["accessKeyId"] = NEW.into();
    later["eventTime"] = "2026-01-01T12:00:00Z".into();
    later["eventID"] = "another".into();
    records.extend([created, later]);
    assert_eq!(new_of(&records), NEW);
}

#[test]
fn a_period_limits_both_ends_and_lists_resources() {
    let folder = in_folder(&rotation());
    let period = ["--since", "2026-01-09T02:00:00Z", "--until", "2026-01-10"];
    let arguments = [&["alice", "log.json", "--format", "json"], &period[..]].concat();
    let document = usage(folder.path(), &arguments, "").document();
    let keys = &document["users"][0]["keys"];
    let calls = |place: usize| (keys[place]["id"].clone(), keys[place]["calls"].clone());
    // From the 9th, everything after 2 o'clock; from the 10th, everything.
    assert_eq!(calls(0), (json!(OLD), json!(4)));
    assert_eq!(calls(1), (json!(NEW), json!(1)));
    assert_eq!(document["calls_outside_period"], 55);
    let touched = &keys[0]["touched"][0];
    assert_eq!(touched["service"], "s3.amazonaws.com");
    assert_eq!(touched["event"], "GetBucketAcl");
    assert_eq!(touched["first_used_at"], "2026-01-09T02:00:00Z");
    assert_eq!(
        touched["resources"]["names"],
        json!(["bucketName=bucket-1"])
    );
    let arguments = [&["alice", "log.json"], &period[..]].concat();
    let said = usage(folder.path(), &arguments, "");
    said.prints(&format!("What {OLD} accessed"));
    said.prints("Outside the period: 55 calls.");
    let wrong = [
        "alice",
        "log.json",
        "--since",
        "2026-02-01",
        "--until",
        "2026-01-01",
    ];
    assert_eq!(usage(folder.path(), &wrong, "").code, 2);
}

#[test]
fn an_empty_result_lists_what_was_searched() {
    let folder = in_folder(&rotation());
    for (whom, expected) in [
        ("carol", "No call signed by a key of user carol was found."),
        (
            "444455556666/alice",
            "No call signed by a key of user 444455556666/alice was found.",
        ),
        (
            "AKIAEXAMPLEALICE0009",
            "No call signed by key AKIAEXAMPLEALICE0009 was found.",
        ),
    ] {
        let said = usage(folder.path(), &[whom, "log.json"], "");
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.prints(expected).prints("The key may still be in use.");
        said.prints("Read 1 file with 80 records, from 2026-01-01 01:00:00 UTC");
    }
    let said = usage(
        folder.path(),
        &["alice", "log.json", "--since", "2027-01-01"],
        "",
    );
    said.prints("No call signed by a key of user alice was found in the period.");
    // Nothing was read.
    let empty = tempfile::tempdir().unwrap();
    let said = usage(empty.path(), &["alice", "."], "");
    assert_eq!(said.code, 1, "{}", said.stdout);
    said.prints("Read 0 files with 0 records.");
    assert_eq!(usage(empty.path(), &["alice"], "").code, 2);
    assert_eq!(
        usage(empty.path(), &["ASIAEXAMPLEALICE0001", "."], "").code,
        2
    );
}

#[test]
fn broken_standard_input_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = rotation()
        .iter()
        .flat_map(|record| [record.to_string(), "\n".to_owned()])
        .collect();
    let arguments = [OLD, "-", "--format", "csv"];
    let said = usage(folder.path(), &arguments, &lines);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.stdout.lines().count(), 4, "{}", said.stdout);
    assert!(
        said.stderr.contains("Read 1 file with 80 records"),
        "{}",
        said.stderr
    );
    let said = usage(
        folder.path(),
        &arguments,
        &(lines.clone() + "{\"eventName\":"),
    );
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("1 could not be read (see stderr)"),
        "{}",
        said.stderr
    );
    assert_eq!(said.stdout.lines().count(), 4, "{}", said.stdout);
}

#[test]
fn a_refused_call_counts_and_a_session_of_the_user_does_not() {
    let mut refused = call("alice", OLD, "2026-01-01T00:00:00Z", "192.0.2.1", "x/1");
    refused["errorCode"] = "AccessDenied".into();
    let mut unauthenticated = refused.clone();
    unauthenticated["errorCode"] = "InvalidClientTokenId".into();
    unauthenticated["eventID"] = "other".into();
    let session = call(
        "alice",
        "ASIAEXAMPLEALICE0001",
        "2026-01-01T00:00:00Z",
        "192.0.2.1",
        "x/1",
    );
    let mut for_session = call("alice", OLD, "2026-01-01T00:00:00Z", "192.0.2.1", "x/1");
    for_session["eventName"] = "GetSessionToken".into();
    // The same record twice is one call.
    let records = [
        refused.clone(),
        refused,
        unauthenticated,
        session,
        for_session,
    ];
    let folder = in_folder(&records);
    let document = usage(
        folder.path(),
        &["alice", "log.json", "--format", "json"],
        "",
    )
    .document();
    let keys = document["users"][0]["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (&keys[0]["calls"], &keys[0]["errors"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(document["duplicates"], 1);
}
