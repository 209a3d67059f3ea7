//! The messages of the sweep queue: the hourly sweep of all accounts, or the sweep of one account.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::detect::user::UserId;
use crate::output::escape::for_json;
use crate::pipeline::message::MessageError;

/// The maximum body of a message that names users, in bytes. SQS limits up to ten messages together
/// to 256 KiB.
const MAX_BODY_BYTES: usize = 24 * 1024;

/// A readable message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SweepMessage {
    /// Sweep all accounts.
    All,
    /// Sweep one account.
    Account {
        /// The account's id.
        account: String,
        /// The users to check in any case: those with open findings or a scheduled re-check.
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

/// Reads a message that has been parsed as JSON.
pub(crate) fn read_sweep(json: Value) -> Result<SweepMessage, MessageError> {
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

/// The body of a message that requests a sweep of `account`, and those of `users` that did not fit
/// and need messages of their own.
#[must_use]
pub(crate) fn account_sweep_body(account: &str, users: &[UserId]) -> (String, Vec<UserId>) {
    let mut room = MAX_BODY_BYTES;
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
    fn account_sweep_with_any_user_names_is_read_back() {
        let users: Vec<UserId> = HOSTILE.iter().map(|name| UserId::new("1", name)).collect();
        let mut left = users.clone();
        let mut read = vec![];
        while !left.is_empty() {
            let (body, left_out) = account_sweep_body("1", &left);
            assert!(body.len() < MAX_BODY_BYTES + 200, "{} bytes", body.len());
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
    fn the_schedules_message_means_all_accounts() {
        let sent = json!({"secondkey_sweep": {"version": 1}});
        assert_eq!(read_sweep(sent).unwrap(), SweepMessage::All);
    }

    #[test]
    fn other_messages_are_no_sweeps() {
        for other in [json!({}), json!([]), json!({"secondkey_recheck": {}})] {
            let error = read_sweep(other).unwrap_err().to_string();
            assert!(error.contains("is not a sweep message"), "{error}");
        }
        let newer = json!({"secondkey_sweep": {"version": 2}});
        let error = read_sweep(newer).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
