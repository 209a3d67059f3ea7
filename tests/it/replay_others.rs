//! Replays into a file that another command wrote, or an earlier release, or on a machine whose
//! clock is wrong: a replay draws no conclusion from what it does not know.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use chrono::TimeDelta;
use secondkey::detect::exemption::Exemption;
use secondkey::detect::finding::FindingStatus;
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

/// What a file in which a scan found alice's two keys holds open after a replay of `calls`.
async fn check(calls: &[(i64, Call)], expected: &[&str]) {
    let file = scanned().await;
    file.replay(&log(calls)).await.expect("it can be replayed");
    assert_eq!(file.open().await, open(expected), "{calls:?}");
    // Time goes by, and the logs tell of others.
    let later = log(&[(900_000, create("zed", "Z9"))]);
    file.replay(&later).await.expect("it can be replayed");
    assert_eq!(file.open().await, open(expected), "later, {calls:?}");
}

#[tokio::test]
async fn a_finding_of_a_user_that_the_logs_do_not_tell_of_stays_open() {
    check(&[(200, create("zoe", "Z1"))], &["alice: K1 K2"]).await;
}

#[tokio::test]
async fn one_change_of_a_user_does_not_hide_the_key_that_only_a_scan_saw() {
    check(&[(200, set("alice", "K2", true))], &["alice: K1 K2"]).await;
    // Of the second of the scan itself nothing tells which came first.
    check(&[(100, create("alice", "K2"))], &["alice: K1 K2"]).await;
    check(&[(200, delete("alice", "K1"))], &[]).await;
    check(&[(200, set("alice", "K1", false))], &[]).await;
    let both = [(200, delete("alice", "K1")), (201, create("alice", "K3"))];
    check(&both, &["alice: K2 K3"]).await;
}

#[tokio::test]
async fn what_the_logs_tell_of_a_scanned_user_is_believed() {
    check(&[(200, rename("alice", "bert"))], &["bert: K1 K2"]).await;
    let deleted = [
        (200, delete("alice", "K1")),
        (200, delete("alice", "K2")),
        (200, delete_user("alice")),
    ];
    check(&deleted, &[]).await;
}

#[tokio::test]
async fn a_name_taken_from_a_user_of_unknown_keys_says_nothing_of_its_former_bearer() {
    // Where alice of the scan went no record tells.
    check(&[(200, rename("mia", "alice"))], &["alice: K1 K2"]).await;
}

#[tokio::test]
async fn a_change_older_than_a_scan_is_refused_and_the_file_stays_as_it_was() {
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
async fn a_scan_after_a_replay_counts_more_than_the_replay() {
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
async fn an_exemption_that_ended_hides_nothing_after_a_replay() {
    let file = File::new();
    let exemption = Exemption {
        until: at(100),
        ..exemption_of_alice()
    };
    let put = file.store.put_exemption(&exemption).await;
    put.expect("it can be kept");
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
async fn later_records_of_another_account_make_no_change_too_old() {
    let other = "444455556666";
    let file = File::new();
    let mut first = log(&[(0, create("alice", "K1"))]);
    first.push(other_record(900, other));
    file.replay(&first).await.expect("it can be replayed");
    file.replay(&log(&[(500, create("alice", "K2"))]))
        .await
        .expect("its own account's records end before");
    assert_eq!(file.open().await, open(&["alice: K1 K2"]));
    // An account that was not there before begins when it likes.
    let third = [record(10, &create("zoe", "Z1"), other, "e")];
    file.replay(&third)
        .await
        .expect("nothing was decided there");

    let mut fourth = log(&[(1_000, create("alice", "K3"))]);
    fourth.push(other_record(2_000, ACCOUNT));
    file.replay(&fourth).await.expect("it is newer");
    let late = log(&[(1_500, delete("alice", "K3"))]);
    let refused = file.replay(&late).await.expect_err("it is older");
    let why = refused.to_string();
    assert!(why.contains("in account 111122223333"), "{why}");
}

#[tokio::test]
async fn a_file_of_an_earlier_release_is_bounded_in_every_account_it_knows() {
    let (known, unknown) = ("444455556666", "777788889999");
    let file = File::new();
    let mut first = log(&[(0, create("alice", "K1"))]);
    first.push(record(5, &create("bob", "B1"), known, "e"));
    file.replay(&first).await.expect("it can be replayed");
    // An earlier release kept one time for all accounts, and nothing of users that are gone.
    let newest = at(1_000).format("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    let earlier = format!(
        "DROP TABLE ledger_newest_of; DROP TABLE ledger_gone; UPDATE ledger_newest SET newest = '{newest}'"
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

/// What the logs of a machine ahead of this one come to: a second key that was off, on, and off
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
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut records = ahead();
    // The last time that can be told.
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
        stderr.starts_with("secondkey: warning: 2 records lie in the future"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stdout.contains("Findings: 0 open, 2 closed."), "{stdout}");
}
