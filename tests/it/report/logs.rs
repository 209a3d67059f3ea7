//! CloudTrail logs that lead to any number of findings of every kind.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// How long before now the first finding opens.
const SPAN: TimeDelta = TimeDelta::days(180);

/// The accounts.
const ACCOUNTS: [&str; 3] = ["111122223333", "222233334444", "333344445555"];

/// The records that lead to `count` findings until `now`: one in six is open, some belong to root,
/// some keys were reactivated.
pub(super) fn records(count: usize, now: DateTime<Utc>) -> Vec<Value> {
    let users = (count * 4).div_ceil(5);
    (0..count)
        .flat_map(|number| episode(number, users, count, now))
        .collect()
}

/// Every record of one finding and of the key before it.
fn episode(number: usize, users: usize, count: usize, now: DateTime<Utc>) -> Vec<Value> {
    let index = |number: usize| i32::try_from(number).unwrap();
    let start = now - SPAN + SPAN / index(count) * index(number) + TimeDelta::minutes(1);
    let user = name(number % users);
    let account = ACCOUNTS[number % users % ACCOUNTS.len()];
    // A user who has another finding later has closed this one.
    let is_last = number + users >= count;
    let is_open = is_last && (number % 6 == 5 || number + 1 == count);
    let minutes = [7, 42, 95, 600, 1_300, 2_900, 14_400][number % 7];
    let end = (start + TimeDelta::minutes(minutes)).min(now);
    let keys = [0, 1].map(|key| format!("AKIAEXAMPLE{number:05}{key}"));
    let is_reactivated = number % 11 == 3;
    let (before, maker) = (start - TimeDelta::days(20), maker(number, &user, account));
    let call = |name: &str, key: usize, at: DateTime<Utc>, maker: &Value, status: &str| {
        record(name, &user, account, (&keys[key], status), at, maker)
    };
    let own = json!({"type": "IAMUser", "userName": user, "accountId": account,
        "arn": format!("arn:aws:iam::{account}:user/{user}")});
    let mut records = vec![call("CreateAccessKey", 0, before, &own, "Active")];
    if is_reactivated {
        let early = before - TimeDelta::days(40);
        records.insert(0, call("CreateAccessKey", 1, early, &own, "Active"));
        records.insert(
            1,
            call(
                "UpdateAccessKey",
                1,
                early + TimeDelta::hours(1),
                &own,
                "Inactive",
            ),
        );
        records.push(call("UpdateAccessKey", 1, start, &maker, "Active"));
    } else {
        records.push(call("CreateAccessKey", 1, start, &maker, "Active"));
    }
    if !is_open {
        let closer = if number.is_multiple_of(3) {
            &maker
        } else {
            &own
        };
        let name = if number.is_multiple_of(2) {
            "UpdateAccessKey"
        } else {
            "DeleteAccessKey"
        };
        records.push(call(name, 0, end, closer, "Inactive"));
        for key in [0, 1] {
            if name == "UpdateAccessKey" || key == 1 {
                let later = (end + TimeDelta::hours(1)).min(now);
                records.push(call("DeleteAccessKey", key, later, &own, "Inactive"));
            }
        }
    }
    records
}

fn name(number: usize) -> String {
    let team = [
        "build",
        "deploy",
        "backup",
        "report",
        "billing",
        "data-export",
    ];
    match number % 9 {
        0 => format!("svc-{}-{number:04}", team[number % team.len()]),
        1 => format!("first.last{number}@example.com"),
        2 => format!(
            "{}-with-the-longest-name-that-iam-allows-{number:04}",
            "terraform-runner-of-a-team"
        ),
        _ => format!("user-{number:04}"),
    }
}

/// The actor who made the second key active.
fn maker(number: usize, user: &str, account: &str) -> Value {
    let arn = match number % 5 {
        0 => format!("arn:aws:sts::{account}:assumed-role/Admin/dana"),
        1 => format!(
            "arn:aws:sts::{account}:assumed-role/ci-deploy/run-{}",
            number % 40
        ),
        2 => "arn:aws:sts::999988887777:assumed-role/OrganizationAccountAccessRole/gina".to_owned(),
        _ => format!("arn:aws:iam::{account}:user/{user}"),
    };
    json!({"type": "AssumedRole", "arn": arn, "accountId": account, "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {"attributes": {"mfaAuthenticated": (number.is_multiple_of(2)).to_string()}}})
}

/// A call that CloudTrail recorded.
pub(super) fn record(
    event: &str,
    user: &str,
    account: &str,
    (key, status): (&str, &str),
    at: DateTime<Utc>,
    maker: &Value,
) -> Value {
    json!({
        "eventVersion": "1.11", "eventSource": "iam.amazonaws.com", "eventName": event,
        "eventTime": at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), "awsRegion": "us-east-1",
        "eventID": format!("{event}-{key}-{}", at.timestamp()), "recipientAccountId": account,
        "sourceIPAddress": "198.51.100.24", "userAgent": "aws-cli/2.27.0 md/Botocore#1.38.0 ua/2.1 os/linux",
        "userIdentity": maker,
        "requestParameters": {"userName": user, "accessKeyId": key, "status": status},
        "responseElements": {"accessKey": {"userName": user, "accessKeyId": key, "status": "Active"}},
    })
}
