//! Replays into a file that another command or an earlier release wrote, or on a machine whose
//! clock is wrong: a replay draws no conclusion from what it does not know.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::{Value, json};

use crate::replay_world::{
    ACCOUNT, Call, File, at, create, delete, delete_user, log, other_record, record, rename, set,
};

/// A file in which a scan found the two keys of alice, half a second after `at(100)`.
async fn scanned() -> File {
    let file = File::new();
    file.list(
        "alice",
        &["K1", "K2"],
        at(100) + TimeDelta::milliseconds(500),
    )
    .await;
    assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    file
}

fn open(findings: &[&str]) -> BTreeSet<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// Checks which findings are open after a replay of `calls` into a file in which a scan found
/// alice's two keys.
async fn check(calls: &[(i64, Call)], expected: &[&str]) {
    let file = scanned().await;
    file.replay(&log(calls)).await.expect("it can be replayed");
    assert_eq!(file.open().await, open(expected), "{calls:?}");
    // Time passes, and the logs report other users.
    let later = log(&[(900_000, create("zed", "Z9"))]);
    file.replay(&later).await.expect("it can be replayed");
    assert_eq!(file.open().await, open(expected), "later, {calls:?}");
}

#[tokio::test]
async fn a_finding_of_a_user_missing_from_the_logs_stays_open() {
    check(&[(200, create("zoe", "Z1"))], &["alice: K1 K2"]).await;
}

#[tokio::test]
async fn one_change_does_not_hide_a_key_that_only_a_scan_saw() {
    check(&[(200, set("alice", "K2", true))], &["alice: K1 K2"]).await;
    // In the same second as the scan, the order is unknown.
    check(&[(100, create("alice", "K2"))], &["alice: K1 K2"]).await;
    check(&[(200, delete("alice", "K1"))], &[]).await;
    check(&[(200, set("alice", "K1", false))], &[]).await;
    let both = [(200, delete("alice", "K1")), (201, create("alice", "K3"))];
    check(&both, &["alice: K2 K3"]).await;
}

#[tokio::test]
async fn changes_of_a_scanned_user_are_applied() {
    check(&[(200, rename("alice", "bert"))], &["bert: K1 K2"]).await;
    let deleted = [
        (200, delete("alice", "K1")),
        (200, delete("alice", "K2")),
        (200, delete_user("alice")),
    ];
    check(&deleted, &[]).await;
}

#[tokio::test]
async fn taking_over_a_name_closes_nothing_of_its_former_user() {
    // The records do not show what became of the alice that the scan found.
    check(&[(200, rename("mia", "alice"))], &["alice: K1 K2"]).await;
}

#[tokio::test]
async fn a_change_older_than_a_scan_is_refused() {
    for calls in [
        [(99, delete("alice", "K1"))],
        [(99, rename("alice", "bert"))],
        [(99, rename("mia", "alice"))],
    ] {
        let file = scanned().await;
        let refused = file.replay(&log(&calls)).await.expect_err("it is older");
        let why = refused.to_string();
        for part in [
            "user `111122223333/alice`",
            "2026-02-02 02:41:39 UTC",
            "2026-02-02 02:41:40 UTC",
            "replay the logs into a new file",
        ] {
            assert!(why.contains(part), "`{part}` is not in: {why}");
        }
        assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    }
}

#[tokio::test]
async fn a_scan_overrides_an_earlier_replay() {
    let file = File::new();
    file.replay(&log(&[(0, create("alice", "K1"))]))
        .await
        .expect("it can be replayed");
    file.list("alice", &["K1", "K2"], at(100)).await;
    for log_of in [
        log(&[(200, create("zoe", "Z1"))]),
        log(&[(300, set("alice", "K1", true))]),
        log(&[(400, create("zoe", "Z2")), (401, delete("zoe", "Z2"))]),
    ] {
        file.replay(&log_of).await.expect("it can be replayed");
        assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    }
    file.replay(&log(&[(500, delete("alice", "K2"))]))
        .await
        .expect("it can be replayed");
    assert_eq!(file.open().await, open(&[]));
}

#[tokio::test]
async fn logs_that_end_before_a_scan_leave_its_finding_alone() {
    let file = File::new();
    file.replay(&log(&[(0, create("alice", "K1"))]))
        .await
        .expect("it can be replayed");
    file.list("alice", &["K1", "K2"], at(1_000)).await;
    let version = version_of_alice(&file).await;
    file.replay(&log(&[(200, create("zoe", "Z1"))]))
        .await
        .expect("it can be replayed");
    assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    assert_eq!(version_of_alice(&file).await, version);
}

async fn version_of_alice(file: &File) -> u64 {
    let alice = secondkey::detect::user::UserId::new(ACCOUNT, "alice");
    file.store
        .record(&alice)
        .await
        .expect("it can be read")
        .version
}

#[tokio::test]
async fn an_expired_exemption_suppresses_nothing_after_a_replay() {
    let file = File::new();
    let exemption = Exemption {
        until: at(100),
        ..exemption_of_alice()
    };
    let put = file.store.put_exemption(&exemption).await;
    put.expect("it can be stored");
    let pair = log(&[(0, create("alice", "K1")), (1, create("alice", "K2"))]);
    file.replay(&pair).await.expect("it can be replayed");
    assert_eq!(file.open().await, open(&[]));
    assert_eq!(file.findings(FindingStatus::Suppressed).await.len(), 1);
    file.replay(&log(&[(200, create("zoe", "Z1"))]))
        .await
        .expect("it can be replayed");
    assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    assert_eq!(file.findings(FindingStatus::Suppressed).await, []);
}

fn exemption_of_alice() -> Exemption {
    Exemption {
        account: ACCOUNT.to_owned(),
        id: "E1".to_owned(),
        user_pattern: "alice".to_owned(),
        actor_pattern: "*".to_owned(),
        owner: "ops".to_owned(),
        reason: "a test".to_owned(),
        created_at: at(-100),
        until: at(100),
    }
}

#[tokio::test]
async fn records_of_another_account_make_no_change_too_old() {
    let other = "444455556666";
    let file = File::new();
    let mut first = log(&[(0, create("alice", "K1"))]);
    first.push(other_record(900, other));
    file.replay(&first).await.expect("it can be replayed");
    file.replay(&log(&[(500, create("alice", "K2"))]))
        .await
        .expect("its own account's records end before");
    assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    // A new account can begin at any time.
    let third = [record(10, &create("zoe", "Z1"), other, "e")];
    file.replay(&third)
        .await
        .expect("nothing was decided there");

    let mut fourth = log(&[(1_000, create("alice", "K3"))]);
    fourth.push(other_record(2_000, ACCOUNT));
    file.replay(&fourth).await.expect("it is newer");
    let late = log(&[(1_500, delete("alice", "K3"))]);
    file.replay(&late)
        .await
        .expect("the older item replaces it");
    assert!(file.open().await.contains("alice: K1 K2"));
}

#[tokio::test]
async fn an_earlier_releases_time_limits_every_known_account() {
    let (known, unknown) = ("444455556666", "777788889999");
    let file = File::new();
    let mut first = log(&[(0, create("alice", "K1"))]);
    first.push(record(5, &create("bob", "B1"), known, "e"));
    file.replay(&first).await.expect("it can be replayed");
    // An earlier release stored one time for all accounts, and nothing about deleted users.
    let newest = at(1_000).format("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    let earlier = format!(
        "DROP TABLE ledger_newest_of; DROP TABLE ledger_gone; DROP TABLE replayed_accounts;
         DROP TABLE replayed_users; DROP TABLE replayed_changes; DROP TABLE replayed_reports; UPDATE ledger_newest SET newest = '{newest}'"
    );
    let done = file.store.write(|file| file.execute_batch(&earlier));
    done.expect("it is SQL");

    let older = [record(500, &create("bob", "B2"), known, "e")];
    let refused = file.replay(&older).await.expect_err("it is older");
    assert!(
        refused.to_string().contains("2026-02-02 02:56:40 UTC"),
        "{refused}"
    );
    let unbounded = [record(500, &create("zoe", "Z1"), unknown, "e")];
    file.replay(&unbounded).await.expect("it was not known");
    let refused = file.replay(&older).await.expect_err("it is older still");
    assert!(
        refused.to_string().contains("2026-02-02 02:56:40 UTC"),
        "{refused}"
    );
    file.replay(&log(&[(1_000, create("alice", "K2"))]))
        .await
        .expect("it is newer");
    assert_eq!(file.open().await, open(&["alice: K1 K2"]));
}

/// The logs of a machine that is ahead of this one: a second key is inactive, active and inactive
/// again.
fn ahead() -> Vec<Value> {
    log(&[
        (0, create("alice", "K1")),
        (10, create("alice", "K2")),
        (20, set("alice", "K2", false)),
        (30, set("alice", "K2", true)),
        (40, set("alice", "K2", false)),
    ])
}

#[tokio::test]
async fn the_clock_decides_nothing() {
    let mut results = vec![];
    for clock in [at(-1_000), at(0), at(25), at(1_000)] {
        let file = File::new();
        let replayed = file.replay_by(&ahead(), clock).await;
        replayed.expect("it can be replayed");
        results.push((
            file.findings(FindingStatus::Open).await,
            file.findings(FindingStatus::Closed).await,
        ));
    }
    assert_eq!(results[0].0, []);
    assert_eq!(results[0].1.len(), 2);
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn records_in_the_future_are_counted_on_stderr() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let mut records = ahead();
    // The last time that can be expressed.
    records[4]["eventTime"] = json!("9999-12-31T23:59:59Z");
    records[3]["eventTime"] = json!("2999-01-01T00:00:00Z");
    let log = json!({"Records": records}).to_string();
    std::fs::write(folder.path().join("log.json"), log).expect("it can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(["replay", "log.json", "--quiet", "--db", "f.db"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stderr.starts_with("secondkey: warning: 2 records are in the future"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stdout.contains("Findings: 0 open, 2 closed."), "{stdout}");
}

#[tokio::test]
async fn a_late_change_is_refused_for_scanned_users_only() {
    let file = scanned().await;
    file.replay(&log(&[
        (200, create("zoe", "Z1")),
        (900, create("bob", "B1")),
    ]))
    .await
    .expect("it can be replayed");
    let refused = file.replay(&log(&[(500, delete("alice", "K1"))])).await;
    let why = refused.expect_err("a scan saw more").to_string();
    assert!(
        why.contains("replay all logs together into a new file"),
        "{why}"
    );
    file.replay(&log(&[(500, create("zoe", "Z2"))]))
        .await
        .expect("no other command knows zoe");
    assert_eq!(file.open().await, open(&["alice: K1 K2", "zoe: Z1 Z2"]));
}

/// The 64 hexadecimal digits in `text`.
fn hash_in(text: &str) -> Option<&str> {
    text.split(|character: char| !character.is_ascii_hexdigit())
        .find(|word| word.len() == 64)
}

#[test]
fn late_logs_repeat_no_alert_and_sent_heads_verify() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let replay = |name: &str, calls: &[(i64, Call)]| {
        let log = json!({"Records": log(calls)}).to_string();
        std::fs::write(folder.path().join(name), log).expect("it can be written");
        let (code, stdout, stderr) = run(&["replay", name, "--alerts", "--db", "f.db"]);
        assert_eq!(code, Some(10), "{stdout}{stderr}");
        stderr
    };
    let later = [
        (1_000, create("alice", "K2")),
        (1_001, create("alice", "K3")),
    ];
    let first = replay("later.json", &later);
    assert!(first.contains("alice"), "{first}");
    let head = hash_in(&first).expect("an alert carries a hash").to_owned();

    let earlier = [
        (0, create("alice", "K1")),
        (1, delete("alice", "K1")),
        (2, create("bob", "B1")),
        (3, create("bob", "B2")),
    ];
    let second = replay("earlier.json", &earlier);
    assert!(
        second.contains("bob") && !second.contains("alice"),
        "{second}"
    );
    // Earlier alerts must still be found, even after the trail was rewritten once more.
    replay(
        "between.json",
        &[(500, create("alice", "K1b")), (501, delete("alice", "K1b"))],
    );
    let (code, stdout, _) = run(&["verify", "--db", "f.db", "--head", &head]);
    assert!(code == Some(0) && stdout.contains("held "), "{stdout}");
    let unknown = "0".repeat(64);
    let (code, stdout, _) = run(&["verify", "--db", "f.db", "--head", &unknown]);
    assert!(code == Some(1) && stdout.contains("MISSING"), "{stdout}");
}
