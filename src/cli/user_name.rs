//! A user as typed on the command line: `NAME` or `ACCOUNT/NAME`.

use std::convert::Infallible;
use std::str::FromStr;

#[cfg(feature = "live")]
use anyhow::ensure;

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
