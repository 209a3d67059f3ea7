//! What comes out of the sweep queue: the hourly call to look everywhere, or one account's turn.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::detect::user::UserId;
use crate::output::escape::for_json;
use crate::pipeline::message::MessageError;

/// The longest body of a message that names users, in bytes. SQS takes 256 KiB of up to ten messages at once.
const LONGEST_BODY: usize = 24 * 1024;

/// A message that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepMessage {
    /// All accounts are to be looked into.
    All,
    /// One account is.
    Account {
        /// The account's id.
        account: String,
        /// The users that are to be looked at in any case: their findings are open, or somebody promised to.
        users: Vec<UserId>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct QueuedSweep {
    secondkey_sweep: SweepV1,
}

#[derive(Debug, Serialize, Deserialize)]
struct SweepV1 {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<String>,
}

/// Reads a message that is JSON already.
pub fn read_sweep(json: Value) -> Result<SweepMessage, MessageError> {
    let queued: QueuedSweep = serde_json::from_value(json).map_err(MessageError::NotASweep)?;
    let sweep = queued.secondkey_sweep;
    if sweep.version != 1 {
        return Err(MessageError::UnknownVersion(sweep.version));
    }
    Ok(match sweep.account {
        None => SweepMessage::All,
        Some(account) => SweepMessage::Account {
            users: sweep
                .users
                .iter()
                .map(|name| UserId::new(&account, name))
                .collect(),
            account,
        },
    })
}

/// The body of a message that has `account` looked into, and whichever of `users` it has no room for: those are for messages
/// of their own.
#[must_use]
pub fn account_body(account: &str, users: &[UserId]) -> (String, Vec<UserId>) {
    let mut room = LONGEST_BODY;
    let fitting = users
        .iter()
        .take_while(|user| {
            let taken = for_json(&json!(user.name()).to_string()).len() + 1;
            let fits = taken <= room;
            room = room.saturating_sub(taken);
            fits
        })
        .count();
    let (named, left_out) = users.split_at(fitting);
    let queued = QueuedSweep {
        secondkey_sweep: SweepV1 {
            version: 1,
            account: Some(account.to_owned()),
            users: named.iter().map(|user| user.name().to_owned()).collect(),
        },
    };
    (for_json(&json!(queued).to_string()), left_out.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::HOSTILE;

    #[test]
    fn an_accounts_turn_is_read_again_whatever_its_users_are_called() {
        let users: Vec<UserId> = HOSTILE.iter().map(|name| UserId::new("1", name)).collect();
        let mut left = users.clone();
        let mut read = vec![];
        while !left.is_empty() {
            let (body, left_out) = account_body("1", &left);
            assert!(body.len() < LONGEST_BODY + 200, "{} bytes", body.len());
            assert!(left_out.len() < left.len(), "each message takes some");
            match read_sweep(serde_json::from_str(&body).unwrap()).unwrap() {
                SweepMessage::Account { account, users } => {
                    assert_eq!(account, "1");
                    read.extend(users);
                }
                SweepMessage::All => panic!("{body}"),
            }
            left = left_out;
        }
        assert_eq!(read, users);
    }

    #[test]
    fn what_the_schedule_sends_means_all() {
        let sent = json!({"secondkey_sweep": {"version": 1}});
        assert_eq!(read_sweep(sent).unwrap(), SweepMessage::All);
    }

    #[test]
    fn what_is_no_sweep_is_an_error() {
        for other in [json!({}), json!([]), json!({"secondkey_recheck": {}})] {
            let error = read_sweep(other).unwrap_err().to_string();
            assert!(error.contains("is no sweep"), "{error}");
        }
        let newer = json!({"secondkey_sweep": {"version": 2}});
        let error = read_sweep(newer).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
