//! The exact commands that retire a key and undo that.

use crate::detect::decision::verdict::Verdict;
use crate::detect::findings::finding::{CloseReason, Finding, FindingStatus};
use crate::detect::keys::listing::KeyStatus;
use crate::output::invocation::{AcceptedOptions, Invocation};
use crate::output::shell::{option, pasteable};

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It deactivates the key.
    Deactivate,
    /// It activates the key again.
    RollBack,
    /// It deletes the key. This cannot be undone.
    Delete,
}

impl Purpose {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deactivate => "deactivate",
            Self::RollBack => "roll_back",
            Self::Delete => "delete",
        }
    }
}

/// One command for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What it does.
    pub purpose: Purpose,
    /// The key that it acts on.
    pub key: String,
    /// The command, ready for a POSIX shell. It may contain text from an event, so each output
    /// escapes it.
    pub line: String,
}

/// The commands that clean up after `finding`. Open: deactivate and roll back the key that
/// `verdict` names, if it names one. Closed: roll back or delete each key that is left inactive.
/// Never commands for both active keys.
#[must_use]
pub fn recommended(
    finding: &Finding,
    verdict: Option<&Verdict>,
    invocation: &Invocation,
) -> Vec<Command> {
    let (purposes, keys): (_, Vec<&str>) = match finding.status {
        FindingStatus::Open | FindingStatus::Suppressed => (
            [Purpose::Deactivate, Purpose::RollBack],
            verdict.and_then(Verdict::key).into_iter().collect(),
        ),
        FindingStatus::Closed => (
            [Purpose::RollBack, Purpose::Delete],
            left_inactive(finding).collect(),
        ),
    };
    keys.into_iter()
        .flat_map(|key| purposes.map(|purpose| command(finding, key, purpose, invocation)))
        .flatten()
        .collect()
}

/// The inactive keys that a closed `finding` leaves behind.
pub(crate) fn left_inactive(finding: &Finding) -> impl Iterator<Item = &str> {
    let is_left = finding.closing.as_ref().is_some_and(|closing| {
        !matches!(
            closing.reason,
            CloseReason::UserDeleted | CloseReason::Renamed
        )
    });
    finding
        .keys
        .iter()
        .filter(move |key| is_left && key.status == KeyStatus::Inactive)
        .map(|key| key.id.as_str())
}

/// The command that does `purpose` to `key`. `None` for root, whose keys only root can change, and
/// for a name or an ID that IAM would not allow and that is not safe to paste.
#[must_use]
pub(crate) fn command(
    finding: &Finding,
    key: &str,
    purpose: Purpose,
    invocation: &Invocation,
) -> Option<Command> {
    if finding.user().is_root() {
        return None;
    }
    let of_account = invocation.in_account(finding.user().account());
    Some(Command {
        purpose,
        key: key.to_owned(),
        line: change_of_key(&finding.display_name, key, purpose, &of_account)?,
    })
}

/// The command that shows which calls of `key` CloudTrail recorded in the reader's Region. `None`
/// if `key` does not look like a key ID.
#[must_use]
pub(crate) fn look_up(key: &str, invocation: &Invocation) -> Option<String> {
    // The pattern that IAM documents for `AccessKeyId`.
    let is_id = key.len() <= 128
        && key
            .chars()
            .all(|at| at.is_ascii_alphanumeric() || at == '_');
    if !is_id || key.is_empty() {
        return None;
    }
    invocation.aws(&format!(
        "cloudtrail lookup-events --max-items 20 \
         --lookup-attributes AttributeKey=AccessKeyId,AttributeValue={key}"
    ))
}

/// The command that does `purpose` to `key` of the user `name`. `None` for a name or an ID that IAM
/// would not allow and that is not safe to paste.
#[must_use]
pub(crate) fn change_of_key(
    name: &str,
    key: &str,
    purpose: Purpose,
    invocation: &Invocation,
) -> Option<String> {
    let user_name = option("--user-name", &pasteable(name)?);
    let key_id = option("--access-key-id", &pasteable(key)?);
    let words = match purpose {
        Purpose::Deactivate => {
            format!("iam update-access-key {user_name} {key_id} --status Inactive")
        }
        Purpose::RollBack => format!("iam update-access-key {user_name} {key_id} --status Active"),
        Purpose::Delete => format!("iam delete-access-key {user_name} {key_id}"),
    };
    invocation.aws(&words)
}

/// The command that creates a key for the user `name`. `None` for a name that is not safe to paste.
#[must_use]
pub(crate) fn creation_of_key(name: &str, invocation: &Invocation) -> Option<String> {
    let user_name = option("--user-name", &pasteable(name)?);
    invocation.aws(&format!("iam create-access-key {user_name}"))
}

/// The command that checks later whether the audit trail of the finding's user still contains the
/// entry with `audit_hash`. `None` without a store, and for a name that is not safe to paste.
#[must_use]
pub(crate) fn verify(
    finding: &Finding,
    audit_hash: &str,
    invocation: &Invocation,
) -> Option<String> {
    let account = finding.user().account();
    let name = if finding.user().is_root() {
        "root"
    } else {
        &finding.display_name
    };
    let words = ["verify", "--head", audit_hash];
    invocation.secondkey_command(
        &words,
        Some(&format!("{account}/{name}")),
        AcceptedOptions::Store,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decision::verdict::{AskReason, RetireReason};
    use crate::detect::testing::finding_of;
    use crate::detect::user::UserId;
    use crate::output::invocation::{NOWHERE, StoreLocation};

    #[track_caller]
    fn check(user_name: &str, key: &str, expected: Option<&str>) {
        let mut finding = finding_of(&[("OLD", Some(1)), ("NEW", Some(2))]);
        user_name.clone_into(&mut finding.display_name);
        let line = command(&finding, key, Purpose::Delete, &NOWHERE).map(|command| command.line);
        assert_eq!(line.as_deref(), expected);
    }

    #[test]
    fn arguments_are_quoted_for_the_shell() {
        check(
            "Alice",
            "AKIA1",
            Some("aws iam delete-access-key --user-name Alice --access-key-id AKIA1"),
        );
        check(
            "a.b+c@example.com",
            "AKIA1",
            Some("aws iam delete-access-key --user-name a.b+c@example.com --access-key-id AKIA1"),
        );
        check(
            "x; rm -rf $HOME 'now'",
            "***",
            Some(
                r"aws iam delete-access-key --user-name 'x; rm -rf $HOME '\''now'\''' --access-key-id '***'",
            ),
        );
        check(
            "--profile",
            "AKIA1",
            Some("aws iam delete-access-key --user-name=--profile --access-key-id AKIA1"),
        );
    }

    #[test]
    fn unsafe_names_get_no_command() {
        for user_name in ["", "a\nb", "a\x1bb", "é", "file:///etc/passwd"] {
            check(user_name, "AKIA1", None);
        }
        check(&"x".repeat(301), "AKIA1", None);
    }

    #[test]
    fn verify_command_names_user_and_hash() {
        let mut finding = finding_of(&[("OLD", Some(1)), ("NEW", Some(2))]);
        "Alice".clone_into(&mut finding.display_name);
        let usual = Invocation {
            store: StoreLocation::Usual,
            ..Invocation::default()
        };
        let line = |finding: &Finding| verify(finding, "5e7a", &usual);
        let expected = "secondkey verify 111122223333/Alice --head 5e7a";
        assert_eq!(line(&finding).as_deref(), Some(expected));
        "x; reboot".clone_into(&mut finding.display_name);
        let expected = "secondkey verify '111122223333/x; reboot' --head 5e7a";
        assert_eq!(line(&finding).as_deref(), Some(expected));
        "x\nreboot".clone_into(&mut finding.display_name);
        assert_eq!(line(&finding), None);
        finding.id.user = UserId::root("111122223333");
        let expected = "secondkey verify 111122223333/root --head 5e7a";
        assert_eq!(line(&finding).as_deref(), Some(expected));
        finding.id.user = UserId::root("--table=x");
        let expected = "secondkey verify --head 5e7a -- --table=x/root";
        assert_eq!(line(&finding).as_deref(), Some(expected));
    }

    #[test]
    fn only_the_key_of_the_verdict_gets_commands() {
        let finding = finding_of(&[("OLD", Some(1)), ("NEW", Some(2))]);
        let retire = Verdict::Retire {
            key: "OLD".to_owned(),
            reason: RetireReason::NeverUsed,
        };
        let commands = recommended(&finding, Some(&retire), &NOWHERE);
        let keys: Vec<&str> = commands
            .iter()
            .map(|command| command.key.as_str())
            .collect();
        assert_eq!(keys, ["OLD", "OLD"]);
        let ask = Verdict::Ask {
            reason: AskReason::BothInUse,
        };
        for verdict in [Some(&ask), None] {
            assert_eq!(recommended(&finding, verdict, &NOWHERE), []);
        }
    }

    #[test]
    fn look_up_command_names_one_key() {
        let expected = "aws cloudtrail lookup-events --max-items 20 --lookup-attributes \
                        AttributeKey=AccessKeyId,AttributeValue=AKIA1";
        assert_eq!(look_up("AKIA1", &NOWHERE).as_deref(), Some(expected));
        for key in [
            "",
            "A,AttributeKey=EventName",
            "x\ny",
            "file://x",
            "www.evil.example",
        ] {
            assert_eq!(look_up(key, &NOWHERE), None, "{key}");
        }
    }
}
