//! A message of the changes queue, alone and in a batch.

#![no_main]

use chrono::DateTime;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use secondkey::detect::user::UserId;
use secondkey::pipeline::message::{Message, read_event, read_message, recheck_body};
use secondkey::pipeline::payload::read_payload;
use secondkey_fuzz::{change, mutate};
use serde_json::{Value, json};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::mutate(data, size, max_size, seed, false)
});

fuzz_target!(|data: &[u8]| {
    let Ok(body) = std::str::from_utf8(data) else {
        return;
    };
    let sent_at = DateTime::from_timestamp(1_720_000_000, 0);
    match read_message(body, sent_at) {
        Ok(Message::Change(found)) => {
            change::check(&found);
            assert!(Some(found.at) <= sent_at);
            found.affected_users().iter().for_each(check_recheck);
        }
        Ok(Message::Incomplete(incomplete)) => {
            assert!(!incomplete.users.is_empty());
            incomplete.users.iter().for_each(check_recheck);
        }
        Ok(Message::Leaked(report)) => {
            assert!(Some(report.at) <= sent_at && !report.keys.is_empty());
            for key in &report.keys {
                change::check(&report.change(key, "alice"));
            }
        }
        Ok(Message::Recheck(user)) => check_recheck(&user),
        Ok(Message::Probe(_) | Message::Ignored(_)) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    check_batch(body);
    if let Ok(payload) = serde_json::from_str(body) {
        check_payload(payload);
    }
});

/// In a batch a message has the same meaning as alone, whatever the other messages are.
fn check_batch(body: &str) {
    let sqs = |id: &str, body: &str, count: u8| {
        let attributes = json!({
            "SentTimestamp": "1720000000000",
            "ApproximateReceiveCount": count.to_string(),
        });
        json!({"messageId": id, "body": body, "attributes": attributes})
    };
    let records = [sqs("a", body, 1), sqs("b", "no JSON", 1), sqs("c", body, 2)];
    let sent_at = DateTime::from_timestamp(1_720_000_000, 0);
    let batch = read_payload(json!({ "Records": records }), DateTime::UNIX_EPOCH).unwrap();
    assert!(batch.is_batch);
    let [first, broken, second] = batch.messages.as_slice() else {
        panic!("{batch:?}");
    };
    assert_eq!((first.id.as_str(), first.is_retry), ("a", false));
    assert_eq!((second.id.as_str(), second.is_retry), ("c", true));
    assert!(broken.id == "b" && broken.message.is_err());
    let alone = format!("{:?}", read_message(body, sent_at));
    for message in [&first.message, &second.message] {
        assert_eq!(format!("{message:?}"), alone);
    }
}

/// Whatever the payload, each of its messages is answered.
fn check_payload(payload: Value) {
    let now = DateTime::from_timestamp(1_720_000_000, 0).unwrap();
    let count = payload
        .get("Records")
        .and_then(Value::as_array)
        .map(Vec::len);
    match read_payload(payload.clone(), now) {
        Ok(read) if read.is_batch => assert_eq!(Some(read.messages.len()), count),
        Ok(read) => {
            assert_eq!((count, read.messages.len()), (None, 1));
            let alone = format!("{:?}", read_event(payload, Some(now)));
            assert_eq!(format!("{:?}", read.messages[0].message), alone);
        }
        Err(_) => assert!(count.is_some()),
    }
}

/// A queued re-check is read back as the user it was queued for.
fn check_recheck(user: &UserId) {
    match read_message(&recheck_body(user), None) {
        Ok(Message::Recheck(again)) => assert_eq!(again, *user),
        other => panic!("{other:?}"),
    }
}
