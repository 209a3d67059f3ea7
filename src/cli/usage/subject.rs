//! The user or key whose use is searched for.

use std::str::FromStr;

use crate::cli::user_name::UserName;
use crate::detect::user::UserId;
use crate::local::wanted::KeyFilter;

/// The minimum length of a key id. Source: IAM API reference, `AccessKey`.
const MIN_KEY_ID_CHARS: usize = 16;

/// A user or a key, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    typed: String,
    pub(super) target: SubjectName,
}

/// A user or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SubjectName {
    /// One key.
    Key(String),
    /// All keys of the users with this name, in one account or in all.
    User(UserName),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let is_key = |begin: &str| {
            let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            typed.len() >= MIN_KEY_ID_CHARS
                && typed.starts_with(begin)
                && typed.bytes().all(is_letter)
        };
        if is_key("ASIA") {
            return Err(
                "this is the key id of temporary credentials; use the user's name or a long-term key \
                 (AKIA...)"
                    .to_owned(),
            );
        }
        let target = if is_key("AKIA") {
            SubjectName::Key(typed.to_owned())
        } else {
            let Ok(user) = typed.parse::<UserName>();
            SubjectName::User(user)
        };
        if matches!(&target, SubjectName::User(user) if user.name.is_empty()) {
            return Err("the name of the user is empty".to_owned());
        }
        Ok(Self {
            typed: typed.to_owned(),
            target,
        })
    }
}

impl Subject {
    /// What was typed.
    pub(super) fn typed(&self) -> &str {
        &self.typed
    }

    /// The keys and users whose calls to search for.
    pub(super) fn wanted(&self) -> KeyFilter {
        let mut wanted = KeyFilter::default();
        match &self.target {
            SubjectName::Key(id) => wanted.add_key(id),
            SubjectName::User(UserName { account, name }) => {
                let account = account.as_deref();
                let user = match name.as_str() {
                    "root" => UserId::root(account.unwrap_or_default()),
                    name => UserId::new(account.unwrap_or_default(), name),
                };
                if account.is_some() {
                    wanted.add_user(&user);
                } else {
                    wanted.add_name(&user);
                }
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: &SubjectName) {
        assert_eq!(&typed.parse::<Subject>().unwrap().target, expected);
    }

    #[test]
    fn keys_users_and_accounts_are_distinguished() {
        let user = |account: Option<&str>, name: &str| {
            SubjectName::User(UserName {
                account: account.map(str::to_owned),
                name: name.to_owned(),
            })
        };
        let key = "AKIAIOSFODNN7EXAMPLE";
        check(key, &SubjectName::Key(key.to_owned()));
        check("akiaiosfodnn7example", &user(None, "akiaiosfodnn7example"));
        check("AKIA", &user(None, "AKIA"));
        check("alice", &user(None, "alice"));
        check("111122223333/alice", &user(Some("111122223333"), "alice"));
        check("team/alice", &user(None, "team/alice"));
        assert!("ASIAIOSFODNN7EXAMPLE".parse::<Subject>().is_err());
        assert!("".parse::<Subject>().is_err());
        assert!("111122223333/".parse::<Subject>().is_err());
    }
}
