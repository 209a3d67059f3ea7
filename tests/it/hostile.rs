//! Hostile text in every field of an event, and what leaves the process: the output of the real
//! binary, the requests that sinks send to servers, and the documents for other programs.

mod aws;
mod command_line;
mod documents;
mod live;
mod sinks;

use std::collections::BTreeSet;
use std::io::Write;

use secondkey::detect::events::text::MAX_BYTES;
use serde_json::{Value, json};

use crate::hostile_texts::{HOSTILE_TEXTS, first_unseen};

/// A harmless text for comparison.
const HARMLESS: &str = "harmless";

/// The outputs that were checked.
#[derive(Default)]
struct Outputs(BTreeSet<String>);

impl Outputs {
    /// Checks that `shown`, the whole output `name`, contains no hidden character.
    #[track_caller]
    fn check(&mut self, name: &str, shown: &str) {
        if !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
        let unseen = first_unseen(shown);
        assert_eq!(
            unseen,
            None,
            "{name}: {:.2000}",
            shown.escape_debug().to_string()
        );
    }

    /// The same for lines for people: each has a readable length and begins as it does with
    /// harmless text.
    #[track_caller]
    fn check_lines(&mut self, name: &str, shown: &str, harmless: &str) {
        self.check(name, shown);
        let (lines, expected): (Vec<&str>, Vec<&str>) =
            (shown.lines().collect(), harmless.lines().collect());
        assert_eq!(lines.len(), expected.len(), "{name}: {shown}");
        for (line, expected) in lines.into_iter().zip(expected) {
            let expected = &without_hash(expected);
            assert!(line.chars().count() <= 2_000, "{name}: {line}");
            let shared = expected.split(HARMLESS).next().unwrap_or_default();
            // A command may be quoted, or missing for a name that cannot be pasted safely.
            let command = ["aws iam ", "aws cloudtrail ", "secondkey "]
                .iter()
                .find_map(|command| shared.find(command));
            let is_command = command.is_some();
            let begins =
                shared[..command.unwrap_or(shared.len())].trim_end_matches(['0', '1', '2', '`']);
            assert!(line.starts_with(begins), "{name}: `{begins}`: {line}");
            assert!(
                expected.contains(HARMLESS) || is_command || line == expected,
                "{name}: {line}"
            );
        }
    }
}

/// `line` with a fixed text in place of a hash, which differs between runs.
fn without_hash(line: &str) -> String {
    let is_hash =
        |word: &&str| word.len() == 64 && word.chars().all(|digit| digit.is_ascii_hexdigit());
    match line.split(' ').find(is_hash) {
        Some(hash) => line.replace(hash, HARMLESS),
        None => line.to_owned(),
    }
}

/// The longest text in every field but one, in characters. A record in a log may have 8 MiB.
const LONGEST_IN_RECORD: usize = 2_000;

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_IN_RECORD).collect()
}

/// A call of `event` on key number `key` of `user`, with `text` in every field that a caller can
/// choose. The user agent is `text` in full, because the caller sets it freely.
fn record(event: &str, user: &str, key: u32, second: u32, text: &str) -> Value {
    let (user, user_agent, text) = (cut(user), text, cut(text));
    let key = format!("{key:02}{text}");
    json!({
        "eventVersion": text, "eventSource": "iam.amazonaws.com", "eventName": event,
        "eventTime": format!("2024-01-01T00:00:{second:02}Z"),
        "eventID": format!("{second}{text}"), "awsRegion": text, "recipientAccountId": text,
        "sourceIPAddress": text, "userAgent": user_agent, "errorMessage": text, "requestID": text, "eventType": text,
        "addendum": {"reason": text, "originalEventID": text},
        "sessionCredentialFromConsole": text,
        "userIdentity": {"type": text, "userName": text, "arn": text, "accountId": text, "accessKeyId": text,
            "invokedBy": text, "principalId": text, "sessionContext": {"attributes": {"mfaAuthenticated": text}}},
        "requestParameters": {"userName": user, "accessKeyId": key, "status": "Inactive", "newUserName": null},
        "responseElements": {"accessKey": {"userName": user, "accessKeyId": key, "status": "Active", "createDate": text}},
    })
}

/// A call signed by key number `key` of `user`, with `text` in every field that a caller can
/// choose.
fn used(user: &str, key: u32, second: u32, text: &str) -> Value {
    let mut record = record(&format!("x{}", cut(text)), user, key, second, text);
    record["eventID"] = format!("used {second}").into();
    record["userIdentity"] = json!({"type": "IAMUser", "userName": user, "accountId": "111122223333",
        "arn": cut(text), "accessKeyId": format!("AKIAHOSTILE00000000{key}")});
    record["resources"] = json!([{"ARN": cut(text), "type": cut(text)}]);
    record
}

/// The records that open and close a finding of `user`.
pub(crate) fn story(user: &str, text: &str, from: u32) -> [Value; 3] {
    [
        record("CreateAccessKey", user, 1, from, text),
        record("CreateAccessKey", user, 2, from + 1, text),
        record("UpdateAccessKey", user, 1, from + 2, text),
    ]
}

#[tokio::test]
async fn every_output_escapes_hostile_text() {
    let mut outputs = Outputs::default();
    // Its commands spend half of their time waiting for answers.
    let live = tokio::task::spawn_blocking(live::check_all);
    let sinks = sinks::Sinks::new().await;
    let harmless = command_line::Said::of(HARMLESS);
    let harmless_sent = sinks.sent(HARMLESS, 0).await;
    for hostile in HOSTILE_TEXTS.iter() {
        command_line::check(&mut outputs, &hostile.text, &harmless);
        documents::check(&mut outputs, &hostile.text);
        sinks::check(
            &mut outputs,
            &sinks.sent(&hostile.text, 0).await,
            &harmless_sent,
        );
    }
    // The table must accept any record: DynamoDB refuses an item of over 400 KB.
    let long = HOSTILE_TEXTS
        .iter()
        .filter(|hostile| hostile.text.len() > MAX_BYTES);
    for hostile in long {
        let sent = sinks
            .sent(&format!("!{}", hostile.text), sinks::MANY_KEYS)
            .await;
        sinks::check_sizes(&mut outputs, &sent);
    }
    sinks.check_command_line(&mut outputs);
    outputs.0.extend(live.await.unwrap().0);
    let (texts, outputs) = (HOSTILE_TEXTS.len(), outputs.0.len());
    writeln!(
        std::io::stdout(),
        "hostile: {texts} texts, {outputs} outputs, 0 let through"
    )
    .unwrap();
}
