//! A message of the changes queue, alone and in a batch.

#![no_main]

use chrono::DateTime;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use secondkey::detect::user::UserId;
use secondkey::pipeline::message::{Message, read_message, recheck_body};
use secondkey_fuzz::{change, mutate};

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
        Ok(Message::Recheck(user)) => check_recheck(&user),
        Ok(Message::Ignored(_)) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// A queued re-check comes back as the user it was queued for.
fn check_recheck(user: &UserId) {
    match read_message(&recheck_body(user), None) {
        Ok(Message::Recheck(again)) => assert_eq!(again, *user),
        other => panic!("{other:?}"),
    }
}
