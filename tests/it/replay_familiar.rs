//! A replay learns which actors are familiar as it proceeds, in order of time.

use std::collections::BTreeMap;

use secondkey::detect::decision::severity::Severity;
use secondkey::detect::findings::finding::FindingStatus;
use serde_json::{Value, json};

use crate::replay_world::{ACCOUNT, Call, File, create, delete, record, set};

const DAY: i64 = 24 * 60 * 60;

/// The record of `call` in a session of `role`.
fn by(role: &str, session: &str, (second, call): (i64, Call)) -> Value {
    let mut record = record(second, &call, ACCOUNT, "e");
    record["userIdentity"] = json!({"type": "AssumedRole", "accountId": ACCOUNT,
        "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}")});
    record
}

/// `role` creates the second key of `user` on `day`, and `end` follows an hour later.
fn episode(role: &str, user: &str, day: i64, end: Call) -> Vec<Value> {
    let key = |number: u32| format!("{user}{number}");
    let session = format!("build-{day}");
    vec![
        record(0, &create(user, &key(1)), ACCOUNT, "e"),
        by(role, &session, (day * DAY, create(user, &key(2)))),
        by(role, &session, (day * DAY + 3_600, end)),
    ]
}

/// The severity of each user's one closed finding.
async fn severities(records: &[Value]) -> BTreeMap<String, Severity> {
    let file = File::new();
    file.replay(records).await.expect("it can be replayed");
    let closed = file.findings(FindingStatus::Closed).await;
    let severities = closed
        .into_iter()
        .map(|finding| (finding.display_name, finding.severity));
    severities.collect()
}

fn expected(severities: &[(&str, Severity)]) -> BTreeMap<String, Severity> {
    let named = severities.iter();
    named
        .map(|(name, severity)| ((*name).to_owned(), *severity))
        .collect()
}

#[tokio::test]
async fn a_roles_first_rotation_is_high_and_the_next_is_medium() {
    let mut records = episode("ci", "amy", 10, delete("amy", "amy1"));
    records.extend(episode("ci", "ben", 12, set("ben", "ben1", false)));
    records.extend(episode("other", "cid", 14, delete("cid", "cid1")));
    // It is forgotten 180 days after its last rotation.
    records.extend(episode("ci", "dan", 193, delete("dan", "dan1")));
    // Logs may have any order.
    records.reverse();
    let found = severities(&records).await;
    let expected = expected(&[
        ("amy", Severity::High),
        ("ben", Severity::Medium),
        ("cid", Severity::High),
        ("dan", Severity::High),
    ]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_role_whose_key_was_removed_stays_high() {
    let mut records = episode("ci", "amy", 10, delete("amy", "amy2"));
    records.extend(episode("ci", "ben", 12, set("ben", "ben2", false)));
    let found = severities(&records).await;
    let expected = expected(&[("amy", Severity::High), ("ben", Severity::High)]);
    assert_eq!(found, expected);
}
