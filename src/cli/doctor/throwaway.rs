//! A throw-away IAM user with two keys, and getting rid of it whatever happened.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::StatusType;

use crate::cli::doctor::check::{Asked, Check, Unasked, Why};
use crate::output::shell::quoted;

/// What IAM says of what is not there, or not yet.
const MISSING: &str = "NoSuchEntity";

/// How often a call is tried that IAM's own lag may make fail.
const TRIES: u32 = 6;

/// How long between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// The user. What was made is remembered here, so that it is known what to remove.
#[derive(Debug)]
pub(super) struct Throwaway {
    client: Client,
    name: String,
    /// Whether the user may be there.
    may_exist: bool,
    /// The keys that are there.
    keys: BTreeSet<String>,
}

impl Throwaway {
    /// A user with a name that nobody has; nothing is made yet.
    #[must_use]
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            name: format!("secondkey-probe-{:016x}", fastrand::u64(..)),
            may_exist: false,
            keys: BTreeSet::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the user.
    pub(super) async fn create(&mut self) -> Asked<()> {
        // Even a call that failed may have been done.
        self.may_exist = true;
        let made = self.client.create_user().user_name(&self.name).send().await;
        made.map(drop).map_err(|error| {
            let unasked = Unasked::of("iam:CreateUser", &error);
            self.may_exist = unasked.why != Why::Denied;
            unasked
        })
    }

    /// Makes a key. Its secret is dropped at once.
    pub(super) async fn create_key(&mut self) -> Asked<()> {
        for tries_left in (0..TRIES).rev() {
            let made = self
                .client
                .create_access_key()
                .user_name(&self.name)
                .send()
                .await;
            match made {
                Ok(answer) => {
                    let id = answer.access_key.map(|key| key.access_key_id);
                    self.keys.extend(id);
                    return Ok(());
                }
                // IAM may not know the new user everywhere yet.
                Err(error) if error.code() == Some(MISSING) && tries_left > 0 => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(Unasked::of("iam:CreateAccessKey", &error)),
            }
        }
        Ok(())
    }

    /// Deactivates and deletes the keys and the user, and tries again where that fails.
    pub(super) async fn remove(&mut self) -> Asked<()> {
        let mut times_missing = 0;
        for tries_left in (0..TRIES).rev() {
            if !self.may_exist {
                return Ok(());
            }
            match self.try_to_remove().await {
                Ok(true) => self.may_exist = false,
                // It is gone already, or IAM does not know it everywhere yet; so ask twice.
                Ok(false) => {
                    times_missing += 1;
                    self.may_exist = times_missing < 2;
                }
                Err(unasked) if tries_left == 0 => return Err(unasked),
                Err(_) => (),
            }
            if self.may_exist {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Removes all that is there; tells whether the user was.
    async fn try_to_remove(&mut self) -> Asked<bool> {
        let listed = self
            .client
            .list_access_keys()
            .user_name(&self.name)
            .send()
            .await;
        match listed {
            // A key whose making was answered by an error may be there all the same.
            Ok(answer) => self.keys.extend(
                answer
                    .access_key_metadata
                    .into_iter()
                    .filter_map(|key| key.access_key_id),
            ),
            Err(error) if error.code() == Some(MISSING) => (),
            Err(error) if self.keys.is_empty() => {
                return Err(Unasked::of("iam:ListAccessKeys", &error));
            }
            // What is remembered can be removed all the same.
            Err(_) => (),
        }
        // Both before either is deleted: a key that stays is then of no use to anybody.
        for key in &self.keys {
            // What goes wrong here goes wrong below too, where it is told.
            let _ = self
                .client
                .update_access_key()
                .user_name(&self.name)
                .access_key_id(key)
                .status(StatusType::Inactive)
                .send()
                .await;
        }
        for key in self.keys.clone() {
            let deleted = self
                .client
                .delete_access_key()
                .user_name(&self.name)
                .access_key_id(&key)
                .send()
                .await;
            match deleted {
                Ok(_) => (),
                Err(error) if error.code() == Some(MISSING) => (),
                Err(error) => return Err(Unasked::of("iam:DeleteAccessKey", &error)),
            }
            self.keys.remove(&key);
        }
        match self.client.delete_user().user_name(&self.name).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(MISSING) => Ok(false),
            Err(error) => Err(Unasked::of("iam:DeleteUser", &error)),
        }
    }

    /// What `removed` came to: what is left, and the commands that remove it.
    #[must_use]
    pub(super) fn judge(&self, removed: &Asked<()>) -> Check {
        judge_removal(&self.name, &self.keys, removed)
    }
}

/// What is left after the removal of the user `name`, of whom `keys` are left.
#[must_use]
pub(super) fn judge_removal(name: &str, keys: &BTreeSet<String>, removed: &Asked<()>) -> Check {
    let what = "live probe: clean-up";
    let Err(unasked) = removed else {
        return Check::ok(what, format!("the user {name} and its keys are deleted"));
    };
    let user = quoted(name);
    let mut commands: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                "aws iam delete-access-key --user-name {user} --access-key-id {}",
                quoted(key)
            )
        })
        .collect();
    if keys.is_empty() {
        commands.push(format!("aws iam list-access-keys --user-name {user}"));
    }
    commands.push(format!("aws iam delete-user --user-name {user}"));
    let left = if keys.is_empty() {
        String::new()
    } else {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        format!(" with the keys {}", keys.join(", "))
    };
    Check::failed(
        what,
        format!("THE USER {name} IS LEFT{left}: {}", unasked.text),
        commands.join(" && "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    #[test]
    fn what_is_left_is_told_with_the_commands_that_remove_it() {
        let failed = Err(Unasked {
            why: Why::Denied,
            permission: "iam:DeleteAccessKey",
            text: "access denied".to_owned(),
        });
        let keys = BTreeSet::from(["AKIA1".to_owned(), "AKIA2".to_owned()]);
        let check = judge_removal("secondkey-probe-1", &keys, &failed);
        assert_eq!(check.state, State::Failed);
        assert!(
            check
                .found
                .contains("secondkey-probe-1 IS LEFT with the keys AKIA1, AKIA2")
        );
        assert_eq!(
            check.mend.unwrap(),
            "aws iam delete-access-key --user-name secondkey-probe-1 --access-key-id AKIA1 && \
             aws iam delete-access-key --user-name secondkey-probe-1 --access-key-id AKIA2 && \
             aws iam delete-user --user-name secondkey-probe-1"
        );
        let unknown = judge_removal("secondkey-probe-1", &BTreeSet::new(), &failed);
        assert!(
            unknown
                .mend
                .unwrap()
                .starts_with("aws iam list-access-keys")
        );
        assert_eq!(
            judge_removal("x", &BTreeSet::new(), &Ok(())).state,
            State::Ok
        );
    }
}
