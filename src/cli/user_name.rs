//! A user as typed on the command line: `NAME` or `ACCOUNT/NAME`.

use std::convert::Infallible;
use std::str::FromStr;

#[cfg(feature = "live")]
use anyhow::ensure;
use wildmatch::WildMatch;

use crate::detect::user::UserId;

/// The name of root on the command line.
pub(crate) const ROOT: &str = "root";

/// How many digits an account id has.
const ACCOUNT_DIGITS: usize = 12;

/// A user's name, with the account if one was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserName {
    /// The account, if one was typed.
    pub(crate) account: Option<String>,
    /// The name; `root` for root.
    pub(crate) name: String,
}

impl FromStr for UserName {
    type Err = Infallible;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        let (account, name) = match typed.split_once('/') {
            Some((account, name)) if is_account_id(account) => (Some(account.to_owned()), name),
            _ => (None, typed),
        };
        Ok(Self {
            account,
            name: name.to_owned(),
        })
    }
}

#[cfg(feature = "live")]
impl UserName {
    /// The name, for a command that works in the account `own` only.
    pub(crate) fn in_account(&self, own: &str) -> anyhow::Result<&str> {
        let account = self.account.as_deref().unwrap_or(own);
        ensure!(
            account == own,
            "user `{}` is in account `{account}`, but your credentials are for account `{own}`; use \
             credentials for `{account}`, for example with --profile",
            self.name
        );
        Ok(&self.name)
    }
}

impl UserName {
    /// The name as a pattern for an exemption, in which root has a name that no IAM user can have.
    #[cfg(feature = "live")]
    pub(crate) fn pattern(&self) -> String {
        if self.name == ROOT {
            return UserId::root("").name().to_owned();
        }
        self.name.clone()
    }

    /// Whether the name, as a pattern with `*` and `?`, matches `user`. `root` means the account's root,
    /// not an IAM user of that name.
    pub(crate) fn matches(&self, user: &UserId) -> bool {
        let is_account = |account: &String| account == user.account();
        if !self.account.as_ref().is_none_or(is_account) {
            return false;
        }
        match (self.name.as_str(), user.is_root()) {
            (ROOT, is_root) => is_root,
            (pattern, _) => WildMatch::new(&pattern.to_lowercase()).matches(user.name()),
        }
    }
}

/// Parses an account id.
pub(crate) fn account_id(text: &str) -> Result<String, String> {
    is_account_id(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "an account id has 12 digits".to_owned())
}

/// Whether `text` is an account id.
#[must_use]
pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == ACCOUNT_DIGITS && text.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, account: Option<&str>, name: &str) {
        let Ok(user) = typed.parse::<UserName>();
        assert_eq!(
            (user.account.as_deref(), user.name.as_str()),
            (account, name)
        );
    }

    #[test]
    fn only_an_account_id_is_split_from_the_name() {
        check("alice", None, "alice");
        check("111122223333/alice", Some("111122223333"), "alice");
        check("111122223333/root", Some("111122223333"), "root");
        check("team/alice", None, "team/alice");
        check("1111/alice", None, "1111/alice");
    }

    #[cfg(feature = "live")]
    #[test]
    fn root_is_exempted_by_the_name_that_no_iam_user_can_have() {
        let pattern = |typed: &str| {
            let Ok(user) = typed.parse::<UserName>();
            user.pattern()
        };
        assert_eq!(pattern("root"), UserId::root("111122223333").name());
        assert_eq!(pattern("111122223333/root"), pattern("root"));
        assert_eq!(pattern("Root*"), "Root*");
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_user_of_another_account_is_refused() {
        let Ok(user) = "111122223333/alice".parse::<UserName>();
        assert_eq!(user.in_account("111122223333").unwrap(), "alice");
        let error = user.in_account("444455556666").unwrap_err().to_string();
        assert!(error.contains("`111122223333`"), "{error}");
        assert!(error.contains("`444455556666`"), "{error}");
        let Ok(user) = "alice".parse::<UserName>();
        assert_eq!(user.in_account("444455556666").unwrap(), "alice");
    }
}
