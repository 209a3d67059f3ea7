//! A temporary IAM user with two keys, which is removed in any case.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::StatusType;

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryErrorKind, QueryResult};
use crate::output::shell::quoted;

/// IAM's error code for something that does not exist, or not yet.
const MISSING: &str = "NoSuchEntity";

/// How many times to try a call that may fail because IAM is eventually consistent.
const TRIES: u32 = 6;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// The user. It remembers what was created and must be removed.
#[derive(Debug)]
pub(super) struct Throwaway {
    client: Client,
    name: String,
    /// Whether the user may exist.
    may_exist: bool,
    /// The keys that exist.
    keys: BTreeSet<String>,
}

impl Throwaway {
    /// A user with a random name. Does not create it yet.
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

    /// Creates the user.
    pub(super) async fn create(&mut self) -> QueryResult<()> {
        // A call that failed may still have created the user.
        self.may_exist = true;
        let made = self.client.create_user().user_name(&self.name).send().await;
        made.map(drop).map_err(|error| {
            let error = QueryError::of("iam:CreateUser", &error);
            self.may_exist = error.kind != QueryErrorKind::Denied;
            error
        })
    }

    /// Creates a key and drops its secret.
    pub(super) async fn create_key(&mut self) -> QueryResult<()> {
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
                // IAM is eventually consistent and may not find the new user yet.
                Err(error) if error.code() == Some(MISSING) && tries_left > 0 => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(QueryError::of("iam:CreateAccessKey", &error)),
            }
        }
        Ok(())
    }

    /// Deletes the keys and the user. Retries failures.
    pub(super) async fn remove(&mut self) -> QueryResult<()> {
        let mut times_missing = 0;
        for tries_left in (0..TRIES).rev() {
            if !self.may_exist {
                return Ok(());
            }
            match self.try_to_remove().await {
                Ok(true) => self.may_exist = false,
                // Either the user does not exist, or IAM does not find it yet. Ask twice to be sure.
                Ok(false) => {
                    times_missing += 1;
                    self.may_exist = times_missing < 2;
                }
                Err(error) if tries_left == 0 => return Err(error),
                Err(_) => (),
            }
            if self.may_exist {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Removes the keys and the user. Returns whether the user existed.
    async fn try_to_remove(&mut self) -> QueryResult<bool> {
        let listed = self
            .client
            .list_access_keys()
            .user_name(&self.name)
            .send()
            .await;
        match listed {
            // A creation that returned an error may still have created a key.
            Ok(answer) => self.keys.extend(
                answer
                    .access_key_metadata
                    .into_iter()
                    .filter_map(|key| key.access_key_id),
            ),
            Err(error) if error.code() == Some(MISSING) => (),
            Err(error) if self.keys.is_empty() => {
                return Err(QueryError::of("iam:ListAccessKeys", &error));
            }
            // The keys that are remembered can still be removed.
            Err(_) => (),
        }
        // Deactivate both before deleting: if a key cannot be deleted, it is at least unusable.
        for key in &self.keys {
            // An error here occurs again below, where it is reported.
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
                Err(error) => return Err(QueryError::of("iam:DeleteAccessKey", &error)),
            }
            self.keys.remove(&key);
        }
        match self.client.delete_user().user_name(&self.name).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(MISSING) => Ok(false),
            Err(error) => Err(QueryError::of("iam:DeleteUser", &error)),
        }
    }

    /// The check for the removal: what is left, and the commands that remove it.
    #[must_use]
    pub(super) fn judge(&self, removed: &QueryResult<()>) -> CheckResult {
        judge_removal(&self.name, &self.keys, removed)
    }
}

/// The check for the removal of the user `name`, with the `keys` that are left.
#[must_use]
pub(super) fn judge_removal(
    name: &str,
    keys: &BTreeSet<String>,
    removed: &QueryResult<()>,
) -> CheckResult {
    let what = "live probe: clean-up";
    let Err(error) = removed else {
        return CheckResult::ok(what, format!("the user {name} and its keys are deleted"));
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
    CheckResult::failed(
        what,
        format!("THE USER {name} IS LEFT{left}: {}", error.text),
        commands.join(" && "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    #[test]
    fn a_failed_removal_names_the_commands_that_complete_it() {
        let failed = Err(QueryError {
            kind: QueryErrorKind::Denied,
            permission: "iam:DeleteAccessKey",
            text: "access denied".to_owned(),
        });
        let keys = BTreeSet::from(["AKIA1".to_owned(), "AKIA2".to_owned()]);
        let check = judge_removal("secondkey-probe-1", &keys, &failed);
        assert_eq!(check.state, CheckStatus::Failed);
        assert!(
            check
                .found
                .contains("secondkey-probe-1 IS LEFT with the keys AKIA1, AKIA2")
        );
        assert_eq!(
            check.fix.unwrap(),
            "aws iam delete-access-key --user-name secondkey-probe-1 --access-key-id AKIA1 && \
             aws iam delete-access-key --user-name secondkey-probe-1 --access-key-id AKIA2 && \
             aws iam delete-user --user-name secondkey-probe-1"
        );
        let unknown = judge_removal("secondkey-probe-1", &BTreeSet::new(), &failed);
        assert!(unknown.fix.unwrap().starts_with("aws iam list-access-keys"));
        assert_eq!(
            judge_removal("x", &BTreeSet::new(), &Ok(())).state,
            CheckStatus::Ok
        );
    }
}
