//! CloudTrail records in any wrapper: exports of tools, truncated files, hostile files. Each tells
//! the same story: alice gets two keys; three records, one finding.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::log_formats_made::made;

pub(crate) const ACCOUNT: &str = "111122223333";

/// Files in which nothing can be found, with the message for each.
const NOT_READ: [(&str, &str); 3] = [
    ("09-console-history.csv", "omits each call's request"),
    ("40-utf16.json", "iconv -f UTF-16 -t UTF-8"),
    ("45-records.parquet", "duckdb -c"),
];

// ------------------------------------------------------------------------------------------- helpers

/// The result of a replay.
pub(crate) struct Replayed {
    pub(crate) exit: i32,
    pub(crate) records: u64,
    pub(crate) malformed: u64,
    /// The account and the user of each finding.
    pub(crate) findings: Vec<(String, String)>,
    pub(crate) stderr: String,
}

pub(crate) fn replay(path: &Path) -> Replayed {
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(["replay", "--quiet", "--format", "json"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Replayed {
        exit: output.status.code().unwrap(),
        records: document["summary"]["records"].as_u64().unwrap(),
        malformed: document["summary"]["malformed"].as_u64().unwrap(),
        findings: document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| (text(&finding["account"]), text(&finding["user"])))
            .collect(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn replay_bytes(log: &[u8]) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, log).unwrap();
    replay(&path)
}

pub(crate) fn story() -> [Value; 3] {
    let text = fs::read_to_string(inputs().join("02-ndjson.jsonl")).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    records.try_into().unwrap()
}

pub(crate) fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/log_formats")
}

pub(crate) fn lines(wrap: impl Fn(&Value) -> String) -> Vec<u8> {
    story()
        .iter()
        .map(|record| wrap(record) + "\n")
        .collect::<String>()
        .into_bytes()
}

// --------------------------------------------------------------------------------------------- tests

/// A different story: the file, its number of records, and whose finding results.
type Other = (&'static str, u64, Option<(&'static str, &'static str)>);

/// The files that tell a different story than `02-ndjson.jsonl`.
const OTHERS: [Other; 20] = [
    // One message with the second key only.
    ("25-sns-message.json", 1, None),
    (
        "48-one-without-recipient.jsonl",
        2,
        Some((ACCOUNT, "alice")),
    ),
    // The user is renamed between the two keys.
    (
        "57-updateuser-string-params.jsonl",
        3,
        Some((ACCOUNT, "alicia")),
    ),
    ("60-eight-keys.jsonl", 8, Some((ACCOUNT, "dev"))),
    ("61-same-second.jsonl", 2, Some((ACCOUNT, "tf"))),
    ("62-same-second-noid.jsonl", 2, Some((ACCOUNT, "tf"))),
    ("63-duplicates.jsonl", 4, Some((ACCOUNT, "u"))),
    // Callers create their own keys: no request names a user.
    ("64-self-null-request.jsonl", 2, Some((ACCOUNT, "alice"))),
    // IAM names ignore case; the last spelling is shown.
    ("65-case.jsonl", 2, Some((ACCOUNT, "alice"))),
    ("66-cn.jsonl", 2, Some((ACCOUNT, "alice"))),
    ("67-errorcode-dash.jsonl", 2, Some((ACCOUNT, "alice"))),
    // The second call failed; only its message says so.
    ("68-errormessage-only.jsonl", 2, None),
    // Two users of one name, in two accounts.
    ("70-two-accounts-no-recipient.jsonl", 2, None),
    ("71-recipient-dash.jsonl", 2, Some((ACCOUNT, "alice"))),
    (
        "72-recipient-number.jsonl",
        2,
        Some(("001122223333", "alice")),
    ),
    (
        "73-recipient-string-lost-zeros.jsonl",
        2,
        Some(("001122223333", "alice")),
    ),
    // Newest first; the finding ends when the old key is made inactive.
    ("75-newest-first.jsonl", 4, Some((ACCOUNT, "alice"))),
    ("76-offset-no-colon.jsonl", 2, Some((ACCOUNT, "alice"))),
    ("77-time-utc-word.jsonl", 2, Some((ACCOUNT, "alice"))),
    ("79-time-athena.jsonl", 2, Some((ACCOUNT, "alice"))),
];

/// Inputs without a story, or with a user who has one key.
fn controls() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (
            "package.json",
            text(r#"{"name": "a", "version": "1.0.0", "events": [], "Records": {}}"#),
        ),
        (
            "a Terraform plan",
            text(
                r#"{"format_version": "1.2", "resource_changes": [{"type": "aws_iam_access_key",
                    "change": {"actions": ["create"], "after": {"user": "alice", "status": "Active"}}}]}"#,
            ),
        ),
        (
            "README.md",
            text("# Keys\n\n`CreateAccessKey` gives alice a second key: {\"a\": 1}.\n"),
        ),
        (
            "an SBOM",
            text(
                r#"{"bomFormat": "CycloneDX", "components": [{"name": "aws-sdk-iam", "type": "library"}]}"#,
            ),
        ),
        (
            "a digest",
            text(r#"{"digestStartTime": "2024-03-01T09:00:00Z", "logFiles": [{"s3Object": "a"}]}"#),
        ),
        ("one key", (story()[0].to_string() + "\n").into_bytes()),
    ]
}

#[test]
fn log_formats_are_read_whatever_wraps_the_records() {
    let story = (3, Some((ACCOUNT, "alice")));
    let mut all = Vec::new();
    let mut names: Vec<_> = fs::read_dir(inputs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let replayed = replay(&path);
        if let Some((_, said)) = NOT_READ.iter().find(|(file, _)| *file == name) {
            assert!(
                replayed.exit == 1 && replayed.malformed == 1 && replayed.stderr.contains(said),
                "{name}: {}",
                replayed.stderr
            );
            continue;
        }
        let other = OTHERS.iter().find(|(file, _, _)| *file == name);
        let (records, finding) = other.map_or(story, |(_, records, finding)| (*records, *finding));
        // Two members with the same three records each.
        let is_double = name.starts_with("18") && name.ends_with("gz");
        all.push((name, if is_double { 6 } else { records }, finding, replayed));
    }
    for (name, log) in made() {
        all.push((name.to_owned(), story.0, story.1, replay_bytes(&log)));
    }
    let (mut read, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for (name, records, finding, replayed) in &all {
        let expected: Vec<(String, String)> = finding
            .iter()
            .map(|(account, user)| ((*account).to_owned(), (*user).to_owned()))
            .collect();
        let Replayed {
            findings, stderr, ..
        } = replayed;
        let shown = || {
            format!(
                "{name}: {} records, {findings:?} {stderr}",
                replayed.records
            )
        };
        let is_missed = expected.iter().any(|one| !findings.contains(one));
        if is_missed || replayed.records < *records || replayed.malformed > 0 {
            missed.push(shown());
        } else if *findings != expected || replayed.records > *records {
            wrong.push(shown());
        } else {
            read += 1;
        }
    }
    for (name, log) in controls() {
        let replayed = replay_bytes(&log);
        if !replayed.findings.is_empty() {
            wrong.push(format!("{name}: {:?}", replayed.findings));
        }
    }
    // Past the capture of the test harness, so that a script can read it.
    writeln!(
        std::io::stdout(),
        "logs: {read} formats read, {} missed, {} false",
        missed.len(),
        wrong.len()
    )
    .expect("standard output is writable");
    assert!(
        missed.is_empty() && wrong.is_empty(),
        "{missed:#?}{wrong:#?}"
    );
}

#[test]
fn log_formats_are_named_in_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let copies = [
        ("02-ndjson.jsonl", "a"),
        ("15-cwl-filter-log-events.json", "b"),
        ("18-cwl-subscription.json", "c"),
    ];
    for (file, copy) in copies {
        fs::copy(inputs().join(file), folder.path().join(copy)).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "notes").unwrap();
    let run = |format: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
            .args(["replay", "--quiet", "--format", format])
            .arg(folder.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = "4 files: 1 CloudTrail, 2 CloudWatch Logs exports, 1 not a log.";
    let table = run("table");
    assert!(table.lines().any(|line| line == said), "{table}");
    let document: Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(
        document["summary"]["files"],
        serde_json::json!({
            "read_as": {"CloudTrail": 1, "CloudWatch Logs": 2}, "not_readable": 0, "not_a_log": 1,
        })
    );
}
