//! A year of one account, counted by the command and independently by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{ACCOUNT, usage};

const RECORDS: usize = 30_000;

/// User agents and the group of each.
const AGENTS: [(&str, &str); 8] = [
    ("aws-cli/2.15.30 Python/3.11.8 Linux/6.1", "aws-cli/2.x"),
    ("aws-cli/2.1.0 Python/3.7.3", "aws-cli/2.x"),
    ("[aws-cli/1.29.1 Python/3.9]", "aws-cli/1.x"),
    ("Boto3/1.34.11 md/Botocore#1.34.11", "Boto3/1.x"),
    (
        "aws-sdk-rust/1.3.1 os/linux lang/rust/1.80",
        "aws-sdk-rust/1.x",
    ),
    (
        "APN/1.0 HashiCorp/1.0 Terraform/1.5.7 (+https://www.terraform.io)",
        "Terraform/1.x",
    ),
    (
        "cloudformation.amazonaws.com",
        "cloudformation.amazonaws.com",
    ),
    ("", "no user agent"),
];

const CALLS: [(&str, &str); 5] = [
    ("s3.amazonaws.com", "GetObject"),
    ("s3.amazonaws.com", "PutObject"),
    ("ec2.amazonaws.com", "DescribeInstances"),
    ("sts.amazonaws.com", "GetCallerIdentity"),
    ("iam.amazonaws.com", "ListUsers"),
];

/// The records of a year, in order: four users with three keys each, sessions, roles, root.
fn records() -> Vec<Value> {
    let mut rng = fastrand::Rng::with_seed(20_260_101);
    let begin = chrono::DateTime::parse_from_rfc3339("2025-01-01T00:00:00Z").unwrap();
    let step = 365 * 24 * 3600 / i64::try_from(RECORDS).unwrap();
    (0..RECORDS)
        .map(|number| {
            let at = begin + chrono::TimeDelta::seconds(step * i64::try_from(number).unwrap());
            let user = ["Alice", "alice-2", "bob", "ci+deploy@example"][rng.usize(..4)];
            let key = format!(
                "AKIAEXAMPLE{:05}{:04}",
                user.len(),
                rng.usize(..3) + number / 12_000
            );
            let (service, event) = CALLS[rng.usize(..CALLS.len())];
            let (agent, _) = AGENTS[rng.usize(..AGENTS.len())];
            let region = ["eu-west-1", "us-east-1"][rng.usize(..2)];
            let mut record = json!({"eventVersion": "1.11", "eventID": format!("id-{number}"),
                "eventTime": at.format("%Y-%m-%dT%H:%M:%SZ").to_string(), "eventSource": service,
                "eventName": event, "awsRegion": region,
                "sourceIPAddress": format!("198.51.100.{}", rng.usize(..12)), "userAgent": agent,
                "recipientAccountId": ACCOUNT, "requestParameters": {"bucketName": "b"},
                "userIdentity": {"type": "IAMUser", "accountId": ACCOUNT, "userName": user,
                    "arn": format!("arn:aws:iam::{ACCOUNT}:user/{user}"), "accessKeyId": key}});
            match rng.usize(..12) {
                0 => record["errorCode"] = "AccessDenied".into(),
                1 => record["userIdentity"]["accessKeyId"] = key.replace("AKIA", "ASIA").into(),
                2 => record["userIdentity"]["type"] = "AssumedRole".into(),
                3 => record["userIdentity"]["invokedBy"] = "cloudformation.amazonaws.com".into(),
                4 => record["userIdentity"]["userName"] = user.to_uppercase().into(),
                _ => {}
            }
            record
        })
        .collect()
}

/// Writes each month's records in another format.
fn write(records: &[Value], at: &Path) {
    for (number, month) in records.chunks(RECORDS / 12).enumerate() {
        let path = at.join(format!("month-{number:02}"));
        let whole = json!({"Records": month}).to_string();
        let lines: String = month
            .iter()
            .flat_map(|record| [record.to_string(), "\n".to_owned()])
            .collect();
        let bytes = match number % 4 {
            0 => whole.into_bytes(),
            1 => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(whole.as_bytes()).unwrap();
                gzip.finish().unwrap()
            }
            2 => lines.into_bytes(),
            _ => {
                let event = |record: &Value| json!({"CloudTrailEvent": record.to_string()});
                let events: Vec<Value> = month.iter().map(event).collect();
                json!({ "Events": events }).to_string().into_bytes()
            }
        };
        fs::write(path, bytes).unwrap();
    }
}

/// For one consumer of one key: calls, errors, first, last, services and regions.
type Counted = (u64, u64, String, String, BTreeSet<String>, BTreeSet<String>);

fn counted(records: &[Value], name: &str) -> BTreeMap<[String; 3], Counted> {
    let mut all: BTreeMap<[String; 3], Counted> = BTreeMap::new();
    for record in records {
        let text = |place: &str| record.pointer(place).unwrap().as_str().unwrap().to_owned();
        let key = text("/userIdentity/accessKeyId");
        let is_other = text("/userIdentity/type") != "IAMUser"
            || !text("/userIdentity/userName").eq_ignore_ascii_case(name)
            || &key[..4] != "AKIA"
            || record["userIdentity"].get("invokedBy").is_some();
        if is_other {
            continue;
        }
        let agent = text("/userAgent");
        let (_, family) = AGENTS.iter().find(|(whole, _)| *whole == agent).unwrap();
        let at = text("/eventTime");
        let consumer = [key, text("/sourceIPAddress"), (*family).to_owned()];
        let fresh = || {
            (
                0,
                0,
                at.clone(),
                at.clone(),
                BTreeSet::new(),
                BTreeSet::new(),
            )
        };
        let one = all.entry(consumer).or_insert_with(fresh);
        one.0 += 1;
        one.1 += u64::from(record.get("errorCode").is_some());
        one.3 = at;
        one.4.insert(text("/eventSource"));
        one.5.insert(text("/awsRegion"));
    }
    all
}

fn told(document: &Value) -> BTreeMap<[String; 3], Counted> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = |value: &Value| {
        value["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect()
    };
    let mut all = BTreeMap::new();
    for key in document["users"][0]["keys"].as_array().unwrap() {
        for one in key["consumers"].as_array().unwrap() {
            let consumer = [text(&key["id"]), text(&one["source"]), text(&one["client"])];
            let counted = (
                one["calls"].as_u64().unwrap(),
                one["errors"].as_u64().unwrap(),
                text(&one["first_used_at"]),
                text(&one["last_used_at"]),
                names(&one["services"]),
                names(&one["regions"]),
            );
            all.insert(consumer, counted);
        }
    }
    all
}

#[test]
fn usage_of_a_year_equals_an_independent_count() {
    let folder = tempfile::tempdir().unwrap();
    let records = records();
    write(&records, folder.path());
    for name in ["alice", "ci+deploy@example", "BOB"] {
        let said = usage(folder.path(), &[name, ".", "--format", "json"], "");
        let document = said.document();
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert_eq!(document["looked_at"]["records"], RECORDS);
        let expected = counted(&records, name);
        assert!(expected.len() > 200, "{}", expected.len());
        let told = told(&document);
        assert_eq!(told.len(), expected.len());
        for (consumer, counted) in &expected {
            assert_eq!(told.get(consumer), Some(counted), "{consumer:?}");
        }
        // One key selected by its ID gives the same part of the result.
        let key = &expected.keys().next().unwrap()[0];
        let said = usage(folder.path(), &[key, ".", "--format", "json"], "");
        let of_key = expected.iter().filter(|(consumer, _)| consumer[0] == *key);
        let of_key: BTreeMap<_, _> = of_key
            .map(|(name, one)| (name.clone(), one.clone()))
            .collect();
        assert_eq!(self::told(&said.document()), of_key);
    }
}
