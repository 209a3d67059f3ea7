//! Data of earlier releases: this release reads it, continues from it, and verifies its audit
//! trails. The files in the directory were written by the last release of each schema and never
//! change.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::Timestamp;
use secondkey::detect::decision::decide::decide;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::severity::Severity;
use secondkey::detect::decision::situation::{Outcome, Situation};
use secondkey::detect::findings::alert::{AlertKind, FindingUpdate};
use secondkey::detect::findings::finding::{FindingStatus, FoundBy};
use secondkey::detect::keys::listing::{AccessKey, KeyStatus, PageResult, PartialListing};
use secondkey::detect::trail::audit::verify_trail;
use secondkey::detect::user::UserId;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::commit::{Commit, CommitResult};
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::Value;

#[tokio::test]
async fn a_table_of_schema_1_is_read_and_continued() {
    let (client, table) = crate::table::new_table().await;
    let items: Vec<Value> =
        serde_json::from_str(include_str!("releases/schema-1.json")).expect("it is JSON");
    for item in &items {
        let AttributeValue::M(item) = attribute(&serde_json::json!({"M": item})) else {
            panic!("an item is a map");
        };
        let put = client.put_item().table_name(&table).set_item(Some(item));
        put.send().await.expect("an item can be put");
    }
    is_read_and_continued(&DynamoDbStore::new(client, table)).await;
}

#[tokio::test]
async fn a_file_of_schema_1_is_read_and_continued() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("findings.db");
    rusqlite::Connection::open(&path)
        .and_then(|file| file.execute_batch(include_str!("releases/schema-1.sql")))
        .expect("it is SQL");
    let reader = SqliteStore::open_existing(&path).expect("it can be read as it is");
    assert_eq!(reader.findings(FindingStatus::Open).await.unwrap().len(), 1);
    is_read_and_continued(&SqliteStore::open(&path).expect("it can be opened")).await;
}

#[tokio::test]
async fn a_file_of_schema_2_is_read_and_nothing_in_it_is_announced_again() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("findings.db");
    rusqlite::Connection::open(&path)
        .and_then(|file| file.execute_batch(include_str!("releases/schema-2.sql")))
        .expect("it is SQL");
    let store = SqliteStore::open(&path).expect("it can be opened");
    let open = store.findings(FindingStatus::Open).await.unwrap();
    let closed = store.findings(FindingStatus::Closed).await.unwrap();
    assert_eq!((open.len(), closed.len()), (1, 4));
    let users = store.users().await.unwrap();
    assert_eq!(users.len(), 4);
    for user in users {
        let mut record = store.record(&user).await.unwrap();
        let trail = store.history(&user).await.unwrap();
        assert_eq!(verify_trail(&user, &trail, &record.audit), Ok(()));
        for (key, known) in &record.evidence.keys {
            assert!(!known.events.is_empty(), "{user} {key}");
            assert_eq!(known.unannounced_activation(), None, "{user} {key}");
        }
        let finding = record.finding.clone().unwrap();
        let opener = finding.opener.unwrap();
        let activation = record.evidence.keys[&opener.key].activation().unwrap();
        assert_eq!(
            (activation.at, activation.created),
            (opener.at, opener.created)
        );
        assert_eq!(finding.other_activations, []);
        // Written by this release, it has the same content.
        record.version += 1;
        let commit = Commit {
            at: opener.at,
            record: record.clone(),
            finding_changed: false,
            audit: vec![],
            recorded: vec![],
            pending_alerts: vec![],
        };
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
        assert_eq!(store.record(&user).await, Ok(record));
    }
}

/// What the release of schema 2 stored for a pair that a sweep found: no event reported it, so the
/// time of the check counts as the beginning.
const FOUND_BY_A_SWEEP: &str = r#"
    UPDATE findings SET opened_at = '2026-03-12T07:00:00.000Z', body = json_set(
        json_remove(body, '$.opener'), '$.opened_at', '2026-03-12T07:00:00.000Z',
        '$.detected_at', '2026-03-12T07:00:00.000Z', '$.found_by', 'sweep',
        '$.severity', 'medium', '$.severity_reasons', json('[]')
    ) WHERE user = 'bob';
    UPDATE records SET body = json_set(body, '$.evidence', json('{"keys": []}'), '$.finding', json((
        SELECT body FROM findings WHERE user = 'bob'
    ))) WHERE user = 'bob';
"#;

#[tokio::test]
async fn an_unreported_beginning_of_schema_2_is_corrected_once() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("findings.db");
    rusqlite::Connection::open(&path)
        .and_then(|file| {
            file.execute_batch(include_str!("releases/schema-2.sql"))?;
            file.execute_batch(FOUND_BY_A_SWEEP)
        })
        .expect("it is SQL");
    let store = SqliteStore::open(&path).expect("it can be opened");
    let bob = UserId::new("111122223333", "bob");
    let time = |text: &str| text.parse::<Timestamp>().expect("it is a time");
    let made = time("2026-03-03T14:05:09Z");
    let keys = [
        ("AKIAEXAMPLEBOB001", time("2026-01-12T10:00:00Z")),
        ("AKIAEXAMPLEBOB002", made),
    ]
    .map(|(id, created)| {
        let (status, created) = (KeyStatus::Active, Some(created));
        (id.to_owned(), AccessKey { status, created })
    });
    let now = time("2026-03-12T08:00:00Z");
    let PageResult::Complete(listing) = PartialListing::requested(now).page(None, keys, false)
    else {
        panic!("the last page completes a listing")
    };
    for outcome in [Outcome::Updated, Outcome::StillOpen] {
        let record = store.record(&bob).await.unwrap();
        let situation = Situation {
            familiar: &[],
            record: &record,
            listing: &listing,
            changes: &[],
            already_recorded: &BTreeSet::new(),
            is_retry: false,
            former_users: &[],
            exemptions: &[],
            sweep: None,
            unwatched: None,
            is_history: false,
            foreign_entry: None,
        };
        let decision = decide(&situation, &Policy::default(), now);
        assert_eq!(decision.outcome, outcome);
        assert_eq!(
            decision.alert.map(|alert| alert.kind),
            (outcome == Outcome::Updated).then(|| AlertKind::Updated(vec![
                FindingUpdate::OpenedAt,
                FindingUpdate::Severity
            ]))
        );
        let commit = Commit {
            at: now,
            record: decision.record,
            finding_changed: decision.finding_changed,
            audit: decision.audit,
            recorded: vec![],
            pending_alerts: vec![],
        };
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
        let open = store.findings(FindingStatus::Open).await.unwrap();
        let [open] = &open[..] else {
            panic!("{open:?}")
        };
        assert_eq!((open.opened_at, open.is_opened_at_estimated), (made, true));
        assert_eq!(open.severity, Severity::High);
    }
    let (record, trail) = (store.record(&bob).await, store.history(&bob).await);
    assert_eq!(
        verify_trail(&bob, &trail.unwrap(), &record.unwrap().audit),
        Ok(())
    );
}

#[tokio::test]
async fn the_exemption_that_the_readme_shows_is_one() {
    let readme = include_str!("../../infra/README.md");
    let shown = readme
        .split("```json\n")
        .filter_map(|part| part.split("```").next())
        .find(|block| block.contains("EXEMPTION#"))
        .expect("it shows one");
    let item: Value = serde_json::from_str(shown).expect("it is JSON");
    let AttributeValue::M(item) = attribute(&serde_json::json!({"M": item})) else {
        panic!("an item is a map");
    };
    let (client, table) = crate::table::new_table().await;
    let put = client.put_item().table_name(&table).set_item(Some(item));
    put.send().await.expect("an item can be put");
    let store = DynamoDbStore::new(client, table);
    let exemptions = store.exemptions("111122223333").await.unwrap();
    assert_eq!(exemptions.len(), 1);
    assert_eq!(exemptions[0].check(), Ok(()));
    assert_eq!(
        store.remove_exemption("111122223333", "build-farm").await,
        Ok(true)
    );
}

async fn is_read_and_continued(store: &dyn FindingReader) {
    let [alice, bob] = ["alice", "bob"].map(|name| UserId::new("111122223333", name));
    let open = store.findings(FindingStatus::Open).await.unwrap();
    let closed = store.findings(FindingStatus::Closed).await.unwrap();
    assert_eq!((open.len(), closed.len()), (1, 1));
    assert_eq!((open[0].user(), closed[0].user()), (&alice, &bob));
    for finding in open.iter().chain(&closed) {
        assert_eq!(finding.found_by, FoundBy::Event);
        assert!(finding.announced);
        assert_eq!(finding.exemption, None);
    }
    assert_eq!(store.pending_alerts(&alice).await.unwrap().len(), 2);
    assert_eq!(store.exemptions("111122223333").await, Ok(vec![]));
    assert_eq!(store.users().await.unwrap(), [alice.clone(), bob.clone()]);
    for user in [&alice, &bob] {
        let record = store.record(user).await.unwrap();
        let trail = store.history(user).await.unwrap();
        assert_eq!(verify_trail(user, &trail, &record.audit), Ok(()));
    }

    let mut record = store.record(&alice).await.unwrap();
    record.version += 1;
    record.finding.as_mut().unwrap().status = FindingStatus::Suppressed;
    let commit = Commit {
        at: record.recheck_at.unwrap(),
        record,
        finding_changed: true,
        audit: vec![],
        recorded: vec![],
        pending_alerts: vec![],
    };
    assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    assert_eq!(store.record(&alice).await, Ok(commit.record));
    let hidden = store.findings(FindingStatus::Suppressed).await.unwrap();
    assert_eq!(hidden.len(), 1);
}

/// An attribute, from the JSON in which DynamoDB writes one.
fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json
        .as_object()
        .and_then(|of_kind| of_kind.iter().next())
        .expect("an attribute has one kind");
    match kind.as_str() {
        "S" => AttributeValue::S(value.as_str().unwrap().to_owned()),
        "N" => AttributeValue::N(value.as_str().unwrap().to_owned()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(
            value
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), attribute(value)))
                .collect(),
        ),
        other => panic!("no item of ours has a `{other}`"),
    }
}
