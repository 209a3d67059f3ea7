use serde_json::json;

use super::*;
use crate::output::asff::wire::Details;
use crate::output::hostile::{first_link, first_unseen};
use crate::output::json_v1;
use crate::output::testing::{
    HOSTILE, closed, every_alert, filled_with, last_uses, last_uses_with, opened, root, snapshots,
    snapshots_with, updated,
};

fn hub() -> SecurityHubTarget {
    SecurityHubTarget {
        account: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

fn json_of(alert: &crate::detect::findings::alert::Alert) -> Value {
    serde_json::to_value(json_v1::alert(alert, &last_uses())).unwrap()
}

fn of(alert: &crate::detect::findings::alert::Alert) -> AsffFinding {
    finding(&json_of(alert), &hub()).unwrap()
}

#[test]
fn opening_in_asff() {
    let json = serde_json::to_string_pretty(&of(&opened())).unwrap();
    expect_test::expect![[r#"
        {
          "SchemaVersion": "2018-10-08",
          "Id": "arn:aws:securityhub:us-east-1:111122223333:product/111122223333/default/secondkey/111122223333/alice/1",
          "ProductArn": "arn:aws:securityhub:us-east-1:111122223333:product/111122223333/default",
          "ProductName": "secondkey",
          "GeneratorId": "secondkey",
          "AwsAccountId": "111122223333",
          "CreatedAt": "2023-11-14T22:13:22Z",
          "UpdatedAt": "2023-11-14T22:13:34.002Z",
          "FirstObservedAt": "2023-11-14T22:13:34Z",
          "LastObservedAt": "2023-11-14T22:13:34Z",
          "Title": "Second active access key: Alice (111122223333)",
          "Description": "IAM user Alice of account 111122223333 has had two active access keys since 2023-11-14 22:13:22 UTC: AKIAOLD, AKIANEW. AKIANEW was created by arn:aws:iam::111122223333:user/bob from 198.51.100.7 with aws-cli/2.15.30 md/awscrt#0.19.19. The rotation window ends at 2023-11-15 22:13:22 UTC.",
          "Remediation": {
            "Recommendation": {
              "Text": "Nothing to deactivate yet: AKIANEW has not been used yet. Move every consumer from AKIAOLD to AKIANEW by 2023-11-15 22:13:22 UTC, then retire AKIAOLD.",
              "Url": "https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html"
            }
          },
          "ProductFields": {
            "secondkey/account": "111122223333",
            "secondkey/actor_arn": "arn:aws:iam::111122223333:user/bob",
            "secondkey/actor_source_ip": "198.51.100.7",
            "secondkey/actor_user_agent": "aws-cli/2.15.30 md/awscrt#0.19.19",
            "secondkey/audit_hash": "5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a",
            "secondkey/confirmed": "true",
            "secondkey/event_id": "6f0e3c1a-0000-4000-8000-000000000001",
            "secondkey/finding_id": "111122223333/alice/1",
            "secondkey/found_by": "event",
            "secondkey/rotation_window_ends_at": "2023-11-15T22:13:22Z",
            "secondkey/sequence": "2",
            "secondkey/severity": "MEDIUM",
            "secondkey/status": "open",
            "secondkey/user": "Alice"
          },
          "Resources": [
            {
              "Type": "AwsIamUser",
              "Id": "AWS::IAM::User:111122223333/Alice",
              "Partition": "aws",
              "Details": {
                "AwsIamUser": {
                  "UserName": "Alice"
                }
              }
            },
            {
              "Type": "AwsIamAccessKey",
              "Id": "AWS::IAM::AccessKey:AKIAOLD",
              "Partition": "aws",
              "Details": {
                "AwsIamAccessKey": {
                  "AccessKeyId": "AKIAOLD",
                  "AccountId": "111122223333",
                  "PrincipalName": "Alice",
                  "PrincipalType": "IAMUser",
                  "Status": "Active",
                  "CreatedAt": "2022-10-10T22:13:20Z"
                }
              }
            },
            {
              "Type": "AwsIamAccessKey",
              "Id": "AWS::IAM::AccessKey:AKIANEW",
              "Partition": "aws",
              "Details": {
                "AwsIamAccessKey": {
                  "AccessKeyId": "AKIANEW",
                  "AccountId": "111122223333",
                  "PrincipalName": "Alice",
                  "PrincipalType": "IAMUser",
                  "Status": "Active",
                  "CreatedAt": "2023-11-14T22:13:22Z"
                }
              }
            },
            {
              "Type": "AwsAccount",
              "Id": "AWS::::Account:111122223333",
              "Partition": "aws"
            }
          ],
          "Compliance": {
            "Status": "FAILED"
          },
          "Workflow": {
            "Status": "NEW"
          },
          "RecordState": "ACTIVE",
          "FindingProviderFields": {
            "Severity": {
              "Label": "MEDIUM"
            },
            "Types": [
              "Software and Configuration Checks/AWS Security Best Practices"
            ]
          }
        }"#]].assert_eq(&json);
}

#[test]
fn closing_is_archived_with_its_reason() {
    let (open, closed) = (of(&opened()), of(&closed()));
    assert_eq!(open.id, closed.id);
    assert_eq!(open.title, closed.title);
    assert_eq!(open.record_state, "ACTIVE");
    assert_eq!(closed.record_state, "ARCHIVED");
    assert_eq!(closed.compliance.status, "PASSED");
    assert_eq!(closed.workflow.status, "RESOLVED");
    assert_eq!(closed.created_at, open.created_at);
    expect_test::expect!["IAM user Alice of account 111122223333 had two active access keys since 2023-11-14 22:13:22 UTC until 2023-11-15 01:33:22 UTC. Closed: deactivated. It was closed by arn:aws:iam::111122223333:user/Alice from 203.0.113.9."].assert_eq(&closed.description);
    expect_test::expect!["If something fails without it: `aws iam update-access-key --user-name Alice --access-key-id AKIAOLD --status Active`. Once nothing has failed for some days: `aws iam delete-access-key --user-name Alice --access-key-id AKIAOLD`."].assert_eq(&closed.remediation.recommendation.text);
    let Some(Details::AwsIamAccessKey(key)) = &closed.resources[1].details else {
        panic!("{:?}", closed.resources);
    };
    assert_eq!(
        (key.access_key_id.as_str(), key.status),
        ("AKIAOLD", Some("Inactive"))
    );
    // The closing was the user's own call, which contains the ARN.
    assert_eq!(
        closed.resources[0].id,
        "arn:aws:iam::111122223333:user/Alice"
    );
    assert_eq!(open.resources[0].id, "AWS::IAM::User:111122223333/Alice");
}

#[test]
fn later_alerts_are_later_updates_even_within_one_second() {
    let mut closed = closed();
    closed.at = opened().at;
    let updates = [of(&opened()).updated_at, of(&closed).updated_at];
    assert_eq!(
        updates,
        ["2023-11-14T22:13:34.002Z", "2023-11-14T22:13:34.005Z"]
    );
    closed.sequence = 1_234;
    assert_eq!(of(&closed).updated_at, "2023-11-14T22:13:34.234Z");
}

#[test]
fn suppressed_finding_is_not_active() {
    let mut alert = json_of(&opened());
    alert["finding"]["status"] = json!("suppressed");
    let finding = finding(&alert, &hub()).unwrap();
    assert_eq!(finding.workflow.status, "SUPPRESSED");
    assert_eq!(finding.record_state, "ARCHIVED");
    assert!(
        finding
            .description
            .contains("It is suppressed by an exemption."),
        "{}",
        finding.description
    );
}

#[test]
fn severity_is_the_alerts_and_suspicion_means_persistence() {
    let mut alert = updated();
    let finding = of(&alert);
    assert_eq!(finding.finding_provider_fields.severity.label, "HIGH");
    assert_eq!(finding.finding_provider_fields.types.len(), 1);
    let reason = crate::detect::decision::severity::SeverityReason::UntrustedActor;
    alert.finding.severity_reasons.push(reason);
    let types = of(&alert).finding_provider_fields.types;
    assert_eq!(types[1], "TTPs/Persistence");
}

#[test]
fn roots_keys_are_the_accounts() {
    let finding = of(&root());
    let ids: Vec<&str> = finding
        .resources
        .iter()
        .map(|resource| resource.id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "AWS::IAM::AccessKey:111122223333/root/access_key_1",
            "AWS::IAM::AccessKey:111122223333/root/access_key_2",
            "AWS::::Account:111122223333"
        ]
    );
    assert_eq!(finding.finding_provider_fields.severity.label, "CRITICAL");
    assert!(finding.title.contains("root (111122223333)"));
}

#[test]
fn hub_may_be_in_another_account_and_partition() {
    let hub = SecurityHubTarget {
        account: "444455556666".to_owned(),
        region: "cn-north-1".to_owned(),
    };
    let finding = finding(&json_of(&opened()), &hub).unwrap();
    let product = "arn:aws-cn:securityhub:cn-north-1:444455556666:product/444455556666/default";
    assert_eq!(finding.product_arn, product);
    assert_eq!(
        finding.id,
        format!("{product}/secondkey/111122223333/alice/1")
    );
    assert_eq!(finding.aws_account_id, "444455556666");
    assert_eq!(finding.resources[0].partition, "aws-cn");
    let account = finding.resources.last().unwrap();
    assert_eq!(account.id, "AWS::::Account:111122223333");
    assert_eq!(finding.product_fields["secondkey/account"], "111122223333");
}

#[test]
fn alerts_of_other_releases_are_read_but_not_other_versions() {
    let least = json!({"version": "1", "sequence": 1, "at": "2024-01-01T00:00:00Z", "finding": {"id": "1/a/1", "account": "1",
        "user": "a", "status": "open", "severity": "ODD", "opened_at": "2024-01-01T00:00:00+01:00"}});
    let read = finding(&least, &hub()).unwrap();
    assert_eq!(read.created_at, "2023-12-31T23:00:00Z");
    assert_eq!(read.finding_provider_fields.severity.label, "MEDIUM");

    let mut more = json_of(&opened());
    more["new"] = json!({"a": 1});
    more["finding"]["status"] = json!("a word of tomorrow");
    more["finding"]["found_by"] = json!("baseline");
    let read = finding(&more, &hub()).unwrap();
    assert_eq!(read.record_state, "ACTIVE");
    assert_eq!(read.product_fields["secondkey/found_by"], "baseline");

    for version in [json!("2"), json!(1), json!(null)] {
        more["version"] = version;
        let error = finding(&more, &hub()).unwrap_err().to_string();
        assert!(
            error.contains("which this release does not know"),
            "{error}"
        );
    }
    for (field, value) in [("at", json!("now")), ("sequence", json!(-1))] {
        let mut wrong = least.clone();
        wrong[field] = value;
        let error = finding(&wrong, &hub()).unwrap_err().to_string();
        assert!(error.contains("not an alert in version 1"), "{error}");
    }
    assert!(finding(&json!({}), &hub()).is_err());
    let error = finding(&json!({"version": "1"}), &hub()).unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error}");
}

#[test]
fn hostile_text_is_visible_and_within_asff_limits() {
    for text in HOSTILE.iter() {
        for alert in every_alert() {
            let alert = filled_with(text, alert);
            let json = json_v1::alert(&alert, &last_uses_with(text));
            let finding = finding(&serde_json::to_value(json).unwrap(), &hub()).unwrap();
            let json = serde_json::to_string(&finding).unwrap();
            assert_eq!(first_unseen(&json), None, "{json}");
            assert!(!json.contains('\n'), "{json}");
            assert!(json.len() < 240_000);
            assert!(finding.title.len() <= 256 && finding.description.len() <= 1_024);
            assert!(finding.remediation.recommendation.text.len() <= 512);
            assert!(finding.id.len() <= 512 && finding.id.is_ascii());
            assert!(finding.resources.len() <= 32);
            let ids = finding.resources.iter().map(|resource| &resource.id);
            for text in ids.chain(finding.product_fields.values()) {
                assert!(!text.trim().is_empty() && text.len() <= 2_048, "{text}");
            }
            for shown in [&finding.title, &finding.description] {
                assert_eq!(first_link(shown), None, "{shown}");
            }
        }
    }
}

#[test]
fn two_findings_never_share_an_id() {
    let long = "x".repeat(400);
    let ids = [
        "1/a b/1",
        "1/a\u{200b}b/1",
        "1/ab/1",
        &format!("{long}1"),
        &format!("{long}2"),
    ]
    .map(|name| id(name, &hub()));
    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn document_has_each_finding_under_its_own_account() {
    let mut snapshots = snapshots();
    snapshots[1].alert.finding.id.user = crate::detect::user::UserId::new("444455556666", "alice");
    let read: Value = serde_json::from_str(&document(&snapshots, "eu-west-1").unwrap()).unwrap();
    let findings = read.as_array().unwrap();
    assert_eq!(findings.len(), snapshots.len());
    for (finding, account) in findings.iter().zip(["111122223333", "444455556666"]) {
        let product = format!("arn:aws:securityhub:eu-west-1:{account}:product/{account}/default");
        assert_eq!(finding["AwsAccountId"], account);
        assert_eq!(finding["ProductArn"], *product);
        assert_eq!(
            finding["Id"],
            *format!("{product}/secondkey/{account}/alice/1")
        );
    }
    assert_eq!(document(&[], "eu-west-1").unwrap(), "[]");
}

#[test]
fn hostile_text_stays_within_its_document() {
    for text in HOSTILE.iter() {
        let snapshots = snapshots_with(text);
        let document = document(&snapshots, "us-east-1").unwrap();
        assert_eq!(first_unseen(&document), None, "{document}");
        let read: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(read.as_array().unwrap().len(), snapshots.len());
    }
}
