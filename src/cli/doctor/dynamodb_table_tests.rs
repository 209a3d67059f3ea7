use aws_sdk_dynamodb::types::{GlobalSecondaryIndexDescription, Projection, SseDescription};

use super::*;
use crate::cli::doctor::check_result::CheckStatus;

fn keys(names: [&str; 2]) -> Vec<KeySchemaElement> {
    let [hash, range] = names;
    let key = |name: &str, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
            .unwrap()
    };
    vec![key(hash, KeyType::Hash), key(range, KeyType::Range)]
}

fn index(name: &str, names: [&str; 2], status: IndexStatus) -> GlobalSecondaryIndexDescription {
    GlobalSecondaryIndexDescription::builder()
        .index_name(name)
        .set_key_schema(Some(keys(names)))
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::All)
                .build(),
        )
        .index_status(status)
        .build()
}

fn with_indexes(indexes: Vec<GlobalSecondaryIndexDescription>) -> TableDescription {
    TableDescription::builder()
        .set_global_secondary_indexes(Some(indexes))
        .build()
}

#[test]
fn a_table_is_ours_if_it_is_active_and_has_our_keys() {
    let of = |names, status| {
        let table = TableDescription::builder()
            .set_key_schema(Some(keys(names)))
            .table_status(status);
        judge_keys("secondkey", &table.build()).state
    };
    assert_eq!(of(["PK", "SK"], TableStatus::Active), CheckStatus::Ok);
    assert_eq!(
        of(["PK", "SK"], TableStatus::InaccessibleEncryptionCredentials),
        CheckStatus::Failed
    );
    assert_eq!(of(["SK", "PK"], TableStatus::Active), CheckStatus::Failed);
}

#[test]
fn both_indexes_must_exist_and_be_complete() {
    let findings = || {
        index(
            "findings",
            ["finding_status", "opened_at"],
            IndexStatus::Active,
        )
    };
    let due = |status| index("due", ["due", "due_at"], status);
    let of = |indexes| judge_indexes(&with_indexes(indexes));
    assert_eq!(
        of(vec![findings(), due(IndexStatus::Active)]).state,
        CheckStatus::Ok
    );
    assert_eq!(
        of(vec![findings(), due(IndexStatus::Creating)]).state,
        CheckStatus::Failed
    );
    let one = of(vec![findings()]);
    assert_eq!(
        (one.state, one.found.as_str()),
        (CheckStatus::Failed, "due is missing")
    );
    let other = index("due", ["due", "opened_at"], IndexStatus::Active);
    assert_eq!(of(vec![findings(), other]).state, CheckStatus::Failed);
}

#[test]
fn another_table_is_recognized_by_its_keys_and_indexes() {
    let of = |names, indexes: &[&str]| {
        let all = [
            ("findings", ["finding_status", "opened_at"]),
            ("due", ["due", "due_at"]),
        ];
        let indexes = all
            .into_iter()
            .filter(|(name, _)| indexes.contains(name))
            .map(|(name, keys)| index(name, keys, IndexStatus::Active));
        let table = TableDescription::builder()
            .set_key_schema(Some(keys(names)))
            .set_global_secondary_indexes(Some(indexes.collect()));
        is_ours(&table.build())
    };
    assert!(of(["PK", "SK"], &["findings", "due"]));
    // Many programs use these keys.
    assert!(!of(["PK", "SK"], &[]));
    assert!(!of(["PK", "SK"], &["due"]));
    assert!(!of(["id", "at"], &["findings", "due"]));
}

#[test]
fn the_table_must_be_encrypted_with_the_requested_key() {
    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1";
    let of = |by: Option<&str>, wanted| {
        let sse = by.map(|by| {
            SseDescription::builder()
                .status(SseStatus::Enabled)
                .kms_master_key_arn(by)
                .build()
        });
        let table = TableDescription::builder().set_sse_description(sse).build();
        judge_encryption(&table, wanted).state
    };
    assert_eq!(of(None, ""), CheckStatus::Ok);
    assert_eq!(of(Some(KEY), KEY), CheckStatus::Ok);
    assert_eq!(of(None, KEY), CheckStatus::Failed);
    assert_eq!(of(Some("arn:other"), KEY), CheckStatus::Failed);
    assert_eq!(of(Some(KEY), ""), CheckStatus::Warning);
    let lost = SseDescription::builder()
        .status(SseStatus::Enabled)
        .kms_master_key_arn(KEY)
        .inaccessible_encryption_date_time(aws_sdk_dynamodb::primitives::DateTime::from_secs(1));
    let table = TableDescription::builder()
        .sse_description(lost.build())
        .build();
    assert_eq!(judge_encryption(&table, KEY).state, CheckStatus::Failed);
}

#[test]
fn protection_recovery_and_expiry_fail_with_a_command_as_fix() {
    assert_eq!(judge_protection("t", true).state, CheckStatus::Ok);
    assert_eq!(judge_recovery("t", true).state, CheckStatus::Ok);
    let ours = ("expires_at".to_owned(), true);
    assert_eq!(judge_expiry("t", Some(&ours)).state, CheckStatus::Ok);
    let off = ("expires_at".to_owned(), false);
    let other = ("ttl".to_owned(), true);
    for check in [
        judge_protection("t", false),
        judge_recovery("t", false),
        judge_expiry("t", None),
        judge_expiry("t", Some(&off)),
        judge_expiry("t", Some(&other)),
    ] {
        assert_eq!(check.state, CheckStatus::Failed, "{check:?}");
        assert!(check.fix.unwrap().starts_with("aws dynamodb update-"));
    }
}
