//! What the use of a key shows in a replay: that it was active at the time, and which key is in
//! use.

use assert_cmd::Command;
use serde_json::{Value, json};

const OLD: &str = "AKIAEXAMPLEOLD000001";
const NEW: &str = "AKIAEXAMPLENEW000002";

/// A record of a call at `time` that `key` of sam signed.
fn signed(key: &str, time: &str, event: &str) -> Value {
    json!({
        "eventVersion": "1.08", "eventID": format!("{event} at {time} by {key}"),
        "eventTime": time, "eventSource": "s3.amazonaws.com", "eventName": event,
        "awsRegion": "us-east-1", "recipientAccountId": "111122223333",
        "userIdentity": {
            "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/sam", "userName": "sam",
            "accountId": "111122223333", "accessKeyId": key,
        },
        "requestParameters": null, "responseElements": null,
    })
}

/// The same for a call to IAM by an administrator.
fn changed(time: &str, event: &str, key: &str, status: Option<&str>) -> Value {
    let mut record = signed("ASIAADMIN", time, event);
    record["eventSource"] = json!("iam.amazonaws.com");
    record["userIdentity"] = json!({
        "type": "AssumedRole", "accountId": "111122223333",
        "arn": "arn:aws:sts::111122223333:assumed-role/admin/ann",
    });
    record["requestParameters"] = json!({"userName": "sam", "accessKeyId": key, "status": status});
    if event == "CreateAccessKey" {
        record["requestParameters"] = json!({"userName": "sam"});
        record["responseElements"] =
            json!({"accessKey": {"userName": "sam", "accessKeyId": key, "status": "Active"}});
    }
    record
}

fn created(time: &str, key: &str) -> Value {
    changed(time, "CreateAccessKey", key, None)
}

/// The findings of a replay of `records` into `db` as JSON. Each part is one run.
fn replayed(parts: &[&[Value]]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("findings.db");
    let mut last = Value::Null;
    for (number, records) in parts.iter().enumerate() {
        let log = folder.path().join(format!("{number}.json"));
        std::fs::write(&log, json!({"Records": records}).to_string()).unwrap();
        let output = Command::cargo_bin("secondkey")
            .unwrap()
            .args(["replay", "--quiet", "--format", "json", "--db"])
            .args([&db, &log])
            .output()
            .unwrap();
        last = serde_json::from_slice(&output.stdout).unwrap();
    }
    last
}

/// The status, the beginning and the keys of each finding.
fn findings(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| {
            let keys = finding["keys"].as_array().unwrap();
            let keys: Vec<String> = keys
                .iter()
                .map(|key| format!("{} {}", key["id"], key["status"]))
                .collect();
            let words = [&finding["user"], &finding["status"], &finding["opened_at"]];
            format!(
                "{} {}",
                words.map(ToString::to_string).join(" "),
                keys.join(", ")
            )
            .replace('"', "")
        })
        .collect()
}

fn pair_since(time: &str) -> Vec<String> {
    vec![format!("sam open {time} {NEW} Active, {OLD} Active")]
}

/// A real attack: the record of the creation names the user's first key as its signer, and no other
/// record mentions that key.
#[test]
fn a_key_that_signs_the_creation_of_another_makes_a_pair() {
    let mut own = created("2024-03-05T09:00:00Z", NEW);
    own["userIdentity"] = signed(OLD, "2024-03-05T09:00:00Z", "GetObject")["userIdentity"].clone();
    let document = replayed(&[&[own]]);
    assert_eq!(findings(&document), pair_since("2024-03-05T09:00:00Z"));
    let opener = &document["findings"][0]["opener"];
    assert_eq!(
        (&opener["key"], &opener["how"]),
        (&json!(NEW), &json!("created"))
    );
    let known = &document["summary"]["known_only_from_first_change"];
    assert_eq!(known[0]["key"], OLD, "{known}");
}

/// Calls of the first key, before or after the second one is created, show that it is active.
#[test]
fn a_used_key_makes_a_pair_with_a_created_one() {
    let second_key = || created("2024-03-05T09:00:00Z", NEW);
    for (used_at, opened_at) in [
        ("2024-03-04T09:00:00Z", "2024-03-05T09:00:00Z"),
        ("2024-03-05T09:00:00Z", "2024-03-05T09:00:00Z"),
        ("2024-03-07T09:00:00Z", "2024-03-07T09:00:00Z"),
    ] {
        let document = replayed(&[&[second_key(), signed(OLD, used_at, "GetObject")]]);
        assert_eq!(findings(&document), pair_since(opened_at), "{used_at}");
        let last_used = &document["findings"][0]["last_used"];
        assert_eq!(
            *last_used,
            json!([{"key": OLD, "at": used_at, "service": null, "region": null}])
        );
    }
}

/// The file stores the uses, so every command gives the same verdict as the replay.
#[test]
fn findings_and_the_report_agree_with_the_replay() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("findings.db");
    let log = folder.path().join("log.json");
    let page = folder.path().join("report.html");
    let mut own = created("2024-03-05T09:00:00Z", NEW);
    own["userIdentity"] = signed(OLD, "2024-03-05T09:00:00Z", "GetObject")["userIdentity"].clone();
    let records = [
        created("2024-03-01T09:00:00Z", OLD),
        own,
        signed(OLD, "2024-03-05T10:00:00Z", "GetObject"),
        signed(NEW, "2024-05-01T09:00:00Z", "GetObject"),
        signed(NEW, "2024-05-20T09:00:00Z", "DescribeInstances"),
    ];
    std::fs::write(&log, json!({"Records": records}).to_string()).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::cargo_bin("secondkey").unwrap();
        let output = command.args(args).arg("--db").arg(&db).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let log = log.to_str().unwrap();
    let replayed = run(&["replay", "--quiet", "--format", "json", log]);
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    let verdict = &replayed["findings"][0]["verdict"];
    assert_eq!(
        (&verdict["code"], &verdict["key"]),
        (&json!("retire"), &json!(OLD))
    );
    let listed = run(&["findings", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["findings"], replayed["findings"]);
    let table = run(&["replay", "--quiet", log]);
    let rows = |text: &str| -> Vec<String> {
        let begins = |line: &&str| line.starts_with("MEDIUM  ") || line.starts_with("HIGH  ");
        let rows = text.lines().skip_while(|line| !begins(line));
        rows.take_while(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    assert!(!rows(&table).is_empty(), "{table}");
    assert_eq!(rows(&table), rows(&run(&["findings"])));
    let as_of =
        "Verdicts are as of 2024-05-20 09:00:00 UTC; nothing later is known about these keys.";
    for text in [&table, &run(&["findings"])] {
        assert!(text.contains(as_of), "{text}");
    }
    run(&["report", "--html", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    let said = format!("Retire {OLD}");
    assert!(page.contains(&said) && page.contains("2024-05-20 09:00:00"));
}

/// Input that cannot be read a second time is named, because calls in it were not looked for.
#[test]
fn standard_input_is_named_where_it_was_not_searched_for_calls() {
    let records = [
        created("2024-03-05T09:00:00Z", NEW),
        signed(OLD, "2024-03-06T09:00:00Z", "GetObject"),
    ];
    let log = json!({"Records": records}).to_string();
    let run = |format: &str| {
        let mut command = Command::cargo_bin("secondkey").unwrap();
        let command = command.args(["replay", "-", "--quiet", "--format", format]);
        let output = command.write_stdin(log.clone()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said =
        "Read only once: standard input. Calls that show a key in use were not looked for there";
    assert!(run("table").contains(said));
    let document: Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(document["summary"]["read_once"], json!(["standard input"]));
    let from_file = replayed(&[&records]);
    assert_eq!(from_file["summary"]["read_once"], json!([]));
}

/// Calls that IAM still accepted do not bring back a key that was just deactivated, and neither
/// does a failed call.
#[test]
fn uses_of_ended_keys_and_failed_calls_show_nothing() {
    let off = |time| changed(time, "UpdateAccessKey", OLD, Some("Inactive"));
    let gone = |time| changed(time, "DeleteAccessKey", OLD, None);
    let new = || created("2024-03-05T09:00:00Z", NEW);
    let used = |time| signed(OLD, time, "GetObject");
    let mut refused = used("2024-03-06T09:00:00Z");
    refused["errorCode"] = json!("AccessDenied");
    for records in [
        vec![
            off("2024-03-05T08:59:00Z"),
            new(),
            used("2024-03-05T09:01:00Z"),
        ],
        vec![
            gone("2024-03-05T08:59:00Z"),
            new(),
            used("2024-03-06T09:01:00Z"),
        ],
        // If a record of a change mentioned the key, the records of changes decide.
        vec![
            off("2024-03-05T08:00:00Z"),
            new(),
            used("2024-03-06T09:00:00Z"),
        ],
        vec![new(), refused],
        vec![new(), signed(NEW, "2024-03-06T09:00:00Z", "GetObject")],
    ] {
        assert_eq!(
            findings(&replayed(&[&records])),
            Vec::<String>::new(),
            "{records:?}"
        );
    }
}

/// Uses of keys that the logs contain besides changes are stored in the file.
#[test]
fn parts_in_any_order_find_the_pair_of_one_replay() {
    let old = [
        changed(
            "2024-03-01T09:00:00Z",
            "UpdateAccessKey",
            OLD,
            Some("Inactive"),
        ),
        changed(
            "2024-03-01T09:01:00Z",
            "UpdateAccessKey",
            OLD,
            Some("Active"),
        ),
        signed(OLD, "2024-03-02T09:00:00Z", "GetObject"),
    ];
    let new = [
        created("2024-03-05T09:00:00Z", NEW),
        signed(NEW, "2024-03-05T10:00:00Z", "GetObject"),
        signed(OLD, "2024-03-05T11:00:00Z", "GetObject"),
    ];
    let all = [&old[..], &new[..]].concat();
    let whole = replayed(&[&all]);
    assert_eq!(findings(&whole), pair_since("2024-03-05T09:00:00Z"));
    for parts in [[&old[..], &new[..]], [&new[..], &old[..]]] {
        let document = replayed(&parts);
        let shown = |document: &Value| format!("{:#}", document["findings"]);
        assert_eq!(shown(&document), shown(&whole));
    }
}
