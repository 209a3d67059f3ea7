use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_securityhub::types::ImportFindingsError;
use serde_json::json;

use super::*;
use crate::output::hostile::first_unseen;
use crate::output::testing::HOSTILE;
use crate::pipeline::error::ErrorKind;

/// A forwarder without a member role and without access to any service.
fn forwarder(import: Import) -> Forwarder {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .build();
    Forwarder {
        accounts: Accounts::new(config, "111122223333".to_owned(), None, Client::new),
        account: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        import,
    }
}

fn event(source: &str, detail_type: &str, detail: &Value) -> Value {
    json!({"version": "0", "id": "1", "detail-type": detail_type, "source": source, "account": "111122223333",
        "time": "2024-01-01T00:00:00Z", "region": "us-east-1", "resources": [], "detail": detail})
}

async fn failure(payload: Value) -> String {
    let error = handle(&forwarder(Import::Members), payload)
        .await
        .unwrap_err();
    format!("{error:#}")
}

#[tokio::test]
async fn a_digest_is_knowingly_ignored() {
    let digest = event("secondkey", DIGEST_TYPE, &json!({}));
    let answer = handle(&forwarder(Import::Members), digest).await.unwrap();
    assert_eq!(answer, Value::Null);
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_an_error() {
    for (payload, expected) in [
        (json!({"Records": []}), "not an EventBridge event"),
        (
            event("aws.iam", ALERT_TYPES[0], &json!({})),
            "the event's source is `aws.iam`",
        ),
        (
            event("secondkey", "Something New", &json!({})),
            "`Something New`, which this release does not know",
        ),
        (
            event("secondkey", ALERT_TYPES[0], &json!({"version": "2"})),
            "version `2`, which this release does not know",
        ),
        (
            event("secondkey", ALERT_TYPES[0], &json!({"version": "1"})),
            "not an alert in version 1",
        ),
    ] {
        let failure = failure(payload).await;
        assert!(failure.contains(expected), "{failure}");
    }
}

#[tokio::test]
async fn a_member_that_cannot_be_entered_is_an_error() {
    let alert = json!({"version": "1", "sequence": 1, "at": "2024-01-01T00:00:00Z", "finding": {"id": "4/a/1",
        "account": "444455556666", "user": "a", "status": "open", "severity": "HIGH", "opened_at": "2024-01-01T00:00:00Z"}});
    let failure = failure(event("secondkey", ALERT_TYPES[0], &alert)).await;
    assert!(
        failure.contains("`444455556666` cannot be entered"),
        "{failure}"
    );
    assert_eq!(first_unseen(&failure), None, "{failure}");
}

#[tokio::test]
async fn hostile_text_in_a_failure_is_escaped_and_truncated() {
    for text in HOSTILE.iter() {
        let alert = json!({"version": text, "finding": {"account": text}});
        for payload in [
            event("secondkey", ALERT_TYPES[0], &alert),
            event(text, ALERT_TYPES[0], &alert),
            event("secondkey", text, &alert),
        ] {
            let failure = failure(payload).await;
            assert_eq!(first_unseen(&failure), None, "{failure}");
            assert!(!failure.contains('\n') && failure.chars().count() <= 1_000);
        }
    }
}

#[test]
fn findings_go_where_the_mode_says() {
    let alert = json!({"finding": {"account": "444455556666"}});
    let account = |import| forwarder(import).hub(&alert).account;
    assert_eq!(account(Import::Members), "444455556666");
    assert_eq!(account(Import::Central), "111122223333");
}

#[test]
fn a_finding_that_was_not_accepted_is_an_error() {
    let answer = |code: &str| {
        let failed = ImportFindingsError::builder().error_code(code).build();
        BatchImportFindingsOutput::builder()
            .failed_count(1)
            .success_count(0)
            .failed_findings(failed)
            .build()
    };
    for (code, kind) in [
        ("InvalidAccess", ErrorKind::Permanent),
        ("InvalidInput", ErrorKind::Permanent),
        ("InternalError", ErrorKind::Retryable),
        ("ThrottlingException", ErrorKind::Retryable),
    ] {
        let error = check_accepted("the import", &answer(code)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
    let advice = check_accepted("the import", &answer(NOT_ENABLED)).unwrap_err();
    assert!(advice.to_string().contains("enable Security Hub there"));

    let nothing = BatchImportFindingsOutput::builder()
        .success_count(0)
        .build();
    assert!(check_accepted("the import", &nothing).is_err());
    let one = BatchImportFindingsOutput::builder()
        .success_count(1)
        .build();
    assert_eq!(check_accepted("the import", &one), Ok(()));
}
