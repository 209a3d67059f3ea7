//! What records mean, including every deviation found in published records.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::detect::events::actor::Actor;
use crate::detect::events::cloudtrail_record::CloudTrailRecord;
use crate::detect::events::key_change::{
    ChangeKind, IncompleteChange, KeyChange, ReadContext, RecordError, RecordReading,
    read_event_time, read_key_change,
};
use crate::detect::events::text::MAX_BYTES;
use crate::detect::testing::at;
use crate::detect::user::UserId;

/// A record of bob creating a key for Alice, as `CloudTrail` writes it.
fn create() -> Value {
    json!({
        "eventVersion": "1.11",
        "eventID": "11111111-2222-3333-4444-555555555555",
        "eventName": "CreateAccessKey",
        "eventSource": "iam.amazonaws.com",
        "eventTime": "2024-07-30T21:53:13Z",
        "eventType": "AwsApiCall",
        "awsRegion": "us-east-1",
        "managementEvent": true,
        "readOnly": false,
        "recipientAccountId": "111122223333",
        "requestID": "request",
        "requestParameters": {"userName": "Alice"},
        "responseElements": {"accessKey": {
            "accessKeyId": "AKIA1",
            "createDate": "Jul 30, 2024 9:53:13 PM",
            "status": "Active",
            "userName": "Alice"
        }},
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "aws-cli/2.17",
        "userIdentity": {
            "accessKeyId": "AKIAOFBOB",
            "accountId": "111122223333",
            "arn": "arn:aws:iam::111122223333:user/bob",
            "principalId": "AIDA1",
            "type": "IAMUser",
            "userName": "bob"
        }
    })
}

fn update() -> Value {
    with(
        create(),
        json!({
            "eventName": "UpdateAccessKey",
            "requestParameters": {"userName": "Alice", "accessKeyId": "AKIA1", "status": "Inactive"},
            "responseElements": null
        }),
    )
}

fn delete() -> Value {
    with(
        create(),
        json!({
            "eventName": "DeleteAccessKey",
            "requestParameters": {"userName": "Alice", "accessKeyId": "AKIA1"},
            "responseElements": null
        }),
    )
}

fn rename() -> Value {
    with(
        create(),
        json!({
            "eventName": "UpdateUser",
            "requestParameters": {"userName": "Alice", "newUserName": "Alicia"},
            "responseElements": null
        }),
    )
}

/// `record` with these fields replaced.
fn with(mut record: Value, fields: impl Into<Value>) -> Value {
    for (name, value) in fields.into().as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

fn without(mut record: Value, fields: &[&str]) -> Value {
    for name in fields {
        record.as_object_mut().unwrap().remove(*name);
    }
    record
}

fn read(record: &Value) -> Result<RecordReading, RecordError> {
    read_key_change(&CloudTrailRecord::from_json(record), ReadContext::default())
}

fn change_in(record: &Value, context: ReadContext<'_>) -> KeyChange {
    match read_key_change(&CloudTrailRecord::from_json(record), context) {
        Ok(RecordReading::Change(change)) => *change,
        other => panic!("{record} is no change: {other:?}"),
    }
}

fn change(record: &Value) -> KeyChange {
    change_in(record, ReadContext::default())
}

fn words(reading: Result<RecordReading, RecordError>) -> String {
    match reading {
        Ok(RecordReading::Ignored(ignored)) => format!("ignored: {}", ignored.reason()),
        Err(error) => format!("error: {error}"),
        Ok(RecordReading::Incomplete(IncompleteChange { users, why })) => {
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            format!("incomplete: {why}; re-check {}", users.join(", "))
        }
        Ok(RecordReading::Change(change)) => {
            let kind = match &change.kind {
                ChangeKind::KeyCreated { key, status } => format!("{key} created {status:?}"),
                ChangeKind::KeyUpdated { key, status } => format!("{key} set {status:?}"),
                ChangeKind::KeyDeleted { key } => format!("{key} deleted"),
                ChangeKind::UserDeleted => "user deleted".to_owned(),
                ChangeKind::UserRenamed { to, to_name } => format!("renamed to {to_name} = {to}"),
                ChangeKind::KeyLeaked { key, signal } => format!("leaked {key:?} {signal:?}"),
            };
            format!("{} = {}: {kind}", change.user_name, change.user)
        }
    }
}

fn check(record: &Value, expected: &str) {
    assert_eq!(words(read(record)), expected, "{record}");
}

const CREATED: &str = "Alice = 111122223333/alice: AKIA1 created Active";

#[test]
fn the_five_calls_are_changes() {
    check(&create(), CREATED);
    check(&update(), "Alice = 111122223333/alice: AKIA1 set Inactive");
    check(&delete(), "Alice = 111122223333/alice: AKIA1 deleted");
    check(
        &rename(),
        "Alice = 111122223333/alice: renamed to Alicia = 111122223333/alicia",
    );
    check(
        &with(
            delete(),
            json!({"eventName": "DeleteUser", "requestParameters": {"userName": "Alice"}}),
        ),
        "Alice = 111122223333/alice: user deleted",
    );
}

fn attach(policy_arn: &str) -> Value {
    with(
        delete(),
        json!({"eventName": "AttachUserPolicy",
            "requestParameters": {"userName": "Alice", "policyArn": policy_arn}}),
    )
}

/// The policies are those of AWS's managed policy reference guide.
#[test]
fn a_quarantine_by_aws_is_a_leak_and_no_other_policy_is() {
    for partition in ["aws", "aws-cn", "aws-us-gov", "aws-eusc"] {
        for version in ["", "V2", "V3", "V4"] {
            check(
                &attach(&format!(
                    "arn:{partition}:iam::aws:policy/AWSCompromisedKeyQuarantine{version}"
                )),
                "Alice = 111122223333/alice: leaked None Quarantine",
            );
        }
    }
    for other in [
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:iam::aws:policy/AWSDenyAll",
        // Anyone with an account can create a policy of that name.
        "arn:aws:iam::111122223333:policy/AWSCompromisedKeyQuarantineV3",
        "arn:aws:iam::111122223333:policy/x:iam::aws:policy/AWSCompromisedKeyQuarantineV3",
        "AWSCompromisedKeyQuarantineV3",
        "",
    ] {
        check(&attach(other), "ignored: not a key change");
    }
    let quarantine = attach("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3");
    check(
        &with(
            quarantine.clone(),
            json!({"errorCode": "NoSuchEntityException"}),
        ),
        "ignored: failed call",
    );
    check(
        &with(
            quarantine.clone(),
            json!({"eventSource": "s3.amazonaws.com"}),
        ),
        "ignored: not from IAM",
    );
    let second = attach("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2");
    assert_ne!(change(&quarantine).id, change(&second).id);
}

#[test]
fn the_id_of_a_change_never_changes() {
    assert_eq!(
        change(&delete()).id,
        "11111111-2222-3333-4444-555555555555.92eeb31d3c360f38"
    );
}

#[test]
fn any_version_is_read_known_or_not() {
    for version in [
        json!("1.02"),
        json!("1.05"),
        json!("1.08"),
        json!("1.09"),
        json!("1.10"),
        json!("1.11"),
        json!("1.12"),
        json!("2.0"),
        json!("next"),
        json!(1.1),
        Value::Null,
    ] {
        check(&with(create(), json!({"eventVersion": version})), CREATED);
    }
    check(&without(create(), &["eventVersion"]), CREATED);
}

#[test]
fn unknown_fields_are_ignored() {
    let mut record = with(
        create(),
        json!({"eventContext": {"a": [1]}, "tlsDetails": null, "edgeDeviceDetails": 7}),
    );
    record["requestParameters"]["dryRun"] = json!(false);
    record["responseElements"]["accessKey"]["expires"] = json!({"at": 1});
    record["userIdentity"]["inScopeOf"] = json!({"issuerType": "x"});
    check(&record, CREATED);
}

#[test]
fn an_error_code_that_says_nothing_or_success_means_success() {
    for code in [
        Value::Null,
        json!(""),
        json!(" "),
        json!("-"),
        json!("success"),
        json!("Success"),
        json!("None"),
        json!("null"),
        json!("NULL"),
        json!("NaN"),
    ] {
        let fields = json!({"errorCode": code, "errorMessage": code});
        check(&with(create(), fields.clone()), CREATED);
        check(
            &with(update(), fields.clone()),
            "Alice = 111122223333/alice: AKIA1 set Inactive",
        );
        check(
            &with(delete(), fields.clone()),
            "Alice = 111122223333/alice: AKIA1 deleted",
        );
        // A creation that succeeded has a response, so the key must be looked up rather than
        // ignored.
        let unanswered = with(create(), json!({"responseElements": null}));
        check(&with(unanswered.clone(), fields.clone()), NO_KEY);
        // An error message shows that the call failed.
        let message = json!({"errorMessage": "Cannot exceed quota for AccessKeysPerUser: 2"});
        check(
            &with(with(unanswered, fields), message),
            "ignored: failed call",
        );
    }
    check(&create(), CREATED);
    for code in ["AccessDenied", "successful", "NoneSuch", "0"] {
        check(
            &with(create(), json!({"errorCode": code})),
            "ignored: failed call",
        );
    }
}

const NO_KEY: &str =
    "incomplete: `CreateAccessKey` does not name an access key; re-check 111122223333/alice";

#[test]
fn objects_that_became_strings_of_json_are_read() {
    for record in [create(), update(), delete(), rename()] {
        let mut strings = record.clone();
        for name in ["requestParameters", "responseElements", "userIdentity"] {
            strings[name] = json!(record[name].to_string());
        }
        assert_eq!(change(&strings), change(&record));
    }
    let mut mangled = create();
    let key = mangled["responseElements"]["accessKey"].to_string();
    mangled["responseElements"]["accessKey"] = json!(key);
    check(&mangled, CREATED);
}

#[test]
fn unreadable_request_is_reported_and_never_means_the_caller() {
    for text in ["{\"userName\":\"Ali", "{userName=Alice, accessKeyId=AKIA1}"] {
        let fields = json!({"requestParameters": text});
        for (event, record) in [
            ("UpdateAccessKey", update()),
            ("DeleteAccessKey", delete()),
            ("UpdateUser", rename()),
        ] {
            check(
                &with(record, fields.clone()),
                &format!(
                    "error: `{event}` does not name a user: its `requestParameters` are not JSON"
                ),
            );
        }
        // The response still names the user.
        check(&with(create(), fields), CREATED);
    }
}

#[test]
fn a_failed_call_is_ignored_whatever_else_it_lacks() {
    for code in [
        "AccessDenied",
        "NoSuchEntityException",
        "LimitExceededException",
        "EntityTemporarilyUnmodifiableException",
    ] {
        let denied =
            json!({"errorCode": code, "requestParameters": null, "responseElements": null});
        for record in [create(), update(), delete(), rename()] {
            check(&with(record, denied.clone()), "ignored: failed call");
        }
    }
    check(
        &json!({"eventName": "DeleteAccessKey", "errorCode": "AccessDenied"}),
        "ignored: failed call",
    );
}

#[test]
fn other_records_are_ignored_with_a_reason() {
    check(
        &with(create(), json!({"eventName": "ListAccessKeys"})),
        "ignored: not a key change",
    );
    check(
        &with(create(), json!({"eventName": "createaccesskey"})),
        "ignored: not a key change",
    );
    check(
        &with(create(), json!({"eventSource": "transfer.amazonaws.com"})),
        "ignored: not from IAM",
    );
    check(
        &with(
            rename(),
            json!({"requestParameters": {"userName": "Alice", "newPath": "/ops/"}}),
        ),
        "ignored: user update without a new name",
    );
    check(
        &with(
            rename(),
            json!({"requestParameters": {"userName": "Alice", "newUserName": ""}}),
        ),
        "ignored: user update without a new name",
    );
}

#[test]
fn the_service_may_be_absent_or_that_of_another_partition() {
    check(&without(create(), &["eventSource"]), CREATED);
    check(
        &with(create(), json!({"eventSource": "iam.amazonaws.com.cn"})),
        CREATED,
    );
    check(&with(create(), json!({"eventSource": ""})), CREATED);
}

#[test]
fn request_parameters_that_are_no_object_count_as_absent() {
    for value in [Value::Null, json!("{}"), json!([1]), json!(3), json!(true)] {
        check(
            &with(create(), json!({"requestParameters": value})),
            CREATED,
        );
        check(
            &with(update(), json!({"requestParameters": value})),
            "incomplete: `UpdateAccessKey` does not name an access key; re-check 111122223333/bob",
        );
    }
    check(&without(create(), &["requestParameters"]), CREATED);
}

#[test]
fn response_elements_that_are_no_object_count_as_absent() {
    for value in [Value::Null, json!("text"), json!([])] {
        check(
            &with(delete(), json!({"responseElements": value})),
            "Alice = 111122223333/alice: AKIA1 deleted",
        );
        check(
            &with(create(), json!({"responseElements": value})),
            "incomplete: `CreateAccessKey` does not name an access key; re-check 111122223333/alice",
        );
        check(
            &with(create(), json!({"responseElements": {"accessKey": value}})),
            "incomplete: `CreateAccessKey` does not name an access key; re-check 111122223333/alice",
        );
    }
    check(
        &without(delete(), &["responseElements"]),
        "Alice = 111122223333/alice: AKIA1 deleted",
    );
}

#[test]
fn numbers_stand_for_the_text_that_belongs_there() {
    let mut record = create();
    record["requestParameters"]["userName"] = json!(42);
    record["responseElements"]["accessKey"]["userName"] = json!(42);
    record["responseElements"]["accessKey"]["accessKeyId"] = json!(7_000);
    check(&record, "42 = 111122223333/42: 7000 created Active");
}

#[test]
fn an_account_that_became_a_number_gets_its_leading_zeros_back() {
    for account in [
        json!(11_122_223_333_u64),
        json!(11_122_223_333.0),
        json!("11122223333"),
        json!("11122223333.0"),
        json!(" 011122223333 "),
    ] {
        let mut record = with(create(), json!({"recipientAccountId": account}));
        record["userIdentity"]["accountId"] = json!(42);
        let change = change(&record);
        assert_eq!(change.user, UserId::new("011122223333", "alice"));
        assert_eq!(change.actor.account.as_deref(), Some("000000000042"));
        let context = ReadContext {
            account: account.as_str(),
            ..ReadContext::default()
        };
        assert_eq!(change_in(&record, context).user, change.user);
    }
}

#[test]
fn record_without_account_uses_the_callers_account() {
    for nothing in [
        Value::Null,
        json!(""),
        json!("-"),
        json!("None"),
        json!("NULL"),
        json!("NaN"),
        json!(0),
        json!({}),
    ] {
        let lost = with(create(), json!({"recipientAccountId": nothing}));
        for (of_caller, arn, expected) in [
            (
                json!("222222222222"),
                json!("arn:aws:iam::333333333333:user/bob"),
                "222222222222",
            ),
            (json!(22_222_222), Value::Null, "000022222222"),
            (
                json!("-"),
                json!("arn:aws:iam::333333333333:user/bob"),
                "333333333333",
            ),
            (
                Value::Null,
                json!("arn:aws-cn:sts::033333333333:assumed-role/a/b"),
                "033333333333",
            ),
        ] {
            let mut record = lost.clone();
            record["userIdentity"]["accountId"] = of_caller;
            record["userIdentity"]["arn"] = arn;
            assert_eq!(change(&record).user, UserId::new(expected, "alice"));
        }
        for identity in [
            json!({"type": "IAMUser", "arn": "bob"}),
            json!({"type": "AWSService", "arn": "arn:aws:iam:::user/bob"}),
            // By definition another account.
            json!({"type": "AWSAccount", "accountId": "999999999999"}),
        ] {
            check(
                &with(lost.clone(), json!({"userIdentity": identity})),
                NO_ACCOUNT,
            );
        }
    }
}

#[test]
fn an_empty_account_of_the_actor_is_none() {
    let mut record = create();
    record["userIdentity"]["accountId"] = json!("");
    assert_eq!(change(&record).actor.account, None);
}

#[test]
fn masked_keys_and_accounts_are_accepted() {
    for (account, key) in [
        ("123456789012", "AKIAIOSFODNN7EXAMPLE"),
        ("XXXXXXXXXXXX", "AKIAXXXXXXXX********"),
        ("<account>", "<redacted>"),
        ("000000000001", "k"),
    ] {
        let mut record = with(create(), json!({"recipientAccountId": account}));
        record["responseElements"]["accessKey"]["accessKeyId"] = json!(key);
        check(
            &record,
            &format!("Alice = {account}/alice: {key} created Active"),
        );
    }
}

#[test]
fn the_create_date_is_never_read() {
    for date in [
        json!("Jul 3, 2024 9:53:13 PM"),
        json!("nonsense"),
        json!({}),
    ] {
        let mut record = create();
        record["responseElements"]["accessKey"]["createDate"] = date;
        check(&record, CREATED);
    }
}

#[test]
fn a_status_is_read_in_any_case_and_expired_is_not_active() {
    for (status, expected) in [
        ("Active", "Active"),
        ("active", "Active"),
        ("INACTIVE", "Inactive"),
        ("Expired", "Inactive"),
    ] {
        let mut record = update();
        record["requestParameters"]["status"] = json!(status);
        check(
            &record,
            &format!("Alice = 111122223333/alice: AKIA1 set {expected}"),
        );
    }
}

#[test]
fn a_new_key_whose_status_was_not_kept_is_active() {
    let mut record = create();
    record["responseElements"]["accessKey"]["status"] = Value::Null;
    check(&record, CREATED);
}

#[test]
fn errors_name_the_event_and_the_field() {
    check(
        &json!({}),
        "error: not a CloudTrail record: it has no `eventName`",
    );
    for nothing in [json!([1]), json!("text"), Value::Null] {
        check(
            &nothing,
            "error: not a CloudTrail record: it has no `eventName`",
        );
    }
    check(
        &with(create(), json!({"eventName": ""})),
        "error: not a CloudTrail record: it has no `eventName`",
    );
    for record in [
        without(create(), &["recipientAccountId", "userIdentity"]),
        with(
            without(create(), &["userIdentity"]),
            json!({"recipientAccountId": ""}),
        ),
    ] {
        check(&record, NO_ACCOUNT);
    }
    check(
        &with(
            delete(),
            json!({"requestParameters": {"accessKeyId": "AKIA1"}, "userIdentity": {"type": "AssumedRole"}}),
        ),
        "error: `DeleteAccessKey` does not name a user: `requestParameters.userName` is missing and the caller is not an IAM user",
    );
}

/// The error names what is missing, and the user is still checked.
#[test]
fn a_known_user_of_an_incomplete_record_is_rechecked() {
    let asked = |fields: Value| json!({"requestParameters": fields});
    let of_alice = |fields: Value| asked(with(json!({"userName": "Alice"}), fields));
    for (record, why) in [
        (
            with(
                create(),
                json!({"responseElements": {"accessKey": {"userName": "Alice"}}}),
            ),
            "`CreateAccessKey` does not name an access key",
        ),
        (
            with(create(), json!({"responseElements": {"omitted": true}})),
            "`CreateAccessKey` does not name an access key",
        ),
        (
            with(
                create(),
                json!({"responseElements": {"accessKey":
                {"userName": "Alice", "accessKeyId": "AKIA1", "status": "Pending"}}}),
            ),
            "`CreateAccessKey` has the status `Pending`, which is neither Active nor Inactive",
        ),
        (
            with(delete(), of_alice(json!({"accessKeyId": ""}))),
            "`DeleteAccessKey` does not name an access key",
        ),
        (
            with(delete(), of_alice(json!({"accessKeyId": ["AKIA1"]}))),
            "`DeleteAccessKey` does not name an access key",
        ),
        (
            with(
                update(),
                of_alice(json!({"accessKeyId": "AKIA1", "status": "Paused"})),
            ),
            "`UpdateAccessKey` has the status `Paused`, which is neither Active nor Inactive",
        ),
        (
            with(update(), of_alice(json!({"accessKeyId": "AKIA1"}))),
            "`UpdateAccessKey` has the status ``, which is neither Active nor Inactive",
        ),
        (
            without(update(), &["eventTime"]),
            "`UpdateAccessKey` has no `eventTime`",
        ),
        (
            with(update(), json!({"eventTime": ""})),
            "`UpdateAccessKey` has no `eventTime`",
        ),
        (
            with(update(), json!({"eventTime": null})),
            "`UpdateAccessKey` has no `eventTime`",
        ),
        (
            with(update(), json!({"eventTime": "yesterday"})),
            "`UpdateAccessKey` has the `eventTime` `yesterday`, which is not an RFC 3339 time or Unix seconds or milliseconds",
        ),
        (
            with(update(), json!({"eventTime": 170_000_000})),
            "`UpdateAccessKey` has the `eventTime` `170000000`, which is not an RFC 3339 time or Unix seconds or milliseconds",
        ),
    ] {
        let expected = format!("incomplete: {why}; re-check 111122223333/alice");
        check(&record, &expected);
    }
}

#[test]
fn both_names_of_an_incomplete_rename_are_rechecked_the_new_one_first() {
    check(
        &without(rename(), &["eventTime"]),
        "incomplete: `UpdateUser` has no `eventTime`; re-check 111122223333/alicia, 111122223333/alice",
    );
}

#[test]
fn an_incomplete_record_without_account_or_user_stays_an_error() {
    check(
        &without(
            create(),
            &["eventTime", "recipientAccountId", "userIdentity"],
        ),
        NO_ACCOUNT,
    );
    let nobody =
        json!({"requestParameters": {"accessKeyId": ""}, "userIdentity": {"type": "AssumedRole"}});
    check(&with(delete(), nobody), NO_USER);
}

const NO_ACCOUNT: &str = "error: `CreateAccessKey` does not name an account: the envelope's `account`, `recipientAccountId`, `userIdentity.accountId` and `userIdentity.arn` are missing or do not contain one";

const NO_USER: &str = "error: `DeleteAccessKey` does not name a user: `requestParameters.userName` is missing and the caller is not an IAM user";

#[test]
fn parameters_omitted_for_size_do_not_mean_the_caller() {
    let left_out =
        json!({"omitted": true, "originalSize": 262_145, "reason": "record_size_limit_exceeded"});
    for identity in [
        json!({"type": "IAMUser", "userName": "bob"}),
        json!({"type": "Root"}),
        json!({"type": "AssumedRole", "sessionContext": {"assumedRoot": "true"}}),
    ] {
        let fields = json!({"requestParameters": left_out, "userIdentity": identity});
        check(&with(delete(), fields.clone()), NO_USER);
        // The response still names the user.
        check(&with(create(), fields), CREATED);
    }
    check(
        &with(rename(), json!({"requestParameters": left_out})),
        &NO_USER.replace("DeleteAccessKey", "UpdateUser"),
    );
}

#[test]
fn the_user_calls_never_mean_root() {
    for event in ["DeleteUser", "UpdateUser"] {
        let fields = json!({"eventName": event, "requestParameters": null, "userIdentity": {"type": "Root"}});
        check(
            &with(delete(), fields),
            &NO_USER.replace("DeleteAccessKey", event),
        );
    }
}

#[test]
fn a_status_is_read_in_any_case_and_expired_is_inactive() {
    for (status, expected) in [
        ("Active", "Active"),
        ("ACTIVE", "Active"),
        ("active", "Active"),
        ("Inactive", "Inactive"),
        ("inActive", "Inactive"),
        ("Expired", "Inactive"),
        ("EXPIRED", "Inactive"),
    ] {
        let mut record = update();
        record["requestParameters"]["status"] = json!(status);
        check(
            &record,
            &format!("Alice = 111122223333/alice: AKIA1 set {expected}"),
        );
        let mut record = create();
        record["responseElements"]["accessKey"]["status"] = json!(status);
        check(
            &record,
            &format!("Alice = 111122223333/alice: AKIA1 created {expected}"),
        );
    }
}

#[test]
fn a_new_key_without_a_status_is_active() {
    for status in [Value::Null, json!(""), json!({}), json!([])] {
        let mut record = create();
        record["responseElements"]["accessKey"]["status"] = status;
        check(&record, CREATED);
    }
}

#[test]
fn calls_that_are_not_known_yet_are_ignored() {
    for event in [
        "CreateAccessKeyV2",
        "CreateAccessKey20260101",
        "RotateAccessKey",
        "BatchDeleteAccessKey",
        "UpdateAccessKeyLastUsed",
        "DeleteUserPolicy",
        " CreateAccessKey",
    ] {
        check(
            &with(create(), json!({"eventName": event})),
            "ignored: not a key change",
        );
    }
}

fn check_time(text: &str, expected: Option<&str>) {
    let time = read_event_time(text).map(|time| time.to_rfc3339());
    assert_eq!(time.as_deref(), expected, "{text}");
}

#[test]
fn time_is_read_without_z_or_t_and_in_whole_seconds() {
    let expected = Some("2024-07-30T21:53:13+00:00");
    for text in [
        "2024-07-30T21:53:13Z",
        "2024-07-30T21:53:13",
        "2024-07-30 21:53:13Z",
        "2024-07-30 21:53:13",
        "2024-07-30T21:53:13.000Z",
        "2024-07-30T21:53:13.999Z",
        "2024-07-30 21:53:13.5",
        "2024-07-30T21:53:13+00:00",
        "2024-07-30T23:53:13+02:00",
        "2024-07-30T21:53:13-00:00",
        "2024-07-30t21:53:13z",
        "2024-07-30T21:53:13+0000",
        "2024-07-30 21:53:13+0000",
        "2024-07-30 21:53:13 +0000",
        "2024-07-30 21:53:13+00:00",
        "2024-07-30 21:53:13.123+00",
        "2024-07-30T21:53:13 UTC",
        "2024-07-30 21:53:13 UTC",
        "2024-07-30 21:53:13.000 UTC",
        "1722376393",
        "1722376393.0",
        "1722376393.123",
        "1722376393000",
        "1722376393999.0",
    ] {
        check_time(text, expected);
    }
}

#[test]
fn a_leap_second_is_the_second_before_it() {
    let expected = Some("2016-12-31T23:59:59+00:00");
    for text in [
        "2016-12-31T23:59:60Z",
        "2016-12-31 23:59:60",
        "2016-12-31T23:59:60.5Z",
    ] {
        check_time(text, expected);
    }
}

#[test]
fn invalid_times_are_rejected() {
    for text in [
        "",
        "Z",
        "yesterday",
        "2024-07-30",
        "21:53:13",
        "2024-13-30T21:53:13Z",
        "2024-07-30T25:53:13Z",
        "Jul 30, 2024 9:53:13 PM",
        "172237639",
        "17223763930",
        "-1722376393",
        "1722376393.",
        "1722376393.1.2",
        "1.722376393e9",
        "1722376393000000",
        "2024-07-30T21:53:13Z and more",
        "2024-07-30T21:53:13 CET",
        "2024-07-30 UTC",
        " UTC",
    ] {
        check_time(text, None);
    }
}

#[test]
fn year_that_rfc_3339_cannot_write_is_rejected() {
    // Adding a day to a time this close to the limit would panic.
    check_time("+262142-12-31T23:59:59", None);
    check_time("-262143-01-01T00:00:00", None);
}

#[test]
fn a_time_in_the_future_is_clamped_to_when_the_message_was_sent() {
    let record = create();
    let event_time = read_event_time("2024-07-30T21:53:13Z").unwrap();
    for (sent_at, expected) in [
        (None, event_time),
        (Some(event_time + chrono::TimeDelta::seconds(3)), event_time),
        (Some(event_time), event_time),
        (Some(at(0)), at(0)),
    ] {
        let context = ReadContext {
            sent_at,
            ..ReadContext::default()
        };
        assert_eq!(change_in(&record, context).at, expected);
    }
}

#[test]
fn clamping_the_time_keeps_the_change_id() {
    let sent_at = |second| ReadContext {
        sent_at: Some(at(second)),
        ..ReadContext::default()
    };
    assert_eq!(
        change_in(&create(), sent_at(1)).id,
        change_in(&create(), sent_at(2)).id
    );
}

#[test]
fn the_envelopes_account_overrides_the_records() {
    const TWO: &str = "222222222222";
    const THREE: &str = "333333333333";
    let account = |record: &Value, account, account_if_missing| {
        let context = ReadContext {
            account,
            account_if_missing,
            sent_at: None,
        };
        change_in(record, context).user.account().to_owned()
    };
    let own = create();
    let none = without(create(), &["recipientAccountId"]);
    assert_eq!(account(&own, Some(TWO), Some(THREE)), TWO);
    assert_eq!(account(&own, None, Some(THREE)), "111122223333");
    assert_eq!(account(&own, Some(""), Some(THREE)), "111122223333");
    assert_eq!(account(&none, Some(TWO), Some(THREE)), TWO);
    assert_eq!(account(&none, None, Some(THREE)), THREE);
}

#[test]
fn the_callers_account_counts_only_where_nothing_else_names_one() {
    let mut record = create();
    record["userIdentity"]["accountId"] = json!("999999999999");
    check(&record, CREATED);
    record["recipientAccountId"] = Value::Null;
    let account = |account, account_if_missing| {
        let context = ReadContext {
            account,
            account_if_missing,
            sent_at: None,
        };
        change_in(&record, context).user.account().to_owned()
    };
    let (ours, other) = ("111122223333", "444455556666");
    assert_eq!(account(Some(ours), Some(other)), ours);
    assert_eq!(account(None, Some(other)), other);
    assert_eq!(account(None, None), "999999999999");
}

#[test]
fn the_caller_may_be_unknown_in_part_or_in_whole() {
    for identity in [
        Value::Null,
        json!({}),
        json!("text"),
        json!({"userName": "bob"}),
        json!({"type": "AWSService", "invokedBy": "cloudformation.amazonaws.com"}),
        json!({"type": "AssumedRole", "sessionContext": {"sessionIssuer": {}}}),
        json!({"type": "AssumedRole", "sessionContext": {"sessionIssuer": {}, "attributes": null}}),
        json!({"type": "AssumedRole", "sessionContext": "text"}),
        json!({"type": ["IAMUser"], "arn": {}, "accountId": {}, "accessKeyId": []}),
    ] {
        check(&with(create(), json!({"userIdentity": identity})), CREATED);
    }
    check(&without(create(), &["userIdentity"]), CREATED);
}

fn check_actor(fields: Value, expected: &Actor) {
    assert_eq!(&change(&with(create(), fields)).actor, expected);
}

fn bob() -> Actor {
    Actor {
        kind: Some("IAMUser".to_owned()),
        arn: Some("arn:aws:iam::111122223333:user/bob".to_owned()),
        name: Some("bob".to_owned()),
        account: Some("111122223333".to_owned()),
        access_key_id: Some("AKIAOFBOB".to_owned()),
        source_ip: Some("192.0.2.1".to_owned()),
        user_agent: Some("aws-cli/2.17".to_owned()),
        mfa: None,
        console: false,
        invoked_by: None,
    }
}

#[test]
fn the_actor_is_read_from_the_record() {
    check_actor(json!({}), &bob());
}

#[test]
fn a_service_has_its_name_in_place_of_an_ip_address() {
    let service = "cloudformation.amazonaws.com";
    check_actor(
        json!({
            "sourceIPAddress": service,
            "userAgent": service,
            "userIdentity": {"type": "AssumedRole", "accountId": "111122223333", "invokedBy": service,
                "userName": "not a user", "accessKeyId": ""}
        }),
        &Actor {
            kind: Some("AssumedRole".to_owned()),
            account: Some("111122223333".to_owned()),
            source_ip: Some(service.to_owned()),
            user_agent: Some(service.to_owned()),
            invoked_by: Some(service.to_owned()),
            ..Actor::default()
        },
    );
}

#[test]
fn a_source_that_is_no_ip_address_stays_text() {
    for source in [
        "AWS Internal",
        "211.9.016.253",
        "2001:db8::1",
        "10.0.0.1, 10.0.0.2",
    ] {
        let record = with(create(), json!({"sourceIPAddress": source}));
        assert_eq!(change(&record).actor.source_ip.as_deref(), Some(source));
    }
}

#[test]
fn console_calls_are_recognized_by_agent_or_session() {
    for fields in [
        json!({"userAgent": "signin.amazonaws.com"}),
        json!({"userAgent": "AWS Internal"}),
        json!({"userAgent": "Mozilla/5.0", "sessionCredentialFromConsole": "true"}),
        json!({"sessionCredentialFromConsole": true}),
    ] {
        assert!(
            change(&with(create(), fields.clone())).actor.console,
            "{fields}"
        );
    }
    for fields in [
        json!({}),
        json!({"userAgent": null}),
        json!({"sessionCredentialFromConsole": "false"}),
        json!({"userAgent": "not signin.amazonaws.com"}),
    ] {
        assert!(
            !change(&with(create(), fields.clone())).actor.console,
            "{fields}"
        );
    }
}

#[test]
fn mfa_is_known_only_if_the_session_says_so() {
    for (attribute, expected) in [
        (json!("true"), Some(true)),
        (json!("false"), Some(false)),
        (json!(true), Some(true)),
        (Value::Null, None),
        (json!("perhaps"), None),
    ] {
        let mut record = create();
        record["userIdentity"]["sessionContext"] =
            json!({"attributes": {"mfaAuthenticated": attribute}});
        assert_eq!(change(&record).actor.mfa, expected);
    }
    assert_eq!(change(&create()).actor.mfa, None);
}

#[test]
fn roots_name_is_the_account_alias_and_names_nobody() {
    let record = with(
        create(),
        json!({
            "requestParameters": null,
            "userIdentity": {"type": "Root", "userName": "my-alias", "arn": "arn:aws:iam::111122223333:root"}
        }),
    );
    check(
        &record,
        "root = 111122223333/<root_account>: AKIA1 created Active",
    );
    assert_eq!(change(&record).actor.name, None);
}

/// The caller of a session of `sts:AssumeRoot`, as the IAM user guide shows it.
fn assumed_root() -> Value {
    json!({
        "type": "Root",
        "principalId": "444455556666",
        "arn": "arn:aws:iam::444455556666:root",
        "accountId": "444455556666",
        "accessKeyId": "ASIAOFROOT",
        "sessionContext": {
            "attributes": {"creationDate": "2024-07-30T21:50:00Z", "mfaAuthenticated": "false"},
            "assumedRoot": "true"
        }
    })
}

#[test]
fn an_assumed_root_session_acts_on_the_roots_keys_of_the_member() {
    let member = |record: Value| {
        let fields = json!({"recipientAccountId": "444455556666", "userIdentity": assumed_root()});
        with(record, fields)
    };
    let made = member(with(create(), json!({"requestParameters": null})));
    let deleted = member(with(
        delete(),
        json!({"requestParameters": {"accessKeyId": "AKIA1"}}),
    ));
    let is_made = "root = 444455556666/<root_account>: AKIA1 created Active";
    let is_deleted = "root = 444455556666/<root_account>: AKIA1 deleted";
    check(&made, is_made);
    check(&deleted, is_deleted);

    // The record may lack the type, or the account that the call acted on.
    for kind in [Value::Null, json!("AssumedRole")] {
        let mut record = made.clone();
        record["userIdentity"]["type"] = kind.clone();
        check(&record, is_made);
        let mut record = deleted.clone();
        record["userIdentity"]["type"] = kind;
        check(&record, is_deleted);
    }
    check(&without(made, &["recipientAccountId"]), is_made);
    check(&without(deleted, &["recipientAccountId"]), is_deleted);

    // On an IAM user, it acts like any other actor.
    check(
        &member(delete()),
        "Alice = 444455556666/alice: AKIA1 deleted",
    );
}

#[test]
fn only_true_makes_a_session_one_of_root() {
    let role = |assumed: Value| {
        json!({"requestParameters": {"accessKeyId": "AKIA1"}, "userIdentity":
            {"type": "AssumedRole", "sessionContext": {"assumedRoot": assumed}}})
    };
    for assumed in [
        Value::Null,
        json!("false"),
        json!(false),
        json!(""),
        json!({"a": "true"}),
    ] {
        check(&with(delete(), role(assumed)), NO_USER);
    }
    for assumed in [json!("true"), json!(true)] {
        check(
            &with(delete(), role(assumed)),
            "root = 111122223333/<root_account>: AKIA1 deleted",
        );
    }
}

#[test]
fn the_account_of_an_assumed_role_is_never_roots_account() {
    let record = json!({"requestParameters": {"accessKeyId": "AKIA1"}, "userIdentity":
        {"type": "AssumedRole", "accountId": "9", "sessionContext": {"assumedRoot": "true"}}});
    let record = with(without(delete(), &["recipientAccountId"]), record);
    assert!(matches!(read(&record), Err(RecordError::NoAccount(_))));
}

#[test]
fn long_text_is_cut_where_it_is_kept() {
    let mut record = with(create(), json!({"userAgent": "a".repeat(5_000)}));
    record["responseElements"]["accessKey"]["accessKeyId"] = json!("K".repeat(5_000));
    record["responseElements"]["accessKey"]["userName"] = json!("u".repeat(5_000));
    let change = change(&record);
    let (key, _) = change.key_status().unwrap();
    for text in [
        change.actor.user_agent.as_deref().unwrap(),
        key,
        &change.user_name,
    ] {
        assert!(text.len() < MAX_BYTES + 120, "{} bytes", text.len());
    }
}

#[test]
fn the_same_record_twice_is_one_change() {
    for record in [create(), update(), delete(), rename()] {
        assert_eq!(change(&record), change(&record.clone()));
    }
    for time in [
        json!("2024-07-30 21:53:13"),
        json!(1_722_376_393),
        json!(1_722_376_393_000_u64),
    ] {
        let relayed = with(create(), json!({"eventTime": time}));
        assert_eq!(change(&relayed).id, change(&create()).id);
    }
}

#[test]
fn a_constant_event_id_does_not_make_one_change_of_two() {
    let mut other_key = create();
    other_key["responseElements"]["accessKey"]["accessKeyId"] = json!("AKIA2");
    let mut other_user = create();
    other_user["responseElements"]["accessKey"]["userName"] = json!("Carol");
    let mut activated = update();
    activated["requestParameters"]["status"] = json!("Active");
    let mut other_name = rename();
    other_name["requestParameters"]["newUserName"] = json!("Alina");
    let records = [
        create(),
        other_key,
        other_user,
        with(create(), json!({"eventTime": "2024-07-30T21:53:14Z"})),
        with(create(), json!({"recipientAccountId": "2"})),
        update(),
        activated,
        delete(),
        rename(),
        other_name,
    ];
    let ids: std::collections::BTreeSet<String> =
        records.iter().map(|record| change(record).id).collect();
    assert_eq!(ids.len(), records.len());
}

#[test]
fn a_missing_event_id_is_derived_from_the_record() {
    for record in [
        without(create(), &["eventID"]),
        with(create(), json!({"eventID": null})),
        with(create(), json!({"eventID": ""})),
    ] {
        let derived = change(&record);
        assert_eq!(derived.event_id, None);
        assert!(!derived.id.is_empty());
        assert_eq!(derived.id, change(&without(create(), &["eventID"])).id);
        assert_ne!(derived.id, change(&without(delete(), &["eventID"])).id);
    }
    let id = change(&create()).id;
    assert!(
        id.starts_with("11111111-2222-3333-4444-555555555555."),
        "{id}"
    );
}

#[test]
fn a_corrected_copy_names_the_record_that_it_corrects() {
    let record = with(
        create(),
        json!({"eventID": "new", "addendum": {"reason": "UPDATED_DATA", "originalEventID": "old"}}),
    );
    let corrected = change(&record);
    assert_eq!(corrected.corrects.as_deref(), Some("old"));
    assert_eq!(corrected.event_id.as_deref(), Some("new"));
    for addendum in [
        Value::Null,
        json!({}),
        json!("text"),
        json!({"reason": "DELIVERY_DELAY"}),
    ] {
        let record = with(create(), json!({"addendum": addendum}));
        assert_eq!(change(&record).corrects, None);
    }
}

#[test]
fn a_rename_affects_both_names_the_new_one_first() {
    assert_eq!(
        change(&rename()).affected_users(),
        [
            UserId::new("111122223333", "alicia"),
            UserId::new("111122223333", "alice")
        ]
    );
    let mut respelled = rename();
    respelled["requestParameters"]["newUserName"] = json!("ALICE");
    for record in [respelled, create(), update(), delete()] {
        assert_eq!(
            change(&record).affected_users(),
            [UserId::new("111122223333", "alice")]
        );
    }
}

#[test]
fn the_region_is_kept_if_present() {
    assert_eq!(change(&create()).region.as_deref(), Some("us-east-1"));
    assert_eq!(change(&without(create(), &["awsRegion"])).region, None);
}

/// Real records, stored next to a development checkout and not in it.
#[test]
fn records_of_published_attacks_are_read_if_available() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cloudtrail");
    if !folder.is_dir() {
        return;
    }
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut lines = String::new();
    for file in files {
        let records: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for record in records {
            let _ = writeln!(
                lines,
                "{}: {}",
                record["eventName"].as_str().unwrap(),
                words(read(&record))
            );
        }
    }
    expect_test::expect![[r"
        CreateAccessKey: stratus-red-team-backdoor-u-user = 946986569305/stratus-red-team-backdoor-u-user: AKIAL80DWDVKKM0UXEER created Active
        AttachUserPolicy: ignored: not a key change
        CreateAccessKey: malicious-iam-user = 229654561268/malicious-iam-user: AKIAXAFZN8JEPF6L682H created Active
        CreateUser: ignored: not a key change
        GetCallerIdentity: ignored: not a key change
        DeleteLoginProfile: ignored: not a key change
        CreateLoginProfile: ignored: not a key change
    "]]
    .assert_eq(&lines);
}
