//! Selects the users and keys whose calls are searched for, and skips other records by their bytes,
//! without parsing them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::detect::user::UserId;
use crate::local::log_filter::{is_or_holds_record, spells_names};

/// The prefix of long-term key IDs.
const KEY_BEGIN: &str = "AKIA";

static KEY: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(KEY_BEGIN));
static USER_NAME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("userName"));
static USER_ARN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(":user/"));
static ROOT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("Root"));

/// The users and keys whose calls are searched for.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    keys: BTreeSet<String>,
    /// Accounts by lowercase user name. An empty set means any account.
    users: BTreeMap<String, BTreeSet<String>>,
}

impl KeyFilter {
    pub fn add_key(&mut self, id: &str) {
        self.keys.insert(id.to_owned());
    }

    pub fn add_user(&mut self, user: &UserId) {
        let accounts = self.users.entry(user.name().to_owned());
        accounts.or_default().insert(user.account().to_owned());
    }

    /// Adds the users with the name of `user` in any account.
    pub fn add_name(&mut self, user: &UserId) {
        // Any account includes an account that was named before.
        self.users.insert(user.name().to_owned(), BTreeSet::new());
    }

    /// Whether a call that `user` signed with `key` is wanted.
    #[must_use]
    pub fn matches(&self, user: &UserId, key: &str) -> bool {
        self.keys.contains(key) || self.matches_user(user)
    }

    /// Whether the calls of all keys of `user` are wanted.
    #[must_use]
    pub fn matches_user(&self, user: &UserId) -> bool {
        let accounts = self.users.get(user.name());
        accounts.is_some_and(|accounts| accounts.is_empty() || accounts.contains(user.account()))
    }

    /// Whether `record` has to be parsed: it may be a call of a wanted key, or contain records.
    pub(super) fn may_be_in(&self, record: &[u8]) -> bool {
        let mut keys = KEY.find_iter(record).peekable();
        // A call without the ID of a long-term key is not signed by one.
        let names_wanted = keys.peek().is_some()
            && (keys.any(|at| self.is_key(record.get(at..).unwrap_or_default()))
                || self.names_user(record));
        names_wanted || is_or_holds_record(record) || spells_names(record)
    }

    fn is_key(&self, text: &[u8]) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let id = text.split(|byte| !byte.is_ascii_alphanumeric()).next();
        let id = id.and_then(|id| std::str::from_utf8(id).ok());
        id.is_some_and(|id| self.keys.contains(id))
    }

    fn names_user(&self, record: &[u8]) -> bool {
        if self.users.is_empty() {
            return false;
        }
        let is_wanted = |name: &[u8]| {
            let name = String::from_utf8_lossy(name).to_lowercase();
            // A name may end with a comma, and a number that stands for a name is followed by one.
            let number = name.strip_suffix(',').unwrap_or(&name);
            self.users.contains_key(&name) || self.users.contains_key(number)
        };
        let after = |at: usize, finder: &Finder<'_>| record.get(at + finder.needle().len()..);
        let mut names = USER_NAME
            .find_iter(record)
            .filter_map(|at| after(at, &USER_NAME));
        let mut arns = USER_ARN
            .find_iter(record)
            .filter_map(|at| after(at, &USER_ARN));
        let root = UserId::root("");
        names.any(|text| value(text).is_some_and(is_wanted))
            || arns.any(|text| {
                let path = text.split(|byte| is_end(*byte)).next();
                let name = path.and_then(|path| path.rsplit(|byte| *byte == b'/').next());
                name.is_some_and(is_wanted)
            })
            || self.users.contains_key(root.name()) && ROOT.find(record).is_some()
    }
}

/// The value after the name of a field, also within a JSON string.
fn value(after_name: &[u8]) -> Option<&[u8]> {
    let is_between = |byte: &u8| matches!(byte, b'"' | b'\\' | b':') || byte.is_ascii_whitespace();
    let begin = after_name.iter().position(|byte| !is_between(byte))?;
    after_name.get(begin..)?.split(|byte| is_end(*byte)).next()
}

/// Whether `byte` cannot continue a user name or an ARN.
fn is_end(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'}') || byte.is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> KeyFilter {
        let mut wanted = KeyFilter::default();
        wanted.add_key("AKIAKEY1");
        wanted.add_user(&UserId::new("111122223333", "Alice"));
        wanted.add_user(&UserId::new("111122223333", "4711"));
        wanted
    }

    #[track_caller]
    fn check(record: &str, expected: bool) {
        assert_eq!(wanted().may_be_in(record.as_bytes()), expected, "{record}");
    }

    #[test]
    fn records_of_other_keys_and_users_are_skipped() {
        let call = |identity: &str| format!(r#"{{"eventName":"X","userIdentity":{{{identity}}}}}"#);
        for identity in [
            r#""accessKeyId":"AKIAKEY1""#,
            r#""accessKeyId" : "AKIAKEY1","userName":"bob""#,
            r#""userName":"ALICE","accessKeyId":"AKIAKEY2""#,
            r#""userName" :  "alice" ,"accessKeyId":"AKIAKEY2""#,
            r#""arn":"arn:aws:iam::1:user/a/b/aLice","accessKeyId":"AKIAKEY2""#,
            r#""accessKeyId":"AKIAKEY2","userName":4711,"a":1"#,
            r#""accessKeyId":"AKIAKEY2","userName":4711"#,
            // An escape may spell part of the wanted name or key.
            r#""accessKeyId":"AKIAKEY\u0031""#,
            r#""userName":"\u0061lice","accessKeyId":"\u0041KIAKEY2""#,
        ] {
            check(&call(identity), true);
            let text = call(identity).replace('"', r#"\""#);
            check(&format!(r#"{{"eventName":"X","a":"{text}"}}"#), true);
        }
        for identity in [
            r#""accessKeyId":"AKIAKEY10","userName":"bob""#,
            r#""accessKeyId":"AKIAKEY2","userName":"malice""#,
            r#""accessKeyId":"AKIAKEY2","arn":"arn:aws:iam::1:user/alice/bob""#,
            // Temporary credentials are not a long-term key.
            r#""accessKeyId":"ASIAKEY1","userName":"alice""#,
            r#""accessKeyId":"AKIAKEY2","a":"\u003cb\u003e\u0026\u0027\u0022""#,
        ] {
            check(&call(identity), false);
        }
    }

    #[test]
    fn possible_wrappers_are_read() {
        check("{}", true);
        check(r#"{"Message":"{\"eventName\":\"X\"}"}"#, true);
        check(r#"{"eventName":"aws:kinesis:record","data":"H4sI"}"#, true);
    }

    #[test]
    fn root_is_found_by_its_type() {
        let mut wanted = KeyFilter::default();
        wanted.add_name(&UserId::root(""));
        let record =
            br#"{"eventName":"X","userIdentity":{"type":"Root","accessKeyId":"AKIAROOT"}}"#;
        assert!(wanted.may_be_in(record));
        assert!(wanted.matches(&UserId::root("111122223333"), "AKIAROOT"));
    }

    #[test]
    fn a_user_is_wanted_in_the_named_accounts() {
        let wanted = wanted();
        let in_account = |account| UserId::new(account, "ALICE");
        assert!(wanted.matches(&in_account("111122223333"), "AKIAX"));
        assert!(!wanted.matches(&in_account("444455556666"), "AKIAX"));
        assert!(wanted.matches(&in_account("444455556666"), "AKIAKEY1"));
        let mut anywhere = wanted;
        anywhere.add_name(&UserId::new("", "alice"));
        assert!(anywhere.matches(&in_account("444455556666"), "AKIAX"));
    }
}
