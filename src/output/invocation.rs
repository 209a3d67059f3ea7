//! How the run that shows a command was called: what the command repeats to work when it is pasted.

use std::path::Path;

use crate::output::shell::{option, pasteable, whole};

/// How a run was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Where its findings are kept.
    pub store: Kept,
    /// The account of its credentials, where it looks at other accounts too.
    pub account: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// What shows the run which keys a user has.
    pub keys_from: KeysFrom,
}

/// What shows which keys a user has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeysFrom {
    /// IAM, when asked.
    #[default]
    Listings,
    /// The changes in logs: nothing was listed.
    Logs,
}

/// Where a run keeps and reads findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nowhere, or the reader is not known to have the store: no command that reads it is shown.
    #[default]
    Nowhere,
    /// In the file that is used where none is named.
    Usual,
    /// In this file; `None` for a name that is no text.
    File(Option<String>),
    /// In this DynamoDB table.
    Table(String),
    /// In the table of the deployment that sends the alert; its reader has other credentials.
    Deployed {
        /// The table's name.
        table: String,
        /// The region that it is in.
        region: Option<String>,
    },
}

/// An invocation that keeps nothing and names no AWS.
pub static NOWHERE: Invocation = Invocation {
    store: Kept::Nowhere,
    account: None,
    profile: None,
    region: None,
    keys_from: KeysFrom::Listings,
};

/// Which options a command of ours takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Those for a store and those for AWS, such as `check`.
    StoreAndAws,
    /// Those for a store, and those for AWS only with a table, such as `verify`.
    Store,
}

impl Kept {
    /// The file `db`, or the usual one.
    #[must_use]
    pub fn file(db: Option<&Path>) -> Self {
        match db {
            Some(path) => Self::File(path.to_str().map(str::to_owned)),
            None => Self::Usual,
        }
    }
}

impl Invocation {
    /// That of a deployment with this table, for alerts that it sends.
    #[must_use]
    pub fn deployed(table: &str, region: Option<&str>) -> Self {
        Self {
            store: Kept::Deployed {
                table: table.to_owned(),
                region: region.map(str::to_owned),
            },
            ..Self::default()
        }
    }

    /// The command `secondkey WORDS` on the same store and AWS, for `subject` (a user or an id) if
    /// there is one. `None` where nothing is kept, or where a word could not be pasted safely.
    #[must_use]
    pub fn ours(&self, words: &[&str], subject: Option<&str>, takes: Takes) -> Option<String> {
        // Subcommands come first, then the subject, then options.
        let is_subcommand = |word: &&&str| !word.starts_with('-');
        let (subcommands, options) = words.split_at(words.iter().take_while(is_subcommand).count());
        let mut line = vec!["secondkey".to_owned()];
        line.extend(subcommands.iter().map(|word| (*word).to_owned()));
        let subject = match subject {
            Some(subject) => Some(pasteable(subject)?),
            None => None,
        };
        let (first, last) = match subject {
            // It would be taken for an option.
            Some(shown) if shown.trim_start_matches('\'').starts_with('-') => (None, Some(shown)),
            shown => (shown, None),
        };
        line.extend(first);
        for word in options {
            line.push(whole(word)?);
        }
        line.extend(self.store_options()?);
        let is_table = matches!(self.store, Kept::Table(_));
        if takes == Takes::StoreAndAws || is_table {
            line.extend(self.aws_options()?);
        }
        line.extend(last.map(|shown| format!("-- {shown}")));
        Some(line.join(" "))
    }

    /// The command `aws WORDS`, which are words of a shell already, on the same AWS.
    #[must_use]
    pub fn aws(&self, words: &str) -> Option<String> {
        let mut line = vec!["aws".to_owned(), words.to_owned()];
        line.extend(self.aws_options()?);
        Some(line.join(" "))
    }

    /// `text` with the options for AWS after each command of the AWS or SAM CLI in it. What stands in
    /// quotes is somebody else's.
    #[must_use]
    pub fn on_same_aws(&self, text: &str) -> String {
        let options = match self.aws_options() {
            Some(options) if !options.is_empty() => options.join(" "),
            _ => return text.to_owned(),
        };
        let mut shown = String::with_capacity(text.len());
        let (mut is_quoted, mut left) = (false, None);
        for word in text.split_inclusive(' ') {
            if !is_quoted {
                // `aws SERVICE OPERATION`, and `sam COMMAND`.
                left = match (word.trim_end(), left) {
                    ("aws", _) => Some(2),
                    ("sam", _) => Some(1),
                    (_, Some(left)) => Some(left - 1),
                    (_, None) => None,
                };
            }
            is_quoted = is_quoted_after(word, is_quoted);
            if left != Some(0) {
                shown.push_str(word);
                continue;
            }
            left = None;
            // The operation may end the command.
            let operation = word.trim_end();
            let end = operation.trim_end_matches([';', ',']).len();
            let (operation, rest) = word.split_at(end);
            for part in [operation, " ", &options, rest] {
                shown.push_str(part);
            }
        }
        shown
    }

    /// Whether commands that read the store are shown.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.store != Kept::Nowhere
    }

    /// The same for a finding of `account`: with no profile where that is of another account.
    #[must_use]
    pub fn in_account(&self, account: &str) -> Self {
        let is_own = self.account.as_deref().is_none_or(|own| own == account);
        Self {
            // It is of another account, and would have a user of the same name changed there.
            profile: self.profile.clone().filter(|_| is_own),
            ..self.clone()
        }
    }

    /// The options that name the store; `None` where none can be named.
    fn store_options(&self) -> Option<Vec<String>> {
        match &self.store {
            Kept::Nowhere | Kept::File(None) => None,
            Kept::Usual => Some(vec![]),
            Kept::File(Some(path)) => Some(vec![option("--db", &whole(path)?)]),
            Kept::Table(table) => Some(vec![option("--table", &whole(table)?)]),
            Kept::Deployed { table, region } => {
                let mut options = vec![option("--table", &whole(table)?)];
                if let Some(region) = region {
                    options.push(option("--region", &whole(region)?));
                }
                Some(options)
            }
        }
    }

    fn aws_options(&self) -> Option<Vec<String>> {
        let named = [("--profile", &self.profile), ("--region", &self.region)];
        let mut options = vec![];
        for (name, value) in named {
            if let Some(value) = value {
                options.push(option(name, &whole(value)?));
            }
        }
        Some(options)
    }
}

/// Whether a shell is within single quotes after `word`, which begins within them or not.
fn is_quoted_after(word: &str, mut is_quoted: bool) -> bool {
    let mut before = ' ';
    for character in word.chars() {
        if character == '\'' {
            // An apostrophe of our own words quotes nothing.
            let opens = !before.is_alphanumeric() && before != '\\';
            is_quoted = !is_quoted && opens;
        }
        before = character;
    }
    is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_for_aws_come_into_every_command_of_a_text() {
        let invocation = Invocation {
            profile: Some("my profile".to_owned()),
            region: Some("eu-west-1".to_owned()),
            ..Invocation::default()
        };
        let on = "--profile 'my profile' --region eu-west-1";
        for (text, expected) in [
            (
                "see why: aws logs tail 'aws iam x' --since 1h",
                format!("see why: aws logs tail {on} 'aws iam x' --since 1h"),
            ),
            (
                "aws iam delete-user --user-name a && aws iam list-users",
                format!("aws iam delete-user {on} --user-name a && aws iam list-users {on}"),
            ),
            (
                "sam build && sam deploy --guided; then look",
                format!("sam build {on} && sam deploy {on} --guided; then look"),
            ),
            (
                "first: aws iam list-users; then look",
                format!("first: aws iam list-users {on}; then look"),
            ),
            (
                "see the function's log: aws sqs purge-queue --queue-url 'it'\\''s aws iam x'",
                format!(
                    "see the function's log: aws sqs purge-queue {on} --queue-url 'it'\\''s aws iam x'"
                ),
            ),
            ("nothing of AWS's", "nothing of AWS's".to_owned()),
        ] {
            assert_eq!(invocation.on_same_aws(text), expected);
        }
        assert_eq!(
            NOWHERE.on_same_aws("aws iam list-users"),
            "aws iam list-users"
        );
    }

    #[test]
    fn what_cannot_be_shown_as_it_is_gets_no_command() {
        let of = |store| Invocation {
            store,
            ..Invocation::default()
        };
        let ours = |store| of(store).ours(&["verify"], Some("1/alice"), Takes::Store);
        assert_eq!(ours(Kept::Nowhere), None);
        assert_eq!(ours(Kept::File(None)), None);
        assert_eq!(ours(Kept::File(Some("a\nb".to_owned()))), None);
        let expected = "secondkey verify 1/alice --db=-x";
        assert_eq!(
            ours(Kept::File(Some("-x".to_owned()))).as_deref(),
            Some(expected)
        );
        let usual = of(Kept::Usual).ours(&["check", "--format", "json"], Some("-a"), Takes::Store);
        assert_eq!(
            usual.as_deref(),
            Some("secondkey check --format json -- -a")
        );
    }
}
