//! What SNS and EventBridge receive about a finding in DynamoDB, with the real sinks and the real
//! store.

use std::sync::Arc;

use chrono::TimeDelta;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::aws::eventbridge::EventBridgeSink;
use secondkey::aws::sns::SnsSink;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::events::key_change::KeyChange;
use secondkey::detect::events::text::{bounded, sha256_hex};
use secondkey::local::ledger::Ledger;
use secondkey::output::asff::{self, SecurityHubTarget};
use secondkey::output::invocation::Invocation;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use secondkey::pipeline::message::{Message, read_message, recheck_body};
use secondkey::pipeline::recheck::{Dependencies, RecheckRequest, recheck};
use serde_json::{Value, json};

use super::{Outputs, record, story};
use crate::hostile_texts::first_link;
use crate::stack::clients::{REGION, config};
use crate::stack::proxy::Proxy;
use crate::stack::stack;

/// The largest message that SNS, SQS and EventBridge each accept, in bytes.
const MAX_MESSAGE_CHARS: usize = 256 * 1024;

/// The largest finding that Security Hub accepts, in bytes.
const MAX_FINDING_CHARS: usize = 240_000;

/// How many keys a user creates and deletes in turn, to fill the record.
pub(super) const MANY_KEYS: u32 = 12;

/// A table, and sinks whose requests are recorded on their way to the servers.
pub(super) struct Sinks {
    store: Arc<DynamoDbStore>,
    table: String,
    proxy: Proxy,
    topic_arn: String,
    dynamodb_url: String,
}

/// What was sent for one text.
pub(super) struct Sent {
    /// The subjects and messages for SNS, each message by protocol.
    published: Vec<(String, Value)>,
    /// The entries for EventBridge.
    put: Vec<Value>,
    /// The re-check of the user.
    recheck: String,
}

impl Sinks {
    pub(super) async fn new() -> Self {
        let stack = stack().await;
        let (client, table) = crate::table::new_table().await;
        let sns = aws_sdk_sns::Client::new(&config(&stack.moto_url).await);
        let topic = sns.create_topic().name("hostile").send().await.unwrap();
        Self {
            store: Arc::new(DynamoDbStore::new(client, table.clone())),
            table,
            proxy: Proxy::start(&stack.moto_url),
            topic_arn: topic.topic_arn.unwrap(),
            dynamodb_url: stack.dynamodb_url.clone(),
        }
    }

    /// Runs a story of a user called `text`, who has `more_keys` afterwards, through the pipeline
    /// into the table. Returns what was sent.
    pub(super) async fn sent(&self, text: &str, more_keys: u32) -> Sent {
        let config = config(&self.proxy.url).await;
        let ledger = Arc::new(Ledger::new(std::collections::BTreeMap::new()));
        let parts = Dependencies {
            store: self.store.clone(),
            keys: ledger.clone(),
            sinks: vec![
                Box::new(SnsSink::new(
                    aws_sdk_sns::Client::new(&config),
                    self.topic_arn.clone(),
                    Invocation::deployed("secondkey", Some(REGION)),
                )),
                Box::new(EventBridgeSink::new(
                    aws_sdk_eventbridge::Client::new(&config),
                    "default".to_owned(),
                )),
            ],
            policy: Policy {
                consistency_window: TimeDelta::zero(),
                ..Policy::default()
            },
        };
        let changes: Vec<KeyChange> = story(text, text, 0)
            .into_iter()
            .chain((3..3 + more_keys).flat_map(|key| {
                let second = 2 * key;
                [
                    record("CreateAccessKey", text, key, second, text),
                    record("DeleteAccessKey", text, key, second + 1, text),
                ]
            }))
            .map(|record| change(&record))
            .collect();
        let user = changes[0].user.clone();
        for change in changes {
            ledger.apply(&change);
            let at = change.at;
            let request = RecheckRequest {
                changes: vec![change],
                ..RecheckRequest::default()
            };
            recheck(&parts, &user, &request, at).await.unwrap();
        }
        assert_eq!(
            self.store.pending_alerts(&user).await,
            Ok(vec![]),
            "all was taken: {text:.100}"
        );
        let trail = self.store.history(&user).await.unwrap();
        let agent = &trail[0].draft.details["user_agent"];
        assert_eq!(*agent, bounded(text));
        assert!(agent.len() < 1_200, "what is kept is bounded");
        let hash = sha256_hex(text.as_bytes());
        assert!(
            agent == text || agent.contains(&hash),
            "and has the hash of what was cut"
        );

        let mut sent = Sent {
            published: vec![],
            put: vec![],
            recheck: recheck_body(&user),
        };
        for body in self.proxy.take_bodies() {
            if let Ok(Value::Object(events)) = serde_json::from_str(&body) {
                sent.put
                    .extend(events["Entries"].as_array().unwrap().iter().cloned());
                continue;
            }
            let field = |name: &str| {
                form_field(&body, name).unwrap_or_else(|| panic!("{name}: {body:.500}"))
            };
            assert!(field("Message").len() < MAX_MESSAGE_CHARS);
            let message = serde_json::from_str(&field("Message")).unwrap();
            sent.published.push((field("Subject"), message));
        }
        sent
    }

    /// Checks the table with the command line, after it contains every text.
    pub(super) fn check_command_line(&self, outputs: &mut Outputs) {
        for (name, exit, args) in [
            // All of them are closed.
            ("findings of a table", 0, &["findings", "--all"][..]),
            (
                "findings of a table, json",
                0,
                &["findings", "--all", "--format", "json"],
            ),
            (
                "findings of a table, csv",
                0,
                &["findings", "--all", "--format", "csv"],
            ),
            (
                "findings of a table, asff",
                0,
                &["findings", "--all", "--format", "asff"],
            ),
            (
                "findings of a table, ocsf",
                0,
                &["findings", "--all", "--format", "ocsf"],
            ),
            ("verify of a table", 0, &["verify"]),
        ] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_secondkey"))
                .args(args)
                .args(["--table", &self.table, "--region", REGION])
                .env("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb_url)
                .env("AWS_ACCESS_KEY_ID", "AKIATEST")
                .env("AWS_SECRET_ACCESS_KEY", "secret")
                .output()
                .unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), stderr.as_str()), (Some(exit), ""));
            outputs.check(name, &stdout);
        }
    }
}

/// Compares what was sent for a hostile text with what is sent for a harmless one.
pub(super) fn check(outputs: &mut Outputs, sent: &Sent, harmless: &Sent) {
    assert_eq!(sent.published.len(), harmless.published.len());
    assert_eq!(sent.put.len(), harmless.put.len());
    assert!(!sent.put.is_empty() && !sent.published.is_empty());
    for ((subject, message), (_, expected)) in sent.published.iter().zip(&harmless.published) {
        outputs.check("SNS subject", subject);
        let is_printable = subject.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        assert!(is_printable && subject.len() < 100, "{subject}");
        let text = |message: &Value, protocol: &str| message[protocol].as_str().unwrap().to_owned();
        let protocols: Vec<&String> = message.as_object().unwrap().keys().collect();
        assert_eq!(protocols, ["default", "email", "https", "sms"]);
        outputs.check_lines(
            "SNS e-mail",
            &text(message, "email"),
            &text(expected, "email"),
        );
        outputs.check("SNS text message", &text(message, "sms"));
        let email = text(message, "email");
        let is_command =
            |line: &&str| line.contains("aws iam ") || line.contains("secondkey verify ");
        let words = email.lines().filter(|line| !is_command(line));
        for line in words.chain([text(message, "sms").as_str()]) {
            assert_eq!(first_link(line), None, "{line}");
        }
        for protocol in ["default", "https"] {
            let line = text(message, protocol);
            outputs.check(&format!("SNS {protocol}"), &line);
            assert!(!line.contains('\n') && serde_json::from_str::<Value>(&line).is_ok());
        }
        let chat: Value = serde_json::from_str(&text(message, "https")).unwrap();
        let shown = chat["content"]["description"].as_str().unwrap();
        assert!(!shown.contains(['<', '>', '&']), "{shown}");
        let outside: String = shown.split('`').step_by(2).collect();
        assert!(!outside.contains(['@', '*', '[', '$']), "{shown}");
    }
    check_sizes(outputs, sent);
}

/// Checks that the services accept what was sent.
pub(super) fn check_sizes(outputs: &mut Outputs, sent: &Sent) {
    for (_, message) in &sent.published {
        assert!(message.to_string().len() < MAX_MESSAGE_CHARS);
    }
    for entry in &sent.put {
        let detail = entry["Detail"].as_str().unwrap();
        outputs.check("EventBridge detail", detail);
        outputs.check("EventBridge entry", &entry.to_string());
        assert!(!detail.contains('\n') && entry.to_string().len() < MAX_MESSAGE_CHARS);
        let alert: Value = serde_json::from_str(detail).unwrap();
        let hub = SecurityHubTarget {
            account: "123456789012".to_owned(),
            region: REGION.to_owned(),
        };
        let finding = serde_json::to_string(&asff::finding(&alert, &hub).unwrap()).unwrap();
        outputs.check("Security Hub finding", &finding);
        assert!(!finding.contains('\n') && finding.len() < MAX_FINDING_CHARS);
    }
    outputs.check("SQS re-check", &sent.recheck);
    assert!(sent.recheck.len() < MAX_MESSAGE_CHARS);
}

/// The change in `record`, as the detector receives it.
fn change(record: &Value) -> KeyChange {
    let event = json!({
        "version": "0", "id": "1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam",
        "time": "2024-01-01T00:00:00Z", "region": REGION, "resources": [], "detail": record,
    });
    match read_message(&event.to_string(), None) {
        Ok(Message::Change(change)) => *change,
        other => panic!("{other:?}"),
    }
}

/// The field `name` of an HTML form.
fn form_field(form: &str, name: &str) -> Option<String> {
    let value = form
        .split('&')
        .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = vec![];
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}
