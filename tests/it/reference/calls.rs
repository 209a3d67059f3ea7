//! Calls to IAM: what each changes, and its event.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use secondkey::detect::Timestamp;
use secondkey::detect::keys::listing::{AccessKey, KeyStatus};
use secondkey::detect::user::UserId;

use super::iam::{Users, active_keys};
use super::story::{By, Step, Told, Which};

/// A successful call.
pub enum Call {
    CreateKey(UserId, String),
    SetStatus(UserId, String, KeyStatus),
    DeleteKey(UserId, String),
    DeleteUser(UserId),
    Rename(UserId, UserId),
}

/// The possible calls for `step`, and how their events arrive.
pub fn calls<'a>(
    step: &'a Step,
    account: &str,
    users: &Users,
    next_key: &str,
) -> (Vec<Call>, Option<&'a Told>) {
    let user = |name: &super::story::Name| UserId::new(account, name.text());
    let keys = |user: &UserId, wanted: &[KeyStatus]| -> Vec<String> {
        let keys = users.get(user).into_iter().flatten();
        keys.filter(|(_, key)| wanted.contains(&key.status))
            .map(|(id, _)| id.clone())
            .collect()
    };
    let of_key = |user: UserId,
                  which: Which,
                  wanted: &[KeyStatus],
                  call: &dyn Fn(UserId, String) -> Call| {
        let keys = keys(&user, wanted);
        let key = match which {
            Which::Older => keys.first(),
            Which::Newer => keys.last(),
        };
        key.cloned()
            .map(|key| call(user, key))
            .into_iter()
            .collect()
    };
    let any = [KeyStatus::Active, KeyStatus::Inactive];
    match step {
        Step::CreateKey(name, told) => {
            let user = user(name);
            let has_room = users.get(&user).is_some_and(|keys| keys.len() < 2);
            let call = has_room.then(|| Call::CreateKey(user, next_key.to_owned()));
            (call.into_iter().collect(), Some(told))
        }
        Step::Deactivate(name, which, told) => {
            let call = |user, key| Call::SetStatus(user, key, KeyStatus::Inactive);
            (
                of_key(user(name), *which, &[KeyStatus::Active], &call),
                Some(told),
            )
        }
        Step::Reactivate(name, which, told) => {
            let call = |user, key| Call::SetStatus(user, key, KeyStatus::Active);
            (
                of_key(user(name), *which, &[KeyStatus::Inactive], &call),
                Some(told),
            )
        }
        Step::DeleteKey(name, which, told) => (
            of_key(user(name), *which, &any, &Call::DeleteKey),
            Some(told),
        ),
        Step::DeleteUser(name, told) => {
            let user = user(name);
            let keys = keys(&user, &any);
            let deletions = keys
                .into_iter()
                .map(|key| Call::DeleteKey(user.clone(), key));
            let end = users
                .contains_key(&user)
                .then(|| Call::DeleteUser(user.clone()));
            (deletions.chain(end).collect(), Some(told))
        }
        Step::ActivateAgain(name, which, told) => {
            let call = |user, key| Call::SetStatus(user, key, KeyStatus::Active);
            (
                of_key(user(name), *which, &[KeyStatus::Active], &call),
                Some(told),
            )
        }
        Step::Rename(from, to, told) => {
            let (from, to) = (user(from), user(to));
            let is_possible = users.contains_key(&from) && !users.contains_key(&to);
            (
                is_possible
                    .then_some(Call::Rename(from, to))
                    .into_iter()
                    .collect(),
                Some(told),
            )
        }
        _ => (vec![], None),
    }
}

impl Call {
    /// The users after the call at `at`.
    pub fn changed(&self, mut users: Users, at: Timestamp) -> Users {
        match self {
            Self::CreateKey(user, key) => {
                let status = KeyStatus::Active;
                let created = Some(at);
                let made = AccessKey { status, created };
                users.get_mut(user).unwrap().insert(key.clone(), made);
            }
            Self::SetStatus(user, key, status) => {
                users.get_mut(user).unwrap().get_mut(key).unwrap().status = *status;
            }
            Self::DeleteKey(user, key) => drop(users.get_mut(user).unwrap().remove(key)),
            Self::DeleteUser(user) => drop(users.remove(user)),
            Self::Rename(from, to) => {
                let keys = users.remove(from).unwrap();
                users.insert(to.clone(), keys);
            }
        }
        users
    }

    /// The key of the call.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::CreateKey(_, key) | Self::SetStatus(_, key, _) | Self::DeleteKey(_, key) => {
                Some(key)
            }
            Self::DeleteUser(_) | Self::Rename(..) => None,
        }
    }

    /// The key that the call activates, or sets to active again.
    pub fn activates(&self) -> Option<&str> {
        match self {
            Self::CreateKey(_, key) | Self::SetStatus(_, key, KeyStatus::Active) => Some(key),
            _ => None,
        }
    }

    /// The users of the call.
    pub fn users(&self) -> Vec<UserId> {
        match self {
            Self::CreateKey(user, _)
            | Self::SetStatus(user, _, _)
            | Self::DeleteKey(user, _)
            | Self::DeleteUser(user) => vec![user.clone()],
            Self::Rename(from, to) => vec![from.clone(), to.clone()],
        }
    }

    /// The event of the call by `by`, signed with the long-term key `signer`, in its envelope.
    pub fn event(&self, event_id: &str, at: Timestamp, by: By, signer: Option<&str>) -> String {
        let (name, asked, answered) = match self {
            Self::CreateKey(user, key) => (
                "CreateAccessKey",
                json!({"userName": user.name()}),
                json!({"accessKey": {"userName": user.name(), "accessKeyId": key, "status": "Active"}}),
            ),
            Self::SetStatus(user, key, status) => (
                "UpdateAccessKey",
                json!({"userName": user.name(), "accessKeyId": key, "status": status.word()}),
                Value::Null,
            ),
            Self::DeleteKey(user, key) => (
                "DeleteAccessKey",
                json!({"userName": user.name(), "accessKeyId": key}),
                Value::Null,
            ),
            Self::DeleteUser(user) => ("DeleteUser", json!({"userName": user.name()}), Value::Null),
            Self::Rename(from, to) => (
                "UpdateUser",
                json!({"userName": from.name(), "newUserName": to.name()}),
                Value::Null,
            ),
        };
        let users = self.users();
        let account = users[0].account();
        let time = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut identity = by.identity(&users[0]);
        if let Some(key) = signer {
            identity["accessKeyId"] = json!(key);
        }
        json!({
            "version": "0", "id": event_id, "detail-type": "AWS API Call via CloudTrail", "source": "aws.iam",
            "account": account, "time": time, "region": "us-east-1", "resources": [],
            "detail": {
                "eventVersion": "1.11", "eventID": event_id, "eventName": name, "eventTime": time,
                "eventSource": "iam.amazonaws.com", "awsRegion": "us-east-1", "recipientAccountId": account,
                "userIdentity": identity,
                "requestParameters": asked, "responseElements": answered,
            },
        })
        .to_string()
    }
}

impl By {
    /// The ARN of the caller in a call about `user`.
    pub fn arn(self, user: &UserId) -> String {
        let account = user.account();
        let name = match self {
            Self::Owner => user.name(),
            Self::Admin => "admin",
            Self::Mallory => "mallory",
            Self::Ci => return format!("arn:aws:sts::{account}:assumed-role/ci/build"),
        };
        format!("arn:aws:iam::{account}:user/{name}")
    }

    fn identity(self, user: &UserId) -> Value {
        let arn = self.arn(user);
        let mut identity = json!({"type": "IAMUser", "arn": arn, "accountId": user.account()});
        match arn.rsplit_once(":user/") {
            Some((_, name)) => identity["userName"] = json!(name),
            None => identity["type"] = json!("AssumedRole"),
        }
        identity
    }
}

/// Whether a second key of `user` is active.
pub fn has_two_active(users: &Users, user: &UserId) -> bool {
    active_keys(users, user).len() >= 2
}
