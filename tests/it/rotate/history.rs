//! A stand-in for CloudTrail's `LookupEvents`, which moto lacks: AWS JSON 1.1, one event per page.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secondkey::aws::event_history::{self, changes_of_key};
use secondkey::detect::keys::listing::KeyStatus::{Active, Inactive};
use serde_json::{Value, json};

use super::front::{serve, write};
use crate::stack::clients::config;
use crate::stack::wiring::ACCOUNT;

/// The event history. It lives as long as the test process.
pub struct History {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<(String, Value)>,
    /// The region, the key that signed, and the record.
    uses: Vec<(String, String, Value)>,
    /// Regions that the account has not enabled.
    disabled: Vec<String>,
    asked_for_uses: u32,
    is_denied: bool,
    throttles: u32,
}

impl History {
    /// Starts a stand-in without events.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let url = serve(move |request, mut client| {
            let state = shared.clone();
            async move {
                let (status, answer) = state.lock().unwrap().answer(&request.head, &request.body);
                let kind = "application/x-amz-json-1.1";
                write(&mut client, status, kind, &answer.to_string()).await
            }
        });
        Self { url, state }
    }

    /// Adds that `key` of `user` was given the status at `at`.
    pub fn add(&self, user: &str, key: &str, status: &str, at: DateTime<Utc>) {
        let asked = json!({"userName": user, "accessKeyId": key, "status": status});
        self.add_call("dana", "UpdateAccessKey", key, &asked, &Value::Null, at);
    }

    /// Adds that dana created `key` for `user` at `at`.
    pub fn add_created(&self, user: &str, key: &str, at: DateTime<Utc>) {
        self.add_created_by("dana", user, key, at);
    }

    /// Adds that the IAM user `actor` created `key` for `user` at `at`.
    pub fn add_created_by(&self, actor: &str, user: &str, key: &str, at: DateTime<Utc>) {
        let answered =
            json!({"accessKey": {"userName": user, "accessKeyId": key, "status": "Active"}});
        let asked = json!({"userName": user});
        self.add_call(actor, "CreateAccessKey", key, &asked, &answered, at);
    }

    fn add_call(
        &self,
        actor: &str,
        name: &str,
        key: &str,
        asked: &Value,
        answered: &Value,
        at: DateTime<Utc>,
    ) {
        let record = json!({
            "eventVersion": "1.11", "eventID": format!("{:032x}", fastrand::u128(..)),
            "eventTime": at.to_rfc3339_opts(SecondsFormat::Secs, true),
            "eventSource": "iam.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
            "recipientAccountId": ACCOUNT, "requestParameters": asked, "responseElements": answered,
            "sourceIPAddress": "198.51.100.7",
            "userIdentity": {"type": "IAMUser", "userName": actor, "accountId": ACCOUNT,
                "arn": format!("arn:aws:iam::{ACCOUNT}:user/{actor}")},
        });
        self.state
            .lock()
            .unwrap()
            .events
            .push((key.to_owned(), record));
    }

    /// Adds that `key` signed the call of `record`, which `region` recorded.
    pub fn add_use(&self, region: &str, key: &str, record: Value) {
        let mut state = self.state.lock().unwrap();
        state.uses.push((region.to_owned(), key.to_owned(), record));
    }

    /// Marks `region` as not enabled.
    pub fn disable(&self, region: &str) {
        self.state.lock().unwrap().disabled.push(region.to_owned());
    }

    /// How many times the uses of a key were requested.
    pub fn asked_for_uses(&self) -> u32 {
        self.state.lock().unwrap().asked_for_uses
    }

    /// Denies all later requests.
    pub fn deny(&self) {
        self.state.lock().unwrap().is_denied = true;
    }

    /// Throttles the next `times` requests.
    pub fn throttle(&self, times: u32) {
        self.state.lock().unwrap().throttles = times;
    }
}

impl State {
    fn answer(&mut self, head: &str, body: &[u8]) -> (u16, Value) {
        let is_lookup = head.contains("CloudTrail_20131101.LookupEvents");
        assert!(is_lookup, "{head}");
        let (_, scope) = head.split_once("Credential=").expect("it is signed");
        let region = scope.split('/').nth(2).unwrap();
        if self.is_denied {
            return (
                400,
                json!({"__type": "AccessDeniedException", "Message": "not authorized"}),
            );
        }
        if self.throttles > 0 {
            self.throttles -= 1;
            return (
                400,
                json!({"__type": "ThrottlingException", "message": "Rate exceeded"}),
            );
        }
        let asked: Value = serde_json::from_slice(body).expect("a request is JSON");
        let attribute = &asked["LookupAttributes"][0];
        if attribute["AttributeKey"] == "AccessKeyId" {
            return self.uses(region, &asked);
        }
        assert_eq!(attribute["AttributeKey"], "ResourceName", "{asked}");
        // Another region would not have IAM's events.
        assert_eq!(region, "us-east-1");
        let of_key: Vec<&Value> = self
            .events
            .iter()
            .filter(|(key, _)| attribute["AttributeValue"] == key.as_str())
            .map(|(_, record)| record)
            .collect();
        let page: usize = asked["NextToken"]
            .as_str()
            .map_or(0, |token| token.parse().unwrap());
        let events: Vec<Value> = of_key
            .get(page)
            .iter()
            .map(|record| json!({"EventName": "UpdateAccessKey", "CloudTrailEvent": record.to_string()}))
            .collect();
        let mut answer = json!({"Events": events});
        if page + 1 < of_key.len() {
            answer["NextToken"] = (page + 1).to_string().into();
        }
        (200, answer)
    }
}

impl State {
    /// The calls of a key in the history of `region`: fifty events per page, newest first.
    fn uses(&mut self, region: &str, asked: &Value) -> (u16, Value) {
        self.asked_for_uses += 1;
        if self.disabled.iter().any(|disabled| disabled == region) {
            let error = json!({"__type": "UnrecognizedClientException", "message": "invalid"});
            return (400, error);
        }
        let key = &asked["LookupAttributes"][0]["AttributeValue"];
        #[allow(clippy::cast_possible_truncation, reason = "these are whole seconds")]
        let time = |name: &str| asked[name].as_f64().map(|seconds| seconds as i64);
        let is_within = |record: &Value| {
            let at: DateTime<Utc> = record["eventTime"].as_str().unwrap().parse().unwrap();
            let at = at.timestamp();
            time("StartTime").is_none_or(|start| start <= at)
                && time("EndTime").is_none_or(|end| at <= end)
        };
        let mut told: Vec<&Value> = self
            .uses
            .iter()
            .filter(|(of, signer, record)| of == region && key == signer && is_within(record))
            .map(|(.., record)| record)
            .collect();
        told.sort_by_key(|record| std::cmp::Reverse(record["eventTime"].as_str()));
        let page: usize = asked["NextToken"]
            .as_str()
            .map_or(0, |token| token.parse().unwrap());
        let mut pages = told.chunks(50).skip(page);
        let event = |record: &&Value| {
            let resources =
                json!([{"ResourceType": "AWS::S3::Bucket", "ResourceName": "bucket-1"}]);
            json!({"CloudTrailEvent": record.to_string(), "Resources": resources})
        };
        let events: Vec<Value> = pages.next().unwrap_or_default().iter().map(event).collect();
        let mut answer = json!({"Events": events});
        if pages.next().is_some() {
            answer["NextToken"] = (page + 1).to_string().into();
        }
        (200, answer)
    }
}

#[tokio::test]
async fn the_history_of_a_key_is_read_to_its_end_the_newest_first() {
    let history = History::start();
    let config = config(&history.url).await;
    // Wherever the command runs, IAM's events are in one region.
    let elsewhere = aws_config::Region::new("eu-central-1");
    let config = config.to_builder().region(elsewhere).build();
    let at = |minute: i64| Utc::now() - TimeDelta::minutes(minute);
    for (key, status, minute) in [
        ("AKIA1", "Inactive", 30),
        ("AKIA1", "Active", 20),
        ("AKIA2", "Active", 15),
        ("AKIA1", "Inactive", 10),
    ] {
        history.add("alice", key, status, at(minute));
    }
    history.throttle(3);
    let event_history::EventHistory::Told(changes) =
        changes_of_key(&config, ACCOUNT, "AKIA1").await.unwrap()
    else {
        panic!("the call was not refused");
    };
    let told: Vec<_> = changes
        .iter()
        .filter_map(|change| change.key_status())
        .collect();
    assert_eq!(
        told,
        [("AKIA1", Inactive), ("AKIA1", Active), ("AKIA1", Inactive)]
    );
    assert_eq!(changes[0].actor.name.as_deref(), Some("dana"));

    // As many events as are read, and one more. That one could be the change.
    let read = json!({"accessKeyId": "AKIA3"});
    for number in 0..20 {
        let at = at(number);
        history.add_call(
            "dana",
            "GetAccessKeyLastUsed",
            "AKIA3",
            &read,
            &Value::Null,
            at,
        );
    }
    let whole = changes_of_key(&config, ACCOUNT, "AKIA3").await.unwrap();
    assert_eq!(whole, event_history::EventHistory::Told(vec![]));
    history.add("alice", "AKIA3", "Inactive", at(30));
    let cut = changes_of_key(&config, ACCOUNT, "AKIA3").await.unwrap();
    let event_history::EventHistory::Refused(why) = cut else {
        panic!("not all of it was read");
    };
    assert!(why.contains("more than 20 pages"), "{why}");

    history.deny();
    let refused = changes_of_key(&config, ACCOUNT, "AKIA1").await.unwrap();
    let event_history::EventHistory::Refused(why) = refused else {
        panic!("it is refused");
    };
    assert!(
        why.starts_with("cloudtrail:LookupEvents failed: access denied"),
        "{why}"
    );
}
