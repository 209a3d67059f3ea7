//! Tests of the embedded store beyond the contract that it shares with the table.

use tempfile::TempDir;

use super::*;
use crate::detect::testing::{at, user};
use crate::pipeline::finding_store::FindingReader;

fn first_commit() -> Commit {
    let mut record = UserRecord::new(user());
    record.version = 1;
    Commit {
        record,
        finding_changed: false,
        audit: vec![],
        recorded: vec![],
        pending_alerts: vec![],
        at: at(0),
    }
}

fn commit_with_entry() -> Commit {
    use crate::detect::trail::audit::{AuditDraft, AuditKind};
    let mut commit = first_commit();
    let draft = AuditDraft {
        at: at(0),
        recorded_at: at(0),
        kind: AuditKind::KeyCreated,
        finding_id: None,
        event_id: None,
        actor: None,
        details: std::collections::BTreeMap::new(),
    };
    let entry = commit.record.audit.append(&user(), draft);
    commit.audit.push(entry);
    commit
}

#[track_caller]
fn check_refused(opened: Result<SqliteStore, ServiceError>, expected: &str) {
    let text = opened.unwrap_err().to_string();
    assert!(text.contains(expected), "`{expected}` is not in: {text}");
}

#[tokio::test]
async fn a_run_that_ends_before_commit_all_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("findings.db");
    let store = SqliteStore::open(&path).unwrap();
    store.begin().unwrap();
    assert_eq!(
        store.commit(&first_commit()).await,
        Ok(CommitResult::Written)
    );
    assert_eq!(
        store.commit(&first_commit()).await,
        Ok(CommitResult::VersionConflict)
    );
    assert_eq!(store.record(&user()).await.unwrap().version, 1);
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.record(&user()).await.unwrap().version, 0);
    store.begin().unwrap();
    assert_eq!(
        store.commit(&first_commit()).await,
        Ok(CommitResult::Written)
    );
    store.commit_all().unwrap();
    drop(store);

    let store = SqliteStore::open_existing(&path).unwrap();
    assert_eq!(store.record(&user()).await.unwrap().version, 1);
}

#[tokio::test]
async fn only_a_commit_without_changes_skips_the_disk_sync() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(&directory.path().join("findings.db")).unwrap();
    let level = |connection: &Connection| {
        connection.query_row("PRAGMA synchronous", [], |row| row.get::<_, u32>(0))
    };
    assert!(first_commit().changes_nothing() && !commit_with_entry().changes_nothing());
    let full = Ok(2);
    let normal = Ok(1);
    assert_eq!(store.read(level), full, "SQLite's default");
    assert_eq!(store.write_unsynced(level), normal);
    assert_eq!(store.write(level), full);
    assert_eq!(
        store.commit(&first_commit()).await,
        Ok(CommitResult::Written)
    );
    assert_eq!(store.read(level), normal);
    let conflict = store.commit(&commit_with_entry()).await;
    assert_eq!(conflict, Ok(CommitResult::VersionConflict));
    assert_eq!(store.read(level), full, "whatever the result");
    store.write_unsynced(level).unwrap();
    store.begin().unwrap();
    assert_eq!(
        store.commit(&first_commit()).await,
        Ok(CommitResult::VersionConflict)
    );
    assert_eq!(
        store.read(level),
        full,
        "as at the beginning of the transaction"
    );
    store.commit_all().unwrap();
}

#[test]
fn concurrent_creators_of_one_file_all_succeed() {
    let directory = TempDir::new().unwrap();
    for file in 0..20 {
        let path = directory.path().join(format!("{file}.db"));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| drop(SqliteStore::open(&path).unwrap()));
            }
        });
    }
}

#[tokio::test]
async fn an_audit_entry_cannot_be_changed_or_deleted() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(&directory.path().join("findings.db")).unwrap();
    let commit = commit_with_entry();
    assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    for sql in [
        "UPDATE audit SET body = '{}'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT account, user, sequence, schema, '{}' FROM audit",
    ] {
        let error = store
            .write(|connection| connection.execute(sql, []))
            .unwrap_err();
        assert!(error.to_string().contains("never"), "{error}");
    }
    assert_eq!(store.history(&user()).await, Ok(commit.audit));
}

#[test]
fn reading_makes_no_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mistyped.db");
    check_refused(
        SqliteStore::open_existing(&path),
        "mistyped.db` or a replay",
    );
    assert!(!path.exists());
}

#[test]
fn a_foreign_file_is_refused_and_unchanged() {
    let directory = TempDir::new().unwrap();
    let text = directory.path().join("notes.txt");
    let notes = "no database, though long enough to be one\n".repeat(100);
    std::fs::write(&text, &notes).unwrap();
    let other = directory.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let before = std::fs::read(&other).unwrap();
    for open in [SqliteStore::open, SqliteStore::open_existing] {
        check_refused(open(&text), "notes.txt` is not a SQLite file");
        check_refused(open(&other), "other.db` is not a secondkey database");
        check_refused(open(directory.path()), "is a directory");
    }
    assert_eq!(std::fs::read_to_string(&text).unwrap(), notes);
    assert_eq!(std::fs::read(&other).unwrap(), before);
}

#[test]
fn a_missing_directory_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("nowhere").join("findings.db");
    check_refused(SqliteStore::open(&path), "check that its directory exists");
}

#[test]
fn an_empty_file_becomes_a_database_only_for_writing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    check_refused(
        SqliteStore::open_existing(&path),
        "is not a secondkey database",
    );
    assert!(SqliteStore::open(&path).is_ok());
    assert!(SqliteStore::open_existing(&path).is_ok());
}

#[test]
fn a_newer_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("findings.db");
    SqliteStore::open(&path)
        .unwrap()
        .write(|connection| connection.execute("UPDATE meta SET value = 4", []))
        .unwrap();
    check_refused(SqliteStore::open(&path), "newer release (schema 4;");
    check_refused(
        SqliteStore::open_existing(&path),
        "newer release (schema 4;",
    );
}

#[tokio::test]
async fn a_database_in_use_is_a_retryable_error() {
    use crate::pipeline::error::ErrorKind;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("findings.db");
    let (one, other) = (
        SqliteStore::open(&path).unwrap(),
        SqliteStore::open(&path).unwrap(),
    );
    one.begin().unwrap();
    other
        .read(|connection| connection.busy_timeout(std::time::Duration::ZERO))
        .unwrap();
    let error = other.commit(&first_commit()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retryable);
    assert!(error.to_string().contains("in use by another process"));
    assert_eq!(other.record(&user()).await.unwrap().version, 0);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("findings.db");
    let _store = SqliteStore::open(&path).unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
}
