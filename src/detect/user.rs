//! The IAM user that a record, finding or alert is about.

use std::fmt;

/// The name of the account's root user, as in the credential report. An IAM user name cannot
/// contain `<`, so it is never taken.
const ROOT: &str = "<root_account>";

/// One IAM user of one account, or the account's root.
///
/// IAM user names are case-insensitive (IAM user guide, quotas), so the name is lower-cased. The
/// spelling to display is in the user's record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId {
    account: String,
    name: String,
}

impl UserId {
    /// The user `name` of `account`, in any spelling.
    #[must_use]
    pub fn new(account: &str, name: &str) -> Self {
        Self {
            account: account.to_owned(),
            name: name.to_lowercase(),
        }
    }

    /// The root user of `account`.
    #[must_use]
    pub fn root(account: &str) -> Self {
        Self::new(account, ROOT)
    }

    /// The account id, as in the event.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The lower-cased user name; `<root_account>` for root.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is the account's root rather than an IAM user.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.name == ROOT
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.account, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_are_one_user() {
        assert_eq!(UserId::new("1", "Alice"), UserId::new("1", "ALICE"));
        assert_ne!(UserId::new("1", "alice"), UserId::new("2", "alice"));
    }

    #[test]
    fn no_iam_user_is_taken_for_root() {
        assert!(UserId::root("1").is_root());
        assert!(!UserId::new("1", "root").is_root());
    }
}
