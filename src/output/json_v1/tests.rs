use std::collections::BTreeSet;

use super::*;
use crate::detect::decision::relation::Relation;
use crate::output::hostile::first_unseen;
use crate::output::testing::{
    HOSTILE, closed, exempt, filled_with, last_uses, last_uses_with, opened, snapshots, updated,
};

#[test]
fn alert_in_version_1() {
    let json = serde_json::to_string_pretty(&alert(&opened(), &last_uses())).unwrap();
    expect_test::expect![[r#"
        {
          "version": "1",
          "kind": "opened",
          "updates": [],
          "in_digest": false,
          "sequence": 2,
          "audit_hash": "5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a",
          "at": "2023-11-14T22:13:34Z",
          "rotation_window_ends_at": "2023-11-15T22:13:22Z",
          "finding": {
            "id": "111122223333/alice/1",
            "account": "111122223333",
            "user": "Alice",
            "is_root": false,
            "status": "open",
            "confirmed": true,
            "could_not_list": null,
            "severity": "MEDIUM",
            "severity_reasons": [],
            "opened_at": "2023-11-14T22:13:22Z",
            "opened_at_is_estimate": false,
            "detected_at": "2023-11-14T22:13:34Z",
            "closed_at": null,
            "close_reason": null,
            "closed_by": null,
            "close_event_id": null,
            "keys": [
              {
                "id": "AKIAOLD",
                "status": "Active",
                "created": "2022-10-10T22:13:20Z"
              },
              {
                "id": "AKIANEW",
                "status": "Active",
                "created": "2023-11-14T22:13:22Z"
              }
            ],
            "actor": {
              "type": "IAMUser",
              "arn": "arn:aws:iam::111122223333:user/bob",
              "name": "bob",
              "account": "111122223333",
              "access_key_id": "ASIABOB",
              "source_ip": "198.51.100.7",
              "user_agent": "aws-cli/2.15.30 md/awscrt#0.19.19",
              "mfa": false,
              "console": false,
              "invoked_by": null
            },
            "opener": {
              "key": "AKIANEW",
              "how": "created",
              "at": "2023-11-14T22:13:22Z",
              "inactive_since": null,
              "relation": null,
              "event_id": "6f0e3c1a-0000-4000-8000-000000000001"
            },
            "joined": [],
            "leaks": [],
            "continues": null,
            "found_by": "event",
            "exemption": null
          },
          "last_used": [
            {
              "key": "AKIAOLD",
              "at": "2023-11-14T20:13:20Z",
              "service": "s3",
              "region": "us-east-1"
            },
            {
              "key": "AKIANEW",
              "at": null,
              "service": null,
              "region": null
            }
          ],
          "verdict": {
            "code": "rotation_in_progress",
            "key": null,
            "reason": "new_key_not_used",
            "not_before": "2023-11-15T22:13:22Z",
            "old_key": "AKIAOLD",
            "new_key": "AKIANEW"
          },
          "retire": null,
          "commands": []
        }"#]]
    .assert_eq(&json);
}

#[test]
fn opener_has_its_relation_to_the_user() {
    let mut alert = opened();
    let opener = alert.finding.opener.as_mut().unwrap();
    opener.relation = Some(Relation::Unfamiliar);
    let joined = KeyActivation {
        relation: Some(Relation::Own),
        ..opener.clone()
    };
    alert.finding.other_activations = vec![joined];
    let finding = serde_json::to_value(finding(&alert.finding)).unwrap();
    assert_eq!(finding["opener"]["relation"], "unfamiliar");
    assert_eq!(finding["joined"][0]["relation"], "own");
}

#[test]
fn texts_are_unchanged() {
    for text in HOSTILE.iter() {
        let hostile = filled_with(text, opened());
        let line = to_line(&alert(&hostile, &last_uses_with(text)), 1_000_000).unwrap();
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["finding"]["actor"]["user_agent"], *text);
        assert!(!line.contains('\n'));
        assert_eq!(first_unseen(&line), None, "{line}");
    }
}

#[test]
fn too_long_alert_is_cut_and_loses_its_commands() {
    let text = "x".repeat(1_100);
    let long = alert(&filled_with(&text, opened()), &last_uses_with(&text));
    let read: Value = serde_json::from_str(&to_line(&long, 20_000).unwrap()).unwrap();
    let user = read["finding"]["user"].as_str().unwrap();
    assert_eq!(user, "x".repeat(200) + "…");
    assert_eq!(read["commands"], Value::Null);
    assert_eq!(read["sequence"], 2);
}

#[test]
fn snapshot_is_its_alert_with_the_finding_flat() {
    for (original, change) in [
        (opened(), "new"),
        (updated(), "open"),
        (exempt(), "open"),
        (closed(), "closed"),
    ] {
        let of_alert = alert(&original, &last_uses());
        let snapshot = snapshot(&FindingSnapshot {
            alert: original,
            last_uses: last_uses(),
            invocation: crate::output::invocation::Invocation::default(),
        });
        assert_eq!(snapshot.change.word(), change);
        assert_eq!(snapshot.finding, of_alert.finding);
        assert_eq!(snapshot.last_used, of_alert.last_used);
        assert_eq!(snapshot.retire, of_alert.retire);
        assert_eq!(snapshot.verdict, of_alert.verdict);
        assert_eq!(snapshot.commands, of_alert.commands);
    }
    let fields = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let first = &snapshots()[0];
    let mut expected = fields(&serde_json::to_value(finding(&first.alert.finding)).unwrap());
    let others = [
        "change",
        "commands",
        "last_used",
        "retire",
        "verdict",
        "verdict_as_of",
    ];
    expected.extend(others.map(str::to_owned));
    assert_eq!(
        fields(&serde_json::to_value(snapshot(first)).unwrap()),
        expected
    );
}
