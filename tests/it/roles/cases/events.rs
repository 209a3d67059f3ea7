//! The input of the functions.

use chrono::Utc;
use serde_json::{Value, json};

use super::USER;
use crate::roles::policies::CENTRAL;
use crate::stack::wiring::cloudtrail_record;

/// The event of a key that was just created.
pub fn created(account: &str, user: &str, key: &str) -> Value {
    let mut record = cloudtrail_record("CreateAccessKey", &json!({"userName": user}), Utc::now());
    record["recipientAccountId"] = json!(account);
    record["userIdentity"]["accountId"] = json!(account);
    record["responseElements"] =
        json!({"accessKey": {"userName": user, "accessKeyId": key, "status": "Active"}});
    event(account, &record)
}

pub fn event(account: &str, record: &Value) -> Value {
    json!({"version": "0", "id": "1", "source": "aws.iam", "account": account, "region": "us-east-1", "resources": [],
        "time": record["eventTime"], "detail-type": "AWS API Call via CloudTrail", "detail": record})
}

/// A report of AWS Health that `key` leaked.
pub fn leaked(account: &str, key: &str) -> Value {
    json!({"version": "0", "id": "1", "source": "aws.health", "account": account, "region": "us-east-1",
        "resources": [key], "time": Utc::now(), "detail-type": "AWS Health Event",
        "detail": {"eventArn": "arn:aws:health:us-east-1::event/RISK/1", "service": "RISK",
            "eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED", "affectedAccount": account,
            "affectedEntities": [{"entityValue": key}]}})
}

pub fn recheck(account: &str, user: &str) -> Value {
    json!({"secondkey_recheck": {"version": 1, "account": account, "user": user}})
}

pub fn sweep(account: &str, users: &[&str]) -> Value {
    json!({"secondkey_sweep": {"version": 1, "account": account, "users": users}})
}

/// One of secondkey's own events.
pub fn finding_event(account: &str) -> Value {
    let at = "2026-01-01T00:00:00Z";
    json!({"version": "0", "id": "1", "source": "secondkey", "account": CENTRAL, "region": "us-east-1", "resources": [],
        "detail-type": "Second Active Access Key Opened", "time": at,
        "detail": {"version": "1", "kind": "opened", "sequence": 1, "audit_hash": "5e7a", "at": at,
            "rotation_window_ends_at": "2026-01-02T00:00:00Z",
            "finding": {"id": format!("{account}/{USER}/1"), "account": account, "user": USER, "is_root": false,
                "status": "open", "confirmed": true, "severity": "MEDIUM", "severity_reasons": [], "opened_at": at,
                "detected_at": at, "keys": [{"id": "AKIAOLD", "status": "Active", "created": null},
                    {"id": "AKIANEW", "status": "Active", "created": at}]}}})
}
