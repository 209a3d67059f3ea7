//! The report for an auditor: from the real binary, and as a headless Chromium shows it.

mod browser;
mod logs;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::Utc;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::logs::{record, records};

const FILE: &str = "report.html";

fn secondkey(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A directory with a store of `records` in the file `db`.
fn store_of(records: &[Value]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let logs = json!({"Records": records}).to_string();
    fs::write(folder.path().join("log.json"), logs).unwrap();
    let replayed = secondkey(
        folder.path(),
        &["replay", "log.json", "--quiet", "--db", "db"],
    );
    assert!([0, 10].contains(&replayed.0), "{replayed:?}");
    folder
}

fn store(findings: usize) -> TempDir {
    store_of(&records(findings, Utc::now()))
}

/// Writes the report on the store in `folder`. Returns the page and the messages.
#[track_caller]
fn report(folder: &Path, args: &[&str]) -> (String, String) {
    let args = [&["report", "--db", "db", "--html", "-"], args].concat();
    let (exit, page, said) = secondkey(folder, &args);
    assert_eq!(exit, 0, "{said}");
    (page, said)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_report_is_written_atomically_and_summarized() {
    let folder = store(50);
    let at = folder.path();
    fs::write(at.join(FILE), "older").unwrap();
    let before = names_in(at);
    let (exit, stdout, said) = secondkey(at, &["report", "--db", "db", "--html", FILE]);
    assert_eq!((exit, stdout.as_str()), (0, ""), "{said}");
    assert_eq!(names_in(at), before, "nothing is left beside it");
    let page = fs::read_to_string(at.join(FILE)).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"));
    assert!(page.contains("secondkey report --db db --html report.html"));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("report.html: 50 of 50 findings in the period; 40 trails checked, ")
    );
    assert!(lines[0].ends_with(" entries: all intact."), "{said}");
    let hash = secondkey::detect::events::text::sha256_hex(page.as_bytes());
    assert_eq!(lines[1], format!("sha256 {hash}"));
}

#[test]
fn an_unwritable_output_fails_before_anything_is_read() {
    let folder = store(1);
    let at = folder.path();
    fs::create_dir(at.join("sub")).unwrap();
    let before = names_in(at);
    for (file, said) in [
        ("sub", "`sub` is a folder; name a file in it"),
        (
            "nowhere/report.html",
            "folder `nowhere` does not exist; create it, or name another file",
        ),
        (
            "/dev/null",
            "`/dev/null` is not a regular file; name one, or use `-` for standard output",
        ),
    ] {
        // A missing store would be the next thing to be reported.
        for db in ["db", "no-such-db"] {
            let (exit, stdout, stderr) = secondkey(at, &["report", "--db", db, "--html", file]);
            assert_eq!((exit, stdout.as_str()), (1, ""), "{stderr}");
            assert!(stderr.contains(said), "{stderr}");
        }
    }
    assert_eq!(names_in(at), before);
    assert!(!Path::new("/dev/null").is_file());
}

#[cfg(unix)]
#[test]
fn a_link_is_kept_and_its_target_is_replaced() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = store(1);
    let at = folder.path();
    fs::create_dir(at.join("sub")).unwrap();
    fs::write(at.join("sub/real.html"), "older").unwrap();
    symlink("sub/real.html", at.join(FILE)).unwrap();
    assert_eq!(
        secondkey(at, &["report", "--db", "db", "--html", FILE]).0,
        0
    );
    assert!(at.join(FILE).is_symlink());
    let written = fs::read_to_string(at.join("sub/real.html")).unwrap();
    assert!(written.starts_with("<!doctype html>"));
    fs::write(at.join("plain"), "").unwrap();
    let mode = |name: &str| fs::metadata(at.join(name)).unwrap().permissions().mode();
    assert_eq!(
        mode("sub/real.html"),
        mode("plain"),
        "as readable as any new file"
    );
}

#[test]
fn a_period_includes_overlaps_and_what_was_open_at_its_end() {
    let maker = json!({"type": "IAMUser", "userName": "bob", "accountId": "1", "arn": "arn:aws:iam::1:user/bob"});
    let at = |text: &str| text.parse().unwrap();
    let call = |name: &str, key: &str, time: &str| {
        record(name, "amy", "1", (key, "Inactive"), at(time), &maker)
    };
    let folder = store_of(&[
        call("CreateAccessKey", "AKIA1", "2026-01-01T00:00:00Z"),
        call("CreateAccessKey", "AKIA2", "2026-02-10T12:00:00Z"),
        call("DeleteAccessKey", "AKIA2", "2026-02-20T12:00:00Z"),
    ]);
    for (from, to, expected) in [
        ("2026-01-01", "2026-02-09", 0),
        ("2026-01-01", "2026-02-10", 1),
        ("2026-02-12", "2026-02-13", 1),
        ("2026-02-20", "2026-02-28", 1),
        ("2026-02-21", "2026-02-28", 0),
    ] {
        let (page, said) = report(folder.path(), &["--from", from, "--to", to]);
        let found = format!("standard output: {expected} of 1 finding in the period");
        assert!(said.starts_with(&found), "{from} {to}: {said}");
        assert!(page.contains(&format!("<dd>{from} 00:00:00 to ")), "{page}");
    }
    let (page, _) = report(folder.path(), &["--to", "2026-02-12"]);
    assert!(page.contains("<dd>2026-02-10 12:00:00 to 2026-02-13 00:00:00 UTC</dd>"));
    assert!(page.contains("1 open or suppressed at the end of the period"));
    let (page, _) = report(folder.path(), &[]);
    assert!(page.contains("1 account: 1 logs only."), "{page}");
    assert!(page.contains("logs until</span> <span class=\"time\">2026-02-20 12:00:00</span>"));
    assert!(page.contains(" UTC, now</dd>") && !page.contains("at the end of the period</span>"));
}

#[test]
fn an_invalid_period_is_wrong_usage() {
    let folder = store(1);
    for (args, said) in [
        (
            &["--from", "2026-02-30"][..],
            "use a date like 2026-03-31 (YYYY-MM-DD)",
        ),
        (
            &["--from", "yesterday"],
            "use a date like 2026-03-31 (YYYY-MM-DD)",
        ),
        (
            &["--to", "02026-01-01"],
            "use a date like 2026-03-31 (YYYY-MM-DD)",
        ),
        (
            &["--from", "2026-02-02", "--to", "2026-02-01"],
            "--from 2026-02-02 is later than --to 2026-02-01",
        ),
        (
            &["--from", "9999-01-01"],
            "--from 9999-01-01 is in the future",
        ),
    ] {
        let args = [&["report", "--db", "db", "--html", FILE], args].concat();
        let (exit, stdout, stderr) = secondkey(folder.path(), &args);
        assert_eq!((exit, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let (exit, _, stderr) = secondkey(folder.path(), &["report", "--db", "db"]);
    assert!(exit == 2 && stderr.contains("--html <FILE>"), "{stderr}");
    assert!(!folder.path().join(FILE).exists());
}

#[test]
fn an_open_finding_ages_until_the_logs_end() {
    let maker = json!({"type": "IAMUser", "userName": "amy", "accountId": "1", "arn": "arn:aws:iam::1:user/amy"});
    let at = |text: &str| text.parse().unwrap();
    let call = |name: &str, user: &str, key: &str, time: &str| {
        record(name, user, "1", (key, "Active"), at(time), &maker)
    };
    let folder = store_of(&[
        call("CreateAccessKey", "amy", "AKIA1", "2026-01-01T00:00:00Z"),
        call("CreateAccessKey", "amy", "AKIA2", "2026-02-10T12:00:00Z"),
        call("CreateAccessKey", "bob", "AKIA3", "2026-02-10T15:00:00Z"),
    ]);
    let (page, _) = report(folder.path(), &[]);
    for shown in [
        "data-label=\"Age\">3 h</td>",
        "Verdicts are as of 2026-02-10 15:00:00 UTC; nothing later is known about these keys.",
        "nothing later is known</title>",
        "<span class=\"code\">AKIA1</span> active, 40 days old, ",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

/// Changes the rows of the file `db` in `folder`, bypassing its triggers.
fn tamper(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join("db")).unwrap();
    let triggers = "DROP TRIGGER IF EXISTS audit_is_never_updated; DROP TRIGGER IF EXISTS audit_is_never_deleted;";
    connection.execute_batch(triggers).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn inconsistencies_are_shown_on_the_page_and_on_stderr() {
    for (sql, word, said) in [
        (
            "DELETE FROM audit WHERE user = 'user-0003' AND sequence = 2",
            "BROKEN",
            "trail of 111122223333/user-0003: entry 2 is missing",
        ),
        (
            "UPDATE audit SET body = '{' WHERE user = 'user-0003' AND sequence = 2",
            "UNREAD",
            "trail of 111122223333/user-0003: ",
        ),
        (
            "DELETE FROM audit WHERE user = 'user-0003'",
            "BROKEN",
            "the trail ends at entry 0, but the user's record says",
        ),
        (
            "UPDATE findings SET status = 'open', body = json_set(body, '$.finding_status', 'open') \
             WHERE user = 'user-0003'",
            "DIFFERS",
            "the finding is open, but an entry in the trail closes it",
        ),
        (
            "DELETE FROM findings WHERE user = 'user-0003'",
            "DIFFERS",
            "the trail opens it, but the store has no such finding",
        ),
    ] {
        let folder = store(10);
        tamper(folder.path(), sql);
        let (page, stderr) = report(folder.path(), &[]);
        let line = stderr.lines().next().unwrap();
        assert!(
            line.starts_with(word) && line.contains(said),
            "{sql}: {stderr}"
        );
        assert!(!stderr.contains("all intact"), "{stderr}");
        assert!(page.contains("The evidence is not intact"), "{sql}");
        assert!(page.contains(&format!("<strong>{word}</strong>")), "{sql}");
        let is_at_finding = page.contains(&format!("<strong class=\"trouble\">{word}</strong>"));
        assert_eq!(
            is_at_finding,
            !sql.starts_with("DELETE FROM findings"),
            "{sql}"
        );
        let among_open = format!("<small class=\"trouble\">audit trail {word}</small>");
        let is_open = sql.starts_with("UPDATE findings");
        assert_eq!(page.contains(&among_open), is_open, "{sql}");
    }
}

#[tokio::test]
async fn a_deployed_table_is_reported_like_a_file() {
    use secondkey::aws::dynamodb::DynamoDbStore;
    use secondkey::pipeline::commit::{Commit, CommitResult};
    use secondkey::pipeline::finding_store::{FindingReader, FindingStore};

    let folder = store(10);
    let file =
        secondkey::local::sqlite::SqliteStore::open_existing(&folder.path().join("db")).unwrap();
    let (client, table) = crate::table::new_table().await;
    let store = DynamoDbStore::new(client, table.clone());
    for user in file.users().await.unwrap() {
        let mut record = file.record(&user).await.unwrap();
        let audit = file.history(&user).await.unwrap();
        // Its findings came one after the other. This writes the record with the latest one, and
        // the whole trail.
        record.version = 1;
        let commit = Commit {
            at: audit[0].draft.at,
            finding_changed: record.finding.is_some(),
            record,
            audit,
            recorded: vec![],
            pending_alerts: vec![],
        };
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    }
    let url = crate::stack::stack().await.dynamodb_url.clone();
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args([
            "report",
            "--table",
            &table,
            "--region",
            "us-east-1",
            "--html",
            "-",
        ])
        .env("AWS_ENDPOINT_URL_DYNAMODB", url)
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains(&format!("DynamoDB table {table}")));
    assert!(page.contains("the store does not hold when this account was checked"));
    assert!(stderr.contains("8 trails checked"), "{stderr}");
    // Two users have two findings each, and the table has only the latest. The others are missing,
    // and reported as missing.
    assert!(stderr.contains("8 of 8 findings"), "{stderr}");
    let missing = stderr
        .lines()
        .filter(|line| line.starts_with("DIFFERS "))
        .count();
    assert_eq!(missing, 2, "{stderr}");
}
