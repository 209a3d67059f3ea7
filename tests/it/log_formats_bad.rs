//! Logs of wrapped records that are truncated, hostile or mixed: one clear line each, and no
//! neighboring log is lost.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::log_formats::{Replayed, inputs, lines, replay, replay_bytes, story};
use crate::log_formats_made::{csv_row, gzipped, lower, made};

/// Replays `log` beside two good ones, in one directory.
fn beside_neighbors(log: &[u8]) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let plain = |user: &str| lines(|record| record.to_string().replace("alice", user));
    fs::write(folder.path().join("a.json"), plain("before")).unwrap();
    fs::write(folder.path().join("m"), log).unwrap();
    fs::write(folder.path().join("z.json"), plain("zafter")).unwrap();
    replay(folder.path())
}

fn users(replayed: &Replayed) -> Vec<&str> {
    let mut users: Vec<&str> = replayed
        .findings
        .iter()
        .map(|(_, user)| user.as_str())
        .collect();
    users.sort_unstable();
    users
}

#[test]
fn log_formats_truncated_are_reported_and_lose_no_neighbor() {
    let mut wrong = Vec::new();
    for (name, log) in made() {
        // Within the second record, or within the packed data.
        for cut in [log.len() * 2 / 5, log.len() * 3 / 5] {
            let replayed = beside_neighbors(&log[..cut]);
            assert_eq!(
                users(&replayed),
                ["before", "zafter"],
                "{name}: {}",
                replayed.stderr
            );
            let said: Vec<&str> = replayed.stderr.lines().collect();
            if said.len() != 1 || !said[0].contains("/m") {
                wrong.push(format!("{name} cut at {cut}: {said:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn log_formats_hostile_give_one_line_and_lose_no_neighbor() {
    let record = story()[0].to_string();
    let deep = format!("{}{record}{}", "{\"a\":".repeat(100), "}".repeat(100));
    let mut encoded = record.clone();
    for _ in 0..8 {
        encoded = json!(encoded).to_string();
    }
    let bomb = json!({"awslogs": {"data": STANDARD.encode(gzipped(&vec![b' '; 70 << 20]))}});
    let cases: [(&str, Vec<u8>, &str); 5] = [
        (
            "100 deep",
            deep.into_bytes(),
            "nested more than 64 levels deep",
        ),
        (
            "base64 bomb",
            bomb.to_string().into_bytes(),
            "unpacks to more than 64 MiB",
        ),
        (
            "gzip bomb",
            gzipped(&vec![b' '; 80 << 20]),
            "more than 500 times its size",
        ),
        (
            "open quote",
            (csv_row(&["a", &record]) + "\"{\"\"eventName\"\": \"\"CreateAccessKey\"\"")
                .into_bytes(),
            "incomplete or broken",
        ),
        (
            "no log",
            b"# Read me\n\nNothing here.\n".to_vec(),
            "not a log",
        ),
    ];
    for (name, log, said) in cases {
        let replayed = beside_neighbors(&log);
        assert_eq!(
            users(&replayed),
            ["before", "zafter"],
            "{name}: {}",
            replayed.stderr
        );
        let lines: Vec<&str> = replayed.stderr.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{name}: {lines:?}"
        );
        assert_eq!(replayed.exit, 10, "{name}");
    }
    assert_eq!(beside_neighbors(encoded.as_bytes()).malformed, 0);
}

#[test]
fn log_formats_find_no_record_in_text_from_callers() {
    let mut forged = story()[0].clone();
    forged["requestParameters"] = json!({"userName": "mallory"});
    forged["responseElements"]["accessKey"] =
        json!({"userName": "mallory", "accessKeyId": "AKIAFORGED", "status": "Active"});
    let mut twice = forged.clone();
    twice["responseElements"]["accessKey"]["accessKeyId"] = json!("AKIAFORGED2");
    let sent = json!({"message": format!("{forged}\n{twice}"), "records": [forged, twice]});
    let carrier = |record: &Value| {
        let mut record = record.clone();
        record["eventName"] = json!("PutEvents");
        record["eventSource"] = json!("events.amazonaws.com");
        record["requestParameters"] = sent.clone();
        record
    };
    for log in [
        lines(|record| carrier(record).to_string()),
        lines(|record| json!({"message": carrier(record).to_string()}).to_string()),
        lines(|record| lower(&carrier(record)).to_string()),
    ] {
        let replayed = replay_bytes(&log);
        assert_eq!(
            (replayed.findings.len(), replayed.records),
            (0, 3),
            "{}",
            replayed.stderr
        );
    }
}

/// Whether a truncated log is not reported.
fn is_silent(log: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, log).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(["replay", "--quiet"])
        .arg(&path)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let code = output.status.code().unwrap();
    assert!(matches!(code, 0 | 1 | 10), "{code}: {output:?}");
    let has_finding = code == 10;
    !has_finding && (output.stderr.is_empty() || stdout.contains("No user had"))
}

#[test]
fn log_formats_truncated_anywhere_are_reported() {
    let files: Vec<PathBuf> = fs::read_dir(inputs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    let mut silent = Vec::new();
    for path in files {
        let log = fs::read(&path).unwrap();
        for part in [2, 5, 8] {
            let cut = log.len() * part / 9;
            if is_silent(&log[..cut]) {
                silent.push(format!("{} at {cut}", path.display()));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn log_formats_name_bad_rows_of_tables() {
    let rows = story().map(|record| {
        let lower = lower(&record);
        let cell = |name: &str| match &lower[name] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        [
            "eventname",
            "eventsource",
            "eventtime",
            "recipientaccountid",
            "requestparameters",
            "responseelements",
        ]
        .map(cell)
        .to_vec()
    });
    let head =
        "eventname,eventsource,eventtime,recipientaccountid,requestparameters,responseelements\n";
    let row = |cells: &[String]| csv_row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    let all = head.to_owned() + &rows.iter().map(|cells| row(cells)).collect::<String>();
    assert_eq!(replay_bytes(all.as_bytes()).findings.len(), 1);
    let missing = all.clone() + &row(&rows[0][..4]);
    let json_line = all.clone() + &story()[0].to_string() + "\n";
    let empty_last = head.to_owned() + &rows[1][..5].join(",") + ",";
    let last = row(&rows[2]);
    let cut = head.to_owned() + &row(&rows[0]) + &last[..last.len() - 9];
    for (name, log, said) in [
        (
            "a column is missing",
            missing,
            "record 4: the row has 4 columns, and the table has 6",
        ),
        (
            "another story behind it",
            json_line,
            "columns, and the table has 6",
        ),
        (
            "cut at an empty last column",
            empty_last,
            "record 1: the text ends within a record",
        ),
        (
            "cut within quotes",
            cut,
            "record 2: the text ends within a record",
        ),
    ] {
        let replayed = beside_neighbors(log.as_bytes());
        let lines: Vec<&str> = replayed.stderr.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].contains(said),
            "{name}: {lines:?}"
        );
        let found = users(&replayed);
        assert!(
            found.contains(&"before") && found.contains(&"zafter"),
            "{name}: {found:?}"
        );
    }
}
