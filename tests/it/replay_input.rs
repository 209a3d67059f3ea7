//! How the command line handles broken, hostile and huge input, tested with the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nFORGED line\n<script>alert(1)</script> \u{202e}\u{9b}31m\u{7f}\u{0}`$(id)`";

// ------------------------------------------------------------------------------------------------------- helpers

fn secondkey(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
    command
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("RUST_BACKTRACE");
    command
}

/// The same command, which Ctrl-C ends. A shell that starts `cargo test` in the background makes it
/// ignore SIGINT, and its children inherit that.
#[cfg(unix)]
fn interruptible(folder: &Path, args: &[&str]) -> Command {
    const RESET: &str = "import os, signal, sys; \
        signal.signal(signal.SIGINT, signal.SIG_DFL); \
        os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command
        .args(["-c", RESET, env!("CARGO_BIN_EXE_secondkey")])
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE");
    command
}

/// Runs the command line. Whatever happens, it must report it in words.
#[track_caller]
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    said(&secondkey(folder, args).output().unwrap())
}

#[track_caller]
fn said(output: &Output) -> (i32, String, String) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    for rust in [
        "panicked",
        "RUST_BACKTRACE",
        "Some(",
        "Err(",
        "Error {",
        "Os {",
        "kind:",
    ] {
        assert!(
            !stderr.contains(rust) && !stdout.contains(rust),
            "{rust}: {stdout}{stderr}"
        );
    }
    (output.status.code().unwrap(), stdout, stderr)
}

fn created(user: &str, key: &str, time: &str) -> Value {
    json!({
        "eventVersion": "1.11", "eventSource": "iam.amazonaws.com", "eventName": "CreateAccessKey", "eventTime": time,
        "awsRegion": "us-east-1", "eventID": format!("{user}-{key}"), "recipientAccountId": "111122223333",
        "sourceIPAddress": "192.0.2.7", "userAgent": "aws-cli",
        "userIdentity": {"type": "IAMUser", "userName": "admin", "arn": "arn:aws:iam::111122223333:user/admin"},
        "requestParameters": {"userName": user},
        "responseElements": {"accessKey": {"userName": user, "accessKeyId": key, "status": "Active"}},
    })
}

/// The records that give `user` a second key.
fn pair(user: &str) -> [Value; 2] {
    [
        created(user, &format!("AKIA{user}1"), "2024-01-01T00:00:00Z"),
        created(user, &format!("AKIA{user}2"), "2024-01-01T00:01:00Z"),
    ]
}

fn log_of(records: &[Value]) -> Vec<u8> {
    json!({"Records": records}).to_string().into_bytes()
}

/// `record` with `value` at the JSON pointer `place`, or without what is there.
fn with(mut record: Value, place: &str, value: Option<Value>) -> Value {
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = record.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    record
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A directory with `log` between two good logs.
fn between_neighbors(name: &str, log: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    fs::write(folder.path().join("logs/a.json"), log_of(&pair("before"))).unwrap();
    fs::write(folder.path().join("logs").join(name), log).unwrap();
    fs::write(folder.path().join("logs/z.json"), log_of(&pair("zafter"))).unwrap();
    folder
}

/// Replays `log` between two good ones. `expected` is the users with a finding besides the
/// neighbors', and the line on stderr, if any.
#[track_caller]
fn check(name: &str, log: &[u8], expected_users: &[&str], expected_line: Option<&str>) {
    let folder = between_neighbors(name, log);
    let (exit, stdout, stderr) = run(
        folder.path(),
        &["replay", "logs", "--quiet", "--format", "json"],
    );
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let mut users: Vec<&str> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["user"].as_str().unwrap())
        .collect();
    users.sort_unstable();
    let mut all = [expected_users, &["before", "zafter"]].concat();
    all.sort_unstable();
    assert_eq!(users, all, "{stdout}{stderr}");
    if let Some(line) = expected_line {
        assert_eq!(stderr, format!("malformed: logs/{name}, {line}\n"));
        assert_eq!(document["summary"]["malformed"], 1);
        let named = &document["summary"]["malformed_records"][0];
        assert_eq!(named["file"], format!("logs/{name}"));
    } else {
        assert_eq!(stderr, "");
        assert_eq!(document["summary"]["malformed"], 0);
    }
    assert_eq!(
        document["summary"]["complete"],
        Value::from(expected_line.is_none())
    );
    // An unreadable log does not affect the other findings.
    assert_eq!(exit, 10);
}

/// Replays `log`, which is not a log, in a directory of logs: one line names it, and the run does
/// not fail.
#[track_caller]
fn check_no_log(log: &[u8]) {
    let folder = between_neighbors("m.json", log);
    let (exit, stdout, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
    assert_eq!(stderr, "logs/m.json: not a log\n");
    assert!(
        exit == 10 && stdout.contains("before") && stdout.contains("zafter"),
        "{stdout}"
    );
    // If it is named on the command line, it should have been a log.
    let (exit, _, stderr) = run(folder.path(), &["replay", "logs/m.json", "--quiet"]);
    assert!(
        exit == 1 && stderr.starts_with("unreadable: logs/m.json: not a log: "),
        "{stderr}"
    );
}

/// The same for a record between two others that give its user a second key.
#[track_caller]
fn check_record(record: &Value, expected_line: Option<&str>) {
    let [one, two] = pair("mid");
    check(
        "m.json",
        &log_of(&[one, record.clone(), two]),
        &["mid"],
        expected_line,
    );
}

// ---------------------------------------------------------------------------------------------- files and records

#[test]
fn replay_names_a_file_that_is_not_json() {
    for log in [&b"hello world\n"[..], b"\"text\"", b"42"] {
        check_no_log(log);
    }
    let binary: Vec<u8> = (0..2_000_000_u32)
        .map(|number| (number % 251) as u8 | 0x80)
        .collect();
    let folder = between_neighbors("m.json", &binary);
    let (exit, _, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
    assert_eq!((exit, stderr.as_str()), (10, "logs/m.json: not a log\n"));
}

#[test]
fn replay_reports_a_truncated_gzip_once() {
    let [one, two] = pair("mid");
    let mut rng = fastrand::Rng::with_seed(7);
    let noise: String = (0..400_000).map(|_| rng.alphanumeric()).collect();
    let three = with(
        created("other", "AKIA9", "2024-01-01T00:00:00Z"),
        "/userAgent",
        Some(json!(noise)),
    );
    let whole = gzipped(&log_of(&[one, two, three]));
    let folder = between_neighbors("m.json.gz", &whole[..whole.len() - 300]);
    let (exit, stdout, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
    assert!(
        exit == 10 && stdout.contains("AKIAmid2") && stdout.contains("AKIAzafter2"),
        "{stdout}{stderr}"
    );
    assert!(
        stderr.starts_with("malformed: logs/m.json.gz, record 3: ") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[test]
fn replay_reads_a_truncated_gzip_up_to_its_end() {
    let [one, two] = pair("mid");
    let whole = gzipped(format!("{one}\n{two}\n").as_bytes());
    let folder = between_neighbors("m.json.gz", &whole[..whole.len() - 4]);
    let (exit, stdout, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
    assert!(exit == 10 && stdout.contains("mid"), "{stdout}{stderr}");
    assert!(
        stderr.starts_with("malformed: logs/m.json.gz, record 3: ") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[test]
fn replay_names_a_file_truncated_within_a_record() {
    let [one, two] = pair("mid");
    let mut log = log_of(&[one, two, created("cut", "AKIA9", "2024-01-01T00:00:00Z")]);
    log.truncate(log.len() - 50);
    check(
        "m.json",
        &log,
        &["mid"],
        Some("record 3: the text ends within a record"),
    );
}

#[test]
fn replay_names_a_file_truncated_between_records() {
    let [one, two] = pair("mid");
    let line = Some("record 3: the text ends within the list of records");
    check(
        "m.json",
        format!("{{\"Records\":[{one},{two},").as_bytes(),
        &["mid"],
        line,
    );
    check(
        "m.json",
        format!("[{one},{two},").as_bytes(),
        &["mid"],
        line,
    );
}

#[test]
fn replay_names_non_records_in_a_list_and_continues() {
    let [one, two] = pair("mid");
    let line = Some("record 2: not JSON: found `nonsense` where a record begins");
    check(
        "m.json",
        format!("[{one},\nnonsense\n,{two}]").as_bytes(),
        &["mid"],
        line,
    );
    check(
        "m.json",
        format!("{{\"Records\":[{one},\nnonsense\n,{two}]}}").as_bytes(),
        &["mid"],
        line,
    );
    for between in ["nonsense", "null", "17", "\"text\""] {
        let folder = between_neighbors(
            "m.json",
            format!("{{\"Records\":[{one},{between},{two}]}}").as_bytes(),
        );
        let (exit, stdout, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
        assert!(
            exit == 10 && stderr.contains("m.json, record 2: not JSON"),
            "{between}: {stdout}{stderr}"
        );
    }
}

#[test]
fn replay_of_nothing_finds_nothing() {
    for log in [
        &b""[..],
        b"\n\n",
        b"[]",
        b"{\"Records\":[]}",
        b"{ \"Records\" : [ ] }\n",
    ] {
        check("m.json", log, &[], None);
    }
    check("m.json.gz", &gzipped(b""), &[], None);
    let empty = tempfile::tempdir().unwrap();
    let (exit, stdout, stderr) = run(empty.path(), &["replay", "."]);
    assert_eq!(exit, 1);
    // An empty directory is most often the wrong directory.
    assert!(
        stderr.starts_with("secondkey: no CloudTrail record was found"),
        "{stderr}"
    );
    assert!(
        stdout.starts_with("No CloudTrail record was found in ..\nRecords: 0."),
        "{stdout}"
    );
    let (exit, stdout, _) = run(empty.path(), &["replay", ".", "--format", "json"]);
    assert_eq!(exit, 1);
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap()["findings"],
        json!([])
    );
}

#[test]
fn replay_names_json_that_is_not_cloudtrail() {
    for log in [
        r#"{"hello":"world"}"#,
        "{}",
        r#"{"Records":{}}"#,
        r#"[{"a":[1,2]}]"#,
        r#"{"Records":"none"}"#,
    ] {
        check_no_log(log.as_bytes());
    }
}

#[test]
fn replay_names_a_record_without_required_fields() {
    let role =
        json!({"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"userName": "role"}}});
    let mut no_user = created("mid", "AKIA9", "2024-01-01T00:00:30Z");
    no_user["eventName"] = json!("DeleteAccessKey");
    no_user["userIdentity"] = role;
    no_user["requestParameters"] = json!({"accessKeyId": "AKIAmid1"});
    no_user["responseElements"] = Value::Null;
    check_record(
        &no_user,
        Some(
            "record 2: `DeleteAccessKey` does not name a user: `requestParameters.userName` is missing and the caller is not an IAM user",
        ),
    );
    let good = || created("other", "AKIA9", "2024-01-01T00:00:30Z");
    let cases = [
        (
            "/eventName",
            None,
            "not a CloudTrail record: it has no `eventName`",
        ),
        ("/eventTime", None, "`CreateAccessKey` has no `eventTime`"),
        (
            "/eventTime",
            Some(json!("yesterday")),
            "`CreateAccessKey` has the `eventTime` `yesterday`, which is not an RFC 3339 time or Unix seconds or milliseconds",
        ),
        (
            "/eventTime",
            Some(json!(17_040_672)),
            "`CreateAccessKey` has the `eventTime` `17040672`, which is not an RFC 3339 time or Unix seconds or \
             milliseconds",
        ),
        (
            "/responseElements",
            None,
            "`CreateAccessKey` does not name an access key",
        ),
        (
            "/responseElements/accessKey/status",
            Some(json!("Odd")),
            "`CreateAccessKey` has the status `Odd`, which is neither Active nor Inactive",
        ),
    ];
    for (place, value, why) in cases {
        check_record(
            &with(good(), place, value),
            Some(&format!("record 2: {why}")),
        );
    }
}

#[test]
fn replay_reads_a_record_without_optional_fields() {
    let good = || created("other", "AKIA9", "2024-01-01T00:00:30Z");
    let cases = [
        ("/recipientAccountId", None),
        ("/eventVersion", Some(json!("9.99"))),
        ("/eventVersion", Some(json!({"major": 2}))),
        ("/eventVersion", None),
        ("/userIdentity", None),
        ("/userIdentity", Some(json!("admin"))),
        ("/eventID", None),
        ("/eventSource", None),
        ("/requestParameters", Some(json!([1, 2]))),
        ("/userAgent", Some(json!("x".repeat(1024 * 1024)))),
        ("/requestParameters/userName", Some(json!(12_345))),
        ("/responseElements/accessKey/accessKeyId", Some(json!(42))),
        ("/sourceIPAddress", Some(json!(3_221_225_985_u32))),
    ];
    for (place, value) in cases {
        check_record(&with(good(), place, value), None);
    }
}

#[test]
fn replay_reads_numbers_in_place_of_text() {
    let [mut one, mut two] = pair("4711");
    for (record, key) in [(&mut one, 1), (&mut two, 2)] {
        record["requestParameters"]["userName"] = json!(4711);
        record["responseElements"] = json!({"accessKey": {"accessKeyId": key, "status": "Active"}});
        record["recipientAccountId"] = json!(12_345_678_901_u64);
        record["userAgent"] = json!(7);
        record["eventID"] = json!(key);
    }
    check("m.json", &log_of(&[one, two]), &["4711"], None);
}

/// The IDs of the findings in `records`, all of which must be readable.
#[track_caller]
fn findings_in(records: &[Value]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("log.json"), log_of(records)).unwrap();
    let (exit, stdout, stderr) = run(
        folder.path(),
        &["replay", "log.json", "--quiet", "--format", "jsonl"],
    );
    let mut ids: Vec<String> = stdout
        .lines()
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["id"].as_str().map(str::to_owned)
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(stderr, "");
    assert_eq!(exit, if ids.is_empty() { 0 } else { 10 });
    ids
}

/// `record` as a call of bob in `account`.
fn by_bob_of(account: &str, record: Value) -> Value {
    let arn = format!("arn:aws:iam::{account}:user/bob");
    let identity = json!({"type": "IAMUser", "userName": "bob", "accountId": account, "arn": arn});
    with(record, "/userIdentity", Some(identity))
}

#[test]
fn a_missing_account_is_taken_from_the_caller() {
    let account = "001122223333";
    let place = "/recipientAccountId";
    let [one, two] = pair("mid").map(|record| by_bob_of(account, record));
    let one = with(one, place, Some(json!(account)));
    for lost in [
        None,
        Some(Value::Null),
        Some(json!("-")),
        Some(json!("")),
        Some(json!(1_122_223_333)),
        Some(json!("1122223333")),
    ] {
        let two = with(two.clone(), place, lost.clone());
        let found = findings_in(&[one.clone(), two.clone()]);
        assert_eq!(found, ["001122223333/mid/1"], "{lost:?}");
        let two = with(two, "/userIdentity/accountId", None);
        let found = findings_in(&[one.clone(), two]);
        assert_eq!(found, ["001122223333/mid/1"], "by the ARN, {lost:?}");
    }
}

#[test]
fn users_of_one_name_in_two_accounts_stay_apart_without_their_accounts() {
    let [one, two] = pair("deploy").map(|record| with(record, "/recipientAccountId", None));
    let (mine, other) = ("111111111111", "222222222222");
    let apart = [by_bob_of(mine, one.clone()), by_bob_of(other, two.clone())];
    assert_eq!(findings_in(&apart), Vec::<String>::new());
    let same = [by_bob_of(mine, one), by_bob_of(mine, two)];
    assert_eq!(findings_in(&same), ["111111111111/deploy/1"]);
}

#[test]
fn a_record_without_any_account_is_malformed() {
    let mut nowhere = with(
        created("mid", "AKIA9", "2024-01-01T00:00:30Z"),
        "/recipientAccountId",
        None,
    );
    nowhere["userIdentity"] = json!({"type": "IAMUser", "userName": "bob"});
    check_record(
        &nowhere,
        Some(
            "record 2: `CreateAccessKey` does not name an account: the envelope's `account`, `recipientAccountId`, \
             `userIdentity.accountId` and `userIdentity.arn` are missing or do not contain one",
        ),
    );
}

/// How relays and exports change a record's fields, as files under `shared/data/logs/formats`.
#[test]
fn exported_fields_lead_to_the_same_finding() {
    let found = ["111122223333/mid/1"];
    let pair = || pair("mid");
    for code in ["success", "Success", "-", "None", "null", "", "NULL"] {
        let records = pair().map(|record| with(record, "/errorCode", Some(json!(code))));
        assert_eq!(findings_in(&records), found, "{code}");
    }
    let strings = pair().map(|mut record| {
        for name in ["requestParameters", "responseElements", "userIdentity"] {
            record[name] = json!(record[name].to_string());
        }
        record
    });
    assert_eq!(findings_in(&strings), found);
    let time = |one: Value, two: Value| {
        let [first, second] = pair();
        let records = [
            with(first, "/eventTime", Some(one)),
            with(second, "/eventTime", Some(two)),
        ];
        assert_eq!(findings_in(&records), found, "{records:?}");
    };
    time(json!(1_704_067_200), json!(1_704_067_260));
    time(json!(1_704_067_200_000_u64), json!("1704067260000"));
    time(
        json!("2024-01-01 00:00:00 UTC"),
        json!("2024-01-01 00:01:00.000 UTC"),
    );
    time(
        json!("2024-01-01T00:00:00+0000"),
        json!("2024-01-01 00:01:00+00:00"),
    );
}

#[test]
fn a_rename_in_a_string_of_json_is_followed() {
    let [one, mut two] = pair("mid");
    let mut rename = created("mid", "AKIA9", "2024-01-01T00:00:30Z");
    rename["eventName"] = json!("UpdateUser");
    rename["responseElements"] = Value::Null;
    rename["requestParameters"] = json!(r#"{"userName":"mid","newUserName":"later"}"#);
    two["requestParameters"]["userName"] = json!("later");
    if two["responseElements"]["accessKey"]
        .get("userName")
        .is_some()
    {
        two["responseElements"]["accessKey"]["userName"] = json!("later");
    }
    let found = findings_in(&[one, rename, two]);
    assert!(
        found.iter().any(|id| id.starts_with("111122223333/later/")),
        "{found:?}"
    );
}

// ---------------------------------------------------------------------------------------------- what the end says

/// The exit code, stdout and stderr of replaying `files` by name.
fn ending(files: &[(&str, &[u8])]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut args = vec!["replay", "--quiet"];
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        args.push(name);
    }
    run(folder.path(), &args)
}

#[test]
fn unreadable_input_is_never_reported_as_no_finding() {
    let [one, _] = pair("mid");
    let good = log_of(&[one]);
    let (exit, stdout, stderr) = ending(&[("good.json", &good)]);
    assert_eq!((exit, stderr.as_str()), (0, ""));
    let no_user = "No user had two active access keys.\n";
    assert!(stdout.starts_with(no_user), "{stdout}");

    let readme = "# Title\n\nSome words.\n".repeat(135);
    let (exit, stdout, stderr) = ending(&[("README.md", readme.as_bytes())]);
    assert_eq!(exit, 1);
    let said =
        "No CloudTrail record was found in README.md: 1 file could not be read (see stderr).\n";
    assert!(stdout.starts_with(said), "{stdout}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");

    let (exit, stdout, _) = ending(&[("good.json", &good), ("README.md", readme.as_bytes())]);
    assert_eq!(exit, 1);
    let said = "No finding, but 1 file could not be read (see stderr).\n";
    assert!(stdout.starts_with(said), "{stdout}");

    let (exit, stdout, stderr) =
        ending(&[("pair.json", &log_of(&pair("mid"))), ("odd.json", b"odd")]);
    assert_eq!(exit, 10);
    assert!(stdout.contains("Malformed: 1."), "{stdout}");
    assert!(stderr.contains("odd.json"), "{stderr}");
}

#[test]
fn a_skipped_file_is_named_if_nothing_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let [one, _] = pair("mid");
    fs::write(folder.path().join("good.json"), log_of(&[one])).unwrap();
    fs::write(folder.path().join("notes.txt"), "notes").unwrap();
    let (exit, stdout, _) = run(folder.path(), &["replay", "."]);
    assert_eq!(exit, 0);
    let said = "No user had two active access keys in the logs; 1 file was skipped.\n";
    assert!(stdout.starts_with(said), "{stdout}");
}

#[test]
fn users_with_unknown_older_keys_are_named() {
    let names: Vec<String> = (10..22).map(|number| format!("user{number}")).collect();
    let mut records: Vec<Value> = names.iter().map(|name| pair(name)[0].clone()).collect();
    records.extend(pair("found"));
    let mut deleted = created("old", "AKIAOLD", "2024-01-01T00:00:30Z");
    deleted["eventName"] = json!("DeleteAccessKey");
    deleted["requestParameters"] = json!({"userName": "old", "accessKeyId": "AKIAOLD"});
    deleted["responseElements"] = Value::Null;
    records.push(deleted);
    let (_, stdout, _) = ending(&[("log.json", &log_of(&records))]);
    let shown: Vec<String> = names[..10]
        .iter()
        .map(|name| format!("{name} (111122223333)"))
        .collect();
    let others = format!(
        "Not known: whether these users with a new key had an older one from before the logs begin: {} and 2 more.\n",
        shown.join(", ")
    );
    assert!(stdout.contains(&others), "{stdout}");
    let before = "its time counts from its first change or use in the logs: AKIAOLD of old (111122223333).\n";
    assert!(stdout.contains(before), "{stdout}");
}

#[test]
fn replay_shows_three_keys_and_who_created_the_third() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = pair("mid").to_vec();
    let third = created("mid", "AKIAMID3", "2024-01-01T00:02:00Z");
    records.push(by_bob_of("111122223333", third));
    fs::write(folder.path().join("log.json"), log_of(&records)).unwrap();
    let (_, stdout, alerts) = run(folder.path(), &["replay", "log.json", "--alerts"]);
    assert!(
        alerts.contains("Confirmed: the logs show both keys active."),
        "{alerts}"
    );
    assert!(
        alerts.contains("Still three active access keys: mid"),
        "{alerts}"
    );
    assert!(
        alerts.contains("Confirmed: the logs show all three keys active."),
        "{alerts}"
    );
    let maker = "AKIAMID3 was created by arn:aws:iam::111122223333:user/bob";
    assert!(alerts.contains(maker), "{alerts}");
    assert!(!format!("{stdout}{alerts}").contains("listing"), "{alerts}");
}

#[test]
fn replay_survives_deep_nesting() {
    let deep = "[".repeat(100_000);
    check(
        "m.json",
        format!("{{\"a\":{deep}").as_bytes(),
        &[],
        Some("record 1: the text ends within a record"),
    );
    let closed = format!(
        "{{\"eventName\":\"CreateAccessKey\",\"a\":{deep}{}}}",
        "]".repeat(100_000)
    );
    let folder = between_neighbors("m.json", closed.as_bytes());
    let (exit, _, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
    assert_eq!((exit, stderr.lines().count()), (10, 1), "{stderr}");
    assert!(
        stderr.starts_with("malformed: logs/m.json, record 1: "),
        "{stderr}"
    );
}

#[test]
fn replay_names_a_list_that_never_ends() {
    check(
        "m.json",
        "[".repeat(10).as_bytes(),
        &[],
        Some("record 1: the text ends within the list of records"),
    );
}

#[test]
fn replay_names_endlessly_nested_lists() {
    let folder = between_neighbors("m.json", "[".repeat(100_000).as_bytes());
    let (exit, _, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
    assert_eq!((exit, stderr.lines().count()), (10, 2), "{stderr}");
    assert!(
        stderr.starts_with("malformed: logs/m.json, record 1: not JSON: found `[[["),
        "{stderr}"
    );
}

#[test]
fn replay_names_bytes_that_are_not_text() {
    let bytes = created("other", "AKIA9", "2024-01-01T00:00:00Z")
        .to_string()
        .replace("aws-cli", "aws\u{1}cli")
        .into_bytes();
    for bad in [0xff, 0x00, 0x1b, 0x09] {
        let log: Vec<u8> = bytes
            .iter()
            .map(|byte| if *byte == 1 { bad } else { *byte })
            .collect();
        let folder = between_neighbors("m.json", &log);
        let (exit, _, stderr) = run(folder.path(), &["replay", "logs", "--quiet"]);
        assert!(
            stderr.starts_with("malformed: logs/m.json, record 1: not readable as JSON: ")
                && exit == 10,
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    check_no_log(b"\0\0\0");
}

#[test]
fn replay_knows_the_newest_record_after_other_fields() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let [one, two] = pair("mid");
    fs::write(
        at.join("first.json"),
        json!({"Comment": "a relay's", "Records": [one, two]}).to_string(),
    )
    .unwrap();
    fs::write(
        at.join("older.json"),
        log_of(&[created("other", "AKIA9", "2024-01-01T00:00:30Z")]),
    )
    .unwrap();
    for log in ["first.json", "older.json"] {
        let (exit, shown, _) = run(at, &["replay", log, "--quiet", "--db", "db"]);
        assert_eq!(exit, 10, "{log}");
        assert!(shown.contains("1 open, 0 closed"), "{shown}");
    }
}

#[test]
fn replay_counts_every_record_after_other_fields() {
    let other = json!({"eventName": "GetObject", "eventSource": "s3.amazonaws.com", "eventTime": "2024-01-01T00:00:00Z"});
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.json"),
        json!({"Comment": "a relay's", "Records": [other, other, other]}).to_string(),
    )
    .unwrap();
    let (exit, stdout, _) = run(folder.path(), &["replay", "a.json", "--quiet"]);
    assert!(exit == 0 && stdout.contains("Records: 3. "), "{stdout}");
}

#[test]
fn replay_continues_on_the_line_after_a_broken_one() {
    let [one, two] = pair("mid");
    let log = format!("{one}\n{{\"eventName\": \"CreateAccessKey\", \"a\": \"unclosed\n{two}\n");
    check(
        "m.jsonl",
        log.as_bytes(),
        &["mid"],
        Some("record 2: a line ends within a string, so the record is broken"),
    );
}

// -------------------------------------------------------------------------------------------------- hostile text

/// Checks that no character of `text` controls a terminal.
#[track_caller]
fn assert_inert(text: &str, is_forbidden: impl Fn(char) -> bool) {
    let found = text.chars().find(|one| *one != '\n' && is_forbidden(*one));
    assert_eq!(found, None, "{text:?}");
    assert!(
        !text
            .lines()
            .any(|line| line.trim_start().starts_with("FORGED")),
        "{text}"
    );
}

#[test]
fn hostile_text_does_not_reach_a_terminal() {
    let steers = |one: char| {
        one.is_control()
            || matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    let fill = |record: Value| {
        fn hostile(value: Value) -> Value {
            match value {
                Value::String(text) => json!(format!("{text}{HOSTILE}")),
                Value::Object(fields) => fields
                    .into_iter()
                    .map(|(name, value)| (name, hostile(value)))
                    .collect(),
                other => other,
            }
        }
        let mut filled = hostile(record.clone());
        for kept in ["eventName", "eventSource", "eventTime"] {
            filled[kept] = record[kept].clone();
        }
        filled["userIdentity"]["type"] = json!("IAMUser");
        filled["responseElements"]["accessKey"]["status"] = json!("Active");
        filled
    };
    let [one, two] = pair("mid").map(fill);
    let mut bad = two.clone();
    bad["eventTime"] = json!(HOSTILE);
    let deleted = json!({"eventName": "DeleteAccessKey", "eventTime": "2024-01-02T00:00:00Z", "eventSource": "iam.amazonaws.com",
        "recipientAccountId": one["recipientAccountId"], "userIdentity": one["userIdentity"], "eventID": HOSTILE,
        "requestParameters": {"userName": one["requestParameters"]["userName"],
            "accessKeyId": one["responseElements"]["accessKey"]["accessKeyId"]}});
    let name = format!("{}.json", HOSTILE.replace(['/', '\0'], ""));
    let folder = between_neighbors(&name, &log_of(&[one.clone(), two, bad, deleted]));
    fs::write(
        folder.path().join("logs").join(format!("b{name}")),
        format!("{HOSTILE}\n"),
    )
    .unwrap();

    for format in ["table", "json", "jsonl"] {
        let (exit, stdout, stderr) = run(folder.path(), &["replay", "logs", "--format", format]);
        assert_eq!(exit, 10);
        assert!(
            stderr.contains("malformed: ") && stderr.contains("FORGED"),
            "{stderr}"
        );
        assert_inert(&stderr, steers);
        match format {
            "table" => assert_inert(&stdout, steers),
            "json" => assert!(serde_json::from_str::<Value>(&stdout).is_ok()),
            _ => assert!(
                stdout
                    .lines()
                    .all(|line| serde_json::from_str::<Value>(line).is_ok())
            ),
        }
        assert_inert(&stdout, |one| one < ' ');
    }
    run(folder.path(), &["replay", "logs", "--quiet", "--db", "db"]);
    let account = one["recipientAccountId"].as_str().unwrap();
    let user = format!("mid{HOSTILE}").replace('\0', "");
    for args in [
        &["findings", "--db", "db", "--all"][..],
        &["verify", "--db", "db"],
        &["history", "before", "--db", "db"],
        &["history", &user, "--db", "db"],
    ] {
        let (_, stdout, stderr) = run(folder.path(), args);
        assert_inert(&stdout, steers);
        assert_inert(&stderr, steers);
    }
    assert!(account.contains('\u{1b}'));
}

#[test]
fn hostile_text_in_json_does_not_reach_a_terminal() {
    let [one, two] =
        pair("mid").map(|record| with(record, "/userAgent", Some(json!("\u{9b}2J\u{7f}\u{202e}"))));
    let folder = between_neighbors("m.json", &log_of(&[one, two]));
    let (_, stdout, _) = run(
        folder.path(),
        &["replay", "logs", "--quiet", "--format", "json"],
    );
    assert_inert(&stdout, |one| one.is_control() || one == '\u{202e}');
}

// ------------------------------------------------------------------------------------------------- paths and flags

#[test]
fn replay_reads_standard_input_plain_and_gzipped() {
    let folder = tempfile::tempdir().unwrap();
    for log in [log_of(&pair("mid")), gzipped(&log_of(&pair("mid")))] {
        let mut command = assert_cmd::Command::from_std(secondkey(
            folder.path(),
            &["replay", "-", "--quiet", "--format", "json"],
        ));
        let (exit, stdout, stderr) = said(&command.write_stdin(log).output().unwrap());
        assert_eq!((exit, stderr.as_str()), (10, ""));
        assert_eq!(
            serde_json::from_str::<Value>(&stdout).unwrap()["findings"][0]["user"],
            "mid"
        );
    }
    let mut command =
        assert_cmd::Command::from_std(secondkey(folder.path(), &["replay", "-", "--quiet"]));
    let (exit, _, stderr) = said(&command.write_stdin("nonsense").output().unwrap());
    assert_eq!(exit, 1);
    assert_eq!(
        stderr,
        "unreadable: standard input: not a log: it contains no CloudTrail record\n"
    );
}

/// A failing command prints one sentence that contains each of `words`, and nothing else.
#[track_caller]
fn check_failure(folder: &Path, args: &[&str], words: &[&str]) {
    let (exit, stdout, stderr) = run(folder, args);
    assert_eq!((exit, stdout.as_str()), (1, ""), "{stderr}");
    assert!(
        stderr.starts_with("secondkey: ") && stderr.lines().count() == 1,
        "{stderr}"
    );
    for word in words {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
}

#[test]
fn replay_reports_what_is_wrong_with_a_path() {
    let folder = between_neighbors("m.json", b"[]");
    let at = folder.path();
    fs::write(at.join("text"), "no database").unwrap();
    let other = rusqlite::Connection::open(at.join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE a (b)").unwrap();
    drop(other);
    let other = fs::read(at.join("other.db")).unwrap();

    check_failure(
        at,
        &["replay", "missing"],
        &["cannot read `missing`", "No such file"],
    );
    check_failure(
        at,
        &["replay", "logs", "missing"],
        &["cannot read `missing`"],
    );
    check_failure(
        at,
        &["replay", "logs", "--quiet", "--db", "logs"],
        &["`logs` is a directory; name a file in it"],
    );
    check_failure(
        at,
        &["replay", "logs", "--quiet", "--db", "text"],
        &["`text` is not a SQLite file", "name another file"],
    );
    check_failure(
        at,
        &["replay", "logs", "--quiet", "--db", "other.db"],
        &["`other.db` is not a secondkey database"],
    );
    check_failure(
        at,
        &["replay", "logs", "--quiet", "--db", "no/such/db"],
        &["`no/such/db` cannot be opened; check that its directory exists"],
    );
    assert_eq!(fs::read_to_string(at.join("text")).unwrap(), "no database");
    assert!(fs::read(at.join("other.db")).unwrap() == other);
    assert!(!at.join("no").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn replay_into_an_unwritable_place_fails_on_linux() {
    let folder = between_neighbors("m.json", b"[]");
    check_failure(
        folder.path(),
        &["replay", "logs", "--quiet", "--db", "/proc/findings.db"],
        &["database `/proc/findings.db` cannot be opened"],
    );
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &["unknown"],
        &["replay"],
        &["replay", ".", "--unknown"],
        &["replay", ".", "--format", "xml"],
        &["replay", ".", "--rotation-window-hours", "0"],
        &["replay", ".", "--rotation-window-hours", "soon"],
        &["findings", "--profile", "b"],
        &["findings", "--db", "a", "--table", "b"],
        &["findings", "--db", "a", "--profile", "b"],
        &["history", "--db", "a"],
        &["verify", "--region", "b"],
    ] {
        let (exit, stdout, stderr) = run(folder.path(), args);
        assert_eq!((exit, stdout.as_str()), (2, ""), "{args:?}");
        assert!(
            stderr.contains("Usage: secondkey") || stderr.starts_with("error: "),
            "{stderr}"
        );
        assert!(stderr.contains("help"), "{stderr}");
    }
    for args in [
        &["--help"][..],
        &["--version"],
        &["replay", "--help"],
        &["help", "verify"],
    ] {
        let (exit, stdout, stderr) = run(folder.path(), args);
        assert_eq!((exit, stderr.as_str()), (0, ""), "{args:?}");
        assert!(stdout.contains("secondkey"));
    }
}

#[test]
fn a_closed_pipe_changes_neither_the_exit_code_nor_stderr() {
    let folder = between_neighbors("m.json", b"[]");
    let mut child = secondkey(folder.path(), &["replay", "logs", "--quiet"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let (exit, _, stderr) = said(&output);
    assert_eq!((exit, stderr.as_str()), (10, ""), "it says what it found");
}

// ------------------------------------------------------------------------------- findings, history, verify on a file

#[test]
fn findings_of_a_replay_can_be_read() {
    let mut deleted = created("mid", "AKIAmid1", "2024-01-03T00:00:00Z");
    deleted["eventName"] = json!("DeleteAccessKey");
    deleted["requestParameters"] = json!({"userName": "mid", "accessKeyId": "AKIAmid1"});
    let [one, two] = pair("mid");
    let folder = between_neighbors("m.json", &log_of(&[one, two, deleted]));
    let at = folder.path();
    let (exit, stdout, stderr) = run(at, &["replay", "logs", "--quiet", "--db", "findings.db"]);
    assert_eq!((exit, stderr.as_str()), (10, ""));
    assert!(
        stdout
            .contains("Saved in findings.db. Next, try `secondkey history 111122223333/before --db findings.db`"),
        "{stdout}"
    );

    let (exit, stdout, _) = run(at, &["findings", "--db", "findings.db", "--all"]);
    assert_eq!(exit, 10);
    for word in [
        "open",
        "closed",
        "before",
        "mid",
        "zafter",
        "key deleted",
        "arn:aws:iam::111122223333:user/admin",
    ] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let (exit, stdout, _) = run(at, &["findings", "--db", "findings.db", "--format", "json"]);
    assert_eq!(exit, 10);
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap()["findings"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let (exit, stdout, stderr) = run(at, &["history", "MID", "--db", "findings.db"]);
    assert_eq!((exit, stderr.as_str()), (0, ""));
    for word in [
        "key created",
        "FINDING OPENED",
        "key deleted",
        "FINDING CLOSED",
        "AKIAmid2",
    ] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    assert_eq!(
        run(at, &["history", "111122223333/mid", "--db", "findings.db"]).1,
        stdout
    );
    let (_, stdout, _) = run(
        at,
        &["history", "mid", "--db", "findings.db", "--format", "json"],
    );
    assert_eq!(
        serde_json::from_str::<Value>(&stdout).unwrap()["entries"]
            .as_array()
            .unwrap()
            .len(),
        5
    );

    let (exit, stdout, stderr) = run(at, &["verify", "--db", "findings.db"]);
    assert_eq!((exit, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains("3 trails, 13 entries, 0 broken"),
        "{stdout}"
    );
}

#[test]
fn a_missing_file_or_user_is_reported_in_one_sentence() {
    let folder = between_neighbors("m.json", b"[]");
    let at = folder.path();
    for args in [
        &["findings"][..],
        &["history", "mid"],
        &["verify"],
        &["verify", "mid"],
    ] {
        let args = [args, &["--db", "missing.db"]].concat();
        check_failure(
            at,
            &args,
            &["there is no database `missing.db`; create it with `secondkey scan --db missing.db`"],
        );
        assert!(!at.join("missing.db").exists());
    }
    run(at, &["replay", "logs", "--quiet", "--db", "db"]);
    for command in ["history", "verify"] {
        check_failure(
            at,
            &[command, "nobody", "--db", "db"],
            &["no records for user `nobody`; `secondkey verify --db db` lists"],
        );
        check_failure(
            at,
            &[command, "9/before", "--db", "db"],
            &["no records for user `9/before`"],
        );
    }
}

#[test]
fn the_default_file_is_in_the_local_data_directory() {
    let folder = between_neighbors("m.json", b"[]");
    let at = folder.path();
    let here = |arguments: &[&str]| {
        let data = at.join("data");
        said(
            &secondkey(at, arguments)
                .env("XDG_DATA_HOME", data)
                .env("HOME", at)
                .output()
                .unwrap(),
        )
    };
    for command in [&["findings"][..], &["verify"], &["history", "mid"]] {
        let (exit, _, stderr) = here(command);
        assert_eq!(exit, 1);
        assert!(
            stderr.contains("findings.db`; create it with `secondkey scan --db "),
            "{stderr}"
        );
    }
    std::fs::create_dir_all(at.join("data/secondkey")).unwrap();
    run(
        at,
        &[
            "replay",
            "logs",
            "--quiet",
            "--db",
            "data/secondkey/findings.db",
        ],
    );
    if cfg!(target_os = "linux") {
        assert_eq!(here(&["verify"]).0, 0);
    }
}

#[test]
fn a_changed_audit_entry_is_named() {
    let folder = between_neighbors("m.json", b"[]");
    let at = folder.path();
    run(at, &["replay", "logs", "--quiet", "--db", "db"]);
    let connection = rusqlite::Connection::open(at.join("db")).unwrap();
    let change = "UPDATE audit SET body = replace(body, 'admin', 'nobody') WHERE user = 'before' AND sequence = 2";
    assert!(
        connection.execute(change, []).is_err(),
        "the trigger lets it through"
    );
    connection
        .execute_batch("DROP TRIGGER audit_is_never_updated")
        .unwrap();
    assert_eq!(connection.execute(change, []).unwrap(), 1);
    drop(connection);
    let (exit, stdout, stderr) = run(at, &["verify", "--db", "db"]);
    assert_eq!((exit, stderr.as_str()), (1, ""));
    let broken: Vec<&str> = stdout
        .lines()
        .filter(|line| line.starts_with("BROKEN"))
        .collect();
    assert!(
        matches!(broken[..], [line] if line.contains("111122223333/before: entry 2 ")),
        "{stdout}"
    );
    assert!(
        stdout
            .lines()
            .any(|line| line.starts_with("intact") && line.contains("zafter")),
        "{stdout}"
    );
    assert_eq!(run(at, &["verify", "zafter", "--db", "db"]).0, 0);
    assert_eq!(run(at, &["verify", "before", "--db", "db"]).0, 1);
}

// --------------------------------------------------------------------------------------------- Ctrl-C, and memory

#[cfg(unix)]
fn interrupt(child: &mut Child) {
    use std::os::unix::process::ExitStatusExt;
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    assert!(
        status.signal() == Some(2) || status.code() == Some(130),
        "{status}"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_replaying_leaves_the_file_as_it_was() {
    let folder = between_neighbors("m.json", b"[]");
    let at = folder.path();
    let many: Vec<Value> = (0..1_000)
        .flat_map(|number| {
            let user = format!("user{number}");
            let time = |second: i64| {
                chrono::DateTime::from_timestamp(1_720_000_000 + number * 10 + second, 0)
                    .unwrap()
                    .to_rfc3339()
            };
            [
                created(&user, &format!("AKIA{number}A"), &time(0)),
                created(&user, &format!("AKIA{number}B"), &time(5)),
            ]
        })
        .collect();
    fs::write(at.join("many.json"), log_of(&many)).unwrap();
    run(at, &["replay", "logs", "--quiet", "--db", "old"]);
    let before = run(at, &["findings", "--db", "old", "--format", "json"]);

    for (db, exit) in [("old", 10), ("new", 0)] {
        // Nothing empties the pipe, so the alerts fill it and the replay stops in the middle of its
        // work.
        let mut child = interruptible(at, &["replay", "many.json", "--db", db])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut alerts = BufReader::new(child.stderr.take().unwrap());
        for _ in 0..50 {
            assert!(
                alerts.read_line(&mut String::new()).unwrap() > 0,
                "the replay ended"
            );
        }
        interrupt(&mut child);

        let (code, stdout, _) = run(at, &["verify", "--db", db]);
        assert_eq!(code, 0, "{stdout}");
        let after = run(at, &["findings", "--db", db, "--format", "json"]);
        assert_eq!(after.0, exit, "{after:?}");
        if db == "old" {
            assert_eq!(after, before);
        }
        // An interrupted replay can be run again.
        assert_eq!(
            run(at, &["replay", "many.json", "--quiet", "--db", db]).0,
            10
        );
        assert!(run(at, &["verify", "--db", db]).1.contains(", 0 broken"));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_reading_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = interruptible(folder.path(), &["replay", "-", "--db", "db"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for record in pair("mid").iter().cycle().take(2_000) {
        writeln!(stdin, "{record}").unwrap();
    }
    interrupt(&mut child);
    assert!(!folder.path().join("db").exists());
}

/// About 60 MB of records that change no key.
fn other_records(mut out: impl Write, separator: &str) {
    let record = json!({
        "eventVersion": "1.08", "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "eventTime": "2024-01-01T00:00:00Z",
        "userAgent": "x".repeat(600), "recipientAccountId": "111122223333", "requestParameters": {"bucketName": "b", "key": "[{"},
        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/deploy/session"},
    })
    .to_string();
    for _ in 0..60_000_000 / record.len() {
        out.write_all(record.as_bytes()).unwrap();
        out.write_all(separator.as_bytes()).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn replay_keeps_no_more_than_a_record_in_memory_on_linux() {
    let folder = tempfile::tempdir().unwrap();
    let mut gzip = GzEncoder::new(
        fs::File::create(folder.path().join("a.json.gz")).unwrap(),
        Compression::fast(),
    );
    gzip.write_all(b"{\"Records\":[").unwrap();
    other_records(&mut gzip, ",");
    gzip.write_all(format!("{}]}}", created("mid", "AKIA0", "2024-01-01T00:00:00Z")).as_bytes())
        .unwrap();
    gzip.finish().unwrap();

    let mut child = secondkey(
        folder.path(),
        &["replay", "a.json.gz", "-", "--quiet", "--format", "json"],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    // Standard input is read last: when it has accepted this, everything except a pipe's length has
    // been read.
    let mut stdin = std::io::BufWriter::new(child.stdin.take().unwrap());
    other_records(&mut stdin, "\n");
    stdin.flush().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    drop(stdin);
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let records = serde_json::from_str::<Value>(&stdout).unwrap()["summary"]["records"]
        .as_u64()
        .unwrap();
    assert!(records > 100_000, "{stdout}");

    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 64 * 1024, "{peak_kib} KiB");
}
